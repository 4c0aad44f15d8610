//! The guard for the case that the kernel refuses the full one: of few and simple rules, which need no part of nftables
//! beyond sets and connection states. It confines the same devices and networks, and shuts them in: they reach only the
//! home.

use super::facts::Facts;
use super::interface_name::interface_elements;
use super::nft::{Elements, Learned, NftTable, Set, TableName, TableText};
use super::ownership::{CELL_PORT, TUN};
use super::policy_sets::{PolicySets, chain, lan};
use crate::config::model::{Role, Settings};
use crate::tunnel;

/// The minimal guard's table. `learned` are the elements that the full guard would have from the start.
pub fn minimal_guard(settings: &Settings, facts: &Facts, learned: &Learned) -> TableText {
    let carrier = tunnel::interface(settings);
    let only_cells = [
        format!("iifname \"{carrier}\" udp dport {CELL_PORT} accept"),
        format!("iifname {{ \"{TUN}\", \"{carrier}\" }} drop"),
    ];
    let mut nothing = vec![
        format!("iifname {{ \"{TUN}\", \"{carrier}\" }} drop"),
        format!("oifname {{ \"{TUN}\", \"{carrier}\" }} drop"),
    ];
    let (input, forward) =
        ("type filter hook input priority filter - 1", "type filter hook forward priority filter - 1");
    if settings.role == Role::Endpoint {
        let chains = vec![chain("input", Some(input), only_cells), chain("forward", Some(forward), nothing)];
        return TableText::from(&NftTable { name: TableName::Guard, sets: Vec::new(), chains });
    }
    let policy_sets = with_fixed_elements(PolicySets::new(settings), learned);
    nothing.extend([
        "iifname @lan oifname @lan return".to_owned(),
        // Packets to a device do not show its MAC, so this holds for every device.
        "iifname != @lan oifname @lan ct state != { established, related } drop".into(),
    ]);
    nothing.extend(policy_sets.by_sender("drop", "drop", "return"));
    #[cfg_attr(not(feature = "endpoint"), expect(unused_mut, reason = "this machine's own packets"))]
    let mut chains = vec![
        chain(
            "shut",
            None,
            [
                "udp dport { 67, 547 } return",
                "icmpv6 type { nd-router-solicit, nd-neighbor-solicit, nd-neighbor-advert } return",
                "drop",
            ],
        ),
        chain("guard", Some(forward), nothing),
        chain(
            "input",
            Some(input),
            only_cells.into_iter().chain(policy_sets.by_sender("goto shut", "goto shut", "return")),
        ),
    ];
    #[cfg(feature = "endpoint")]
    if settings.own_policy().is_some() {
        chains.push(super::own_traffic::minimal_chain(settings));
    }
    let mut sets = vec![
        Set { name: "lan", kind: "ifname", elements: Elements::Fixed(lan(settings, facts)) },
        Set { name: "outside", kind: "ifname", elements: Elements::Fixed(interface_elements(facts.outside.clone())) },
    ];
    sets.extend(policy_sets.sets);
    TableText::from(&NftTable { name: TableName::Guard, sets, chains })
}

/// Replaces the learned sets by fixed ones of what is known now.
fn with_fixed_elements(mut policy_sets: PolicySets, learned: &Learned) -> PolicySets {
    for set in &mut policy_sets.sets {
        if let Elements::Learned { .. } = set.elements {
            set.elements = Elements::Fixed(learned.get(set.name).into_iter().flatten().cloned().collect());
        }
    }
    policy_sets.sets.retain(|set| set.elements != Elements::Fixed(Vec::new()));
    policy_sets
}
