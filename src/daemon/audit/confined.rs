//! Recognises the packets of confined devices on the home's networks, as the guard does.

use std::net::IpAddr;

use crate::config::model::{DnsMode, Mac, Policy, Settings};
use crate::core::quotes::Identifier;
use crate::plan;
use crate::sys::lan_neighbours::LanNeighbour;
use crate::units::DeviceId;

/// Maximum identifiers to look for; a home has fewer.
const MAX_IDENTIFIERS: usize = 256;

/// The devices and networks of the settings, with what the kernel's neighbour table adds to them.
pub struct ConfinedDevices {
    /// What reports call them: first the devices of the settings, then the networks.
    names: Vec<String>,
    macs: Vec<(Mac, ChosenPolicy)>,
    addresses: Vec<(IpAddr, ChosenPolicy)>,
    learned: Vec<(Mac, ChosenPolicy)>,
    interfaces: Vec<(String, ChosenPolicy)>,
    shaped_may_ask_router: bool,
}

#[derive(Clone, Copy)]
struct ChosenPolicy {
    number: DeviceId,
    policy: Policy,
    /// A device that is chosen by IPv4 is recognised by its Ethernet address in IPv6 packets only.
    only_ipv6: bool,
}

/// A confined device that sent a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ConfinedSender {
    /// Its number, for [`ConfinedDevices::name`].
    pub number: DeviceId,
    /// Whether its DNS questions must not leave outside the tunnel.
    pub hides_names: bool,
}

impl ConfinedDevices {
    /// The devices of the settings. `neighbours` connect chosen addresses with Ethernet addresses.
    pub fn new(settings: &Settings, neighbours: &[LanNeighbour]) -> ConfinedDevices {
        let number = |index: usize| DeviceId(u16::try_from(index).unwrap_or(u16::MAX));
        let mut confined = ConfinedDevices {
            names: settings.devices.iter().map(|device| device.name.clone()).collect(),
            macs: Vec::new(),
            addresses: Vec::new(),
            learned: Vec::new(),
            interfaces: Vec::new(),
            shaped_may_ask_router: settings.dns.mode == DnsMode::Router,
        };
        for (index, device) in settings.devices.iter().enumerate() {
            let choice = ChosenPolicy { number: number(index), policy: device.policy, only_ipv6: false };
            confined.macs.extend(device.macs.iter().map(|mac| (*mac, choice)));
            confined.addresses.extend(device.address.map(|address| (address, choice)));
            let has_address = |found: &&LanNeighbour| Some(found.neighbour.address) == device.address;
            let learned = neighbours.iter().filter(has_address).map(|found| found.neighbour);
            let only_ipv6 = device.address.is_some_and(|address| address.is_ipv4());
            confined.learned.extend(learned.map(|neighbour| (neighbour.mac, ChosenPolicy { only_ipv6, ..choice })));
        }
        for network in &settings.networks {
            let choice =
                ChosenPolicy { number: number(confined.names.len()), policy: network.policy, only_ipv6: false };
            confined.interfaces.push((plan::interface(network), choice));
            confined.names.push(format!("a device of network {}", network.name));
        }
        confined
    }

    /// What reports call the device.
    pub fn name(&self, number: DeviceId) -> &str {
        self.names.get(usize::from(number.0)).map_or("a confined device", String::as_str)
    }

    /// The confined device that sent a packet with these addresses on that interface of the home; `None` if it may send
    /// outside the tunnel.
    pub fn sender(&self, interface: &str, mac: Mac, address: IpAddr) -> Option<ConfinedSender> {
        let own = self.macs.iter().filter(|(known, _)| *known == mac).map(|(_, choice)| *choice);
        let own = own.chain(self.addresses.iter().filter(|(known, _)| *known == address).map(|(_, choice)| *choice));
        let learned = self.learned.iter().filter(|(known, choice)| {
            *known == mac && choice.policy != Policy::Direct && !(choice.only_ipv6 && address.is_ipv4())
        });
        let network = self.interfaces.iter().filter(|(known, _)| known == interface);
        let choice = strictest(own)
            .or_else(|| strictest(learned.map(|(_, choice)| *choice)))
            .or_else(|| strictest(network.map(|(_, choice)| *choice)))?;
        let hides_names = choice.policy == Policy::Block || !self.shaped_may_ask_router;
        (choice.policy != Policy::Direct).then_some(ConfinedSender { number: choice.number, hides_names })
    }

    /// What no packet outside the tunnel may bear.
    pub fn identifiers(&self, neighbours: &[LanNeighbour]) -> Vec<(Identifier, DeviceId)> {
        let is_confined = |choice: &ChosenPolicy| choice.policy != Policy::Direct;
        let macs = self.macs.iter().filter(|(_, choice)| is_confined(choice));
        let macs = macs.map(|(mac, choice)| (Identifier::Mac(mac.0), choice.number));
        let addresses = self.addresses.iter().filter(|(_, choice)| is_confined(choice));
        let addresses = addresses.map(|(address, choice)| (Identifier::Address(*address), choice.number));
        let seen = neighbours.iter().filter_map(|LanNeighbour { neighbour, interface, .. }| {
            let sender = self.sender(interface, neighbour.mac, neighbour.address)?;
            Some((Identifier::Address(neighbour.address), sender.number))
        });
        macs.chain(addresses).chain(seen).take(MAX_IDENTIFIERS).collect()
    }
}

/// The strictest policy applies to a device that several sections name.
fn strictest(choices: impl Iterator<Item = ChosenPolicy>) -> Option<ChosenPolicy> {
    choices.min_by_key(|choice| match choice.policy {
        Policy::Block => 0,
        Policy::Shape => 1,
        Policy::Direct => 2,
    })
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::config::example;
    use crate::config::model::{Device, Network};
    use crate::sys::Neighbour;

    const CAMERA: Mac = Mac([0x18, 0xb4, 0x30, 0x26, 0x34, 0x40]);
    const PLUG: Mac = Mac([2, 0, 0, 0, 0, 0x20]);
    const TELEPHONE: Mac = Mac([2, 0, 0, 0, 0, 0x60]);

    fn settings() -> Settings {
        let device = |name: &str, mac: Option<Mac>, address: Option<&str>, policy| Device {
            macs: mac.into_iter().collect(),
            address: address.map(|address| address.parse().unwrap()),
            ..example::device(name, policy)
        };
        Settings {
            devices: vec![
                device("camera", Some(CAMERA), None, Policy::Shape),
                device("plug", None, Some("192.168.1.20"), Policy::Block),
                device("telephone", Some(TELEPHONE), None, Policy::Direct),
            ],
            networks: vec![Network { name: "iot".into(), device: None, policy: Policy::Shape, strict: false }],
            ..example::router()
        }
    }

    #[test]
    fn senders_are_recognised_as_the_guard_does() {
        let address = |text: &str| text.parse::<IpAddr>().unwrap();
        let neighbour = |mac, text: &str, interface: &str| LanNeighbour {
            neighbour: Neighbour { mac, address: address(text) },
            interface: interface.into(),
            age: Duration::ZERO,
        };
        let bulb = Mac([2, 0, 0, 0, 0, 0x99]);
        let neighbours = [neighbour(PLUG, "192.168.1.20", "br-lan"), neighbour(bulb, "192.168.3.9", "br-iot")];
        let devices = ConfinedDevices::new(&settings(), &neighbours);
        let name = |interface, mac, text| {
            devices.sender(interface, mac, address(text)).map(|sender| devices.name(sender.number).to_owned())
        };
        let unknown = Mac([2, 0, 0, 0, 0, 1]);
        assert_eq!(name("br-lan", CAMERA, "8.8.8.8").as_deref(), Some("camera"), "a forged source");
        assert_eq!(name("br-lan", unknown, "192.168.1.20").as_deref(), Some("plug"), "another Ethernet address");
        assert_eq!(name("br-lan", PLUG, "fd00::20").as_deref(), Some("plug"), "the other family");
        assert_eq!(name("br-lan", PLUG, "192.168.1.21"), None, "another device behind the same repeater");
        assert_eq!(name("br-lan", unknown, "192.168.1.60"), None);
        assert_eq!(name("br-iot", unknown, "192.168.3.7").as_deref(), Some("a device of network iot"));
        assert_eq!(name("br-iot", TELEPHONE, "192.168.3.8"), None, "its own section precedes its network's");
        let found = devices.identifiers(&neighbours);
        let expected = [
            (Identifier::Mac(CAMERA.0), DeviceId(0)),
            (Identifier::Address(address("192.168.1.20")), DeviceId(1)),
            (Identifier::Address(address("192.168.1.20")), DeviceId(1)),
            (Identifier::Address(address("192.168.3.9")), DeviceId(3)),
        ];
        assert_eq!(found, expected);
    }

    #[test]
    fn a_shaped_device_may_ask_the_router_if_the_owner_says_so() {
        let mut settings = settings();
        let hides = |settings: &Settings, mac, text: &str| {
            let devices = ConfinedDevices::new(settings, &[]);
            devices.sender("br-lan", mac, text.parse().unwrap()).map(|sender| sender.hides_names)
        };
        assert_eq!(hides(&settings, CAMERA, "192.168.1.50"), Some(true));
        settings.dns.mode = DnsMode::Router;
        assert_eq!(hides(&settings, CAMERA, "192.168.1.50"), Some(false));
        assert_eq!(hides(&settings, PLUG, "192.168.1.20"), Some(true), "a blocked device");
    }
}
