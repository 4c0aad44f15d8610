//! The rules of `table inet millpond`: no packet of a shaped or blocked device leaves outside the tunnel. The table
//! needs neither the tunnel nor the daemon nor any other object of millpond's.

mod learning;
mod leaving;
mod multicast;
mod services;
mod sources;

use super::endpoint_guard;
use super::facts::{Facts, HOME_NETWORKS};
use super::interface_name::interface_elements;
use super::nft::{Elements, NftTable, Set, TableText};
#[cfg(feature = "endpoint")]
use super::own_traffic;
use super::ownership::TUN;
use super::policy_sets::{PolicySets, chain, lan};
use super::routing::Family;
use crate::config::model::{Mac, Role, Settings};
use crate::tunnel;

/// The set of the Ethernet addresses of shaped devices whose packets were lately routed past the tunnel.
pub const ASTRAY: &str = "astray";
/// Two reconcile jobs.
const ASTRAY_TIMEOUT: &str = "1m";

/// The guard's table for these settings. It also works if the tunnel's settings are invalid or missing.
pub fn guard_table(settings: &Settings, facts: &Facts) -> TableText {
    let table = match settings.role {
        Role::Router => router(settings, facts),
        Role::Endpoint => endpoint_guard::table(settings, facts),
    };
    // Never in a release: the laboratory builds without the guard to show that it detects the leaks that the guard
    // prevents.
    #[cfg(without_guard)]
    let table = NftTable { chains: Vec::new(), ..table };
    TableText::from(&table)
}

fn router(settings: &Settings, facts: &Facts) -> NftTable {
    let policy_sets = PolicySets::new(settings);
    let mut sets = vec![Set { name: "lan", kind: "ifname", elements: Elements::Fixed(lan(settings, facts)) }];
    let families = [Family::V4, Family::V6].into_iter().zip(HOME_NETWORKS).zip(["ipv4_addr", "ipv6_addr"]);
    sets.extend(families.map(|((family, name), kind)| {
        let networks = facts.networks.iter().filter(|network| network.family() == family);
        Set { name, kind, elements: Elements::Networks(networks.map(ToString::to_string).collect()) }
    }));
    // Remembers the outside interfaces, so that none of them counts as the home's while its uplink is down.
    let outside = interface_elements(facts.outside.clone());
    sets.push(Set { name: "outside", kind: "ifname", elements: Elements::Fixed(outside) });
    let mut chains = vec![chain(
        "refuse",
        None,
        // Existing connections are reset at once; devices then reconnect through the tunnel.
        ["meta l4proto tcp reject with tcp reset", "reject with icmpx admin-prohibited"],
    )];
    if policy_sets.confines() {
        sets.push(Set { name: ASTRAY, kind: "ether_addr", elements: Elements::Learned { timeout: ASTRAY_TIMEOUT } });
    }
    let learns = policy_sets.confines_by_mac();
    if learns {
        sets.extend(learning::sets());
        chains.extend(learning::chains(&policy_sets));
    }
    chains.extend([
        chain("block", None, ["oifname @lan return", "goto refuse"]),
        chain("confine", None, confine(&policy_sets)),
        chain("inbound", None, inbound(&policy_sets, learns)),
        chain("guard", Some("type filter hook forward priority filter - 1"), forward(settings, &policy_sets, learns)),
    ]);
    chains.extend(sources::chains(&policy_sets));
    chains.extend(services::chains(settings, &policy_sets));
    chains.extend(leaving::chains(settings, &policy_sets, learns));
    chains.extend(multicast::chains(&policy_sets));
    sets.extend(policy_sets.sets);
    #[cfg(feature = "endpoint")]
    if settings.own_policy().is_some() {
        sets.extend(own_traffic::sets(facts));
        chains.push(own_traffic::guard_chain(settings));
        chains.push(own_traffic::last_look(settings));
    }
    NftTable { name: super::nft::TableName::Guard, sets, chains }
}

/// Rules for packets of shaped devices. One that is neither for the home nor for the tunnel has lost its mark, or
/// another program's route precedes.
fn confine(policy_sets: &PolicySets) -> Vec<String> {
    let mut rules = vec!["oifname @lan return".to_owned(), format!("oifname \"{TUN}\" return")];
    if policy_sets.confines() {
        rules.push(format!("update @{ASTRAY} {{ ether saddr }}"));
    }
    rules.push("goto refuse".to_owned());
    rules
}

/// The Ethernet addresses of shaped devices whose packets the guard has lately refused because they were routed past
/// the tunnel.
pub fn astray(guard: &TableText) -> Vec<Mac> {
    let addresses = guard.learned.get(ASTRAY).into_iter().flatten();
    addresses.filter_map(|address| Mac::from_text(address)).collect()
}

/// The transaction after which [`astray`] finds only devices whose packets were refused later; `None` if `guard` does
/// not learn them.
pub fn forget_astray(guard: &TableText) -> Option<String> {
    guard.has_learned_set(ASTRAY).then(|| format!("flush set {} {ASTRAY}\n", guard.name))
}

/// Rules for packets that come neither from the home nor from the tunnel. An answer to a ping would tell which
/// addresses of the home are in use.
fn inbound(policy_sets: &PolicySets, learns: bool) -> Vec<String> {
    let learned = |rules: [&str; 4]| if learns { rules.map(str::to_owned).to_vec() } else { Vec::new() };
    let seen = ["ip daddr @seen4 drop", "ip6 daddr @seen6 drop", "ip daddr @free4 return", "ip6 daddr @free6 return"];
    let mut rules = Vec::new();
    if policy_sets.confines() {
        rules.extend(["icmp", "icmpv6"].map(|icmp| format!("oifname @lan {icmp} type echo-request drop")));
    }
    rules.extend(policy_sets.by_receiver("drop", learned(seen)));
    rules
}

/// Rules for forwarded packets: from the tunnel only answers, which only the home's interfaces receive, and from shaped
/// devices only into the tunnel. Without a route to the device, answers would follow the default route.
///
/// The firewall's rule for software offloading looks at an answer, and sends the device's later packets past all rules
/// by the route that it finds for them with the answer's mark (`nft_flow_route` in net/netfilter/nft_flow_offload.c).
/// So answers have the tunnel's mark, and none passes while that mark leads elsewhere.
fn forward(settings: &Settings, policy_sets: &PolicySets, learns: bool) -> Vec<String> {
    let carrier = tunnel::interface(settings);
    let mut rules = vec![
        format!("iifname \"{carrier}\" drop"),
        format!("oifname \"{carrier}\" drop"),
        format!("iifname \"{TUN}\" oifname != @lan drop"),
        format!("iifname \"{TUN}\" meta mark set meta mark | {:#010x}", settings.routing_ids.mark),
        format!("iifname \"{TUN}\" fib saddr . mark oifname != \"{TUN}\" drop"),
        format!("iifname \"{TUN}\" ct state {{ established, related }} return"),
        format!("iifname \"{TUN}\" drop"),
        "iifname != @lan jump inbound".into(),
    ];
    rules.extend(policy_sets.by_sender("goto block", "goto confine", "return"));
    // Another device that sends from a confined device's address, such as a second router that forwards for it.
    if learns {
        rules.extend(["ip saddr @seen4 goto block", "ip6 saddr @seen6 goto block"].map(str::to_owned));
    }
    rules
}
