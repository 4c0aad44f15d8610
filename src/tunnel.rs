//! Everything that the kind of a tunnel decides: one file a kind, and the choice between them. The module is pure: it
//! makes no system calls.
//!
//! The tunnel carries the cells. Its interface is millpond's own WireGuard or OpenVPN interface, or an attached
//! interface of another program. Other modules ask here and do not tell the kinds apart themselves.

pub mod attached;
mod error;
mod link;
pub mod openvpn;
mod properties;
pub mod sysctls;
pub mod wireguard;

use std::net::SocketAddr;

pub use self::attached::Carrier;
pub use self::error::TunnelError;
pub use self::link::{Link, LinkKind};
use self::openvpn::{OPENVPN, Profile};
pub use self::properties::{CapturePoint, TunnelProperties};
use self::wireguard::WIREGUARD;
use crate::config::model::{Settings, Tunnel};
use crate::wire::size::{Encapsulation, IpVersion};

/// The names of the interfaces that millpond creates for tunnels.
pub const OWN_INTERFACES: [&str; 2] = [WIREGUARD, OPENVPN];

/// The facts about the host on which a tunnel depends.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TunnelFacts {
    /// The address of `tunnel.endpoint`, resolved (router).
    pub endpoint: Option<SocketAddr>,
    /// The interface that `tunnel.interface` names, if it exists.
    pub carrier: Option<Carrier>,
    /// The checked profile that `tunnel.profile` names.
    pub profile: Option<Profile>,
}

/// The properties of the configured tunnel; `None` if the settings have none.
pub fn properties(settings: &Settings) -> Option<TunnelProperties<'_>> {
    Some(match settings.tunnel.as_ref()? {
        Tunnel::Wireguard(wireguard) => wireguard::properties(wireguard, settings.role),
        Tunnel::Openvpn { profile, address, peer_address } => openvpn::properties(profile, *address, *peer_address),
        Tunnel::Interface { interface, address, peer_address, .. } => {
            attached::properties(interface, *address, *peer_address)
        }
    })
}

/// The name of the interface that carries the cells; millpond's WireGuard interface if the settings have no tunnel.
pub fn interface(settings: &Settings) -> &str {
    properties(settings).map_or(WIREGUARD, |tunnel| tunnel.interface)
}

/// Checks that this host can have the tunnel. `inner_bytes` is the length of a cell inside it, IP header included.
pub fn check(settings: &Settings, facts: &TunnelFacts, inner_bytes: u16) -> Result<(), TunnelError> {
    match &settings.tunnel {
        Some(Tunnel::Interface { interface, address, .. }) => {
            attached::check(interface, *address, facts.carrier.as_ref(), inner_bytes)
        }
        Some(Tunnel::Wireguard(_) | Tunnel::Openvpn { .. }) | None => Ok(()),
    }
}

/// The encapsulation of a cell; WireGuard's if the settings have no tunnel. On an endpoint it only sizes the ceiling of
/// the queue. Homes may connect over either IP version; IPv4, the more common one, is assumed.
///
/// # Errors [`TunnelError::UnknownOverhead`] and [`TunnelError::NoInterface`], for an attached interface.
pub fn encapsulation(settings: &Settings, facts: &TunnelFacts) -> Result<Encapsulation, TunnelError> {
    match &settings.tunnel {
        Some(Tunnel::Wireguard(_)) | None => Ok(Encapsulation::wireguard(match facts.endpoint {
            Some(SocketAddr::V6(_)) => IpVersion::V6,
            Some(SocketAddr::V4(_)) | None => IpVersion::V4,
        })),
        Some(Tunnel::Openvpn { .. }) => Ok(openvpn::encapsulation(facts.profile)),
        Some(Tunnel::Interface { interface, overhead, .. }) => {
            attached::encapsulation(interface, *overhead, facts.carrier.as_ref())
        }
    }
}

/// Where the tunnel's packets can be captured. `endpoint` is the address in use of a router's endpoint.
pub fn capture_point(settings: &Settings, endpoint: Option<SocketAddr>) -> CapturePoint {
    let on_wire = match &settings.tunnel {
        Some(Tunnel::Wireguard(wireguard)) => wireguard::capture_point(wireguard, settings.role, endpoint),
        Some(Tunnel::Openvpn { .. } | Tunnel::Interface { .. }) | None => None,
    };
    on_wire.unwrap_or_else(|| CapturePoint::Interface(interface(settings).to_owned()))
}
