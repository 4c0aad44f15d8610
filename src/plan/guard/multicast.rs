//! Multicast of confined devices ends at the router, and so does what programs on the router repeat of devices:
//! discovery and requests of DHCP.
//!
//! A multicast router or proxy such as igmpproxy receives group memberships (IGMP, MLD) through a raw socket, and
//! reports them to the provider in its own name. The kernel hands such packets to that socket before the hooks `input`
//! and `forward` (`ip_call_ra_chain` and `ip_mr_input` in net/ipv4, `ip6_mc_input` in net/ipv6), and so it does with
//! multicast for which it knows no route; only `prerouting` comes first. Bridges forward the same packets below: the
//! home's devices hear each other, and snooping bridges still see the memberships.

use super::super::nft::Chain;
use super::super::policy_sets::{PolicySets, chain};

/// The chains for multicast; none if no device is confined.
pub(super) fn chains(policy_sets: &PolicySets) -> Vec<Chain> {
    let senders = policy_sets.by_sender("goto multicast", "goto multicast", "return");
    if !senders.iter().any(|rule| rule.ends_with("goto multicast")) {
        return Vec::new();
    }
    let confined = chain(
        "multicast",
        None,
        [
            // IGMP and PIM.
            "meta l4proto { 2, 103 } drop",
            // MLD: query, report, done, report of version 2. Neighbour discovery does not depend on them.
            "icmpv6 type { 130, 131, 132, 143 } drop",
            // Groups of one link, to which mDNS belongs, are never routed. SSDP is for services of the router.
            "ip daddr 224.0.0.0/4 ip daddr != { 224.0.0.0/24, 239.255.255.250 } drop",
            "ip6 daddr ff00::/8 ip6 daddr != { ff02::/16, ff05::c } drop",
        ],
    );
    let hook = Some("type filter hook prerouting priority mangle");
    // A reflector on the router repeats the names and services of devices. None of it concerns the provider.
    let discovery = "oifname @outside udp dport { 1900, 3702, 5353, 5355 }";
    let groups = ["ip daddr 224.0.0.0/4", "ip6 daddr ff00::/8"].map(|group| format!("{discovery} {group} drop"));
    // Only relays send from a server's port to a server's port; the router's own clients use ports 68 and 546.
    let relayed = [67, 547].map(|port| format!("oifname @outside udp sport {port} udp dport {port} drop"));
    vec![
        confined,
        chain("memberships", hook, senders),
        chain("discovery", Some("type filter hook output priority filter - 1"), groups.into_iter().chain(relayed)),
    ]
}
