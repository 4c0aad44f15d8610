//! The UDP socket for cells.

mod batch;

use std::cell::Cell;
use std::io;
use std::net::{SocketAddr, SocketAddrV4, UdpSocket};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};

pub use self::batch::ReceiveBuffer;
use nix::sys::socket::{self, AddressFamily, SockFlag, SockType, SockaddrIn, sockopt};

/// A non-blocking UDP socket bound to one interface. Every datagram has the same TTL, DSCP and DF.
#[derive(Debug)]
pub struct CellSocket {
    socket: UdpSocket,
    /// Whether the kernel takes segment lists. Until the first list has been refused, it is what the kernel said.
    has_segments: Cell<bool>,
    /// Whether the kernel joins arriving datagrams.
    joins_arrivals: Cell<bool>,
    /// Whether it may try to.
    may_join: Cell<bool>,
    /// Datagrams in a row that arrived alone although the kernel was to join them, or calls since it stopped.
    alone: Cell<u16>,
}

impl CellSocket {
    /// Opens a socket on the interface `dev` and UDP port `port` (0 for any). Its packets have `SO_PRIORITY`
    /// `priority`, by which the queueing tree classifies them. Several sockets can share a port; the kernel passes each
    /// datagram to one of them (socket(7), `SO_REUSEPORT`).
    pub fn open(dev: &str, port: u16, priority: u32) -> io::Result<CellSocket> {
        let flags = SockFlag::SOCK_NONBLOCK | SockFlag::SOCK_CLOEXEC;
        let fd = socket::socket(AddressFamily::Inet, SockType::Datagram, flags, None)?;
        socket::setsockopt(&fd, sockopt::BindToDevice, &dev.into())?;
        socket::setsockopt(&fd, sockopt::ReusePort, &true)?;
        socket::bind(fd.as_raw_fd(), &SockaddrIn::new(0, 0, 0, 0, port))?;
        let socket = UdpSocket::from(fd);
        // Always sets DF, and ignores ICMP "fragmentation needed", which can be forged (ip(7), IP_PMTUDISC_PROBE).
        set_int(&socket, libc::IPPROTO_IP, libc::IP_MTU_DISCOVER, libc::IP_PMTUDISC_PROBE)?;
        set_int(&socket, libc::IPPROTO_IP, libc::IP_TTL, 64)?;
        // TOS before SO_PRIORITY, because setting TOS also sets the priority.
        set_int(&socket, libc::IPPROTO_IP, libc::IP_TOS, 0)?;
        set_int(&socket, libc::SOL_SOCKET, libc::SO_PRIORITY, priority as libc::c_int)?;
        // Zero means no segments, as before; a kernel that does not know the option refuses it (udp(7)).
        let has_segments = Cell::new(set_int(&socket, libc::SOL_UDP, libc::UDP_SEGMENT, 0).is_ok());
        let [joins_arrivals, may_join] = [(); 2].map(|()| Cell::new(false));
        Ok(CellSocket { socket, has_segments, joins_arrivals, may_join, alone: Cell::new(0) })
    }

    /// Makes room for this many bytes of waiting datagrams, also beyond the limit for ordinary programs.
    pub fn set_receive_buffer(&self, bytes: u32) -> io::Result<()> {
        // The kernel doubles the value, for its own data.
        set_int(&self.socket, libc::SOL_SOCKET, libc::SO_RCVBUFFORCE, bytes as libc::c_int / 2)
    }

    /// Sends one cell to `peer`.
    pub fn send(&self, cell: &[u8], peer: SocketAddrV4) -> io::Result<()> {
        self.socket.send_to(cell, peer).map(|_| ())
    }

    /// Receives the next datagram, if one is waiting. Returns its length in bytes and its sender. A datagram longer
    /// than `buffer` is truncated.
    pub fn receive(&self, buffer: &mut [u8]) -> io::Result<Option<(usize, SocketAddrV4)>> {
        match self.socket.recv_from(buffer) {
            Ok((length, SocketAddr::V4(peer))) => Ok(Some((length, peer))),
            Ok((_, SocketAddr::V6(_))) => Ok(None),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(None),
            Err(error) => Err(error),
        }
    }
}

impl AsFd for CellSocket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

fn set_int(socket: &UdpSocket, level: libc::c_int, option: libc::c_int, value: libc::c_int) -> io::Result<()> {
    // SAFETY: the descriptor is open, and the pointer and length describe `value`, which lives through the call.
    let result = unsafe {
        libc::setsockopt(
            socket.as_raw_fd(),
            level,
            option,
            std::ptr::from_ref(&value).cast(),
            size_of::<libc::c_int>() as libc::socklen_t,
        )
    };
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}
