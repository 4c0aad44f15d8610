//! The devices and networks of a guard's table, and those whose policy differs between two tables. Their connections
//! must end, so that the new policy takes effect at once.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use super::nft::TableText;
#[cfg(feature = "endpoint")]
use super::own_traffic;
use super::policy_sets::{PRECEDENCE, STRICT, set_names};
use crate::config::model::{Device, Mac, Network, Policy};
use crate::units::Nanos;

/// Devices and networks, as the sets of a guard name them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PolicySubjects {
    /// Ethernet addresses in nft's notation.
    pub macs: BTreeSet<String>,
    /// IP addresses.
    pub addresses: BTreeSet<IpAddr>,
    /// Interfaces of networks.
    pub interfaces: BTreeSet<String>,
}

impl PolicySubjects {
    /// The subjects that `guard` shapes or blocks.
    pub fn confined(guard: &TableText) -> PolicySubjects {
        policies(guard)
            .into_iter()
            .filter(|(_, policy)| *policy != Policy::Direct)
            .map(|(subject, _)| subject)
            .collect()
    }

    /// The subjects whose policy in `wanted` differs from that in `before`. If there was no guard, these are the
    /// confined ones.
    pub fn changed(before: Option<&TableText>, wanted: &TableText) -> PolicySubjects {
        let Some(before) = before else { return PolicySubjects::confined(wanted) };
        let (old, new) = (policies(before), policies(wanted));
        old.keys().chain(new.keys()).filter(|subject| old.get(subject) != new.get(subject)).cloned().collect()
    }

    /// The subjects that are in both.
    pub fn intersection(&self, other: &PolicySubjects) -> PolicySubjects {
        PolicySubjects {
            macs: common(&self.macs, &other.macs),
            addresses: common(&self.addresses, &other.addresses),
            interfaces: common(&self.interfaces, &other.interfaces),
        }
    }

    /// Whether there are no subjects.
    pub fn is_empty(&self) -> bool {
        self.macs.is_empty() && self.addresses.is_empty() && self.interfaces.is_empty()
    }
}

/// What both sets contain. Inserted one by one, which other code does too: the operator `&` has code of its own.
fn common<T: Clone + Ord>(one: &BTreeSet<T>, other: &BTreeSet<T>) -> BTreeSet<T> {
    let mut common = BTreeSet::new();
    for element in one {
        if other.contains(element) {
            common.insert(element.clone());
        }
    }
    common
}

/// The devices and networks that `guard` confines, as sections for settings that must confine at least these.
pub fn confined_sections(guard: &TableText) -> (Vec<Device>, Vec<Network>) {
    let (mut devices, mut networks) = (Vec::new(), Vec::new());
    for (subject, policy) in policies(guard) {
        if policy == Policy::Direct {
            continue;
        }
        // These sections are not used to advise on rates.
        let (watch, tolerance) = (false, Nanos::ZERO);
        let mut add = |mac: Option<Mac>, address, name| {
            let macs = mac.into_iter().collect();
            devices.push(Device { name, macs, address, is_self: false, policy, watch, tolerance });
        };
        match subject {
            Subject::Mac(text) => add(Mac::from_text(&text), None, text),
            Subject::Address(address) => add(None, Some(address), address.to_string()),
            Subject::Interface(name) => {
                networks.push(Network { device: Some(name.clone()), name, policy, strict: false });
            }
        }
    }
    #[cfg(feature = "endpoint")]
    devices.extend(own_traffic::confined_section(guard));
    for name in guard.elements(STRICT).map(|name| name.trim_matches('"').to_owned()) {
        networks.push(Network { device: Some(name.clone()), name, policy: Policy::Direct, strict: true });
    }
    (devices, networks)
}

/// A device or network in a set of the guard.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Subject {
    Mac(String),
    Address(IpAddr),
    Interface(String),
}

impl FromIterator<Subject> for PolicySubjects {
    fn from_iter<T: IntoIterator<Item = Subject>>(iter: T) -> PolicySubjects {
        let mut subjects = PolicySubjects::default();
        for subject in iter {
            match subject {
                Subject::Mac(mac) => subjects.macs.insert(mac),
                Subject::Address(address) => subjects.addresses.insert(address),
                Subject::Interface(name) => subjects.interfaces.insert(name),
            };
        }
        subjects
    }
}

/// The policy of each subject in the guard's sets; the strictest if there are several.
pub(super) fn policies(guard: &TableText) -> BTreeMap<Subject, Policy> {
    let mut policies = BTreeMap::new();
    for policy in PRECEDENCE {
        let [mac, ip, ip6, net] = set_names(policy);
        let mut add = |subject| _ = policies.entry(subject).or_insert(policy);
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
        TableText { name: TableName::Guard, body, fingerprint: None, unmodified: true, learned: Learned::new() }
    }

    #[test]
    fn confined_subjects_become_sections() {
        let guard = guard(&[
            ("shape_mac", "02:00:00:00:00:01"),
            ("direct_mac", "02:00:00:00:00:03"),
            ("block_ip6", "2001:db8::1"),
            ("shape_net", "\"br-iot\""),
        ]);
        let (devices, networks) = confined_sections(&guard);
        let found: Vec<_> =
            devices.iter().map(|device| (device.macs.first().copied(), device.address, device.policy)).collect();
        let mac = Mac([2, 0, 0, 0, 0, 1]);
        let address = "2001:db8::1".parse().ok();
        assert_eq!(found, [(Some(mac), None, Policy::Shape), (None, address, Policy::Block)]);
        assert_eq!(networks.iter().map(crate::plan::interface).collect::<Vec<_>>(), ["br-iot"]);
    }

    #[test]
    fn every_changed_policy_is_found() {
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
