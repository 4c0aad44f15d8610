//! A tunnel of another program: millpond sends its cells through an interface that it neither creates nor configures.

use std::net::{IpAddr, Ipv4Addr};

use super::error::TunnelError;
use super::openvpn;
use super::properties::TunnelProperties;
use crate::wire::size::{Encapsulation, IpVersion};

/// Metric of the route to the endpoint. The interface's owner may have such a route with metric 0.
const ROUTE_METRIC: u32 = 28_016;

/// GRE without key, checksum or sequence number (RFC 2784) in IPv4.
const GRE_OVERHEAD: usize = 20 + 4;
/// IPv4 in IPv4 (RFC 2003).
const IPIP_OVERHEAD: usize = 20;

/// The kinds of interface that encrypt what they carry: WireGuard; a userspace program's, usually OpenVPN; OpenVPN in
/// the kernel; IPsec. A kind that is missing here may encrypt, but nobody knows.
pub(super) const ENCRYPTING_KINDS: [&str; 7] = ["wireguard", "tun", "ovpn", "ovpn-dco", "xfrm", "vti", "vti6"];

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
    pub addresses: Vec<IpAddr>,
    /// The kind of its root qdisc if that is neither millpond's nor the kernel's default.
    pub foreign_qdisc: Option<String>,
    /// Whether its tunnel packets are known to leave over IPv6.
    pub outer_ipv6: bool,
}

/// The properties of the tunnel.
pub(super) fn properties(interface: &str, address: Ipv4Addr, peer_address: Option<Ipv4Addr>) -> TunnelProperties<'_> {
    TunnelProperties {
        interface,
        link: None,
        address,
        peer_address,
        route_metric: ROUTE_METRIC,
        endpoint: None,
        handshake_key: None,
        wireguard: None,
        profile: None,
    }
}

/// Checks that the interface exists, encrypts (unless the settings say `unencrypted`) and suits cells of `cell_bytes`.
pub(super) fn check(
    dev: &str,
    address: Ipv4Addr,
    unencrypted: bool,
    carrier: Option<&Carrier>,
    cell_bytes: u16,
) -> Result<(), TunnelError> {
    let dev = || dev.to_owned();
    let carrier = carrier.ok_or_else(|| TunnelError::NoInterface(dev()))?;
    if !unencrypted && !ENCRYPTING_KINDS.contains(&carrier.kind.as_str()) {
        return Err(TunnelError::Unencrypted { dev: dev(), kind: carrier.kind.clone() });
    }
    if !carrier.up {
        return Err(TunnelError::InterfaceDown(dev()));
    }
    if !carrier.addresses.contains(&address.into()) {
        return Err(TunnelError::NotAddressed { dev: dev(), address });
    }
    if carrier.mtu < cell_bytes.into() {
        return Err(TunnelError::Mtu { dev: dev(), mtu: carrier.mtu, cell_bytes });
    }
    match &carrier.foreign_qdisc {
        Some(kind) => Err(TunnelError::ForeignQdisc { dev: dev(), kind: kind.clone() }),
        None => Ok(()),
    }
}

/// The encapsulation by the `overhead` in the settings, else by the kind of interface.
pub(super) fn encapsulation(
    dev: &str,
    overhead: Option<u16>,
    carrier: Option<&Carrier>,
) -> Result<Encapsulation, TunnelError> {
    if let Some(bytes) = overhead {
        return Ok(Encapsulation::plain(bytes.into()));
    }
    let carrier = carrier.ok_or_else(|| TunnelError::NoInterface(dev.into()))?;
    of_kind(carrier).ok_or_else(|| TunnelError::UnknownOverhead { dev: dev.into(), kind: carrier.kind.clone() })
}

fn of_kind(carrier: &Carrier) -> Option<Encapsulation> {
    match carrier.kind.as_str() {
        "wireguard" => Some(Encapsulation::wireguard(if carrier.outer_ipv6 { IpVersion::V6 } else { IpVersion::V4 })),
        // `tun` belongs to a userspace program, usually OpenVPN. The others are OpenVPN in the kernel: `ovpn-dco` is
        // the module from outside the kernel tree, `ovpn` the one inside it.
        "tun" | "ovpn-dco" | "ovpn" => Some(openvpn::encapsulation(None)),
        "gre" => Some(Encapsulation::plain(GRE_OVERHEAD)),
        "ipip" => Some(Encapsulation::plain(IPIP_OVERHEAD)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn carrier(kind: &str) -> Carrier {
        Carrier {
            index: 7,
            kind: kind.into(),
            mtu: 1420,
            up: true,
            addresses: Vec::new(),
            foreign_qdisc: None,
            outer_ipv6: false,
        }
    }

    #[test]
    fn the_kind_of_interface_gives_the_overhead_that_the_settings_leave_out() {
        for (kind, overhead_bytes, padding) in
            [("wireguard", 60, 16), ("tun", 52, 1), ("ovpn", 52, 1), ("gre", 24, 1), ("ipip", 20, 1)]
        {
            let found = encapsulation("wg0", None, Some(&carrier(kind)));
            assert_eq!(found, Ok(Encapsulation { padding, ..Encapsulation::plain(overhead_bytes) }), "{kind}");
        }
        let over_ipv6 = Carrier { outer_ipv6: true, ..carrier("wireguard") };
        assert_eq!(encapsulation("wg0", None, Some(&over_ipv6)).map(|found| found.overhead_bytes), Ok(80));
        assert_eq!(encapsulation("wg0", Some(33), None), Ok(Encapsulation::plain(33)));
    }

    #[test]
    fn an_interface_that_does_not_encrypt_needs_the_users_word() {
        let checked = |kind: &str, unencrypted| {
            let carrier = Carrier { addresses: vec![Ipv4Addr::LOCALHOST.into()], ..carrier(kind) };
            check("t0", Ipv4Addr::LOCALHOST, unencrypted, Some(&carrier), 460)
        };
        for kind in ["gre", "ipip", "sit", "vxlan", "device", "bridge", "veth", "ppp"] {
            let error = TunnelError::Unencrypted { dev: "t0".into(), kind: kind.into() };
            assert!(error.to_string().contains("option unencrypted '1'"), "{error}");
            assert_eq!(checked(kind, false), Err(error), "{kind}");
            assert_eq!(checked(kind, true), Ok(()), "{kind}");
        }
        for kind in ["wireguard", "tun", "ovpn", "ovpn-dco", "xfrm", "vti"] {
            assert_eq!(checked(kind, false), Ok(()), "{kind}");
        }
    }

    #[test]
    fn an_unknown_kind_needs_the_overhead_in_the_settings() {
        let error = encapsulation("vx0", None, Some(&carrier("vxlan"))).unwrap_err();
        assert_eq!(error, TunnelError::UnknownOverhead { dev: "vx0".into(), kind: "vxlan".into() });
        assert!(error.to_string().starts_with("tunnel.overhead: "), "{error}");
        assert_eq!(encapsulation("vx0", None, None), Err(TunnelError::NoInterface("vx0".into())));
    }
}
