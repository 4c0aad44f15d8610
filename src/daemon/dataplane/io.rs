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
use crate::sys::udp::{CellSocket, ReceiveBuffer};
use crate::wire::offload::Offload;

/// The open descriptors. Each may be missing: the sessions and their schedules do not depend on them.
#[derive(Default)]
pub struct TunnelIo {
    tun: Option<Tun>,
    sockets: Option<Sockets>,
    /// Whether one system call moves many cells or packets.
    is_batched: bool,
}

/// One socket for each PRIO band, so that no system call between two cells depends on their kind. Both share a port: to
/// a firewall, cells of both kinds are one connection, and the peer's cells answer it. Either socket may receive.
struct Sockets {
    data: CellSocket,
    cover: CellSocket,
    /// Index of the interface they are bound to. An interface created later with the same name has another index.
    interface: u32,
}

impl Sockets {
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
        let sockets = self.sockets.iter().flat_map(|sockets| [&sockets.data, &sockets.cover]);
        sockets.for_each(|socket| socket.join_arrivals(is_batched));
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
        let opening = || Error::system(format!("opening the cell sockets on {name}"));
        let data = CellSocket::open(name, CELL_PORT, DATA_PRIORITY).map_err(opening())?;
        let cover = CellSocket::open(name, CELL_PORT, COVER_PRIORITY).map_err(opening())?;
        poll.add(&data, Token::Cells(CellKind::Data).into()).map_err(opening())?;
        poll.add(&cover, Token::Cells(CellKind::Cover).into()).map_err(opening())?;
        self.sockets = Some(Sockets { data, cover, interface });
        if self.is_batched {
            self.set_batched(true);
        }
        Ok(true)
    }

    /// Closes the sockets.
    pub fn unbind(&mut self, poll: &Poll) {
        if let Some(sockets) = self.sockets.take() {
            _ = poll.remove(&sockets.data);
            _ = poll.remove(&sockets.cover);
        }
    }
}
