//! Which device has which IP address on which interface, as ARP and neighbour discovery confirm it.
//!
//! A packet alone proves nothing: any device can send with the Ethernet address of a second device and the IP address
//! of a third. The guard therefore learns from packets only what a binding allows. The first device keeps an address
//! until its binding has expired; until then another device that uses the address is a conflict.

use std::net::IpAddr;

use super::nft::{Elements, MAX_INITIAL, Set, TableText};
use crate::config::model::{Device, Mac};

/// The guard's sets of bindings, IPv4 and IPv6.
pub(super) const BINDINGS: [&str; 2] = ["bindings4", "bindings6"];
/// The sets of the addresses in [`BINDINGS`].
pub(super) const BOUND: [&str; 2] = ["bound4", "bound6"];
/// The guard's sets of what conflicts with a binding.
pub(super) const CONFLICTS: [&str; 2] = ["conflicts4", "conflicts6"];

/// Lifetime of a binding after the device's last new connection from the address. Until then
/// another device cannot take over the address.
const BINDING_TIMEOUT: &str = "10m";
const CONFLICT_TIMEOUT: &str = "1h";

/// An Ethernet address, an IP address and an interface that belong together.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Binding {
    /// The Ethernet address.
    pub mac: Mac,
    /// The IP address.
    pub address: IpAddr,
    /// Name of the interface.
    pub interface: String,
    /// Whether the device has lately answered ARP or neighbour discovery from both.
    pub is_confirmed: bool,
}

/// Bindings, and what conflicts with them.
#[derive(Debug, Default)]
pub(super) struct Bindings {
    pub bound: Vec<Binding>,
    pub conflicting: Vec<Binding>,
    /// Neighbours that are neither confirmed nor in conflict.
    pub unconfirmed: Vec<Binding>,
}

impl Binding {
    /// Reads an element of a set in nft's notation.
    pub(super) fn parse(element: &str) -> Option<Binding> {
        let mut parts = element.split(" . ");
        let (mac, address) = (Mac::from_text(parts.next()?)?, parts.next()?.parse().ok()?);
        Some(Binding { mac, address, interface: parts.next()?.trim_matches('"').to_owned(), is_confirmed: true })
    }

    /// The element in nft's notation.
    pub(super) fn element(&self) -> String {
        format!("{} . {} . \"{}\"", self.mac, self.address, self.interface)
    }

    /// 0 for IPv4, 1 for IPv6.
    pub(super) fn family(&self) -> usize {
        usize::from(self.address.is_ipv6())
    }

    /// Whether another device has the same address. Link-local addresses are unique on their link alone.
    fn contradicts(&self, other: &Binding) -> bool {
        let is_local = matches!(self.address, IpAddr::V6(address) if address.is_unicast_link_local());
        let is_same = self.address == other.address && (!is_local || self.interface == other.interface);
        is_same && self.mac != other.mac
    }
}

impl Bindings {
    /// The unexpired bindings of the guard `before`, and those that the `neighbours` add, the first ones first.
    pub fn new(before: Option<&TableText>, neighbours: Vec<Binding>) -> Bindings {
        let mut bindings = Bindings { bound: read(before, BINDINGS), ..Bindings::default() };
        for neighbour in neighbours {
            let bound = &mut bindings.bound;
            let is_like = |other: &Binding| other.element() == neighbour.element();
            if bound.iter().any(|other| neighbour.contradicts(other)) {
                bindings.conflicting.push(neighbour);
            } else if bound.iter().any(is_like) {
            } else if !neighbour.is_confirmed {
                bindings.unconfirmed.push(neighbour);
            } else if bound.iter().filter(|other| other.family() == neighbour.family()).count() < MAX_INITIAL {
                bound.push(neighbour);
            }
        }
        bindings
    }
}

/// The bindings in these sets of a guard.
pub(super) fn read(guard: Option<&TableText>, sets: [&str; 2]) -> Vec<Binding> {
    let learned = |set| guard.and_then(|guard| guard.learned.get(set)).into_iter().flatten();
    sets.into_iter().flat_map(learned).filter_map(|element| Binding::parse(element)).collect()
}

/// A sentence for each IP address that two of the `devices` use, for those addresses that `concerns` selects. A device
/// with several Ethernet addresses, such as one with a cable and Wi-Fi, is one device.
pub(super) fn conflicts(guard: &TableText, devices: &[Device], concerns: impl Fn(&Binding) -> bool) -> Vec<String> {
    let bound = read(Some(guard), BINDINGS);
    let is_same = |a: Mac, b: Mac| a == b || devices.iter().any(|one| one.macs.contains(&a) && one.macs.contains(&b));
    let is_settled =
        |one: &Binding| bound.iter().any(|other| is_same(other.mac, one.mac) && other.address == one.address);
    let conflicting = read(Some(guard), CONFLICTS).into_iter().filter(|one| concerns(one) && !is_settled(one));
    let sentence = |one: Binding| {
        let Binding { mac, address, interface, .. } = &one;
        let owner = bound.iter().find(|other| one.contradicts(other));
        let owner = owner.map_or_else(
            || "which another device had".to_owned(),
            |owner| format!("which {} on {} has", owner.mac, owner.interface),
        );
        format!("{mac} on {interface} uses the address {address}, {owner}")
    };
    conflicting.map(sentence).collect()
}

/// The sets of the guard.
pub(super) fn sets() -> [Set; 6] {
    let of = |name, kind, timeout| Set { name, kind, elements: Elements::Learned { timeout } };
    let kinds = ["ether_addr . ipv4_addr . ifname", "ether_addr . ipv6_addr . ifname"];
    let [bound4, bound6] = bound_sets();
    [
        of(BINDINGS[0], kinds[0], BINDING_TIMEOUT),
        of(BINDINGS[1], kinds[1], BINDING_TIMEOUT),
        bound4,
        bound6,
        of(CONFLICTS[0], kinds[0], CONFLICT_TIMEOUT),
        of(CONFLICTS[1], kinds[1], CONFLICT_TIMEOUT),
    ]
}

/// The sets of addresses that have a binding.
pub(super) fn bound_sets() -> [Set; 2] {
    let of = |name, kind| Set { name, kind, elements: Elements::Learned { timeout: BINDING_TIMEOUT } };
    [of(BOUND[0], "ipv4_addr"), of(BOUND[1], "ipv6_addr")]
}
