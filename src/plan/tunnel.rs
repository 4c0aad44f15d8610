//! The interface that carries the cells: WireGuard's or OpenVPN's, which are ours, or another's that we attach to.

use std::net::Ipv4Addr;

use super::desired::{DesiredError, Facts, Link};
use super::op::LinkKind;
use super::ownership::{ATTACHED_METRIC, OPENVPN, TUN_MTU, WIREGUARD, WIREGUARD_MTU};
use super::qdisc_tree::ShaperLimits;
use super::routing::Prefix;
use crate::config::model::{Settings, Tunnel};

/// An interface of another's, as far as it matters to a tunnel that attaches to it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Carrier {
    /// The kernel's number for it; one that was made anew has another.
    pub index: u32,
    /// Its kind, such as `wireguard` or `tun`; `device` for hardware.
    pub kind: String,
    /// Its MTU in bytes.
    pub mtu: u32,
    /// Whether it is up.
    pub up: bool,
    /// Its addresses.
    pub addresses: Vec<Prefix>,
    /// A root qdisc on it that is neither ours nor the kernel's own choice.
    pub foreign_qdisc: Option<String>,
    /// Whether its packets are known to leave over IPv6.
    pub outer_ipv6: bool,
}

/// The name of the interface that carries the cells; that of WireGuard of our own where there is no tunnel.
pub fn interface(settings: &Settings) -> &str {
    match &settings.tunnel {
        Some(Tunnel::Wireguard(_)) | None => WIREGUARD,
        Some(Tunnel::Openvpn { .. }) => OPENVPN,
        Some(Tunnel::Interface { interface, .. }) => interface,
    }
}

/// What the settings say of the tunnel, whatever its type.
pub(super) struct TunnelEnds<'a> {
    /// The interface.
    pub dev: &'a str,
    /// The interface where it is ours to make.
    pub link: Option<Link>,
    /// This end's address inside.
    pub address: Ipv4Addr,
    /// The endpoint's address inside (router).
    pub peer_address: Option<Ipv4Addr>,
    /// Metric of the route to the endpoint.
    pub metric: u32,
}

/// Refuses an interface of another's that is not there, or not as the settings need it.
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
            attachable(interface, *address, facts.carrier.as_ref(), limits.inner_bytes)?;
            let metric = ATTACHED_METRIC;
            Ok(TunnelEnds { dev: interface, link: None, address: *address, peer_address: *peer_address, metric })
        }
    }
}

fn attachable(dev: &str, address: Ipv4Addr, carrier: Option<&Carrier>, cell_bytes: u16) -> Result<(), DesiredError> {
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
