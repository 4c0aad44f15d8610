//! The descriptors of both sides of the data plane: the TUN interface towards the devices, the sockets towards the
//! peers.

use std::io;
use std::net::SocketAddrV4;

use crate::core::CellKind;
use crate::daemon::dataplane::train::Train;
use crate::daemon::error::Error;
use crate::daemon::token::Token;
use crate::plan::ownership::{CELL_PORT, TUN};
use crate::plan::qdisc_tree::{COVER_PRIORITY, DATA_PRIORITY};
use crate::sys::Tun;
use crate::sys::epoll::Poll;
#[cfg(feature = "endpoint")]
use crate::sys::reuseport;
use crate::sys::udp::{CellSocket, ReceiveBuffer};
#[cfg(feature = "endpoint")]
use crate::wire::offload::HEADER_BYTES;
use crate::wire::offload::Offload;

/// The open descriptors. Each may be missing: the sessions and their schedules do not depend on them.
#[derive(Default)]
pub struct TunnelIo {
    tun: Option<Tun>,
    sockets: Option<CellSockets>,
    /// Whether one system call moves many cells or packets.
    is_batched: bool,
}

/// Bytes of cells that may wait for a thread of an endpoint: those of 2,500 homes in 15 ms, with the kernel's data. The
/// same for a router whose cells come in trains: those of a gigabit in 25 ms. The kernel's default has room for three
/// trains, and a thread that is kept from its processor for two milliseconds would lose the next.
const RECEIVE_BUFFER: u32 = 4 << 20;

/// A thread's sockets: one for each PRIO band, so that no system call between two cells depends on their kind. Both
/// share a port: to a firewall, cells of both kinds are one connection, and the peer's cells answer it. Either socket
/// may receive.
pub struct CellSockets {
    data: CellSocket,
    cover: CellSocket,
    /// Index of the interface they are bound to. An interface created later with the same name has another index.
    interface: u32,
}

impl CellSockets {
    /// Opens the sockets of `count` threads on the interface with that name and index. Each thread receives the cells
    /// of its homes.
    #[cfg(feature = "endpoint")]
    pub fn open_for_threads(name: &str, interface: u32, count: u32) -> Result<Vec<CellSockets>, Error> {
        let opening = || Error::system(format!("opening the cell sockets on {name}"));
        let open = |priority| (0..count).map(move |_| CellSocket::open(name, CELL_PORT, priority));
        // The kernel numbers them in this order: first those that receive.
        let data: Vec<_> = open(DATA_PRIORITY).collect::<Result<_, _>>().map_err(opening())?;
        let cover: Vec<_> = open(COVER_PRIORITY).collect::<Result<_, _>>().map_err(opening())?;
        reuseport::by_source(&data[0], count).map_err(opening())?;
        // In a container without the privilege, the kernel's default remains.
        data.iter().for_each(|socket| _ = socket.set_receive_buffer(RECEIVE_BUFFER));
        let pairs = data.into_iter().zip(cover);
        Ok(pairs.map(|(data, cover)| CellSockets { data, cover, interface }).collect())
    }

    /// Opens the sockets of the only thread on the interface with that name and index.
    fn open(name: &str, interface: u32) -> Result<CellSockets, Error> {
        let opening = || Error::system(format!("opening the cell sockets on {name}"));
        let data = CellSocket::open(name, CELL_PORT, DATA_PRIORITY).map_err(opening())?;
        let cover = CellSocket::open(name, CELL_PORT, COVER_PRIORITY).map_err(opening())?;
        Ok(CellSockets { data, cover, interface })
    }

    /// The socket that sends cells of that kind.
    fn of(&self, kind: CellKind) -> &CellSocket {
        match kind {
            CellKind::Data => &self.data,
            CellKind::Cover => &self.cover,
        }
    }
}

impl TunnelIo {
    /// Whether both TUN interface and sockets are open.
    pub fn is_complete(&self) -> bool {
        self.tun.is_some() && self.sockets.is_some()
    }

    /// Whether the TUN interface is open.
    pub fn has_tun(&self) -> bool {
        self.tun.is_some()
    }

    /// Lets one system call move many cells or packets from now on, or one each, as far as the kernel can.
    pub fn set_batched(&mut self, is_batched: bool) {
        self.is_batched = is_batched;
        self.tun.iter().for_each(|tun| _ = tun.set_offload(is_batched));
        for socket in self.sockets.iter().flat_map(|sockets| [&sockets.data, &sockets.cover]) {
            socket.join_arrivals(is_batched);
            if is_batched {
                // Without the privilege, the kernel's default remains.
                _ = socket.set_receive_buffer(RECEIVE_BUFFER);
            }
        }
    }

    /// Reads the next packet from the devices into `buffer`. Returns its length and what is left to do to it, or `None`
    /// if none is waiting.
    ///
    /// # Errors
    /// The interface was deleted.
    pub fn receive_packet(&self, buffer: &mut [u8]) -> io::Result<Option<(usize, Offload)>> {
        self.tun.as_ref().map_or(Ok(None), |tun| tun.receive(buffer))
    }

    /// Writes a packet for the devices. The kernel refuses packets that no device could use, such as martians. There is
    /// nothing to repair.
    pub fn send_packet(&self, packet: &[u8]) {
        if let Some(tun) = &self.tun {
            _ = tun.send(packet);
        }
    }

    /// Whether the TUN interface takes packets with something left to do.
    #[cfg(feature = "endpoint")]
    pub fn takes_joined(&self) -> bool {
        self.is_batched && self.tun.as_ref().is_some_and(Tun::has_header)
    }

    /// The same as [`TunnelIo::send_packet`] for a packet with something left to do, as its header says.
    #[cfg(feature = "endpoint")]
    pub fn send_joined(&self, header: &[u8; HEADER_BYTES], packet: &[u8]) {
        if let Some(tun) = &self.tun {
            _ = tun.send_with(header, packet);
        }
    }

    /// Reads the next cell from the socket of that kind into `buffer`. Returns its length and its sender, or `None` if
    /// none is waiting.
    ///
    /// # Errors
    /// The interface or the path failed.
    pub fn receive_cell(&self, kind: CellKind, buffer: &mut [u8]) -> io::Result<Option<(usize, SocketAddrV4)>> {
        self.sockets.as_ref().map_or(Ok(None), |sockets| sockets.of(kind).receive(buffer))
    }

    /// Reads the cells that wait at the socket of that kind, as many as one call gives. Returns whether there are any.
    ///
    /// # Errors
    /// The interface or the path failed.
    pub fn receive_train(&self, kind: CellKind, buffer: &mut ReceiveBuffer) -> io::Result<bool> {
        self.sockets.as_ref().map_or(Ok(false), |sockets| sockets.of(kind).receive_train(buffer))
    }

    /// Sends a train. Cells that the kernel refuses count as lost on the way; the schedule continues.
    pub fn send(&self, train: &Train) {
        if let Some(sockets) = &self.sockets {
            let peer = SocketAddrV4::new(train.peer, CELL_PORT);
            _ = sockets.of(train.kind).send_train(train.cells(), train.cell_bytes, peer);
        }
    }

    /// The TUN interface, to be used elsewhere.
    #[cfg(feature = "endpoint")]
    pub fn take_tun(&mut self, poll: &Poll) -> Option<Tun> {
        let tun = self.tun.take()?;
        _ = poll.remove(&tun);
        Some(tun)
    }

    /// Closes the TUN interface.
    pub fn drop_tun(&mut self, poll: &Poll) {
        if let Some(tun) = self.tun.take() {
            // Closing alone does not remove it from the epoll set while a forked process has a copy of the descriptor.
            _ = poll.remove(&tun);
        }
    }

    /// Takes over the TUN interface, in place of the one before.
    pub fn set_tun(&mut self, tun: Tun, poll: &Poll) -> Result<(), Error> {
        self.drop_tun(poll);
        poll.add(&tun, Token::Packets.into()).map_err(Error::system(format!("watching {TUN}")))?;
        self.tun = Some(tun);
        if self.is_batched {
            self.set_batched(true);
        }
        Ok(())
    }

    /// Binds the sockets to the interface with that name and index, unless they are bound to it already. Returns
    /// whether they were reopened.
    pub fn bind(&mut self, name: &str, interface: u32, poll: &Poll) -> Result<bool, Error> {
        if self.sockets.as_ref().is_some_and(|sockets| sockets.interface == interface) {
            return Ok(false);
        }
        self.unbind(poll);
        self.set_sockets(CellSockets::open(name, interface)?, poll)?;
        Ok(true)
    }

    /// Takes over these sockets, in place of the ones before.
    pub fn set_sockets(&mut self, sockets: CellSockets, poll: &Poll) -> Result<(), Error> {
        self.unbind(poll);
        poll.add(&sockets.data, Token::Cells(CellKind::Data).into())
            .and_then(|()| poll.add(&sockets.cover, Token::Cells(CellKind::Cover).into()))
            .map_err(Error::system("watching the cell sockets"))?;
        self.sockets = Some(sockets);
        if self.is_batched {
            self.set_batched(true);
        }
        Ok(())
    }

    /// Closes the sockets.
    pub fn unbind(&mut self, poll: &Poll) {
        if let Some(sockets) = self.sockets.take() {
            _ = poll.remove(&sockets.data);
            _ = poll.remove(&sockets.cover);
        }
    }
}
