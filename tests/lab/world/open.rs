//! Sockets that the standard library cannot open.

use std::io;
use std::net::{IpAddr, SocketAddr, TcpStream, UdpSocket};
use std::os::fd::{AsRawFd, OwnedFd};
use std::time::Duration;

use nix::sys::socket::{
    AddressFamily, SockFlag, SockProtocol, SockType, SockaddrStorage, bind, connect, setsockopt, socket, sockopt,
};
use nix::sys::time::{TimeVal, TimeValLike};

/// Opens a socket for ICMP echo between these addresses. It sends a complete request and receives complete replies. The
/// kernel's `net.ipv4.ping_group_range` must include the group of this process.
pub fn ping(from: Option<IpAddr>, to: IpAddr) -> io::Result<UdpSocket> {
    let (family, protocol) = match to {
        IpAddr::V4(_) => (AddressFamily::Inet, SockProtocol::Icmp),
        IpAddr::V6(_) => (AddressFamily::Inet6, SockProtocol::IcmpV6),
    };
    let fd = socket(family, SockType::Datagram, SockFlag::SOCK_CLOEXEC, protocol)?;
    bind_and_connect(&fd, from, SocketAddr::new(to, 0))?;
    Ok(UdpSocket::from(fd))
}

/// An echo request with that payload. The kernel fills in identifier and checksum.
pub fn echo_request(to: IpAddr, number: u32, payload: &[u8]) -> Vec<u8> {
    let kind = if to.is_ipv4() { 8 } else { 128 };
    let [.., high, low] = number.to_be_bytes();
    let mut request = vec![kind, 0, 0, 0, 0, 0, high, low];
    request.extend_from_slice(payload);
    request
}

/// Connects from the address `from`. Connecting fails after `timeout`, and an established connection fails when sent
/// data is not acknowledged for that time.
pub fn connect_from(from: IpAddr, to: SocketAddr, timeout: Duration) -> io::Result<TcpStream> {
    let family = if to.is_ipv4() { AddressFamily::Inet } else { AddressFamily::Inet6 };
    let fd = socket(family, SockType::Stream, SockFlag::SOCK_CLOEXEC, None)?;
    // The send timeout also limits connecting (socket(7)).
    setsockopt(&fd, sockopt::SendTimeout, &TimeVal::milliseconds(timeout.as_millis() as i64))?;
    set_user_timeout(&fd, timeout)?;
    bind_and_connect(&fd, Some(from), to)?;
    Ok(TcpStream::from(fd))
}

/// Sets `TCP_USER_TIMEOUT`, after which a connection without acknowledgements ends.
pub fn set_user_timeout(stream: &impl std::os::fd::AsFd, timeout: Duration) -> io::Result<()> {
    Ok(setsockopt(stream, sockopt::TcpUserTimeout, &(timeout.as_millis() as u32))?)
}

fn bind_and_connect(fd: &OwnedFd, from: Option<IpAddr>, to: SocketAddr) -> io::Result<()> {
    if let Some(from) = from {
        bind(fd.as_raw_fd(), &SockaddrStorage::from(SocketAddr::new(from, 0)))?;
    }
    Ok(connect(fd.as_raw_fd(), &SockaddrStorage::from(to))?)
}
