//! The rules of `table bridge millpond`: nothing of a confined device crosses a bridge port that is a tunnel.
//!
//! A VXLAN, GRE or tap port in a bridge of the home carries frames away below the family `inet`, where the guard sees
//! no packet. The table exists only while there is such a port and a confined device. Ports of the settings
//! (`main.home_port`) belong to the home and are not in it.

use super::bindings::bound_sets;
use super::facts::{Facts, TunnelPort};
use super::nft::{Elements, NftTable, Set, TableName, TableText};
use super::policy_sets::{PolicySets, chain, interface};
use crate::config::model::{Policy, Settings};

/// The table for these settings; `None` if it is not needed.
pub fn bridge_guard(settings: &Settings, facts: &Facts) -> Option<TableText> {
    // Never in a release, see `guard`.
    #[cfg(without_guard)]
    let facts = &Facts { tunnel_ports: Vec::new(), ..facts.clone() };
    let policy_sets = PolicySets::new(settings);
    let learning_rules = policy_sets.learning_rules();
    let mut sets = policy_sets.sets;
    let bound = if learning_rules.is_empty() { Vec::new() } else { bound_sets().to_vec() };
    let confines = sets.iter().any(|set| !is_direct(set));
    let ports: Vec<&TunnelPort> = closed_ports(settings, facts).collect();
    if !confines || ports.is_empty() {
        return None;
    }
    sets.retain(|set| set.kind != "ifname");
    let mut judge: Vec<String> = sets.iter().flat_map(rules).collect();
    // All devices of a confined network, except those with a section of their own, which precedes.
    let confined = settings.networks.iter().filter(|network| network.policy != Policy::Direct);
    let confined: Vec<String> = confined.map(interface).collect();
    let of_network = names(ports.iter().copied().filter(|port| confined.contains(&port.bridge)));
    if !of_network.is_empty() {
        sets.push(Set { name: "tunnel_net", kind: "ifname", elements: Elements::Fixed(of_network) });
        judge.extend(["iifname @tunnel_net drop".into(), "oifname @tunnel_net drop".into()]);
    }
    sets.push(Set { name: "tunnel", kind: "ifname", elements: Elements::Fixed(names(ports.into_iter())) });
    let mut arriving = vec!["iifname @tunnel goto judge".to_owned()];
    if !bound.is_empty() {
        let keys = ["ip saddr @bound4", "arp saddr ip @bound4", "ip6 saddr @bound6"];
        arriving.extend(keys.map(|key| format!("{key} return")));
    }
    sets.extend(bound);
    for rule in learning_rules {
        let arp = rule.strip_prefix("ip saddr").map(|rest| format!("arp saddr ip{rest}"));
        arriving.push(rule);
        arriving.extend(arp);
    }
    let chains = vec![
        chain("judge", None, judge),
        chain("arriving", Some("type filter hook prerouting priority -300"), arriving),
        chain("leaving", Some("type filter hook postrouting priority 300"), ["oifname @tunnel goto judge"]),
    ];
    Some(TableText::from(&NftTable { name: TableName::Bridge, sets, chains }))
}

/// The ports that are tunnels and not the home's by the settings.
fn closed_ports<'a>(settings: &'a Settings, facts: &'a Facts) -> impl Iterator<Item = &'a TunnelPort> {
    facts.tunnel_ports.iter().filter(|port| !port.is_mesh && !settings.home_ports.contains(&port.name))
}

/// The rules for frames from and to the devices of a set, which are dropped, or exempt from their network's policy.
fn rules(set: &Set) -> Vec<String> {
    let keys: &[&str] = match set.kind {
        "ether_addr" => &["ether saddr", "ether daddr"],
        "ipv4_addr" => &["ip saddr", "ip daddr", "arp saddr ip", "arp daddr ip"],
        _ => &["ip6 saddr", "ip6 daddr"],
    };
    let verdict = if is_direct(set) { "return" } else { "drop" };
    keys.iter().map(|key| format!("{key} @{} {verdict}", set.name)).collect()
}

fn is_direct(set: &Set) -> bool {
    set.name.starts_with("direct")
}

fn names<'a>(ports: impl Iterator<Item = &'a TunnelPort>) -> Vec<String> {
    ports.map(|port| format!("\"{}\"", port.name)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::example;
    use crate::config::model::{Device, Mac, Network};

    fn facts() -> Facts {
        let port = |name: &str, bridge: &str, kind: &str| TunnelPort {
            name: name.into(),
            bridge: bridge.into(),
            kind: kind.into(),
            is_mesh: kind == "batadv",
        };
        let tunnel_ports =
            vec![port("vx0", "br-lan", "vxlan"), port("tap0", "br-iot", "tun"), port("bat0", "br-lan", "batadv")];
        Facts { tunnel_ports, ..Facts::default() }
    }

    fn settings() -> Settings {
        let camera = Device { macs: vec![Mac([2, 0, 0, 0, 0, 1])], ..example::device("camera", Policy::Shape) };
        Settings { devices: vec![camera], ..example::router() }
    }

    #[test]
    fn only_tunnel_ports_that_are_not_the_homes_are_closed() {
        let table = bridge_guard(&settings(), &facts()).unwrap();
        assert_eq!(table.elements("tunnel").collect::<Vec<_>>(), ["\"vx0\"", "\"tap0\""]);
        assert!(!table.has_set("tunnel_net"));
        let owned = Settings { home_ports: vec!["vx0".into()], ..settings() };
        let table = bridge_guard(&owned, &facts()).unwrap();
        assert_eq!(table.elements("tunnel").collect::<Vec<_>>(), ["\"tap0\""]);
        let network = Network { name: "iot".into(), device: None, policy: Policy::Block, strict: false };
        let table = bridge_guard(&Settings { networks: vec![network], ..owned }, &facts()).unwrap();
        assert_eq!(table.elements("tunnel_net").collect::<Vec<_>>(), ["\"tap0\""]);
    }

    #[test]
    fn there_is_no_table_without_a_tunnel_port_or_a_confined_device() {
        assert_eq!(bridge_guard(&settings(), &Facts::default()), None);
        assert_eq!(bridge_guard(&example::router(), &facts()), None);
        let home_ports = vec!["vx0".into(), "tap0".into()];
        assert_eq!(bridge_guard(&Settings { home_ports, ..settings() }, &facts()), None);
        let direct = Device { policy: Policy::Direct, ..settings().devices[0].clone() };
        assert_eq!(bridge_guard(&Settings { devices: vec![direct], ..settings() }, &facts()), None);
    }
}
