//! Whose policy is another than before, from two guards' tables: their connections have to end, so that the new policy
//! holds at once.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use super::nft::TableText;
use super::policy_sets::{PRECEDENCE, set_names};
use crate::config::model::{Device, Mac, Network, Policy};
use crate::units::Nanos;

/// Devices and networks as a guard's sets name them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PolicySubjects {
    /// Ethernet addresses, as nft prints them.
    pub macs: BTreeSet<String>,
    /// IP addresses.
    pub addresses: BTreeSet<IpAddr>,
    /// Kernel interfaces.
    pub interfaces: BTreeSet<String>,
}

impl PolicySubjects {
    /// Those that are shaped or blocked by `guard`.
    pub fn confined(guard: &TableText) -> PolicySubjects {
        policies(guard).into_iter().filter(|(_, policy)| *policy != Policy::Direct).map(|(key, _)| key).collect()
    }

    /// Those that are exempt by `guard`.
    pub fn exempt(guard: &TableText) -> PolicySubjects {
        policies(guard).into_iter().filter(|(_, policy)| *policy == Policy::Direct).map(|(key, _)| key).collect()
    }

    /// Those that have another policy by `wanted` than by `before`; without a guard all were as free as those that are exempt.
    pub fn changed(before: Option<&TableText>, wanted: &TableText) -> PolicySubjects {
        let Some(before) = before else { return PolicySubjects::confined(wanted) };
        let (old, new) = (policies(before), policies(wanted));
        let keys: BTreeSet<&Subject> = old.keys().chain(new.keys()).collect();
        keys.into_iter().filter(|key| old.get(key) != new.get(key)).cloned().collect()
    }

    /// Those that are in both.
    pub fn and(&self, other: &PolicySubjects) -> PolicySubjects {
        PolicySubjects {
            macs: &self.macs & &other.macs,
            addresses: &self.addresses & &other.addresses,
            interfaces: &self.interfaces & &other.interfaces,
        }
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.macs.is_empty() && self.addresses.is_empty() && self.interfaces.is_empty()
    }
}

/// What `guard` confines, as sections of settings that are to confine no less.
pub fn confined_by(guard: &TableText) -> (Vec<Device>, Vec<Network>) {
    let (mut devices, mut networks) = (Vec::new(), Vec::new());
    for (key, policy) in policies(guard) {
        if policy == Policy::Direct {
            continue;
        }
        // Nobody weighs rates by these.
        let (watch, tolerance) = (false, Nanos::ZERO);
        let mut add = |mac, address, name| devices.push(Device { name, mac, address, policy, watch, tolerance });
        match key {
            Subject::Mac(text) => add(Mac::from_text(&text), None, text),
            Subject::Address(address) => add(None, Some(address), address.to_string()),
            Subject::Interface(name) => networks.push(Network { device: Some(name.clone()), name, policy }),
        }
    }
    (devices, networks)
}

/// One of those.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Subject {
    Mac(String),
    Address(IpAddr),
    Interface(String),
}

impl FromIterator<Subject> for PolicySubjects {
    fn from_iter<T: IntoIterator<Item = Subject>>(keys: T) -> PolicySubjects {
        let mut named = PolicySubjects::default();
        for key in keys {
            match key {
                Subject::Mac(mac) => named.macs.insert(mac),
                Subject::Address(address) => named.addresses.insert(address),
                Subject::Interface(name) => named.interfaces.insert(name),
            };
        }
        named
    }
}

/// The strictest policy of each, by the guard's sets.
pub(super) fn policies(guard: &TableText) -> BTreeMap<Subject, Policy> {
    let mut policies = BTreeMap::new();
    for policy in PRECEDENCE {
        let [mac, ip, ip6, net] = set_names(policy);
        let mut add = |key| _ = policies.entry(key).or_insert(policy);
        guard.elements(mac).for_each(|mac| add(Subject::Mac(mac.to_owned())));
        let addresses = guard.elements(ip).chain(guard.elements(ip6));
        addresses.filter_map(|address| address.parse().ok()).for_each(|address| add(Subject::Address(address)));
        guard.elements(net).for_each(|net| add(Subject::Interface(net.trim_matches('"').to_owned())));
    }
    policies
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::nft::{Learned, TableName};

    fn guard(sets: &[(&str, &str)]) -> TableText {
        let body: String = sets
            .iter()
            .map(|(name, elements)| format!("\tset {name} {{\n\t\telements = {{ {elements} }}\n\t}}\n"))
            .collect();
        TableText { name: TableName::Guard, body, fingerprint: None, untouched: true, learned: Learned::new() }
    }

    #[test]
    fn what_a_guard_confines_can_be_asked_for_again() {
        let guard = guard(&[
            ("shape_mac", "02:00:00:00:00:01"),
            ("direct_mac", "02:00:00:00:00:03"),
            ("block_ip6", "2001:db8::1"),
            ("shape_net", "\"br-iot\""),
        ]);
        let (devices, networks) = confined_by(&guard);
        let shown: Vec<_> = devices.iter().map(|device| (device.mac, device.address, device.policy)).collect();
        let mac = Mac([2, 0, 0, 0, 0, 1]);
        let address = "2001:db8::1".parse().ok();
        assert_eq!(shown, [(Some(mac), None, Policy::Shape), (None, address, Policy::Block)]);
        assert_eq!(networks.iter().map(crate::plan::interface).collect::<Vec<_>>(), ["br-iot"]);
    }

    #[test]
    fn who_changed_is_found_in_all_directions() {
        let before = guard(&[
            ("shape_mac", "00:00:00:00:00:01, 00:00:00:00:00:02"),
            ("direct_mac", "00:00:00:00:00:03"),
            ("shape_ip", "192.0.2.1"),
            ("block_net", "\"br-iot\""),
        ]);
        let after = guard(&[
            ("block_mac", "00:00:00:00:00:02"),
            ("shape_mac", "00:00:00:00:00:01, 00:00:00:00:00:03"),
            ("shape_ip6", "2001:db8::1"),
            ("shape_net", "\"br-iot\""),
        ]);
        let changed = PolicySubjects::changed(Some(&before), &after);
        assert_eq!(changed.macs.iter().map(|mac| &mac[15..]).collect::<Vec<_>>(), ["02", "03"]);
        assert_eq!(changed.addresses.len(), 2);
        assert_eq!(changed.interfaces.len(), 1);
        assert!(PolicySubjects::changed(Some(&after), &after).is_empty());
        assert_eq!(PolicySubjects::changed(None, &after), PolicySubjects::confined(&after));
        assert_eq!(PolicySubjects::changed(None, &before).macs.len(), 2);
    }
}
