//! The devices and networks by policy, as named sets and the rules that look into them.

use std::net::IpAddr;

use super::nft::{Chain, Elements, Set};
use crate::config::model::{Network, Policy, Settings};

/// The sets of the devices and networks that the settings name.
pub(super) struct Choice {
    /// Those that have elements.
    pub sets: Vec<Set>,
}

/// Strictest first, for a device that several sections name.
pub(super) const PRECEDENCE: [Policy; 3] = [Policy::Block, Policy::Shape, Policy::Direct];

impl Choice {
    pub fn new(settings: &Settings) -> Choice {
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
        Choice { sets }
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
        for policy in PRECEDENCE {
            let [.., net] = set_names(policy);
            rules.extend(self.rule("iifname", net, verdict(policy, block, shape, direct)));
        }
        rules
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

    /// Whether any device of that policy is chosen by its MAC.
    pub fn has_mac(&self, policy: Policy) -> bool {
        self.has(set_names(policy)[0])
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
