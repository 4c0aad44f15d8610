//! Rules against forged reports of a narrow link.
//!
//! After an ICMP message that a link on the way is too narrow (RFC 1191, RFC 8201), the kernel sends packets to that
//! destination in pieces, if they may be split as WireGuard's and OpenVPN's may. Anybody on the way can forge one, and
//! then cells of one size leave in pieces of two. Without the message, a link that really is too narrow splits them.

/// Rules for the hook `input` that drop such messages about UDP, which is the tunnel's protocol, and about ICMP, of
/// which the kernel believes every message (`icmp_err` in net/ipv4/icmp.c). TCP checks them by its sequence numbers.
pub(super) fn rules() -> [String; 2] {
    // The protocol in the quoted header, which follows 8 bytes of ICMP.
    [
        "icmp type destination-unreachable icmp code frag-needed @th,136,8 { 1, 17 } drop".to_owned(),
        "icmpv6 type packet-too-big @th,112,8 { 17, 58 } drop".to_owned(),
    ]
}
