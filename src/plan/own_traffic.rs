//! Rules for what this machine itself sends, if a section of the settings has `self`: into the tunnel or nowhere, but
//! for the home's networks and for millpond's own packets.
//!
//! WireGuard's packets, and the lookups of the endpoint's name, have a mark of their own. Only a program with
//! `CAP_NET_ADMIN` or `CAP_NET_RAW` can give its packets a mark. The kernel looks for a route before the chains of the
//! output hook run, and those see the interface of that route also after a mark has changed it. So these chains go by
//! marks, and one chain of the postrouting hook sees that marked packets leave by the tunnel.

use std::net::IpAddr;

use super::device_numbers::device_tag;
use super::facts::Facts;
use super::nft::{Chain, Elements, Set, TableText};
use super::ownership::TUN;
use super::policy_sets::{DNS, chain, lan};
use crate::config::model::{Device, Policy, RoutingIds, Settings};
use crate::tunnel;
use crate::units::{DeviceId, DeviceTag, MIN_TAGGED_TTL, Nanos};

/// The sets of the private networks that this machine reaches without a gateway, IPv4 and IPv6. Neighbours there belong
/// to the home, also where the machine is not the home's router.
const LOCAL: [&str; 2] = ["local4", "local6"];
/// Encrypted DNS: a resolver in the home, such as the router's, would forward a query in clear.
const DNS_OVER_TLS: &str = "meta l4proto { tcp, udp } th dport 853";
/// What gives the machine its addresses: requests of DHCP and DHCPv6, router solicitations and neighbour discovery.
const ADDRESSING: [&str; 3] = [
    "udp sport 68 udp dport 67 return",
    "udp sport 546 udp dport 547 return",
    "icmpv6 type { nd-router-solicit, nd-router-advert, nd-neighbor-solicit, nd-neighbor-advert } return",
];

/// The bit of the mark on millpond's own packets: the one after that of packets for the tunnel.
pub fn own_mark(routing_ids: RoutingIds) -> u32 {
    routing_ids.mark.rotate_left(1)
}

/// The mark of the packets that WireGuard sends; 0, which is none, if this machine's packets are not confined.
pub(super) fn wireguard_mark(settings: &Settings) -> u32 {
    settings.own_policy().map_or(0, |_| own_mark(settings.routing_ids))
}

/// The guard's sets.
pub(super) fn sets(facts: &Facts) -> [Set; 2] {
    let private = |is_v4: bool| {
        let networks = facts.on_link.iter().filter(|network| network.address.is_ipv4() == is_v4);
        let private = networks.filter(|network| match network.address {
            IpAddr::V4(address) => address.is_private() || address.is_link_local(),
            IpAddr::V6(address) => address.is_unique_local(),
        });
        super::routing::without_nested(private.copied()).iter().map(ToString::to_string).collect()
    };
    [(LOCAL[0], "ipv4_addr", true), (LOCAL[1], "ipv6_addr", false)].map(|(name, kind, is_v4)| Set {
        name,
        kind,
        elements: Elements::Networks(private(is_v4)),
    })
}

/// The guard's chain: it refuses what is neither for the home nor marked for the tunnel.
pub(super) fn guard_chain(settings: &Settings) -> Chain {
    let mut rules = passing(settings);
    rules.extend([
        "fib daddr type { broadcast, multicast } return".to_owned(),
        format!("{DNS} goto refuse"),
        format!("{DNS_OVER_TLS} goto refuse"),
        format!("ip daddr @{} return", LOCAL[0]),
        format!("ip6 daddr @{} return", LOCAL[1]),
        // Answers to hosts outside, which would tell that this machine is there.
        "ct direction reply drop".to_owned(),
        "goto refuse".to_owned(),
    ]);
    chain("own", Some("type filter hook output priority filter - 1"), rules)
}

/// The guard's last look at packets that are marked for the tunnel.
pub(super) fn last_look(settings: &Settings) -> Chain {
    let rules = [
        format!("oifname {{ \"lo\", \"{TUN}\" }} return"),
        "oifname @lan return".to_owned(),
        format!("{} drop", marked(settings.routing_ids.mark)),
    ];
    chain("own_leaving", Some("type filter hook postrouting priority filter - 1"), rules)
}

/// The chain of the minimal guard.
pub(super) fn minimal_chain(settings: &Settings) -> Chain {
    let mut rules = passing(settings);
    rules.push("drop".to_owned());
    chain("own", Some("type filter hook output priority filter - 1"), rules)
}

/// Rules for packets that may leave in any case.
fn passing(settings: &Settings) -> Vec<String> {
    let carrier = tunnel::interface(settings);
    let mut rules = vec![
        format!("oifname {{ \"lo\", \"{carrier}\" }} return"),
        "oifname @lan return".to_owned(),
        format!("{} return", marked(own_mark(settings.routing_ids))),
    ];
    if settings.own_policy() == Some(Policy::Shape) {
        rules.push(format!("{} return", marked(settings.routing_ids.mark)));
        rules.push(format!("oifname \"{TUN}\" return"));
    }
    rules.extend(ADDRESSING.map(str::to_owned));
    rules
}

/// The sets of the tunnel's table.
pub(super) fn tunnel_sets(settings: &Settings, facts: &Facts) -> Vec<Set> {
    let lan = Set { name: "lan", kind: "ifname", elements: Elements::Fixed(lan(settings, facts)) };
    [lan].into_iter().chain(sets(facts)).collect()
}

/// The chains of the tunnel's table. DNS goes to `servers`, one of each family, whatever resolver the machine asks.
pub(super) fn tunnel_chains(settings: &Settings, servers: [Option<IpAddr>; 2]) -> Vec<Chain> {
    let carrier = tunnel::interface(settings);
    let into_tunnel = marked(settings.routing_ids.mark);
    let mut select = vec![
        format!("oifname {{ \"lo\", \"{TUN}\", \"{carrier}\" }} return"),
        "oifname @lan return".to_owned(),
        format!("{} return", marked(own_mark(settings.routing_ids))),
    ];
    select.extend(ADDRESSING.map(str::to_owned));
    select.push("fib daddr type { local, broadcast, anycast, multicast } return".to_owned());
    let mut nat = Vec::new();
    for (family, ip, server) in [("ipv4", "ip", servers[0]), ("ipv6", "ip6", servers[1])] {
        // As for devices: without a server in this family, programs use the other one.
        let verdict = if server.is_some() { "goto into_tunnel" } else { "goto refuse" };
        select.push(format!("meta nfproto {family} {DNS} {verdict}"));
        nat.extend(server.map(|server| format!("{into_tunnel} meta nfproto {family} {DNS} dnat {ip} to {server}")));
    }
    select.extend([
        format!("{DNS_OVER_TLS} goto into_tunnel"),
        "ip6 daddr fe80::/10 return".to_owned(),
        format!("ip daddr @{} return", LOCAL[0]),
        format!("ip6 daddr @{} return", LOCAL[1]),
        "ct direction reply return".to_owned(),
        "goto into_tunnel".to_owned(),
    ]);
    let mut chains = vec![
        chain("select_own", Some("type route hook output priority mangle"), select),
        chain("nat_own", Some("type nat hook output priority -101"), nat),
    ];
    if let Some(index) = settings.devices.iter().position(|device| device.is_self) {
        let number = DeviceId::of_section(index);
        let families = [["ip", "ip ttl"], ["ip6", "ip6 hoplimit"]];
        let families = &families[..if settings.address6.is_some() { 2 } else { 1 }];
        // As for devices, small values of the TTL stay: the engine then ignores the number.
        let ttls = families
            .iter()
            .filter(|_| device_tag(settings) == DeviceTag::DscpAndTtl)
            .map(|[_, ttl]| format!("{into_tunnel} {ttl} >= {MIN_TAGGED_TTL} {ttl} set {}", number.ttl()));
        let dscps = families.iter().map(|[ip, _]| format!("{into_tunnel} {ip} dscp set {:#04x}", number.dscp()));
        chains.push(chain("number_own", Some("type filter hook output priority mangle + 1"), ttls.chain(dscps)));
    }
    chains
}

/// The section that confines this machine, if `guard` does.
pub(super) fn confined_section(guard: &TableText) -> Option<Device> {
    guard.has_set(LOCAL[0]).then(|| Device {
        name: "this machine".to_owned(),
        macs: Vec::new(),
        address: None,
        is_self: true,
        policy: Policy::Shape,
        watch: false,
        tolerance: Nanos::ZERO,
    })
}

fn marked(mark: u32) -> String {
    format!("meta mark & {mark:#010x} == {mark:#010x}")
}
