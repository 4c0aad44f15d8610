//! Unknown devices that use an address which a confined device had: the same one with another MAC, or another device.
//!
//! A device is known once it has been bound to an address of its own, see [`super::bindings`]. Of the others, the guard
//! notes those whose first packets come from an address in its sets of confined devices' addresses. Status names them,
//! and in a network with `strict` they are shut out until a section of the settings names them.

use std::collections::BTreeSet;

use super::bindings::Binding;
use super::nft::{Elements, Learned, MAX_INITIAL, Set, TableText};
use super::policy_sets::{PolicySets, SHUT, STRICT};

/// The guard's set of the MACs of known devices.
const KNOWN: &str = "known";
const KNOWN_TIMEOUT: &str = "7d";
/// The guard's sets of the unknown devices' addresses, IPv4 and IPv6.
const STRANGERS: [&str; 2] = ["strangers4", "strangers6"];
const STRANGERS_TIMEOUT: &str = "1d";

/// The sets of the guard.
pub(super) fn sets() -> [Set; 3] {
    let of = |name, kind, timeout| Set { name, kind, elements: Elements::Learned { timeout } };
    [
        of(KNOWN, "ether_addr", KNOWN_TIMEOUT),
        of(STRANGERS[0], "ether_addr . ipv4_addr . ifname", STRANGERS_TIMEOUT),
        of(STRANGERS[1], "ether_addr . ipv6_addr . ifname", STRANGERS_TIMEOUT),
    ]
}

/// Rules for packets of devices without a section, from addresses without a binding. New elements are added slowly:
/// packets can be forged.
pub(super) fn learning_rules() -> [String; 2] {
    let of = |set: &str, ip: &str, seen: &str| {
        format!(
            "{ip} saddr @{seen} ether saddr != @{KNOWN} limit rate 1/minute burst 32 packets \
             update @{set} {{ ether saddr . {ip} saddr . iifname }}"
        )
    };
    [of(STRANGERS[0], "ip", "seen4"), of(STRANGERS[1], "ip6", "seen6")]
}

/// Rules for the same packets, and for those from addresses that another device is bound to. None without `strict`.
pub(super) fn shutting_rules(policy_sets: &PolicySets) -> Vec<String> {
    if !policy_sets.is_strict() {
        return Vec::new();
    }
    let of = |ip: &str, seen: &str| {
        format!("iifname @{STRICT} {ip} saddr @{seen} ether saddr != @{KNOWN} update @{SHUT} {{ ether saddr }}")
    };
    vec![of("ip", "seen4"), of("ip6", "seen6")]
}

/// Adds to `learned` which devices are known, and which of the `bound` ones are strangers. `was_seen` says whether an
/// address was a confined device's so far, `has_section` whether the settings name a MAC.
pub(super) fn add_to(
    learned: &mut Learned,
    wanted: &TableText,
    before: Option<&TableText>,
    bound: &[Binding],
    was_seen: impl Fn(&Binding) -> bool,
    has_section: impl Fn(&str) -> bool,
) {
    let carried = |set: &str| {
        let elements = before.and_then(|before| before.learned.get(set)).into_iter().flatten();
        elements.filter(|element| !has_section(mac_of(element))).cloned().collect::<BTreeSet<String>>()
    };
    let strict: Vec<&str> = wanted.elements(STRICT).map(|name| name.trim_matches('"')).collect();
    let mut known = before.and_then(|before| before.learned.get(KNOWN)).cloned().unwrap_or_default();
    let (mut strangers, mut shut) = (STRANGERS.map(carried), carried(SHUT));
    for one in bound {
        let mac = one.mac.to_string();
        let is_noted = shut.contains(&mac) || strangers.iter().flatten().any(|element| mac_of(element) == mac);
        if has_section(&mac) || !is_noted && !was_seen(one) {
            insert(&mut known, mac);
        } else if !known.contains(&mac) && was_seen(one) {
            insert(&mut strangers[one.family()], one.element());
            if strict.contains(&one.interface.as_str()) {
                insert(&mut shut, mac);
            }
        }
    }
    learned.insert(KNOWN.to_owned(), known);
    learned.extend(STRANGERS.map(str::to_owned).into_iter().zip(strangers));
    learned.insert(SHUT.to_owned(), shut);
}

/// A sentence for each unknown device.
pub(super) fn sentences(guard: &TableText, has_section: impl Fn(&str) -> bool) -> Vec<String> {
    let elements = STRANGERS.into_iter().filter_map(|set| guard.learned.get(set)).flatten();
    let strangers =
        elements.filter_map(|element| Binding::parse(element)).filter(|one| !has_section(&one.mac.to_string()));
    let is_shut = |one: &Binding| guard.learned.get(SHUT).is_some_and(|shut| shut.contains(&one.mac.to_string()));
    strangers
        .map(|one| {
            let Binding { mac, address, interface, .. } = &one;
            let end = if is_shut(&one) { "it is shut out" } else { "it is not protected" };
            format!("{mac} on {interface} uses the address {address}, which a shaped or blocked device had; {end}")
        })
        .collect()
}

/// The MAC at the start of an element.
fn mac_of(element: &str) -> &str {
    element.split(' ').next().unwrap_or_default()
}

fn insert(set: &mut BTreeSet<String>, element: String) {
    if set.len() < MAX_INITIAL {
        set.insert(element);
    }
}
