//! Finds the kernel interfaces of a network in OpenWrt's `/etc/config/network`.

use std::collections::BTreeSet;

use super::model::{Network, Settings};
use super::parse::value::interface_name;
use super::uci::Section;

/// How many aliases (`@lan`) of each other are followed. netifd has no limit, and no home needs more.
const MAX_ALIASES: usize = 8;

/// The sections of OpenWrt's files that say which interface belongs to which network; empty on other systems.
#[derive(Clone, Debug, Default)]
pub struct NetworkFiles {
    /// Of `/etc/config/network`.
    pub network: Vec<Section>,
    /// Of `/etc/config/wireless`.
    pub wireless: Vec<Section>,
}

impl NetworkFiles {
    /// The interfaces of the network `name`, sorted; empty if the files do not say. A bridge of the old kind is
    /// `br-NAME`; all others have the name that the section gives (`br-lan.30`, `eth0.3`), an alias
    /// those of the other network.
    pub fn interfaces(&self, name: &str) -> BTreeSet<String> {
        let mut found = BTreeSet::new();
        self.add_interfaces(name, MAX_ALIASES, &mut found);
        found
    }

    fn add_interfaces(&self, name: &str, aliases: usize, found: &mut BTreeSet<String>) {
        let sections = self.network.iter().filter(|one| one.kind == "interface" && one.name.as_deref() == Some(name));
        let sections: Vec<&Section> = sections.collect();
        let mut add = |interface: &str| _ = interface_name(interface).map(|interface| found.insert(interface));
        if sections.iter().any(|section| words(section, "type").any(|word| word == "bridge")) {
            return add(&format!("br-{name}"));
        }
        let named = || sections.iter().flat_map(|one| words(one, "device").chain(words(one, "ifname")));
        named().filter(|word| !word.starts_with('@')).for_each(&mut add);
        // A radio without a bridge is an interface of its own. Its name is known if the file gives one.
        let radios = self.wireless.iter().filter(|one| words(one, "network").any(|word| word == name));
        if !sections.is_empty() && named().next().is_none() {
            radios.flat_map(|radio| words(radio, "ifname")).for_each(&mut add);
        }
        for other in named().filter_map(|word| word.strip_prefix('@')).filter(|_| aliases > 0) {
            self.add_interfaces(other, aliases - 1, found);
        }
    }

    /// All interfaces of all networks.
    pub fn all(&self) -> BTreeSet<String> {
        let names = self.network.iter().filter(|one| one.kind == "interface").filter_map(|one| one.name.as_deref());
        names.flat_map(|name| self.interfaces(name)).collect()
    }

    /// These settings with the interface of every network or line that has no `device`. A network with several
    /// interfaces becomes several, and one that the files do not know stays as it is.
    pub fn resolve(&self, settings: &Settings) -> Settings {
        let resolve = |network: &Network| match &network.device {
            None => {
                let found = self.interfaces(&network.name).into_iter();
                let mut found: Vec<_> =
                    found.map(|device| Network { device: Some(device), ..network.clone() }).collect();
                if found.is_empty() {
                    found.push(network.clone());
                }
                found
            }
            Some(_) => vec![network.clone()],
        };
        let mut settings = settings.clone();
        settings.networks = settings.networks.iter().flat_map(resolve).collect();
        for wan in settings.line.wans.iter_mut().filter(|wan| wan.device.is_none()) {
            wan.device = self.interfaces(&wan.network).into_iter().next();
        }
        settings
    }
}

/// The words of an option or list.
fn words<'a>(section: &'a Section, option: &'a str) -> impl Iterator<Item = &'a str> {
    let found = section.options.iter().filter(move |found| found.name == option);
    found.flat_map(|found| &found.values).flat_map(|value| value.text.split_whitespace())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::model::Policy;
    use crate::config::{example, uci};

    const NETWORK: &str = "\
config device
	option name 'br-lan'
	option type 'bridge'
	list ports 'lan1'
	list ports 'lan2'
config bridge-vlan
	option device 'br-lan'
	option vlan '30'
	list ports 'lan1:t'
config interface 'lan'
	option device 'br-lan.1'
config interface 'iot'
	option device 'br-lan.30'
config device
	option name 'vlan40'
	option type '8021q'
	option ifname 'eth0'
	option vid '40'
config interface 'cameras'
	option device 'vlan40'
config interface 'old'
	option type 'bridge'
	option ifname 'eth0.3 eth1.3'
config interface 'older'
	option ifname 'eth0.5'
config interface 'two'
	option ifname 'eth0.6 eth0.7'
config interface 'iot6'
	option device '@iot'
config interface 'guest'
	option proto 'static'
config interface 'loop'
	option device '@pool'
config interface 'pool'
	option device '@loop'
config interface 'hostile'
	option device 'a/b'
	list ifname 'br*'
	list ifname 'a_name_of_16_byte'
config interface 'nowhere'
	option proto 'none'
";
    const WIRELESS: &str = "\
config wifi-iface 'one'
	option network 'guest iot'
	option ifname 'wlan0-guest'
config wifi-iface 'two'
	list network 'nowhere'
";

    fn files() -> NetworkFiles {
        let sections = |text: &str| uci::parse(text.as_bytes()).0;
        NetworkFiles { network: sections(NETWORK), wireless: sections(WIRELESS) }
    }

    #[test]
    fn the_interface_comes_from_the_networks_own_section() {
        let of = |name| files().interfaces(name).into_iter().collect::<Vec<_>>();
        assert_eq!(of("iot"), ["br-lan.30"], "a VLAN of a bridge, which the radio joins");
        assert_eq!(of("lan"), ["br-lan.1"]);
        assert_eq!(of("cameras"), ["vlan40"]);
        assert_eq!(of("old"), ["br-old"], "a bridge of the old kind");
        assert_eq!(of("older"), ["eth0.5"]);
        assert_eq!(of("two"), ["eth0.6", "eth0.7"]);
        assert_eq!(of("iot6"), ["br-lan.30"], "an alias");
        assert_eq!(of("guest"), ["wlan0-guest"], "a radio without a bridge");
        for name in ["loop", "hostile", "nowhere", "missing", "br-lan", ""] {
            assert_eq!(of(name), [""; 0], "{name}");
        }
    }

    #[test]
    fn every_network_of_the_settings_gets_its_interfaces() {
        let network = |name: &str, device: Option<&str>| Network {
            name: name.into(),
            device: device.map(str::to_owned),
            policy: Policy::Shape,
            strict: false,
        };
        let networks =
            vec![network("iot", None), network("two", None), network("iot", Some("eth9")), network("missing", None)];
        let settings = Settings { networks, ..example::router() };
        let expected = vec![
            network("iot", Some("br-lan.30")),
            network("two", Some("eth0.6")),
            network("two", Some("eth0.7")),
            network("iot", Some("eth9")),
            network("missing", None),
        ];
        assert_eq!(files().resolve(&settings).networks, expected);
        assert_eq!(NetworkFiles::default().resolve(&settings), settings, "on a system without these files");
    }
}
