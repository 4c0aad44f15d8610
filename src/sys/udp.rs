//! The socket of the cells.

use std::io;
use std::net::{SocketAddr, SocketAddrV4, UdpSocket};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};

use nix::libc;
use nix::sys::socket::{self, AddressFamily, SockFlag, SockType, SockaddrIn, sockopt};

use crate::plan::ownership::CELL_PORT;

/// A non-blocking UDP socket on port 9347, bound to one interface. Every datagram has the same TTL, DSCP and DF.
#[derive(Debug)]
pub struct CellSocket {
    socket: UdpSocket,
    priority: u32,
}

impl CellSocket {
    /// Opens the socket on the interface `dev`.
    pub fn open(dev: &str) -> io::Result<CellSocket> {
        let flags = SockFlag::SOCK_NONBLOCK | SockFlag::SOCK_CLOEXEC;
        let fd = socket::socket(AddressFamily::Inet, SockType::Datagram, flags, None)?;
        socket::setsockopt(&fd, sockopt::BindToDevice, &dev.into())?;
        socket::bind(fd.as_raw_fd(), &SockaddrIn::new(0, 0, 0, 0, CELL_PORT))?;
        let socket = UdpSocket::from(fd);
        // Always DF, and deaf to forged "fragmentation needed" (ip(7), IP_PMTUDISC_PROBE).
        set_int(&socket, libc::IPPROTO_IP, libc::IP_MTU_DISCOVER, libc::IP_PMTUDISC_PROBE)?;
        set_int(&socket, libc::IPPROTO_IP, libc::IP_TTL, 64)?;
        // Before any priority: the kernel derives one from TOS.
        set_int(&socket, libc::IPPROTO_IP, libc::IP_TOS, 0)?;
        Ok(CellSocket { socket, priority: 0 })
    }

    /// Sends one cell to `peer` with this `SO_PRIORITY`, by which the queueing tree knows it.
    pub fn send(&mut self, cell: &[u8], priority: u32, peer: SocketAddrV4) -> io::Result<()> {
        if self.priority != priority {
            set_int(&self.socket, libc::SOL_SOCKET, libc::SO_PRIORITY, priority as libc::c_int)?;
            self.priority = priority;
        }
        self.socket.send_to(cell, peer).map(|_| ())
    }

    /// Takes the next datagram, if one waits: its length in bytes and its sender. What is longer than `buffer` is cut.
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
