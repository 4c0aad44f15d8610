//! Resolves host names.

use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, ToSocketAddrs, UdpSocket};

use crate::config::model::HostPort;

/// What the C libraries glibc and musl say of a name that exists and has no address.
const NO_ADDRESS: [&str; 2] = ["No address associated with hostname", "Name has no usable address"];

/// The addresses of `host`, IPv4 first, because a cell costs 20 bytes less over IPv4. Addresses to which this host has
/// no route are left out, unless all are such. Blocks on the system's resolver.
pub fn resolve(host: &HostPort) -> io::Result<Vec<SocketAddr>> {
    let found = (host.host.as_str(), host.port).to_socket_addrs().map_err(explained)?;
    let mut addresses: Vec<SocketAddr> = found.collect();
    addresses.sort_by_key(SocketAddr::is_ipv6);
    addresses.dedup();
    if addresses.is_empty() {
        return Err(io::Error::new(io::ErrorKind::NotFound, "the name has no address"));
    }
    if addresses.iter().any(has_route) {
        addresses.retain(has_route);
    }
    Ok(addresses)
}

/// Whether this host has a route to the address. No packet leaves.
fn has_route(to: &SocketAddr) -> bool {
    let any = if to.is_ipv4() { (Ipv4Addr::UNSPECIFIED, 0).into() } else { (Ipv6Addr::UNSPECIFIED, 0).into() };
    let socket = UdpSocket::bind::<SocketAddr>(any);
    socket.is_ok_and(|socket| socket.connect(to).is_ok())
}

/// A resolver with protection against DNS rebinding, such as OpenWrt's, withholds private addresses: the name then
/// exists without an address.
fn explained(error: io::Error) -> io::Error {
    if !NO_ADDRESS.iter().any(|words| error.to_string().contains(words)) {
        return error;
    }
    let why = "the name has no address here: a private one is withheld by the resolver's rebind protection (list \
               rebind_domain in /etc/config/dhcp)";
    io::Error::new(io::ErrorKind::NotFound, why)
}
