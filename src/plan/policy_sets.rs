//! Devices and networks by policy: named sets, and the rules that use them.
//!
//! A device that is chosen by its IP address also sends from other addresses, which the settings do not name. Its
//! packets from the chosen address show its Ethernet address, and by that the guard recognises its other packets: for a
//! device chosen by IPv4 its IPv6 packets; for a device chosen by IPv6 all its packets, because an IPv6 device has
//! several addresses at once. A device chosen by IPv4 is not recognised in IPv4 packets from other addresses: a
//! repeater may use its own Ethernet address for all devices behind it, and these keep their service. Only packets from
//! the chosen address renew the learned Ethernet address, so if another device takes over the address, the first
//! one is no longer confined after [`LEARNED_TTL`].
//!
//! The Ethernet address is learned where a binding confirms it. While nobody is known to have the chosen address, the
//! Ethernet address that a packet shows is unconfirmed: it is blocked for a short time.

use std::net::IpAddr;
use std::time::Duration;

use super::facts::Facts;
use super::interface_name::interface_elements;
use super::nft::{Chain, Elements, Set};
use crate::config::model::{Network, Policy, Settings};

/// Packets of DNS.
pub(super) const DNS: &str = "meta l4proto { tcp, udp } th dport 53";

/// The named sets of the devices and networks in the settings.
pub(super) struct PolicySets {
    /// The sets that have elements, and the learned sets that belong to them.
    pub sets: Vec<Set>,
}

/// Policies, the strictest first. The strictest applies to a device that several sections name.
pub(super) const PRECEDENCE: [Policy; 3] = [Policy::Block, Policy::Shape, Policy::Direct];

/// Policies that confine a device, the strictest first.
pub(super) const CONFINING: [Policy; 2] = [Policy::Block, Policy::Shape];

/// Lifetime of a learned Ethernet address after the last packet from the chosen IP address. Even a quiet device renews
/// its DHCP lease more often.
pub const LEARNED_TTL: Duration = Duration::from_secs(24 * 60 * 60);
/// [`LEARNED_TTL`] in nft's notation.
const LEARNED_TIMEOUT: &str = "1d";

/// The sets of Ethernet addresses that packets from a chosen IPv4 or IPv6 address have shown, without a confirmation.
pub(super) const UNCONFIRMED: [&str; 2] = ["unconfirmed4", "unconfirmed6"];
/// Lifetime of an unconfirmed Ethernet address: several reconcile jobs, which look for its confirmation.
const UNCONFIRMED_TIMEOUT: &str = "5m";

/// The set of the networks with `strict`, and the learned one of the unknown devices that are shut out there.
pub(super) const STRICT: &str = "strict";
pub(super) const SHUT: &str = "shut";
/// Lifetime of an element of [`SHUT`] after the device's last packet from another device's address.
const SHUT_TIMEOUT: &str = "7d";

/// At most 37 new Ethernet addresses in [`UNCONFIRMED_TIMEOUT`].
const LEARN_SLOWLY: &str = "limit rate 1/minute burst 32 packets";

impl PolicySets {
    pub fn new(settings: &Settings) -> PolicySets {
        let mut sets = Vec::new();
        let mut add = |name, kind, mut elements: Vec<String>| {
            elements.sort_unstable();
            elements.dedup();
            if !elements.is_empty() {
                sets.push(Set { name, kind, elements: Elements::Fixed(elements) });
            }
        };
        for policy in PRECEDENCE {
            let [mac, ip, ip6, net] = set_names(policy);
            let chosen = || settings.devices.iter().filter(move |device| device.policy == policy);
            let addresses = || chosen().filter_map(|device| device.address);
            add(mac, "ether_addr", chosen().flat_map(|device| &device.macs).map(|mac| mac.to_string()).collect());
            add(ip, "ipv4_addr", addresses().filter(IpAddr::is_ipv4).map(|a| a.to_string()).collect());
            add(ip6, "ipv6_addr", addresses().filter(IpAddr::is_ipv6).map(|a| a.to_string()).collect());
            if policy != Policy::Direct {
                let networks = settings.networks.iter().filter(|network| network.policy == policy);
                add(net, "ifname", interface_elements(networks.map(interface)));
            }
        }
        let strict = settings.networks.iter().filter(|network| network.strict);
        add(STRICT, "ifname", interface_elements(strict.map(interface)));
        let mut policy_sets = PolicySets { sets };
        if policy_sets.has(STRICT) {
            policy_sets.add_learned(SHUT, SHUT_TIMEOUT);
        }
        for policy in CONFINING {
            let [_, ip, ip6, _] = set_names(policy);
            for (chosen, name) in [ip, ip6].into_iter().zip(learned_names(policy)) {
                if policy_sets.has(chosen) {
                    policy_sets.add_learned(name, LEARNED_TIMEOUT);
                }
            }
        }
        for (family, name) in UNCONFIRMED.into_iter().enumerate() {
            if CONFINING.into_iter().any(|policy| policy_sets.has(learned_names(policy)[family])) {
                policy_sets.add_learned(name, UNCONFIRMED_TIMEOUT);
            }
        }
        policy_sets
    }

    /// Rules that give each packet the verdict of its sender's policy. A device's own section precedes its network's.
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

    /// The sets without those that only packets fill, for a table that does not see all packets.
    pub fn without_unconfirmed(mut self) -> PolicySets {
        self.sets.retain(|set| !UNCONFIRMED.contains(&set.name));
        self
    }

    /// Rules that give each packet the verdict of its sender's policy by learned Ethernet addresses. Unconfirmed ones
    /// are blocked: a packet does not say whose policy holds.
    pub fn by_learned(&self, block: &str, shape: &str) -> Vec<String> {
        let of = |([v4, v6], verdict): ([&str; 2], &str)| {
            [self.rule("meta nfproto ipv6 ether saddr", v4, verdict), self.rule("ether saddr", v6, verdict)]
        };
        let learned = CONFINING.map(|policy| (learned_names(policy), verdict(policy, block, shape, "")));
        let shut = self.rule("ether saddr", SHUT, block);
        learned.into_iter().chain([(UNCONFIRMED, block)]).flat_map(of).flatten().chain(shut).collect()
    }

    /// Rules that give each packet from a learned Ethernet address the verdict `confined`, whatever its family.
    pub fn by_learned_mac(&self, confined: &str) -> Vec<String> {
        let learned = CONFINING.map(learned_names).into_iter().flatten().chain(UNCONFIRMED).chain([SHUT]);
        learned.filter_map(|set| self.rule("ether saddr", set, confined)).collect()
    }

    /// Rules that learn Ethernet addresses from packets that come from the home, from a device that is bound to its
    /// address.
    pub fn renewing_rules(&self) -> Vec<String> {
        let of = |policy| {
            let ([_, ip, ip6, _], [v4, v6]) = (set_names(policy), learned_names(policy));
            let learn = |set| format!("update @{set} {{ ether saddr }}");
            [self.rule("ip saddr", ip, &learn(v4)), self.rule("ip6 saddr", ip6, &learn(v6))]
        };
        CONFINING.into_iter().flat_map(of).flatten().collect()
    }

    /// Rules that note unconfirmed Ethernet addresses from packets that come from the home, from addresses that nobody
    /// is known to have. New ones are noted so slowly that forged ones never fill a set.
    pub fn learning_rules(&self) -> Vec<String> {
        let of = |policy| {
            let ([_, ip, ip6, _], [v4, v6]) = (set_names(policy), UNCONFIRMED);
            let known = |set| format!("ether saddr @{set} update @{set} {{ ether saddr }}");
            let new = |set| format!("ether saddr != @{set} {LEARN_SLOWLY} update @{set} {{ ether saddr }}");
            [
                self.rule("ip saddr", ip, &known(v4)),
                self.rule("ip saddr", ip, &new(v4)),
                self.rule("ip6 saddr", ip6, &known(v6)),
                self.rule("ip6 saddr", ip6, &new(v6)),
            ]
        };
        CONFINING.into_iter().flat_map(of).flatten().collect()
    }

    /// Rules that give each packet the verdict of its sender's policy by the MAC addresses in the settings alone.
    pub fn by_mac(&self, confined: &str, direct: &str) -> Vec<String> {
        let of = |policy| self.rule("ether saddr", set_names(policy)[0], verdict(policy, confined, confined, direct));
        PRECEDENCE.into_iter().filter_map(of).collect()
    }

    /// Rules that give each packet to a shaped or blocked device the verdict `confined`. The rules `between` follow
    /// those for devices and precede those for networks.
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

    /// Rules that give each packet to the IP address of a confined device in the settings the verdict `confined`.
    pub fn by_receiver_address(&self, confined: &str) -> Vec<String> {
        let of = |policy| {
            let [_, ip, ip6, _] = set_names(policy);
            [self.rule("ip daddr", ip, confined), self.rule("ip6 daddr", ip6, confined)]
        };
        CONFINING.into_iter().flat_map(of).flatten().collect()
    }

    /// Whether any device or network is confined.
    pub fn confines(&self) -> bool {
        CONFINING.into_iter().flat_map(set_names).any(|set| self.has(set))
    }

    /// Whether a device is confined by its MAC address, from the settings or learned.
    pub fn confines_by_mac(&self) -> bool {
        let has_macs = |policy| self.has(set_names(policy)[0]) || learned_names(policy).iter().any(|set| self.has(set));
        CONFINING.into_iter().any(has_macs)
    }

    fn add_learned(&mut self, name: &'static str, timeout: &'static str) {
        self.sets.push(Set { name, kind: "ether_addr", elements: Elements::Learned { timeout } });
    }

    /// Whether unknown devices are shut out anywhere.
    pub fn is_strict(&self) -> bool {
        self.has(STRICT)
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

/// The names of a confining policy's learned sets: the Ethernet addresses of devices chosen by IPv4 address, and of
/// devices chosen by IPv6 address.
pub(super) const fn learned_names(policy: Policy) -> [&'static str; 2] {
    match policy {
        Policy::Block => ["block_learned4", "block_learned6"],
        Policy::Shape | Policy::Direct => ["shape_learned4", "shape_learned6"],
    }
}

/// The home's interfaces in nft's notation: those found on the host and those that the settings name, existing or not.
pub(super) fn lan(settings: &Settings, facts: &Facts) -> Vec<String> {
    let found = facts.lan.iter().map(|lan| lan.name.clone());
    let named = settings.networks.iter().map(interface).filter(|name| !facts.outside.contains(name));
    interface_elements(found.chain(named))
}

/// The sets of the homes' addresses on an endpoint, IPv4 and IPv6.
pub(super) fn homes(settings: &Settings) -> Vec<Set> {
    let v4 = settings.homes.iter().map(|home| home.address.to_string()).collect();
    let v6 = settings.homes.iter().filter_map(|home| home.address6).map(|address| address.to_string()).collect();
    [("homes", "ipv4_addr", v4), ("homes6", "ipv6_addr", v6)]
        .map(|(name, kind, elements)| Set { name, kind, elements: Elements::Fixed(elements) })
        .to_vec()
}

/// The interface of a network section.
pub fn interface(network: &Network) -> String {
    network.device.clone().unwrap_or_else(|| format!("br-{}", network.name))
}

/// A chain with these rules.
pub(super) fn chain(
    name: &'static str,
    hook: Option<&'static str>,
    rules: impl IntoIterator<Item = impl Into<String>>,
) -> Chain {
    Chain { name: name.into(), hook, rules: rules.into_iter().map(Into::into).collect() }
}
