//! OpenWrt's own word on which interfaces are the home's: the zones of its firewall.

use std::collections::BTreeSet;
use std::fs;

use crate::config::uci::{self, Section};

/// Kernel interfaces by the firewall's zones; empty where there is no such firewall.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Zones {
    /// Those of zones that do not translate addresses.
    pub inside: BTreeSet<String>,
    /// Those of zones that do, as towards a provider.
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
        let mut found = Zones::default();
        for zone in zones.iter().filter(|section| section.kind == "zone") {
            let translates =
                words(zone, "masq").any(|word| word == "1") || words(zone, "name").any(|word| word == "wan");
            let side = if translates { &mut found.outside } else { &mut found.inside };
            side.extend(words(zone, "device").map(str::to_owned));
            side.extend(words(zone, "network").flat_map(|name| devices(&networks, name)));
        }
        let Zones { inside, outside } = &mut found;
        inside.retain(|name| !outside.contains(name));
        found
    }
}

/// The kernel interfaces of a network, as far as its section names them.
fn devices(networks: &[Section], name: &str) -> Vec<String> {
    let section = networks.iter().find(|s| s.kind == "interface" && s.name.as_deref() == Some(name));
    let Some(section) = section else { return Vec::new() };
    if words(section, "type").any(|word| word == "bridge") {
        return vec![format!("br-{name}")];
    }
    // An alias such as @lan has its interface by the other's name.
    let named = words(section, "device").chain(words(section, "ifname"));
    named.filter(|word| !word.starts_with('@')).map(str::to_owned).collect()
}

/// The words of an option, be it a list or not.
fn words<'a>(section: &'a Section, option: &'a str) -> impl Iterator<Item = &'a str> {
    let found = section.options.iter().filter(move |found| found.name == option);
    found.flat_map(|found| &found.values).flat_map(|value| value.text.split_whitespace())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn zones_that_translate_lead_out() {
        let firewall = b"config zone\noption name lan\nlist network lan\nlist network guest\n\
            config zone\noption name wan\noption masq 1\nlist network wan\nlist network wan6\n\
            config zone\noption name office\noption network 'office old'\nlist device wan\n";
        let network = b"config interface lan\noption device br-lan\nconfig interface guest\noption device br-guest\n\
            config interface wan\noption device wan\nconfig interface wan6\noption device @wan\n\
            config interface office\noption device eth1\nconfig interface old\noption type bridge\noption ifname eth2\n";
        let zones = Zones::from_texts(firewall, network);
        let of = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<BTreeSet<_>>();
        assert_eq!(zones.inside, of(&["br-guest", "br-lan", "br-old", "eth1"]));
        assert_eq!(zones.outside, of(&["wan"]));
        assert_eq!(Zones::from_texts(b"config zone\noption", b"\xff"), Zones::default());
    }
}
