//! The rules that write a device's number into its packets to the TUN interface: one look-up each, however many devices
//! there are.
//!
//! The number is a part in DSCP and, if that does not suffice, a part in the TTL. Each value of a part has a chain that
//! writes it; maps find the chain by the device's address. The devices of a network that is shaped as a whole have no
//! element of their own: two hashes of the Ethernet address choose the parts, so two devices share a number by chance.
//! nft cannot write a field from a map if it shares a byte or a checksum with another one (before nftables 1.1.2 and
//! Linux 6.13).

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::net::IpAddr;

use super::facts::Facts;
use super::nft::{Chain, Elements, Set};
use super::ownership::TUN;
use super::policy_sets::{interface, set_names};
use crate::config::model::{Policy, Settings};
use crate::units::{DSCP_NUMBERS, DeviceId, DeviceTag, MIN_TAGGED_TTL};

/// The fields that hold the devices' numbers in packets from the TUN interface.
pub fn device_tag(settings: &Settings) -> DeviceTag {
    DeviceTag::for_sections(settings.devices.len(), shapes_networks(settings))
}

/// What happens if there are more device sections than numbers.
pub(super) fn too_many_devices(settings: &Settings) -> Option<String> {
    let (sections, numbers) = (settings.devices.len(), DeviceId::MAX_SECTION);
    let text =
        format!("{sections} device sections: those after {numbers} share a queue and counters with earlier ones");
    (sections > usize::from(numbers.0)).then_some(text)
}

fn shapes_networks(settings: &Settings) -> bool {
    settings.networks.iter().any(|network| network.policy == Policy::Shape)
}

/// IPv4 addresses of the networks that are shaped as a whole; a usual network's if they are not known.
fn network_addresses(settings: &Settings, facts: &Facts) -> usize {
    let networks = settings.networks.iter().filter(|network| network.policy == Policy::Shape).map(interface);
    let lans = networks.filter_map(|name| facts.lan.iter().find(|lan| lan.name == name));
    let prefixes = lans.flat_map(|lan| &lan.prefixes).filter(|prefix| prefix.address.is_ipv4());
    let addresses: usize = prefixes.map(|prefix| 1 << (32 - prefix.length.clamp(16, 32))).sum();
    addresses.max(USUAL_ADDRESSES)
}

/// Addresses of a network with a prefix of 24 bits.
const USUAL_ADDRESSES: usize = 256;

/// What an address is in nft, the map from it to the part in DSCP, and the one to the part in the TTL.
const KEYS: [[&str; 4]; 3] = [
    ["ether saddr", "ether_addr : verdict", "number_mac", "page_mac"],
    ["ip saddr", "ipv4_addr : verdict", "number_ip", "page_ip"],
    ["ip6 saddr", "ipv6_addr : verdict", "number_ip6", "page_ip6"],
];

/// The maps and the chains, the last of which has the hook.
pub(super) fn device_numbers(settings: &Settings, facts: &Facts) -> (Vec<Set>, Vec<Chain>) {
    let families: &[[&str; 2]] =
        if settings.address6.is_some() { &[["ip", "ip ttl"], ["ip6", "ip6 hoplimit"]] } else { &[["ip", "ip ttl"]] };
    let is_wide = device_tag(settings) == DeviceTag::DscpAndTtl;
    // The last one of several sections with one address counts.
    let mut numbers: [BTreeMap<String, DeviceId>; 3] = Default::default();
    for (index, device) in settings.devices.iter().enumerate() {
        let number = DeviceId::of_section(index);
        match (device.policy, device.address, &device.macs[..]) {
            (Policy::Shape, Some(IpAddr::V4(address)), []) => _ = numbers[1].insert(address.to_string(), number),
            (Policy::Shape, Some(IpAddr::V6(address)), []) => _ = numbers[2].insert(address.to_string(), number),
            (Policy::Shape, _, macs) => numbers[0].extend(macs.iter().map(|mac| (mac.to_string(), number))),
            _ => {}
        }
    }
    let mut sets = Vec::new();
    let mut rules = vec![format!("oifname != \"{TUN}\" return")];
    rules.extend(families.iter().map(|[ip, _]| format!("{ip} dscp set cs0")));
    if is_wide {
        rules.extend(families.iter().map(|[_, ttl]| format!("{ttl} < {MIN_TAGGED_TTL} return")));
    }
    let (mut dscps, mut ttls) = ([false; DSCP_NUMBERS as usize + 1], [false; 256]);
    for ([key, kind, number_map, page_map], numbers) in KEYS.into_iter().zip(&numbers) {
        if numbers.is_empty() {
            continue;
        }
        for number in numbers.values() {
            (dscps[usize::from(number.dscp())], ttls[usize::from(number.ttl())]) = (true, true);
        }
        let mut add = |name, verdict: &dyn Fn(&DeviceId) -> String| {
            let elements = numbers.iter().map(|(address, number)| format!("{address} : {}", verdict(number))).collect();
            sets.push(Set { name, kind, elements: Elements::Map(elements) });
            rules.push(format!("{key} vmap @{name}"));
        };
        if is_wide {
            add(page_map, &|number| format!("jump ttl_{}", number.ttl()));
        }
        add(number_map, &|number| format!("goto dscp_{}", number.dscp()));
    }
    if shapes_networks(settings) {
        let [.., networks] = set_names(Policy::Shape);
        let (first, count) = DeviceTag::network_ttls(settings.devices.len(), network_addresses(settings, facts));
        let of_network = format!("iifname @{networks} jhash ether saddr mod");
        let parts = |count, verdict: &dyn Fn(u8) -> String| {
            let parts: Vec<String> = (0..count).map(|hash| format!("{hash} : {}", verdict(hash))).collect();
            parts.join(", ")
        };
        let pages = parts(count, &|hash| format!("jump ttl_{}", first - hash));
        let numbers = parts(DSCP_NUMBERS as u8, &|hash| format!("goto dscp_{}", hash + 1));
        rules.push(format!("{of_network} {count} seed 0x1 vmap {{ {pages} }}"));
        rules.push(format!("{of_network} {DSCP_NUMBERS} seed 0x2 vmap {{ {numbers} }}"));
        ttls[usize::from(first - (count - 1))..=usize::from(first)].fill(true);
        dscps[1..].fill(true);
    }
    let part = |name: String, rule: &dyn Fn(&[&str; 2]) -> String| Chain {
        name: Cow::Owned(name),
        hook: None,
        rules: families.iter().map(rule).collect(),
    };
    let used =
        |values: &[bool]| values.iter().enumerate().filter(|(_, used)| **used).map(|(n, _)| n).collect::<Vec<_>>();
    let dscps = used(&dscps).into_iter();
    let ttls = used(&ttls).into_iter().filter(|_| is_wide);
    let chains = dscps
        .map(|dscp| part(format!("dscp_{dscp}"), &|[ip, _]| format!("{ip} dscp set {dscp:#04x}")))
        .chain(ttls.map(|value| part(format!("ttl_{value}"), &|[_, ttl]| format!("{ttl} set {value}"))))
        .chain([Chain {
            name: "number_devices".into(),
            hook: Some("type filter hook forward priority mangle"),
            rules,
        }]);
    (sets, chains.collect())
}
