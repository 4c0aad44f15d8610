//! The rules of `table inet millpond`: nothing of a shaped or blocked device passes beside the tunnel. They hold by
//! themselves, whether or not there is a tunnel, a daemon, or anything else of ours.

use super::desired::Facts;
use super::nft::{Elements, NftTable, Set, TableText};
use super::ownership::{CELL_PORT, TUN};
use super::policy_sets::{PolicySets, chain, homes, lan};
use super::tunnel;
use crate::config::model::{DnsMode, Role, Settings};

/// The guard's table, whatever the tunnel's settings are.
pub fn guard_table(settings: &Settings, facts: &Facts) -> TableText {
    let table = match settings.role {
        Role::Router => router(settings, facts),
        Role::Endpoint => endpoint(settings),
    };
    // Never in a release: by this the laboratory shows that it finds what the guard prevents.
    #[cfg(without_guard)]
    let table = NftTable { chains: Vec::new(), ..table };
    TableText::from(&table)
}

fn router(settings: &Settings, facts: &Facts) -> NftTable {
    let policy_sets = PolicySets::new(settings);
    let mut sets = vec![Set { name: "lan", kind: "ifname", elements: Elements::Fixed(lan(settings, facts)) }];
    // For whoever looks while the way out is down: what once led out is not the home's.
    let outside = facts.outside.iter().map(|name| format!("\"{name}\"")).collect();
    sets.push(Set { name: "outside", kind: "ifname", elements: Elements::Fixed(outside) });
    let mut chains = vec![chain(
        "refuse",
        None,
        // A connection that stood before ends at once, and is made anew through the tunnel.
        ["meta l4proto tcp reject with tcp reset", "reject with icmpx admin-prohibited"],
    )];
    let learns = policy_sets.confines_by_mac();
    if learns {
        sets.extend(learned());
        chains.extend([
            chain(
                "confined",
                None,
                [
                    "delete @free4 { ip saddr }",
                    "delete @free6 { ip6 saddr }",
                    "update @seen4 { ip saddr }",
                    "update @seen6 { ip6 saddr }",
                ],
            ),
            chain(
                "free",
                None,
                [
                    "delete @seen4 { ip saddr }",
                    "delete @seen6 { ip6 saddr }",
                    "update @free4 { ip saddr }",
                    "update @free6 { ip6 saddr }",
                ],
            ),
            chain(
                "learn",
                Some("type filter hook prerouting priority mangle - 1"),
                // From outside anybody could pretend to have an address of the home's.
                ["iifname != @lan return".to_owned()]
                    .into_iter()
                    .chain(policy_sets.by_mac("goto confined", "goto free"))
                    .chain(policy_sets.learning_rules())
                    .chain(policy_sets.by_learned("goto confined", "goto confined"))
                    .chain(["delete @seen4 { ip saddr }".into(), "delete @seen6 { ip6 saddr }".into()]),
            ),
        ]);
    }
    chains.extend([
        chain("block", None, ["oifname @lan return", "goto refuse"]),
        chain(
            "confine",
            None,
            ["oifname @lan return".into(), format!("oifname \"{TUN}\" return"), "goto refuse".into()],
        ),
        chain("inbound", None, inbound(&policy_sets, learns)),
        chain("guard", Some("type filter hook forward priority filter - 1"), forward(settings, &policy_sets)),
        chain("proxy", None, ["ct status dnat drop", "meta l4proto { tcp, udp } th dport { 53, 853 } goto refuse"]),
        chain("input", Some("type filter hook input priority filter - 1"), input(settings, &policy_sets)),
    ]);
    sets.extend(policy_sets.sets);
    NftTable { name: super::nft::TableName::Guard, sets, chains }
}

/// The addresses of devices that are known by their MAC, as their packets show them: confined ones, and ones that are
/// exempt from their network's policy.
fn learned() -> [Set; 4] {
    [("seen4", "ipv4_addr"), ("seen6", "ipv6_addr"), ("free4", "ipv4_addr"), ("free6", "ipv6_addr")]
        .map(|(name, kind)| Set { name, kind, elements: Elements::Learned { timeout: "7d" } })
}

/// What comes neither from home nor out of the tunnel.
fn inbound(policy_sets: &PolicySets, learns: bool) -> Vec<String> {
    let learned = |rules: [&str; 4]| if learns { rules.map(str::to_owned).to_vec() } else { Vec::new() };
    let seen = ["ip daddr @seen4 drop", "ip6 daddr @seen6 drop", "ip daddr @free4 return", "ip6 daddr @free6 return"];
    policy_sets.by_receiver("drop", learned(seen))
}

/// What is forwarded: from the tunnel only answers, from a shaped device only into it.
fn forward(settings: &Settings, policy_sets: &PolicySets) -> Vec<String> {
    let carrier = tunnel::interface(settings);
    let mut rules = vec![
        format!("iifname \"{carrier}\" drop"),
        format!("oifname \"{carrier}\" drop"),
        format!("iifname \"{TUN}\" ct state {{ established, related }} return"),
        format!("iifname \"{TUN}\" drop"),
        "iifname != @lan jump inbound".into(),
    ];
    rules.extend(policy_sets.by_sender("goto block", "goto confine", "return"));
    rules
}

/// What is for the router itself: cells, and what devices may ask of it. A resolver, or a proxy that somebody's rule
/// has put in the way, would ask in clear on their behalf.
fn input(settings: &Settings, policy_sets: &PolicySets) -> Vec<String> {
    let carrier = tunnel::interface(settings);
    let mut rules = vec![
        format!("iifname \"{carrier}\" udp dport {CELL_PORT} accept"),
        format!("iifname \"{carrier}\" drop"),
        format!("iifname \"{TUN}\" ct state {{ established, related }} accept"),
        format!("iifname \"{TUN}\" drop"),
    ];
    let shaped = match settings.dns.mode {
        DnsMode::Tunnel => "goto proxy",
        DnsMode::Router => "return",
    };
    rules.extend(policy_sets.by_sender("goto proxy", shaped, "return"));
    rules
}

fn endpoint(settings: &Settings) -> NftTable {
    let carrier = tunnel::interface(settings);
    NftTable {
        name: super::nft::TableName::Guard,
        sets: homes(settings),
        chains: vec![
            chain(
                "input",
                Some("type filter hook input priority filter - 1"),
                [
                    format!("iifname \"{carrier}\" ip saddr @homes udp dport {CELL_PORT} accept"),
                    format!("iifname {{ \"{TUN}\", \"{carrier}\" }} drop"),
                ],
            ),
            chain(
                "forward",
                Some("type filter hook forward priority filter - 1"),
                [
                    format!("iifname \"{carrier}\" drop"),
                    format!("oifname \"{carrier}\" drop"),
                    format!("iifname \"{TUN}\" oifname \"{TUN}\" drop"),
                    format!("iifname \"{TUN}\" ip saddr != @homes drop"),
                    format!("iifname \"{TUN}\" ip6 saddr != @homes6 drop"),
                    // A service of the endpoint's own that is published from a container.
                    format!("iifname \"{TUN}\" ct status dnat drop"),
                    format!("oifname \"{TUN}\" ct state != {{ established, related }} drop"),
                ],
            ),
        ],
    }
}
