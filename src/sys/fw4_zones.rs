//! The zones of OpenWrt's firewall, which separate the home's interfaces from those towards the Internet.

use std::collections::BTreeSet;
use std::fs;
use std::mem::take;

use crate::config::home_network::NetworkFiles;
use crate::config::model::Settings;
use crate::config::uci::{self, Section};

/// Kernel interfaces by firewall zone; empty without OpenWrt's firewall.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Zones {
    /// Interfaces in zones without address translation.
    pub inside: BTreeSet<String>,
    /// Interfaces in zones with address translation (`masq`), and in zone `wan`.
    pub outside: BTreeSet<String>,
    /// Interfaces of all networks in `/etc/config/network`, which may not exist yet.
    pub configured: BTreeSet<String>,
}

impl Zones {
    /// Reads `/etc/config/firewall` and `/etc/config/network`.
    pub fn read() -> Zones {
        Zones::of(&sections("firewall"), &network_files())
    }

    fn of(zones: &[Section], networks: &NetworkFiles) -> Zones {
        let mut result = Zones { configured: networks.all(), ..Zones::default() };
        for zone in zones.iter().filter(|section| section.kind == "zone") {
            let translates = words(zone, "masq").contains(&"1") || words(zone, "name").contains(&"wan");
            let side = if translates { &mut result.outside } else { &mut result.inside };
            side.extend(words(zone, "device").into_iter().map(str::to_owned));
            side.extend(words(zone, "network").into_iter().flat_map(|name| networks.interfaces(name)));
        }
        let Zones { inside, outside, .. } = &mut result;
        *inside = take(inside).into_iter().filter(|name| !outside.contains(name)).collect();
        result
    }
}

/// The settings with the interface of every network that `/etc/config/network` knows.
pub fn with_interfaces(settings: &Settings) -> Settings {
    if settings.networks.is_empty() { settings.clone() } else { network_files().resolve(settings) }
}

fn network_files() -> NetworkFiles {
    NetworkFiles { network: sections("network"), wireless: sections("wireless") }
}

/// The sections of one of OpenWrt's files; none if it does not exist.
pub(super) fn sections(name: &str) -> Vec<Section> {
    uci::parse(&fs::read(format!("/etc/config/{name}")).unwrap_or_default()).0
}

/// The words of an option or list.
pub(super) fn words<'a>(section: &'a Section, option: &str) -> Vec<&'a str> {
    let found = section.options.iter().filter(|found| found.name == option);
    found.flat_map(|found| &found.values).flat_map(|value| value.text.split_whitespace()).collect()
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
        let sections = |text: &[u8]| uci::parse(text).0;
        let files = |network| NetworkFiles { network: sections(network), ..NetworkFiles::default() };
        let zones = Zones::of(&sections(firewall), &files(network));
        let of = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<BTreeSet<_>>();
        assert_eq!(zones.inside, of(&["br-guest", "br-lan", "br-old", "eth1"]));
        assert_eq!(zones.outside, of(&["wan"]));
        assert_eq!(zones.configured, of(&["br-guest", "br-lan", "br-old", "eth1", "wan"]));
        assert_eq!(Zones::of(&sections(b"config zone\noption"), &files(b"\xff")), Zones::default());
    }
}
