//! The interface that carries the cells: millpond's own WireGuard or OpenVPN interface, or an attached interface of
//! another program.

use std::net::Ipv4Addr;

use super::desired::{DesiredError, Facts, Link};
use super::op::LinkKind;
use super::ownership::{ATTACHED_METRIC, OPENVPN, TUN_MTU, WIREGUARD, WIREGUARD_MTU};
use super::qdisc_tree::ShaperLimits;
use super::routing::Prefix;
use crate::config::model::{Settings, Tunnel};

/// The properties of another program's interface that a tunnel needs to attach to it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Carrier {
    /// Its interface index; an interface that is created again has another.
    pub index: u32,
    /// Its kind, such as `wireguard` or `tun`; `device` for a physical interface.
    pub kind: String,
    /// Its MTU in bytes.
    pub mtu: u32,
    /// Whether it is up.
    pub up: bool,
    /// Its addresses.
    pub addresses: Vec<Prefix>,
    /// The kind of its root qdisc if that is neither millpond's nor the kernel's default.
    pub foreign_qdisc: Option<String>,
    /// Whether its tunnel packets are known to leave over IPv6.
    pub outer_ipv6: bool,
}

/// The name of the interface that carries the cells; millpond's WireGuard interface if the settings have no tunnel.
pub fn interface(settings: &Settings) -> &str {
    match &settings.tunnel {
        Some(Tunnel::Wireguard(_)) | None => WIREGUARD,
        Some(Tunnel::Openvpn { .. }) => OPENVPN,
        Some(Tunnel::Interface { interface, .. }) => interface,
    }
}

/// The tunnel's interface and addresses, for every kind of tunnel.
pub(super) struct TunnelEnds<'a> {
    /// The name of the interface.
    pub dev: &'a str,
    /// The interface, if millpond creates it.
    pub link: Option<Link>,
    /// This end's address inside the tunnel.
    pub address: Ipv4Addr,
    /// The endpoint's address inside the tunnel (router).
    pub peer_address: Option<Ipv4Addr>,
    /// Metric of the route to the endpoint.
    pub metric: u32,
}

/// The ends of `tunnel`. Fails if the interface to attach to does not exist or is unsuitable.
pub(super) fn ends<'a>(
    tunnel: &'a Tunnel,
    facts: &Facts,
    limits: &ShaperLimits,
) -> Result<TunnelEnds<'a>, DesiredError> {
    let own = |dev: &'a str, kind, mtu, address, peer_address| TunnelEnds {
        dev,
        link: Some(Link { name: dev.into(), kind, mtu }),
        address,
        peer_address,
        metric: 0,
    };
    match tunnel {
        Tunnel::Wireguard(wireguard) => {
            Ok(own(WIREGUARD, LinkKind::Wireguard, WIREGUARD_MTU, wireguard.address, wireguard.peer_address))
        }
        Tunnel::Openvpn { address, peer_address, .. } => {
            Ok(own(OPENVPN, LinkKind::Tun, TUN_MTU, *address, *peer_address))
        }
        Tunnel::Interface { interface, address, peer_address, .. } => {
            check_attachable(interface, *address, facts.carrier.as_ref(), limits.inner_bytes)?;
            let metric = ATTACHED_METRIC;
            Ok(TunnelEnds { dev: interface, link: None, address: *address, peer_address: *peer_address, metric })
        }
    }
}

fn check_attachable(
    dev: &str,
    address: Ipv4Addr,
    carrier: Option<&Carrier>,
    cell_bytes: u16,
) -> Result<(), DesiredError> {
    let dev = || dev.to_owned();
    let carrier = carrier.ok_or_else(|| DesiredError::NoInterface(dev()))?;
    if !carrier.up {
        return Err(DesiredError::InterfaceDown(dev()));
    }
    if !carrier.addresses.iter().any(|prefix| prefix.address == address) {
        return Err(DesiredError::NotAddressed { dev: dev(), address });
    }
    if carrier.mtu < cell_bytes.into() {
        return Err(DesiredError::Mtu { dev: dev(), mtu: carrier.mtu, cell_bytes });
    }
    match &carrier.foreign_qdisc {
        Some(kind) => Err(DesiredError::ForeignQdisc { dev: dev(), kind: kind.clone() }),
        None => Ok(()),
    }
}
