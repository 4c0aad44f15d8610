//! The zones of OpenWrt's firewall, which separate the home's interfaces from those towards the Internet.

use std::collections::BTreeSet;
use std::fs;

use crate::config::uci::{self, Section};

/// Kernel interfaces by firewall zone; empty without OpenWrt's firewall.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Zones {
    /// Interfaces in zones without address translation.
    pub inside: BTreeSet<String>,
    /// Interfaces in zones with address translation (`masq`), and in zone `wan`.
    pub outside: BTreeSet<String>,
}

impl Zones {
    /// Reads `/etc/config/firewall` and `/etc/config/network`.
    pub fn read() -> Zones {
        let text = |name| fs::read(format!("/etc/config/{name}")).unwrap_or_default();
        Zones::from_texts(&text("firewall"), &text("network"))
    }

    fn from_texts(firewall: &[u8], network: &[u8]) -> Zones {
        let (zones, networks) = (uci::parse(firewall).0, uci::parse(network).0);
        let mut result = Zones::default();
        for zone in zones.iter().filter(|section| section.kind == "zone") {
            let translates =
                words(zone, "masq").any(|word| word == "1") || words(zone, "name").any(|word| word == "wan");
            let side = if translates { &mut result.outside } else { &mut result.inside };
            side.extend(words(zone, "device").map(str::to_owned));
            side.extend(words(zone, "network").flat_map(|name| devices(&networks, name)));
        }
        let Zones { inside, outside } = &mut result;
        inside.retain(|name| !outside.contains(name));
        result
    }
}

/// The kernel interfaces that the section of a network names.
fn devices(networks: &[Section], name: &str) -> Vec<String> {
    let section = networks.iter().find(|s| s.kind == "interface" && s.name.as_deref() == Some(name));
    let Some(section) = section else { return Vec::new() };
    if words(section, "type").any(|word| word == "bridge") {
        return vec![format!("br-{name}")];
    }
    // An alias such as @lan uses the interface of another network.
    let named = words(section, "device").chain(words(section, "ifname"));
    named.filter(|word| !word.starts_with('@')).map(str::to_owned).collect()
}

/// The words of an option or list.
fn words<'a>(section: &'a Section, option: &'a str) -> impl Iterator<Item = &'a str> {
    let found = section.options.iter().filter(move |found| found.name == option);
    found.flat_map(|found| &found.values).flat_map(|value| value.text.split_whitespace())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn zones_with_address_translation_are_outside() {
        let firewall = b"config zone\noption name lan\nlist network lan\nlist network guest\n\
            config zone\noption name wan\noption masq 1\nlist network wan\nlist network wan6\n\
            config zone\noption name office\noption network 'office old'\nlist device wan\n";
        let network = b"config interface lan\noption device br-lan\nconfig interface guest\noption device br-guest\n\
            config interface wan\noption device wan\nconfig interface wan6\noption device @wan\n\
            config interface office\noption device eth1\n\
            config interface old\noption type bridge\noption ifname eth2\n";
        let zones = Zones::from_texts(firewall, network);
        let of = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<BTreeSet<_>>();
        assert_eq!(zones.inside, of(&["br-guest", "br-lan", "br-old", "eth1"]));
        assert_eq!(zones.outside, of(&["wan"]));
        assert_eq!(Zones::from_texts(b"config zone\noption", b"\xff"), Zones::default());
    }
}
