//! A tunnel of OpenVPN: a process that millpond starts serves an interface that millpond creates.

mod lexer;
mod options;
mod process;
mod profile;

use std::net::Ipv4Addr;

use super::link::{Link, LinkKind};
use super::properties::TunnelProperties;
pub use process::{OutputEvent, arguments, parse_line};
pub use profile::{NamedFile, Profile, named_files, parse};

use crate::wire::size::{Encapsulation, IpVersion};

/// The TUN interface of millpond's openvpn process. It outlives that process, so that its addresses, routes and qdiscs
/// stay.
pub const OPENVPN: &str = "mpvpn0";

/// MTU of [`OPENVPN`] in bytes.
pub const MTU: u32 = 1500;

/// UDP header; opcode and peer id, packet id and tag of a `P_DATA_V2` packet with an AEAD cipher. OpenVPN does not pad
/// (doxygen/doc_protocol_overview.h and src/openvpn/crypto.h of OpenVPN 2.6).
const OVERHEAD: usize = 8 + 4 + 4 + 16;

/// The properties of the tunnel.
pub(super) fn properties(profile: &str, address: Ipv4Addr, peer_address: Option<Ipv4Addr>) -> TunnelProperties<'_> {
    TunnelProperties {
        interface: OPENVPN,
        link: Some(Link { name: OPENVPN.into(), kind: LinkKind::Tun, mtu: MTU }),
        address,
        peer_address,
        route_metric: 0,
        // The profile names the endpoint, and openvpn resolves it.
        endpoint: None,
        handshake_key: None,
        wireguard: None,
        profile: Some(profile),
    }
}

/// The encapsulation of OpenVPN over UDP with an AEAD cipher, by the outer IP version of `profile`; IPv4 without one.
pub(super) fn encapsulation(profile: Option<Profile>) -> Encapsulation {
    let Profile { ipv6, framing } = profile.unwrap_or_default();
    let outer = if ipv6 { IpVersion::V6 } else { IpVersion::V4 };
    Encapsulation::plain(OVERHEAD + usize::from(framing) + outer.header_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::size::CellSize;

    /// Measured in captures of OpenVPN 2.6: an IPv4 packet of 460 bytes leaves as a UDP payload of 484.
    #[test]
    fn a_cell_uses_the_limit_exactly() {
        let size = encapsulation(None).largest_cell(512).unwrap();
        assert_eq!(size, CellSize { wire_bytes: 512, inner_bytes: 460, payload_bytes: 432, block_bytes: 424 });
        let size = encapsulation(Some(Profile { ipv6: true, framing: false })).largest_cell(512).unwrap();
        assert_eq!((size.wire_bytes, size.inner_bytes), (512, 440));
        let size = encapsulation(Some(Profile { ipv6: false, framing: true })).largest_cell(512).unwrap();
        assert_eq!((size.wire_bytes, size.inner_bytes), (512, 459), "comp-lzo no adds a byte");
    }
}
