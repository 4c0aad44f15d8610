//! Narrow links on the way to the endpoint: rules against forged reports of one, and the report of a real one.
//!
//! After an ICMP message that a link on the way is too narrow (RFC 1191, RFC 8201), the kernel sends packets to that
//! destination in pieces, if they may be split as WireGuard's and OpenVPN's may. Anybody on the way can forge one, and
//! then cells of one size leave in pieces of two. Without the message, a link that really is too narrow splits them.

use super::facts::Facts;
use crate::config::model::Settings;

/// Rules for the hook `input` that drop such messages about UDP, which is the tunnel's protocol, and about ICMP, of
/// which the kernel believes every message (`icmp_err` in net/ipv4/icmp.c). TCP checks them by its sequence numbers.
pub(super) fn rules() -> [String; 2] {
    // The protocol in the quoted header, which follows 8 bytes of ICMP.
    [
        "icmp type destination-unreachable icmp code frag-needed @th,136,8 { 1, 17 } drop".to_owned(),
        "icmpv6 type packet-too-big @th,112,8 { 17, 58 } drop".to_owned(),
    ]
}

/// Cells that the way to the endpoint would not carry whole are made smaller: fragments would show their two sizes.
pub(super) fn too_long_cells(settings: &Settings, facts: &Facts) -> Option<String> {
    let (route, bytes) = (facts.tunnel.route.as_ref()?, settings.shape.cell_bytes);
    let text = format!(
        "cells have less than {bytes} bytes: the way to the endpoint, by {}, carries at most {}",
        route.interface, route.mtu
    );
    (bytes > route.mtu).then_some(text)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::example;
    use crate::tunnel::{EndpointRoute, TunnelFacts};

    #[test]
    fn cells_that_the_line_does_not_carry_are_named() {
        let settings = example::router();
        let bytes = settings.shape.cell_bytes;
        let found = |mtu| {
            let route = Some(EndpointRoute { interface: "wan".into(), kind: String::new(), mtu, table: 254 });
            let tunnel = TunnelFacts { route, ..TunnelFacts::default() };
            too_long_cells(&settings, &Facts { tunnel, ..Facts::default() })
        };
        assert_eq!((found(bytes), found(u16::MAX)), (None, None));
        let text = found(bytes - 1).unwrap_or_default();
        assert!(text.contains("less than 512 bytes") && text.contains("by wan, carries at most 511"), "{text}");
    }
}
