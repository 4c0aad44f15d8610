//! A tunnel of kernel WireGuard, on millpond's own interface.

use std::net::SocketAddr;

use super::link::{Link, LinkKind};
use super::properties::{CapturePoint, TunnelProperties};
use crate::config::model::{Role, Wireguard};

/// The WireGuard interface that carries the cells.
pub const WIREGUARD: &str = "mpwg0";

/// MTU of [`WIREGUARD`] in bytes; cells are far smaller.
const MTU: u32 = 1420;

/// The properties of the tunnel.
pub(super) fn properties(wireguard: &Wireguard, role: Role) -> TunnelProperties<'_> {
    let is_router = role == Role::Router;
    TunnelProperties {
        interface: WIREGUARD,
        link: Some(Link { name: WIREGUARD.into(), kind: LinkKind::Wireguard, mtu: MTU }),
        address: wireguard.address,
        peer_address: wireguard.peer_address,
        route_metric: 0,
        // On the server, `endpoint` is the address for join texts.
        endpoint: wireguard.endpoint.as_ref().filter(|_| is_router),
        handshake_key: wireguard.public_key.as_ref().filter(|_| is_router),
        wireguard: Some(wireguard),
        profile: None,
    }
}

/// The encrypted packets: a router's go to one address, an endpoint's to and from one port of its own.
pub(super) fn capture_point(wireguard: &Wireguard, role: Role, endpoint: Option<SocketAddr>) -> Option<CapturePoint> {
    match endpoint.filter(|_| role == Role::Router) {
        Some(peer) => Some(CapturePoint::Wire { peer: Some(peer.ip()), port: peer.port() }),
        None => wireguard.listen_port.map(|port| CapturePoint::Wire { peer: None, port }),
    }
}
