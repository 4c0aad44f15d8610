//! The rules of `table inet millpond`: who goes into the tunnel, and that nothing passes beside it.

use std::net::IpAddr;

use super::desired::Facts;
use super::nft::{Chain, Set, Table};
use super::ownership::{CELL_PORT, MARK, TUN, WIREGUARD};
use crate::config::model::{DnsMode, Policy, Settings};

/// The router's table.
pub(super) fn router(settings: &Settings, facts: &Facts) -> Table {
    let choice = Choice::new(settings);
    let inside = names(facts.lan.iter().map(|lan| lan.name.as_str()));
    let inside_or_tunnel = names(facts.lan.iter().map(|lan| lan.name.as_str()).chain([TUN]));
    let mut chains = vec![
        chain("into_tunnel", None, [format!("meta mark set meta mark | {MARK:#010x}")]),
        chain("shape", None, shape(settings)),
        chain(
            "select",
            Some("type filter hook prerouting priority mangle"),
            [format!("iifname {{ \"{TUN}\", \"{WIREGUARD}\" }} return")]
                .into_iter()
                .chain(choice.rules("return", "goto shape")),
        ),
        chain("confine", None, [format!("oifname {inside_or_tunnel} return"), "drop".into()]),
        chain(
            "block",
            None,
            inside
                .map(|lan| format!("oifname {lan} return"))
                .into_iter()
                .chain(["reject with icmpx admin-prohibited".into()]),
        ),
        chain("guard", Some("type filter hook forward priority filter - 1"), guard(&choice)),
        chain("number_devices", Some("type filter hook forward priority mangle"), number(settings)),
        chain("input", Some("type filter hook input priority filter - 1"), router_input()),
        chain(
            "nat_out",
            Some("type nat hook postrouting priority srcnat - 1"),
            [format!("oifname \"{TUN}\" masquerade")],
        ),
    ];
    let redirects = redirects(settings);
    if !redirects.is_empty() {
        chains.push(chain("nat_dns", Some("type nat hook prerouting priority dstnat - 1"), redirects));
    }
    Table { sets: choice.sets, chains }
}

/// The endpoint's table.
pub(super) fn endpoint(settings: &Settings) -> Table {
    let homes: Vec<String> = settings.homes.iter().map(|home| home.address.to_string()).collect();
    let mut sets = Vec::new();
    let mut forward = vec![
        format!("iifname \"{WIREGUARD}\" drop"),
        format!("oifname \"{WIREGUARD}\" drop"),
        format!("iifname \"{TUN}\" oifname \"{TUN}\" drop"),
    ];
    let mut masquerade = Vec::new();
    if homes.is_empty() {
        forward.push(format!("iifname \"{TUN}\" drop"));
    } else {
        sets.push(Set { name: "homes", kind: "ipv4_addr", elements: homes });
        forward.push(format!("iifname \"{TUN}\" ip saddr != @homes drop"));
        masquerade.push(format!("ip saddr @homes oifname != {{ \"{TUN}\", \"{WIREGUARD}\" }} masquerade"));
    }
    // meta nfproto, because `ip saddr` alone lets IPv6 pass it by.
    forward.push(format!("iifname \"{TUN}\" meta nfproto ipv6 drop"));
    forward.push(format!("oifname \"{TUN}\" ct state != {{ established, related }} drop"));
    Table {
        sets,
        chains: vec![
            chain(
                "input",
                Some("type filter hook input priority filter - 1"),
                [
                    format!("iifname \"{WIREGUARD}\" udp dport {CELL_PORT} accept"),
                    format!("iifname {{ \"{TUN}\", \"{WIREGUARD}\" }} drop"),
                ],
            ),
            chain("forward", Some("type filter hook forward priority filter - 1"), forward),
            chain("nat_out", Some("type nat hook postrouting priority srcnat - 1"), masquerade),
        ],
    }
}

/// The devices and networks by policy, as named sets.
struct Choice {
    sets: Vec<Set>,
}

/// Strictest first, for a device that several sections name.
const PRECEDENCE: [Policy; 3] = [Policy::Block, Policy::Shape, Policy::Direct];

impl Choice {
    fn new(settings: &Settings) -> Choice {
        let mut sets = Vec::new();
        let mut add = |name, kind, elements: Vec<String>| {
            let mut elements = elements;
            elements.sort();
            elements.dedup();
            if !elements.is_empty() {
                sets.push(Set { name, kind, elements });
            }
        };
        for policy in PRECEDENCE {
            let [mac, ip, ip6, net] = set_names(policy);
            let chosen = || settings.devices.iter().filter(move |device| device.policy == policy);
            let addresses = || chosen().filter_map(|device| device.address);
            add(mac, "ether_addr", chosen().filter_map(|device| device.mac).map(|mac| mac.to_string()).collect());
            add(ip, "ipv4_addr", addresses().filter(IpAddr::is_ipv4).map(|a| a.to_string()).collect());
            add(ip6, "ipv6_addr", addresses().filter(IpAddr::is_ipv6).map(|a| a.to_string()).collect());
            if policy != Policy::Direct {
                let networks = settings.networks.iter().filter(|network| network.policy == policy);
                add(net, "ifname", networks.map(|network| format!("\"{}\"", interface(network))).collect());
            }
        }
        Choice { sets }
    }

    /// Rules that give each device's packets the verdict of its policy; a device's own section before its network's.
    fn rules(&self, block: &str, shape: &str) -> Vec<String> {
        let verdict = |policy| match policy {
            Policy::Block => block,
            Policy::Shape => shape,
            Policy::Direct => "return",
        };
        let has = |name: &&str| self.sets.iter().any(|set| set.name == *name);
        let mut rules = Vec::new();
        for policy in PRECEDENCE {
            let [mac, ip, ip6, _] = set_names(policy);
            for (key, name) in [("ether saddr", mac), ("ip saddr", ip), ("ip6 saddr", ip6)] {
                rules.extend(Some(name).filter(has).map(|name| format!("{key} @{name} {}", verdict(policy))));
            }
        }
        for policy in PRECEDENCE {
            let [.., net] = set_names(policy);
            rules.extend(Some(net).filter(has).map(|name| format!("iifname @{name} {}", verdict(policy))));
        }
        rules
    }
}

const fn set_names(policy: Policy) -> [&'static str; 4] {
    match policy {
        Policy::Block => ["block_mac", "block_ip", "block_ip6", "block_net"],
        Policy::Shape => ["shape_mac", "shape_ip", "shape_ip6", "shape_net"],
        Policy::Direct => ["direct_mac", "direct_ip", "direct_ip6", "direct_net"],
    }
}

/// The kernel interface of a network section.
pub(super) fn interface(network: &crate::config::model::Network) -> String {
    network.device.clone().unwrap_or_else(|| format!("br-{}", network.name))
}

/// `{ "a", "b" }`, or nothing for no name.
fn names<'a>(names: impl Iterator<Item = &'a str>) -> NameSet {
    NameSet(names.map(|name| format!("\"{name}\"")).collect())
}

struct NameSet(Vec<String>);

impl NameSet {
    fn map<T>(&self, f: impl FnOnce(&NameSet) -> T) -> Option<T> {
        (!self.0.is_empty()).then(|| f(self))
    }
}

impl std::fmt::Display for NameSet {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.0.as_slice() {
            [one] => f.write_str(one),
            many => write!(f, "{{ {} }}", many.join(", ")),
        }
    }
}

const DNS: &str = "meta l4proto { tcp, udp } th dport 53";

/// What a shaped device sends: DNS into the tunnel, the rest too unless it stays at home.
fn shape(settings: &Settings) -> Vec<String> {
    let mut rules = Vec::new();
    if settings.dns.mode == DnsMode::Tunnel {
        for (family, known) in [("ipv4", first_server(settings, true)), ("ipv6", first_server(settings, false))] {
            // Refused at once where no server speaks the family, so that devices fall back to the other.
            let verdict = if known.is_some() { "goto into_tunnel" } else { "reject" };
            rules.push(format!("meta nfproto {family} {DNS} {verdict}"));
        }
    }
    rules.push("fib daddr type { local, broadcast, anycast, multicast } return".into());
    rules.push("ip6 daddr fe80::/10 return".into());
    rules.push("goto into_tunnel".into());
    rules
}

fn redirects(settings: &Settings) -> Vec<String> {
    if settings.dns.mode != DnsMode::Tunnel {
        return Vec::new();
    }
    [first_server(settings, true), first_server(settings, false)]
        .into_iter()
        .flatten()
        .map(|server| {
            let (family, ip) = if server.is_ipv4() { ("ipv4", "ip") } else { ("ipv6", "ip6") };
            format!("meta mark & {MARK:#010x} == {MARK:#010x} meta nfproto {family} {DNS} dnat {ip} to {server}")
        })
        .collect()
}

fn first_server(settings: &Settings, ipv4: bool) -> Option<IpAddr> {
    settings.dns.servers.iter().copied().find(|server| server.is_ipv4() == ipv4)
}

/// What is forwarded: from the tunnel only answers, from a shaped device only into it.
fn guard(choice: &Choice) -> Vec<String> {
    let mut rules = vec![
        format!("iifname \"{WIREGUARD}\" drop"),
        format!("oifname \"{WIREGUARD}\" drop"),
        format!("iifname \"{TUN}\" ct state {{ established, related }} return"),
        format!("iifname \"{TUN}\" drop"),
    ];
    rules.extend(choice.rules("goto block", "goto confine"));
    rules
}

/// The engine tells devices apart by DSCP, 1..=63 in the order of the file, and clears it before the cell is made.
fn number(settings: &Settings) -> Vec<String> {
    let mut rules = vec![format!("oifname \"{TUN}\" ip dscp set cs0")];
    for (device, number) in settings.devices.iter().zip(1..=63) {
        if device.policy != Policy::Shape {
            continue;
        }
        let key = match (device.mac, device.address) {
            (Some(mac), _) => format!("ether saddr {mac}"),
            (None, Some(IpAddr::V4(address))) => format!("ip saddr {address}"),
            // Its IPv6 packets never come this way: the tunnel carries IPv4.
            (None, _) => continue,
        };
        rules.push(format!("oifname \"{TUN}\" {key} ip dscp set {number:#04x}"));
    }
    rules
}

fn router_input() -> Vec<String> {
    vec![
        format!("iifname \"{WIREGUARD}\" udp dport {CELL_PORT} accept"),
        format!("iifname \"{WIREGUARD}\" drop"),
        format!("iifname \"{TUN}\" ct state {{ established, related }} accept"),
        format!("iifname \"{TUN}\" drop"),
    ]
}

fn chain(name: &'static str, hook: Option<&'static str>, rules: impl IntoIterator<Item = String>) -> Chain {
    Chain { name, hook, rules: rules.into_iter().collect() }
}
