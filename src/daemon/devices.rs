//! Every device that the router knows: from the settings, from the kernel's neighbours, from DHCP.

mod leases;

use std::collections::BTreeMap;
use std::fmt::Write;
use std::io;
use std::net::IpAddr;
use std::time::Duration;

use self::leases::Lease;
use super::answer::Object;
use super::flows::{Flows, Received};
use crate::config::model::{Device, Mac, Policy, Role, Settings};
use crate::core::{DEVICES, DeviceStats, Stats};
use crate::sys::neighbour::{self, Neighbour, Resident};
use crate::units::Nanos;

/// More are left out, those last seen longest ago.
const MAX_DEVICES: usize = 128;
/// More addresses of one device are left out: IPv6 gives a device as many as it likes.
const MAX_ADDRESSES: usize = 8;

/// All devices: those that the settings name in the order of the file, then the others by MAC.
pub struct DeviceList {
    devices: Vec<ListedDevice>,
    /// Whether some were left out.
    cut: bool,
}

/// One device.
#[derive(Clone, Debug, Default)]
struct ListedDevice {
    mac: Option<Mac>,
    addresses: Vec<IpAddr>,
    hostname: Option<String>,
    interface: Option<String>,
    age: Option<Duration>,
    network: Option<String>,
    name: Option<String>,
    policy: Option<Policy>,
    chosen_by: Chosen,
    traffic: Option<(DeviceStats, Received)>,
}

/// What a policy comes from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Chosen {
    Device,
    Network,
    #[default]
    Nothing,
}

/// Looks around, which takes its time. `stats` and `flows` say what was sent and received by number.
pub fn list(settings: Option<&Settings>, stats: Option<&Stats>, flows: &Flows) -> io::Result<DeviceList> {
    let Some(settings) = settings.filter(|settings| settings.role == Role::Router) else {
        return Err(io::Error::other("only a router with good settings knows devices"));
    };
    Ok(merge(settings, neighbour::residents(settings)?, leases::read(), stats, flows))
}

fn merge(
    settings: &Settings,
    residents: Vec<Resident>,
    leases: Vec<Lease>,
    stats: Option<&Stats>,
    flows: &Flows,
) -> DeviceList {
    let mut found: BTreeMap<Mac, ListedDevice> = BTreeMap::new();
    for Resident { neighbour: Neighbour { mac, address }, interface, age } in residents {
        let known = found.entry(mac).or_default();
        known.add(address);
        known.age = Some(known.age.map_or(age, |other| other.min(age)));
        known.interface = Some(interface);
    }
    for Lease { mac, address, hostname } in leases {
        let known = found.entry(mac).or_default();
        known.add(address);
        known.hostname = hostname.or(known.hostname.take());
    }
    let mut found: Vec<ListedDevice> =
        found.into_iter().map(|(mac, known)| ListedDevice { mac: Some(mac), ..known }).collect();
    found.sort_by_key(|known| known.age.unwrap_or(Duration::MAX));
    let cut = found.len() > MAX_DEVICES;
    found.truncate(MAX_DEVICES);
    found.sort_by_key(|known| known.mac);

    let mut devices = Vec::new();
    for (at, section) in settings.devices.iter().enumerate() {
        let place = found.iter().position(|known| is_of(section, known));
        let mut known = match place {
            Some(place) => found.remove(place),
            // Another section names it too.
            None if devices.iter().any(|known| is_of(section, known)) => continue,
            None => ListedDevice {
                mac: section.mac,
                addresses: section.address.into_iter().collect(),
                ..ListedDevice::default()
            },
        };
        known.name = Some(section.name.clone());
        known.traffic = stats.filter(|_| at + 1 < DEVICES).map(|stats| {
            let number = at + 1;
            (stats.devices[number], flows.received(number as u8))
        });
        devices.push(known);
    }
    devices.append(&mut found);
    devices.iter_mut().for_each(|known| known.judge(settings));
    DeviceList { devices, cut }
}

/// Strictest first, as in the guard, for a device that several sections name.
const PRECEDENCE: [Policy; 3] = [Policy::Block, Policy::Shape, Policy::Direct];

fn is_of(section: &Device, known: &ListedDevice) -> bool {
    let mac = section.mac.is_some() && section.mac == known.mac;
    mac || section.address.is_some_and(|address| known.addresses.contains(&address))
}

impl ListedDevice {
    fn add(&mut self, address: IpAddr) {
        if !self.addresses.contains(&address) && self.addresses.len() < MAX_ADDRESSES {
            self.addresses.push(address);
            // IPv4 first: it is what people look for.
            self.addresses.sort();
        }
    }

    /// Finds its network, and what the settings say of it.
    fn judge(&mut self, settings: &Settings) {
        let device_of = |network: &crate::config::model::Network| {
            network.device.clone().unwrap_or_else(|| format!("br-{}", network.name))
        };
        let network = self
            .interface
            .as_ref()
            .and_then(|interface| settings.networks.iter().find(|network| device_of(network) == *interface));
        self.network = network.map(|network| network.name.clone()).or_else(|| {
            let interface = self.interface.as_ref()?;
            Some(interface.strip_prefix("br-").unwrap_or(interface).to_owned())
        });
        let own = PRECEDENCE
            .into_iter()
            .find(|policy| settings.devices.iter().any(|section| section.policy == *policy && is_of(section, self)));
        (self.policy, self.chosen_by) = match (own, network) {
            (Some(policy), _) => (Some(policy), Chosen::Device),
            (None, Some(network)) => (Some(network.policy), Chosen::Network),
            (None, None) => (Some(Policy::Direct), Chosen::Nothing),
        };
    }

    fn put(&self, object: &mut Object<'_>) {
        if let Some(mac) = self.mac {
            object.text("mac", &mac.to_string());
            object.flag("random_mac", mac.is_locally_administered());
        }
        object.texts("addresses", self.addresses.iter().map(IpAddr::to_string));
        let texts = [
            ("hostname", &self.hostname),
            ("name", &self.name),
            ("network", &self.network),
            ("interface", &self.interface),
        ];
        for (key, text) in texts {
            text.iter().for_each(|text| object.text(key, text));
        }
        self.policy.iter().for_each(|policy| object.text("policy", policy.name()));
        object.text("chosen_by", self.chosen_by.name());
        self.age.iter().for_each(|age| object.number("last_seen_s", age.as_secs()));
        if let Some((sent, received)) = &self.traffic {
            object.number("upload_packets", sent.packets);
            object.number("upload_bytes", sent.bytes);
            object.number("download_packets", received.packets);
            object.number("download_bytes", received.bytes);
            if sent.packets > 0 {
                object.decimal("delay_mean_ms", mean_delay(sent).as_millis_f64());
                object.decimal("delay_max_ms", sent.delay_max.as_millis_f64());
            }
        }
    }
}

fn mean_delay(sent: &DeviceStats) -> Nanos {
    Nanos(sent.delay_sum.0.checked_div(sent.packets).unwrap_or(0))
}

impl Chosen {
    fn name(self) -> &'static str {
        match self {
            Chosen::Device => "device",
            Chosen::Network => "network",
            Chosen::Nothing => "nothing",
        }
    }
}

impl DeviceList {
    /// For people: one device a line.
    pub fn text(&self) -> String {
        let mut out = String::new();
        for known in &self.devices {
            let policy = known.policy.map_or("unknown", Policy::name);
            let mac = known.mac.map_or("-".into(), |mac| mac.to_string());
            let name = known.name.as_ref().or(known.hostname.as_ref()).map_or("-", String::as_str);
            _ = write!(out, "{policy:6} {mac:17} {name}");
            for address in &known.addresses {
                _ = write!(out, ", {address}");
            }
            known.network.iter().for_each(|network| out.extend([", ", network]));
            if let Some(age) = known.age {
                _ = write!(out, ", seen {} s ago", age.as_secs());
            }
            if let Some((sent, received)) = known.traffic.filter(|(sent, received)| sent.packets + received.packets > 0)
            {
                _ = write!(out, ", {} bytes up, {} down", sent.bytes, received.bytes);
                _ = write!(out, ", delay {:.1} ms mean", mean_delay(&sent).as_millis_f64());
            }
            if known.mac.is_some_and(Mac::is_locally_administered) {
                out.push_str(", changes its MAC: choose its network rather than the device");
            }
            out.push('\n');
        }
        if self.cut {
            out.push_str("more devices than are shown\n");
        }
        out
    }

    /// For programs.
    pub fn put(&self, top: &mut Object<'_>) {
        top.array("devices", &self.devices, |object, known| known.put(object));
        top.flag("cut", self.cut);
    }
}

#[cfg(test)]
mod tests;
