//! The devices and networks by policy, as named sets and the rules that look into them.
//!
//! A device that is chosen by its address speaks in the other family, too, from addresses that nobody has named. What it
//! sends from the chosen one shows its Ethernet address, by which the rest is known: of one that is chosen by IPv4 its IPv6,
//! of one that is chosen by IPv6, where devices have several addresses at once, everything. Its IPv4 from other addresses
//! is not: a repeater may lend its own Ethernet address to all behind it, who keep their service that way. Only the chosen
//! address renews that knowledge, so that a device that has left its address to another is free again after [`LEARNED_TTL`].

use std::net::IpAddr;
use std::time::Duration;

use super::desired::Facts;
use super::nft::{Chain, Elements, Set};
use crate::config::model::{Network, Policy, Settings};

/// The sets of the devices and networks that the settings name.
pub(super) struct PolicySets {
    /// Those that have elements.
    pub sets: Vec<Set>,
}

/// Strictest first, for a device that several sections name.
pub(super) const PRECEDENCE: [Policy; 3] = [Policy::Block, Policy::Shape, Policy::Direct];

/// Those that confine.
pub(super) const CONFINING: [Policy; 2] = [Policy::Block, Policy::Shape];

/// For how long a device is known by its Ethernet address that was last seen to use a chosen address. A lease is renewed
/// more often than that, by however quiet a device.
pub const LEARNED_TTL: Duration = Duration::from_secs(24 * 60 * 60);
/// The same in nft's notation.
const LEARNED_TIMEOUT: &str = "1d";

impl PolicySets {
    pub fn new(settings: &Settings) -> PolicySets {
        let mut sets = Vec::new();
        let mut add = |name, kind, mut elements: Vec<String>| {
            elements.sort();
            elements.dedup();
            if !elements.is_empty() {
                sets.push(Set { name, kind, elements: Elements::Fixed(elements) });
            }
        };
        for policy in PRECEDENCE {
            let [mac, ip, ip6, net] = set_names(policy);
            let chosen = || settings.devices.iter().filter(move |device| device.policy == policy);
            let addresses = || chosen().filter_map(|device| device.address);
            add(mac, "ether_addr", chosen().filter_map(|device| device.mac).map(|mac| mac.to_string()).collect());
            add(ip, "ipv4_addr", addresses().filter(IpAddr::is_ipv4).map(|a| a.to_string()).collect());
            add(ip6, "ipv6_addr", addresses().filter(IpAddr::is_ipv6).map(|a| a.to_string()).collect());
            if policy != Policy::Direct {
                let networks = settings.networks.iter().filter(|network| network.policy == policy);
                add(net, "ifname", networks.map(|network| format!("\"{}\"", interface(network))).collect());
            }
        }
        let mut policy_sets = PolicySets { sets };
        for policy in CONFINING {
            let [_, ip, ip6, _] = set_names(policy);
            for (chosen, name) in [ip, ip6].into_iter().zip(learned_names(policy)) {
                if policy_sets.has(chosen) {
                    let elements = Elements::Learned { timeout: LEARNED_TIMEOUT };
                    policy_sets.sets.push(Set { name, kind: "ether_addr", elements });
                }
            }
        }
        policy_sets
    }

    /// Rules that give each packet the verdict of its sender's policy; a device's own section before its network's.
    pub fn by_sender(&self, block: &str, shape: &str, direct: &str) -> Vec<String> {
        let mut rules = Vec::new();
        for policy in PRECEDENCE {
            let [mac, ip, ip6, _] = set_names(policy);
            let verdict = verdict(policy, block, shape, direct);
            rules.extend(self.rule("ether saddr", mac, verdict));
            rules.extend(self.rule("ip saddr", ip, verdict));
            rules.extend(self.rule("ip6 saddr", ip6, verdict));
        }
        rules.extend(self.by_learned(block, shape));
        for policy in PRECEDENCE {
            let [.., net] = set_names(policy);
            rules.extend(self.rule("iifname", net, verdict(policy, block, shape, direct)));
        }
        rules
    }

    /// The same by the Ethernet addresses of devices that are chosen by address.
    pub fn by_learned(&self, block: &str, shape: &str) -> Vec<String> {
        let of = |policy| {
            let ([v4, v6], verdict) = (learned_names(policy), verdict(policy, block, shape, ""));
            [self.rule("meta nfproto ipv6 ether saddr", v4, verdict), self.rule("ether saddr", v6, verdict)]
        };
        CONFINING.into_iter().flat_map(of).flatten().collect()
    }

    /// Rules that learn those, from packets that have come from the home.
    pub fn learning_rules(&self) -> Vec<String> {
        let of = |policy| {
            let ([_, ip, ip6, _], [v4, v6]) = (set_names(policy), learned_names(policy));
            let learn = |set| format!("update @{set} {{ ether saddr }}");
            [self.rule("ip saddr", ip, &learn(v4)), self.rule("ip6 saddr", ip6, &learn(v6))]
        };
        CONFINING.into_iter().flat_map(of).flatten().collect()
    }

    /// The same by the sender's MAC alone, for what does not depend on anything else.
    pub fn by_mac(&self, confined: &str, direct: &str) -> Vec<String> {
        let of = |policy| self.rule("ether saddr", set_names(policy)[0], verdict(policy, confined, confined, direct));
        PRECEDENCE.into_iter().filter_map(of).collect()
    }

    /// Rules that give each packet to a shaped or blocked device the verdict `confined`; `between` come after those
    /// for devices and before those for networks.
    pub fn by_receiver(&self, confined: &str, between: Vec<String>) -> Vec<String> {
        let mut rules = Vec::new();
        for policy in PRECEDENCE {
            let [_, ip, ip6, _] = set_names(policy);
            let verdict = verdict(policy, confined, confined, "return");
            rules.extend(self.rule("ip daddr", ip, verdict));
            rules.extend(self.rule("ip6 daddr", ip6, verdict));
        }
        rules.extend(between);
        for policy in PRECEDENCE {
            let [.., net] = set_names(policy);
            rules.extend(self.rule("oifname", net, confined));
        }
        rules
    }

    /// Whether any device is confined that is known by its MAC, from the settings or from its packets.
    pub fn confines_by_mac(&self) -> bool {
        let known = |policy| self.has(set_names(policy)[0]) || learned_names(policy).iter().any(|set| self.has(set));
        CONFINING.into_iter().any(known)
    }

    fn has(&self, name: &str) -> bool {
        self.sets.iter().any(|set| set.name == name)
    }

    fn rule(&self, key: &str, set: &str, verdict: &str) -> Option<String> {
        self.has(set).then(|| format!("{key} @{set} {verdict}"))
    }
}

fn verdict<'a>(policy: Policy, block: &'a str, shape: &'a str, direct: &'a str) -> &'a str {
    match policy {
        Policy::Block => block,
        Policy::Shape => shape,
        Policy::Direct => direct,
    }
}

/// The names of a policy's sets: by MAC, by IPv4 address, by IPv6 address, by interface.
pub(super) const fn set_names(policy: Policy) -> [&'static str; 4] {
    match policy {
        Policy::Block => ["block_mac", "block_ip", "block_ip6", "block_net"],
        Policy::Shape => ["shape_mac", "shape_ip", "shape_ip6", "shape_net"],
        Policy::Direct => ["direct_mac", "direct_ip", "direct_ip6", "direct_net"],
    }
}

/// The names of a confining policy's sets of Ethernet addresses that its packets have shown: of devices chosen by IPv4
/// address, and by IPv6 address.
pub(super) const fn learned_names(policy: Policy) -> [&'static str; 2] {
    match policy {
        Policy::Block => ["block_met4", "block_met6"],
        Policy::Shape | Policy::Direct => ["shape_met4", "shape_met6"],
    }
}

/// The home's interfaces, as nft writes them: those found, and those named, be they there yet or not.
pub(super) fn lan(settings: &Settings, facts: &Facts) -> Vec<String> {
    let found = facts.lan.iter().map(|lan| lan.name.clone());
    let named = settings.networks.iter().map(interface).filter(|name| !facts.outside.contains(name));
    let mut names: Vec<String> = found.chain(named).map(|name| format!("\"{name}\"")).collect();
    names.sort();
    names.dedup();
    names
}

/// The addresses of an endpoint's homes, IPv4 and IPv6.
pub(super) fn homes(settings: &Settings) -> Vec<Set> {
    let v4 = settings.homes.iter().map(|home| home.address.to_string()).collect();
    let v6 = settings.homes.iter().filter_map(|home| home.address6).map(|address| address.to_string()).collect();
    [("homes", "ipv4_addr", v4), ("homes6", "ipv6_addr", v6)]
        .map(|(name, kind, elements)| Set { name, kind, elements: Elements::Fixed(elements) })
        .to_vec()
}

/// The kernel interface of a network section.
pub fn interface(network: &Network) -> String {
    network.device.clone().unwrap_or_else(|| format!("br-{}", network.name))
}

/// A chain of these rules.
pub(super) fn chain(
    name: &'static str,
    hook: Option<&'static str>,
    rules: impl IntoIterator<Item = impl Into<String>>,
) -> Chain {
    Chain { name, hook, rules: rules.into_iter().map(Into::into).collect() }
}
