//! Resolves host names.

use std::io;
use std::net::{SocketAddr, ToSocketAddrs};

use crate::config::model::HostPort;

/// The addresses of `host`, IPv4 first, because a cell costs 20 bytes less over IPv4. Blocks on the system's resolver.
pub fn resolve(host: &HostPort) -> io::Result<Vec<SocketAddr>> {
    let mut addresses: Vec<SocketAddr> = (host.host.as_str(), host.port).to_socket_addrs()?.collect();
    addresses.sort_by_key(SocketAddr::is_ipv6);
    addresses.dedup();
    if addresses.is_empty() {
        return Err(io::Error::new(io::ErrorKind::NotFound, "the name has no address"));
    }
    Ok(addresses)
}
