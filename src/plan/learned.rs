//! Initial elements of the guard's learned sets, so that a new guard, or one loaded at boot, confines devices before
//! they send a packet.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;

use super::bindings::{self, BINDINGS, BOUND, Binding, Bindings, CONFLICTS};
use super::nft::{Learned, MAX_INITIAL, TableText};
use super::policy_sets::{CONFINING, SHUT, UNCONFIRMED, learned_names, set_names};
use super::policy_subjects::{Subject, policies};
use super::strangers;
use crate::config::model::{Device, Policy};

/// The guard's sets of the IPv4 and IPv6 addresses of confined devices.
const SEEN: [&str; 2] = ["seen4", "seen6"];
/// The guard's sets of the IPv4 and IPv6 addresses of devices that are exempt from their network's policy.
const FREE: [&str; 2] = ["free4", "free6"];

/// The guard's sets of addresses that devices have shown, which its file leaves out.
pub const SHOWN_ADDRESSES: [&str; 8] =
    [SEEN[0], SEEN[1], FREE[0], FREE[1], BINDINGS[0], BINDINGS[1], BOUND[0], BOUND[1]];

/// The initial elements of the learned sets of the guard `wanted`. They come from the guard `before` that it replaces
/// and from the kernel's recent `neighbours`.
pub fn initial_elements(before: Option<&TableText>, wanted: &TableText, neighbours: &[Binding]) -> Learned {
    elements(before, wanted, neighbours, true)
}

/// The elements that the learned sets of the `installed` guard should have now, by the kernel's recent `neighbours`.
/// Chosen addresses show an Ethernet address only where it is confirmed; packets show the others.
pub fn current_elements(installed: &TableText, neighbours: &[Binding]) -> Learned {
    elements(Some(installed), installed, neighbours, false)
}

fn elements(before: Option<&TableText>, wanted: &TableText, neighbours: &[Binding], is_new: bool) -> Learned {
    let policies = policies(wanted);
    let lan: Vec<&str> = wanted.elements("lan").map(|name| name.trim_matches('"')).collect();
    let is_chosen = |one: &Binding| {
        let subjects = [Subject::Mac(one.mac.to_string()), Subject::Address(one.address)];
        subjects.iter().any(|subject| policies.contains_key(subject))
    };
    let mut neighbours: Vec<Binding> =
        neighbours.iter().filter(|one| lan.contains(&one.interface.as_str())).cloned().collect();
    neighbours.sort_by_key(|one| !is_chosen(one));
    let bindings = Bindings::new(before, neighbours);
    let known_devices = KnownDevices { policies, bindings };
    let mut learned = Learned::new();
    known_devices.add_bindings(before, &mut learned);
    known_devices.add_macs(before, is_new, &mut learned);
    known_devices.add_strangers(before, wanted, &mut learned);
    known_devices.add_addresses(before, wanted, &mut learned);
    learned.into_iter().filter(|(set, _)| wanted.has_set(set)).collect()
}

/// The part of `learned` that a guard in a file may hold, because it is confirmed and does not change from day to day:
/// Ethernet addresses. Sets without elements are in it.
pub fn persistent_elements(learned: &Learned) -> Learned {
    let names = CONFINING.into_iter().flat_map(learned_names).chain([SHUT]);
    names.map(|set| (set.to_owned(), learned.get(set).cloned().unwrap_or_default())).collect()
}

/// The part of `learned` for tables that do not learn it themselves: what a file may hold, and which addresses have a
/// binding.
pub fn confirmed_elements(learned: &Learned) -> Learned {
    let bound = BOUND.map(|set| (set.to_owned(), learned.get(set).cloned().unwrap_or_default()));
    persistent_elements(learned).into_iter().chain(bound).collect()
}

/// The transaction that gives the learned sets of the `installed` table the elements that `wanted` has for them; `None`
/// if they have them. It deletes no single element, which may have expired meanwhile.
pub fn update(installed: &TableText, wanted: &Learned) -> Option<String> {
    let (name, mut text) = (installed.name, String::new());
    for (set, wanted) in wanted.iter().filter(|(set, _)| installed.has_learned_set(set)) {
        let elements = installed.learned.get(set);
        let has = |element: &&String| elements.is_some_and(|elements| elements.contains(*element));
        let has_surplus = elements.is_some_and(|elements| !elements.is_subset(wanted));
        let added: Vec<&str> =
            wanted.iter().filter(|element| has_surplus || !has(element)).map(String::as_str).collect();
        if has_surplus {
            _ = writeln!(text, "flush set {name} {set}");
        }
        if !added.is_empty() {
            _ = writeln!(text, "add element {name} {set} {{ {} }}", added.join(", "));
        }
    }
    (!text.is_empty()).then_some(text)
}

/// A sentence for each device without a section that uses an address which a confined device had.
pub fn unknown_devices(guard: &TableText) -> Vec<String> {
    let policies = policies(guard);
    strangers::sentences(guard, |mac| policies.contains_key(&Subject::Mac(mac.to_owned())))
}

/// A sentence for each address of a confined or chosen device that another device uses, too. `devices` are those of the
/// settings.
pub fn conflicts(guard: &TableText, devices: &[Device]) -> Vec<String> {
    let policies = policies(guard);
    let has = |set: &str, element: &str| guard.learned.get(set).is_some_and(|elements| elements.contains(element));
    let concerns = |one: &Binding| {
        let address = one.address.to_string();
        policies.contains_key(&Subject::Address(one.address))
            || policies.contains_key(&Subject::Mac(one.mac.to_string()))
            || SEEN.into_iter().chain(FREE).any(|set| has(set, &address))
    };
    bindings::conflicts(guard, devices, concerns)
}

struct KnownDevices {
    policies: BTreeMap<Subject, Policy>,
    bindings: Bindings,
}

impl KnownDevices {
    fn add_bindings(&self, before: Option<&TableText>, learned: &mut Learned) {
        let Bindings { bound, conflicting, .. } = &self.bindings;
        for (family, set) in CONFLICTS.into_iter().enumerate() {
            let mut all: BTreeSet<String> = carried(before, set).cloned().collect();
            let new = conflicting.iter().filter(|one| one.family() == family);
            new.for_each(|one| add_to(&mut all, &one.element()));
            learned.insert(set.to_owned(), all);
        }
        for family in [0, 1] {
            let of_family = || bound.iter().filter(|one| one.family() == family);
            learned.insert(BINDINGS[family].to_owned(), of_family().map(Binding::element).collect());
            learned.insert(BOUND[family].to_owned(), of_family().map(|one| one.address.to_string()).collect());
        }
    }

    /// Adds the Ethernet addresses of devices that the settings select by IP address.
    fn add_macs(&self, before: Option<&TableText>, is_new: bool, learned: &mut Learned) {
        let mut add = |set: &str, mac: &str| {
            // A section for the Ethernet address takes precedence over a learned one.
            if !self.policies.contains_key(&Subject::Mac(mac.to_owned())) {
                add_to(learned.entry(set.to_owned()).or_default(), mac);
            }
        };
        let Bindings { bound, unconfirmed, .. } = &self.bindings;
        for one in bound {
            if let Some(policy) = self.confining_policy(one) {
                add(learned_names(policy)[one.family()], &one.mac.to_string());
            }
        }
        for one in unconfirmed.iter().filter(|one| is_new && self.confining_policy(one).is_some()) {
            add(UNCONFIRMED[one.family()], &one.mac.to_string());
        }
        let Some(before) = before else { return };
        for policy in CONFINING {
            let [_, ip, ip6, _] = set_names(policy);
            for (family, chosen) in [ip, ip6].into_iter().enumerate() {
                let chosen: Vec<&str> = before.elements(chosen).collect();
                let is_bound = |mac: &&String| {
                    let mut bound = bound.iter();
                    bound.any(|one| one.mac.to_string() == **mac && chosen.contains(&one.address.to_string().as_str()))
                };
                // If the device is not bound now, its address among the chosen ones is unknown: use the strictest
                // policy.
                let chosen_now = chosen.iter().filter_map(|address| address.parse().ok());
                let policies: Vec<Policy> =
                    chosen_now.filter_map(|address| self.confining(&Subject::Address(address))).collect();
                let Some(strictest) = CONFINING.into_iter().find(|policy| policies.contains(policy)) else { continue };
                let macs = carried(Some(before), learned_names(policy)[family]).filter(|mac| !is_bound(mac));
                macs.for_each(|mac| add(learned_names(strictest)[family], mac));
                let unconfirmed = carried(Some(before), UNCONFIRMED[family]);
                unconfirmed.for_each(|mac| add(UNCONFIRMED[family], mac));
            }
        }
    }

    /// Adds the IP addresses of devices that are confined by their Ethernet address, and of those that are exempt from
    /// their network's policy.
    fn add_addresses(&self, before: Option<&TableText>, wanted: &TableText, learned: &mut Learned) {
        let has = |set: &str, mac: &String| learned.get(set).is_some_and(|macs| macs.contains(mac));
        let is_learned = |one: &Binding, mac: &String| {
            let sets = CONFINING.into_iter().map(learned_names).chain([UNCONFIRMED]);
            has(SHUT, mac) || sets.into_iter().any(|[v4, v6]| has(v6, mac) || one.address.is_ipv6() && has(v4, mac))
        };
        let policy_of = |one: &Binding| {
            let mac = one.mac.to_string();
            let learned = is_learned(one, &mac).then_some(Policy::Shape);
            self.policies.get(&Subject::Mac(mac)).copied().or(learned)
        };
        let is_confined = |one: &Binding| policy_of(one).is_some_and(|policy| policy != Policy::Direct);
        let is_exempt = |one: &Binding| policy_of(one) == Some(Policy::Direct);
        let Bindings { bound, unconfirmed, .. } = &self.bindings;
        let confined = bound.iter().chain(unconfirmed).filter(|one| is_confined(one));
        let seen = self.addresses(confined, SEEN.map(|set| carried(before, set)), |one| !is_confined(one));
        // Without the same exemptions, only a binding shows that an address is a free one.
        let exempt = set_names(Policy::Direct)[0];
        let before = before.filter(|before| before.elements(exempt).eq(wanted.elements(exempt)));
        let exempt = bound.iter().filter(|one| is_exempt(one));
        let free = self.addresses(exempt, FREE.map(|set| carried(before, set)), |one| !is_exempt(one));
        learned.extend(SEEN.into_iter().zip(seen).chain(FREE.into_iter().zip(free)).map(|(set, of)| (set.into(), of)));
    }

    /// Adds which devices are known, and the unknown ones that use a confined device's address.
    fn add_strangers(&self, before: Option<&TableText>, wanted: &TableText, learned: &mut Learned) {
        let was_seen = |one: &Binding| carried(before, SEEN[one.family()]).any(|seen| *seen == one.address.to_string());
        let has_section = |mac: &str| self.policies.contains_key(&Subject::Mac(mac.to_owned()));
        strangers::add_to(learned, wanted, before, &self.bindings.bound, was_seen, has_section);
    }

    /// The addresses of `these`, and those that are `known` from before and not bound to one of the `others`: the
    /// device may be asleep.
    fn addresses<'a>(
        &self,
        these: impl Iterator<Item = &'a Binding>,
        known: [impl Iterator<Item = &'a String>; 2],
        others: impl Fn(&Binding) -> bool,
    ) -> [BTreeSet<String>; 2] {
        let mut all = [BTreeSet::new(), BTreeSet::new()];
        these.for_each(|one| add_to(&mut all[one.family()], &one.address.to_string()));
        let others: BTreeSet<String> =
            self.bindings.bound.iter().filter(|one| others(one)).map(|one| one.address.to_string()).collect();
        for (all, known) in all.iter_mut().zip(known) {
            known.filter(|address| !others.contains(*address)).for_each(|address| add_to(all, address));
        }
        all
    }

    fn confining_policy(&self, one: &Binding) -> Option<Policy> {
        self.confining(&Subject::Address(one.address))
    }

    fn confining(&self, subject: &Subject) -> Option<Policy> {
        self.policies.get(subject).copied().filter(|policy| *policy != Policy::Direct)
    }
}

/// The elements of a set of the guard `before`.
fn carried<'a>(before: Option<&'a TableText>, set: &str) -> impl Iterator<Item = &'a String> + use<'a> {
    before.and_then(|before| before.learned.get(set)).into_iter().flatten()
}

/// Adds an element while there is room for initial elements. The most important ones come first.
fn add_to(set: &mut BTreeSet<String>, element: &str) {
    if set.len() < MAX_INITIAL {
        set.insert(element.to_owned());
    }
}

#[cfg(test)]
mod tests;
