//! Initial elements of the guard's learned sets, so that a new guard, or one loaded at boot, confines devices before
//! they send a packet.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use super::nft::{Learned, MAX_LEARNED, TableText};
use super::policy_sets::{CONFINING, learned_names, set_names};
use super::policy_subjects::{Subject, policies};
use crate::config::model::{Mac, Policy};

/// The guard's sets of the IPv4 and IPv6 addresses of confined devices.
const SEEN: [&str; 2] = ["seen4", "seen6"];
/// Maximum number of initial elements of a learned set. The rest is for what packets show later.
const MAX_INITIAL: usize = MAX_LEARNED / 2;

/// The initial elements of the learned sets of the guard `wanted`. They come from the guard `before` that it replaces
/// and from the kernel's recent `neighbours`: Ethernet addresses with an IP address each.
pub fn initial_elements(before: Option<&TableText>, wanted: &TableText, neighbours: &[(Mac, IpAddr)]) -> Learned {
    let policies = policies(wanted);
    let neighbours: Vec<(String, IpAddr)> = neighbours.iter().map(|(mac, ip)| (mac.to_string(), *ip)).collect();
    let known_devices = KnownDevices { policies, neighbours };
    let mut learned = Learned::new();
    known_devices.add_macs(before, &mut learned);
    known_devices.add_addresses(before, &mut learned);
    learned.retain(|set, _| wanted.has_set(set));
    learned
}

/// The part of `learned` that a guard in a file may hold, because it does not change from day to day: Ethernet
/// addresses.
pub fn persistent_elements(learned: &Learned) -> Learned {
    let names = CONFINING.map(learned_names).concat();
    learned.iter().filter(|(set, _)| names.contains(&set.as_str())).map(|(set, of)| (set.clone(), of.clone())).collect()
}

struct KnownDevices {
    policies: BTreeMap<Subject, Policy>,
    /// Ethernet addresses with an IP address each.
    neighbours: Vec<(String, IpAddr)>,
}

impl KnownDevices {
    /// Adds the Ethernet addresses of devices that the settings select by IP address.
    fn add_macs(&self, before: Option<&TableText>, learned: &mut Learned) {
        let mut add = |policy, family: usize, mac: &str| {
            // A section for the Ethernet address takes precedence over a learned one.
            if !self.policies.contains_key(&Subject::Mac(mac.to_owned())) {
                add_to(learned.entry(learned_names(policy)[family].to_owned()).or_default(), mac);
            }
        };
        for (mac, address) in &self.neighbours {
            if let Some(policy) = self.confining_policy(*address) {
                add(policy, usize::from(address.is_ipv6()), mac);
            }
        }
        let Some(before) = before else { return };
        for policy in CONFINING {
            let [_, ip, ip6, _] = set_names(policy);
            for (family, chosen) in [ip, ip6].into_iter().enumerate() {
                let chosen: BTreeSet<IpAddr> = before.elements(chosen).filter_map(|ip| ip.parse().ok()).collect();
                let is_neighbour =
                    |mac: &&String| self.neighbours.iter().any(|(one, ip)| one == *mac && chosen.contains(ip));
                // If the device is no neighbour now, its address among the chosen ones is unknown: use the strictest
                // policy.
                let policies: Vec<Policy> =
                    chosen.iter().filter_map(|address| self.confining_policy(*address)).collect();
                let Some(strictest) = CONFINING.into_iter().find(|policy| policies.contains(policy)) else { continue };
                let learned_macs = before.learned.get(learned_names(policy)[family]).into_iter().flatten();
                learned_macs.filter(|mac| !is_neighbour(mac)).for_each(|mac| add(strictest, family, mac));
            }
        }
    }

    /// Adds the IP addresses of devices that are confined by their Ethernet address.
    fn add_addresses(&self, before: Option<&TableText>, learned: &mut Learned) {
        let is_learned = |mac: &String, ip: &IpAddr| {
            let has = |set: &str| learned.get(set).is_some_and(|macs| macs.contains(mac));
            CONFINING.into_iter().map(learned_names).any(|[v4, v6]| has(v6) || ip.is_ipv6() && has(v4))
        };
        let is_confined = |(mac, ip): &&(String, IpAddr)| match self.policies.get(&Subject::Mac(mac.clone())) {
            Some(policy) => *policy != Policy::Direct,
            None => is_learned(mac, ip),
        };
        let (confined, free): (Vec<_>, Vec<_>) = self.neighbours.iter().partition(is_confined);
        let free: BTreeSet<String> = free.iter().map(|(_, ip)| ip.to_string()).collect();
        let mut seen = SEEN.map(|_| BTreeSet::new());
        for (_, ip) in confined {
            add_to(&mut seen[usize::from(ip.is_ipv6())], &ip.to_string());
        }
        // An address that is no neighbour's now stays confined; the next packet from it shows its owner.
        for (family, name) in SEEN.into_iter().enumerate() {
            let known = before.and_then(|before| before.learned.get(name)).into_iter().flatten();
            known.filter(|address| !free.contains(*address)).for_each(|address| add_to(&mut seen[family], address));
        }
        learned.extend(SEEN.map(str::to_owned).into_iter().zip(seen));
    }

    fn confining_policy(&self, address: IpAddr) -> Option<Policy> {
        self.policies.get(&Subject::Address(address)).copied().filter(|policy| *policy != Policy::Direct)
    }
}

/// Adds an element while there is room for initial elements. The most important ones come first.
fn add_to(set: &mut BTreeSet<String>, element: &str) {
    if set.len() < MAX_INITIAL {
        set.insert(element.to_owned());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::nft::TableName;

    const ONE: [u8; 6] = [2, 0, 0, 0, 0, 1];
    const TWO: [u8; 6] = [2, 0, 0, 0, 0, 2];

    fn guard(sets: &[(&str, &str)]) -> TableText {
        let of = |(name, elements): &(&str, &str)| format!("\tset {name} {{\n\t\telements = {{ {elements} }}\n\t}}\n");
        let learns = SEEN.into_iter().chain(CONFINING.map(learned_names).concat());
        let learns: String = learns.map(|name| format!("\tset {name} {{\n\t}}\n")).collect();
        let body = sets.iter().map(of).collect::<String>() + &learns;
        TableText { name: TableName::Guard, body, fingerprint: None, unmodified: true, learned: Learned::new() }
    }

    fn with_learned(guard: TableText, sets: &[(&str, &str)]) -> TableText {
        let learned = sets.iter().map(|(set, element)| ((*set).to_owned(), [(*element).to_owned()].into())).collect();
        TableText { learned, ..guard }
    }

    fn as_lines(learned: &Learned) -> Vec<String> {
        let full = learned.iter().filter(|(_, of)| !of.is_empty());
        full.map(|(set, of)| format!("{set} {}", of.iter().cloned().collect::<Vec<_>>().join(" "))).collect()
    }

    fn address(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn neighbours_show_the_owner_of_a_chosen_address_and_its_other_addresses() {
        let wanted = guard(&[("shape_ip", "192.0.2.1"), ("block_mac", "02:00:00:00:00:02")]);
        let (v4, v6) = (address("192.0.2.1"), address("2001:db8::1"));
        let neighbours =
            [(Mac(ONE), v4), (Mac(ONE), v6), (Mac(ONE), address("192.0.2.9")), (Mac(TWO), address("192.0.2.2"))];
        let found = initial_elements(None, &wanted, &neighbours);
        let expected = ["seen4 192.0.2.2", "seen6 2001:db8::1", "shape_learned4 02:00:00:00:00:01"];
        assert_eq!(as_lines(&found), expected);
        assert_eq!(as_lines(&persistent_elements(&found)), expected[2..]);
        // A section for the device's Ethernet address takes precedence.
        assert_eq!(
            as_lines(&initial_elements(
                None,
                &guard(&[("shape_ip", "192.0.2.1"), ("direct_mac", "02:00:00:00:00:01")]),
                &neighbours
            )),
            [""; 0]
        );
    }

    #[test]
    fn a_new_guard_keeps_learned_elements_under_the_new_policy() {
        let learned_macs = "02:00:00:00:00:01";
        let before = guard(&[("shape_ip", "192.0.2.1, 192.0.2.2")]);
        let before = with_learned(before, &[("shape_learned4", learned_macs), ("seen6", "2001:db8::1")]);
        let after = |sets: &[(&str, &str)], neighbours: &[(Mac, IpAddr)]| {
            as_lines(&initial_elements(Some(&before), &guard(sets), neighbours))
        };
        let one = (Mac(ONE), address("192.0.2.1"));
        for neighbours in [&[][..], &[one]] {
            assert_eq!(
                after(&[("shape_ip", "192.0.2.1, 192.0.2.2")], neighbours),
                ["seen6 2001:db8::1", "shape_learned4 02:00:00:00:00:01"]
            );
            assert_eq!(after(&[("block_ip", "192.0.2.1, 192.0.2.2")], neighbours)[0], "block_learned4 02:00:00:00:00:01");
        }
        // No address is chosen any more, or only the other one.
        assert_eq!(after(&[], &[])[..], ["seen6 2001:db8::1"]);
        assert_eq!(after(&[("shape_ip", "192.0.2.2")], &[one, (Mac(ONE), address("2001:db8::1"))]), [""; 0]);
        assert_eq!(after(&[("shape_ip", "192.0.2.2")], &[])[1], "shape_learned4 02:00:00:00:00:01");
    }

    #[test]
    fn full_sets_start_below_their_size_with_the_neighbours() {
        let addresses = |network: u32| (0..4000).map(move |n| IpAddr::from((network + n).to_be_bytes()));
        let seen = addresses(0x0a00_0000).map(|ip| ip.to_string()).collect();
        let before = TableText { learned: [("seen4".to_owned(), seen)].into(), ..guard(&[]) };
        let wanted = guard(&[("block_mac", "02:00:00:00:00:01")]);
        let neighbours: Vec<_> = addresses(0xc0a8_0000).take(300).map(|ip| (Mac(ONE), ip)).collect();
        let found = initial_elements(Some(&before), &wanted, &neighbours);
        assert_eq!(found["seen4"].len(), MAX_INITIAL);
        assert!(neighbours.iter().all(|(_, ip)| found["seen4"].contains(&ip.to_string())));
    }

    #[test]
    fn missing_sets_get_no_elements() {
        let wanted = TableText { body: String::new(), ..guard(&[]) };
        assert_eq!(initial_elements(None, &wanted, &[(Mac(ONE), address("192.0.2.1"))]), Learned::new());
    }
}
