//! Rules for packets to the router itself. A program on the router that serves a device, such as a proxy or a resolver,
//! sends in clear for it, so confined devices may use a short list of services.

use crate::config::model::{DnsMode, Protocol, Settings};
use crate::plan::nft::Chain;
use crate::plan::ownership::{CELL_PORT, TUN};
use crate::plan::path_mtu;
use crate::plan::policy_sets::{PolicySets, chain};
use crate::tunnel;

/// DHCP, NTP, DHCPv6 and mDNS.
const SERVICES: &str = "udp dport { 67, 123, 547, 5353 } return";

/// The chains for packets to the router: cells, and requests of devices.
pub(super) fn chains(settings: &Settings, policy_sets: &PolicySets) -> Vec<Chain> {
    let carrier = tunnel::interface(settings);
    let mut input = path_mtu::rules().to_vec();
    input.extend([
        format!("iifname \"{carrier}\" udp dport {CELL_PORT} accept"),
        format!("iifname \"{carrier}\" drop"),
        format!("iifname \"{TUN}\" ct state {{ established, related }} accept"),
        format!("iifname \"{TUN}\" drop"),
    ]);
    input.extend(policy_sets.by_sender("goto services", "goto shaped_services", "return"));
    let hook = Some("type filter hook input priority filter - 1");
    vec![
        chain("services", None, services(settings)),
        chain("shaped_services", None, shaped_services(settings)),
        chain("input", hook, input),
    ]
}

/// Rules for every confined device.
fn services(settings: &Settings) -> Vec<String> {
    let mut rules = vec![
        // Another program's rule hands the packet to a local socket (TPROXY). The lookup ignores marks.
        "meta nfproto ipv4 fib daddr type unicast drop".to_owned(),
        "ip6 daddr != fe80::/10 fib daddr type unicast drop".to_owned(),
        // Answers to the router's own requests.
        "ct direction reply ct state { established, related } return".to_owned(),
        // Another program's rule redirects the packet to the router.
        "ct status dnat drop".to_owned(),
        "meta l4proto { icmp, icmpv6 } return".to_owned(),
        SERVICES.to_owned(),
    ];
    for (protocol, name) in [(Protocol::Tcp, "tcp"), (Protocol::Udp, "udp")] {
        let chosen = settings.router_services.iter().filter(|service| service.protocol == protocol);
        let mut ports: Vec<u16> = chosen.map(|service| service.port).collect();
        ports.sort_unstable();
        ports.dedup();
        if !ports.is_empty() {
            let ports: Vec<String> = ports.iter().map(u16::to_string).collect();
            rules.push(format!("{name} dport {{ {} }} return", ports.join(", ")));
        }
    }
    rules.push("goto refuse".to_owned());
    rules
}

/// Rules for shaped devices, in addition to [`services`].
fn shaped_services(settings: &Settings) -> Vec<String> {
    let resolver = "fib daddr type local meta l4proto { tcp, udp } th dport { 53, 853 } return";
    let resolver = (settings.dns.mode == DnsMode::Router).then(|| resolver.to_owned());
    resolver.into_iter().chain(["goto services".to_owned()]).collect()
}
