//! Everything that the kind of a tunnel decides: one file a kind, and the choice between them. The module is pure: it
//! makes no system calls.
//!
//! The tunnel carries the cells. Its interface is millpond's own WireGuard or OpenVPN interface, or an attached
//! interface of another program. Other modules ask here and do not tell the kinds apart themselves.

pub mod attached;
mod endpoint_route;
mod error;
mod link;
pub mod openvpn;
mod properties;
pub mod sysctls;
pub mod wireguard;

use std::net::{IpAddr, SocketAddr};

pub use self::attached::Carrier;
pub use self::endpoint_route::EndpointRoute;
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
    /// The kernel's route to that address, if there is one.
    pub route: Option<EndpointRoute>,
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

/// The addresses of this end inside the tunnel; none if the settings have no tunnel.
pub fn own_addresses(settings: &Settings) -> Vec<IpAddr> {
    let address = properties(settings).map(|tunnel| tunnel.address.into());
    address.into_iter().chain(settings.address6.map(IpAddr::V6)).collect()
}

/// Checks that this host can have the tunnel. `inner_bytes` is the length of a cell inside it, IP header included.
///
/// # Errors
/// Every [`TunnelError`] except `UnknownOverhead`, for an attached interface.
pub fn check(settings: &Settings, facts: &TunnelFacts, inner_bytes: u16) -> Result<(), TunnelError> {
    match &settings.tunnel {
        Some(Tunnel::Interface { interface, address, unencrypted, .. }) => {
            attached::check(interface, *address, *unencrypted, facts.carrier.as_ref(), inner_bytes)
        }
        Some(Tunnel::Wireguard(_) | Tunnel::Openvpn { .. }) | None => Ok(()),
    }
}

/// The encapsulation of a cell; WireGuard's if the settings have no tunnel. On an endpoint it only sizes the ceiling of
/// the queue. Homes may connect over either IP version; IPv4, the more common one, is assumed.
///
/// # Errors
/// [`TunnelError::UnknownOverhead`] and [`TunnelError::NoInterface`], for an attached interface.
pub fn encapsulation(settings: &Settings, facts: &TunnelFacts) -> Result<Encapsulation, TunnelError> {
    match &settings.tunnel {
        Some(Tunnel::Wireguard(_)) | None => {
            let encapsulation = Encapsulation::wireguard(match facts.endpoint {
                Some(SocketAddr::V6(_)) => IpVersion::V6,
                Some(SocketAddr::V4(_)) | None => IpVersion::V4,
            });
            Ok(Encapsulation {
                mtu: facts.route.as_ref().map_or(encapsulation.mtu, |route| route.mtu),
                ..encapsulation
            })
        }
        Some(Tunnel::Openvpn { .. }) => Ok(openvpn::encapsulation(facts.profile)),
        Some(Tunnel::Interface { interface, overhead, .. }) => {
            attached::encapsulation(interface, *overhead, facts.carrier.as_ref())
        }
    }
}

/// The smallest encapsulation that a home's cells can have at an endpoint: that over IPv4. `used` is the one that
/// [`encapsulation`] returned.
pub fn least_encapsulation(settings: &Settings, used: Encapsulation) -> Encapsulation {
    let is_wireguard = used == Encapsulation::wireguard(IpVersion::V6);
    match &settings.tunnel {
        Some(Tunnel::Openvpn { .. }) => openvpn::encapsulation(None),
        Some(Tunnel::Wireguard(_) | Tunnel::Interface { .. }) if is_wireguard => {
            Encapsulation::wireguard(IpVersion::V4)
        }
        _ => used,
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

#[cfg(test)]
mod tests {
    use std::net::{IpAddr, Ipv4Addr};

    use super::*;
    use crate::config::example;

    const ADDRESS: Ipv4Addr = Ipv4Addr::new(10, 77, 0, 2);

    fn with(tunnel: Tunnel) -> Settings {
        Settings { tunnel: Some(tunnel), ..example::router() }
    }

    fn openvpn() -> Settings {
        with(Tunnel::Openvpn { profile: "/client.ovpn".into(), address: ADDRESS, peer_address: None })
    }

    fn attached() -> Settings {
        with(Tunnel::Interface {
            interface: "wg0".into(),
            address: ADDRESS,
            peer_address: None,
            overhead: None,
            unencrypted: false,
        })
    }

    #[test]
    fn every_created_interface_is_one_of_ours() {
        for (settings, name) in [(example::router(), "mpwg0"), (example::endpoint(), "mpwg0"), (openvpn(), "mpvpn0")] {
            let tunnel = properties(&settings).unwrap();
            let link = tunnel.link.unwrap();
            assert_eq!((tunnel.interface, link.name.as_str()), (name, name));
            assert!(OWN_INTERFACES.contains(&name));
        }
        let settings = attached();
        assert_eq!(properties(&settings).map(|tunnel| (tunnel.interface, tunnel.link)), Some(("wg0", None)));
        assert_eq!(interface(&Settings { tunnel: None, ..settings }), "mpwg0");
    }

    /// The owner of an attached interface configured IPv6 there.
    #[test]
    fn an_attached_interface_keeps_its_ipv6() {
        let sysctls = |settings: &Settings| properties(settings).unwrap().sysctls();
        let pair = |key: &str, value: &str| (key.to_owned(), value.to_owned());
        assert_eq!(sysctls(&attached()), [pair("net.ipv4.conf.wg0.rp_filter", "2")]);
        let own = [pair("net.ipv4.conf.mpvpn0.rp_filter", "2"), pair("net.ipv6.conf.mpvpn0.disable_ipv6", "1")];
        assert_eq!(sysctls(&openvpn()), own);
    }

    #[test]
    fn only_a_wireguard_router_resolves_and_watches_its_endpoint() {
        let watches = |settings: &Settings| {
            let tunnel = properties(settings).unwrap();
            (tunnel.endpoint.is_some(), tunnel.handshake_key.is_some())
        };
        assert_eq!(watches(&example::router()), (true, true));
        let mut server = example::endpoint();
        example::wireguard(&mut server).endpoint = example::wireguard(&mut example::router()).endpoint.clone();
        for settings in [server, openvpn(), attached()] {
            assert_eq!(watches(&settings), (false, false), "{:?}", settings.tunnel);
        }
    }

    #[test]
    fn wireguard_is_captured_on_the_wire_and_other_tunnels_inside() {
        let address: SocketAddr = "203.0.113.9:51820".parse().unwrap();
        let wire = |peer: Option<IpAddr>| CapturePoint::Wire { peer, port: 51820 };
        assert_eq!(capture_point(&example::router(), Some(address)), wire(Some(address.ip())));
        assert_eq!(capture_point(&example::endpoint(), None), wire(None));
        let inside = |name: &str| CapturePoint::Interface(name.into());
        assert_eq!(capture_point(&example::router(), None), inside("mpwg0"), "the endpoint is not resolved yet");
        assert_eq!(capture_point(&openvpn(), Some(address)), inside("mpvpn0"));
        assert_eq!(capture_point(&attached(), None), inside("wg0"));
    }

    #[test]
    fn the_outer_ip_version_decides_the_overhead() {
        let overhead =
            |settings: &Settings, facts: &TunnelFacts| encapsulation(settings, facts).unwrap().overhead_bytes;
        let facts = |endpoint: Option<&str>, ipv6| TunnelFacts {
            endpoint: endpoint.map(|endpoint| endpoint.parse().unwrap()),
            profile: Some(Profile { ipv6, framing: false }),
            ..TunnelFacts::default()
        };
        let router = example::router();
        for (endpoint, want) in [(None, 60), (Some("203.0.113.9:1"), 60), (Some("[2001:db8::1]:1"), 80)] {
            assert_eq!(overhead(&router, &facts(endpoint, false)), want);
        }
        assert_eq!([false, true].map(|ipv6| overhead(&openvpn(), &facts(None, ipv6))), [52, 72]);
    }
}
