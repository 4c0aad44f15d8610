//! Sockets that the standard library does not open.

use std::io;
use std::net::{IpAddr, SocketAddr, TcpStream, UdpSocket};
use std::os::fd::{AsRawFd, OwnedFd};
use std::time::Duration;

use nix::sys::socket::{
    AddressFamily, SockFlag, SockProtocol, SockType, SockaddrStorage, bind, connect, setsockopt, socket, sockopt,
};
use nix::sys::time::{TimeVal, TimeValLike};

/// A socket for ICMP echo between these two; it sends a whole request and receives whole replies. Needs the kernel's
/// `net.ipv4.ping_group_range` to admit us.
pub fn ping(from: Option<IpAddr>, to: IpAddr) -> io::Result<UdpSocket> {
    let (family, protocol) = match to {
        IpAddr::V4(_) => (AddressFamily::Inet, SockProtocol::Icmp),
        IpAddr::V6(_) => (AddressFamily::Inet6, SockProtocol::IcmpV6),
    };
    let opened = socket(family, SockType::Datagram, SockFlag::SOCK_CLOEXEC, protocol)?;
    attach(&opened, from, SocketAddr::new(to, 0))?;
    Ok(UdpSocket::from(opened))
}

/// An echo request with that payload; the kernel fills in identifier and checksum.
pub fn echo_request(to: IpAddr, number: u32, payload: &[u8]) -> Vec<u8> {
    let kind = if to.is_ipv4() { 8 } else { 128 };
    let [.., high, low] = number.to_be_bytes();
    let mut request = vec![kind, 0, 0, 0, 0, 0, high, low];
    request.extend_from_slice(payload);
    request
}

/// A connection from that very address. Gives up after `wait`, also later, when what it sends is not acknowledged.
pub fn connect_from(from: IpAddr, to: SocketAddr, wait: Duration) -> io::Result<TcpStream> {
    let family = if to.is_ipv4() { AddressFamily::Inet } else { AddressFamily::Inet6 };
    let opened = socket(family, SockType::Stream, SockFlag::SOCK_CLOEXEC, None)?;
    // The time that sending may take is also the time that connecting may take (socket(7)).
    setsockopt(&opened, sockopt::SendTimeout, &TimeVal::milliseconds(wait.as_millis() as i64))?;
    with_timeout(&opened, wait)?;
    attach(&opened, Some(from), to)?;
    Ok(TcpStream::from(opened))
}

/// Ends a connection whose data is not acknowledged for so long.
pub fn with_timeout(stream: &impl std::os::fd::AsFd, wait: Duration) -> io::Result<()> {
    Ok(setsockopt(stream, sockopt::TcpUserTimeout, &(wait.as_millis() as u32))?)
}

fn attach(opened: &OwnedFd, from: Option<IpAddr>, to: SocketAddr) -> io::Result<()> {
    if let Some(from) = from {
        bind(opened.as_raw_fd(), &SockaddrStorage::from(SocketAddr::new(from, 0)))?;
    }
    Ok(connect(opened.as_raw_fd(), &SockaddrStorage::from(to))?)
}
