//! The properties of a tunnel that its kind decides.

use std::net::{IpAddr, Ipv4Addr};

use super::link::Link;
use super::sysctls::{DISABLE_IPV6, ipv6_sysctl, reverse_path_filter};
use crate::config::model::{HostPort, Key, Wireguard};

/// The properties of one tunnel.
#[derive(Clone, Debug)]
pub struct TunnelProperties<'a> {
    /// The name of the interface that carries the cells.
    pub interface: &'a str,
    /// The interface, if millpond creates it; `None` if it attaches to another program's.
    pub link: Option<Link>,
    /// This end's address inside the tunnel.
    pub address: Ipv4Addr,
    /// The endpoint's address inside the tunnel (router).
    pub peer_address: Option<Ipv4Addr>,
    /// Metric of the route to the endpoint.
    pub route_metric: u32,
    /// The endpoint's name or address on the Internet, if millpond has to resolve it (router).
    pub endpoint: Option<&'a HostPort>,
    /// The endpoint's public key, if the kernel reports the time of the last handshake with it and millpond can cause a
    /// new one (router). `None`: only cells show whether the tunnel works.
    pub handshake_key: Option<&'a Key>,
    /// The settings of the kernel's WireGuard interface, if that is the tunnel.
    pub wireguard: Option<&'a Wireguard>,
    /// Path of the profile of the openvpn process that carries the cells; `None` if no process of millpond's does.
    pub profile: Option<&'a str>,
}

impl TunnelProperties<'_> {
    /// The sysctls of the interface, with their values. On an attached interface only the reverse path filter is set,
    /// and restored at the end. Packets that the kernel itself sends there are dropped in the qdisc tree.
    pub fn sysctls(&self) -> Vec<(String, String)> {
        // Loose mode, because the TUN interface has the same address and answers arrive there.
        let mut sysctls = vec![(reverse_path_filter(self.interface), "2".into())];
        if self.link.is_some() {
            sysctls.push((ipv6_sysctl(self.interface, DISABLE_IPV6), "1".into()));
        }
        sysctls
    }
}

/// A point where the tunnel's packets can be distinguished from others.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CapturePoint {
    /// The encrypted WireGuard packets, by UDP port and, if known, peer address.
    Wire {
        /// The peer's address; `None` for any.
        peer: Option<IpAddr>,
        /// The peer's port, or this end's port if `peer` is `None`.
        port: u16,
    },
    /// The plain packets on this tunnel interface, for tunnels whose outer packets are not known.
    Interface(String),
}
