//! The list of all devices: from the settings, the kernel's neighbour table and DHCP leases.

mod leases;

use std::collections::BTreeMap;
use std::fmt::Write;
use std::io;
use std::net::IpAddr;
use std::time::Duration;

use self::leases::Lease;
use crate::config::model::{Device, Mac, Policy, Role, Settings};
use crate::core::{DEVICES, DeviceStats, Stats};
use crate::daemon::control::answer::Object;
use crate::daemon::dataplane::flows::{Flows, Received};
use crate::sys::Neighbour;
use crate::sys::lan_neighbours::{LanNeighbour, lan_neighbours};
use crate::units::Nanos;

/// Maximum devices in the list; those seen longest ago are left out.
const MAX_DEVICES: usize = 128;
/// Maximum addresses per device: IPv6 lets a device have any number.
const MAX_ADDRESSES: usize = 8;

/// All devices: those in the settings in the order of the file, then the others by MAC.
pub struct DeviceList {
    devices: Vec<ListedDevice>,
    /// Whether some devices were left out.
    truncated: bool,
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
    chosen_by: PolicySource,
    traffic: Option<(DeviceStats, Received)>,
}

/// The section that a policy comes from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum PolicySource {
    Device,
    Network,
    #[default]
    Nothing,
}

/// Collects all devices, which is slow. `stats` and `flows` hold the sent and received traffic by device number.
pub fn list(settings: Option<&Settings>, stats: Option<&Stats>, flows: &Flows) -> io::Result<DeviceList> {
    let Some(settings) = settings.filter(|settings| settings.role == Role::Router) else {
        return Err(io::Error::other("only a router with valid settings lists devices"));
    };
    Ok(merge(settings, lan_neighbours(settings)?, leases::read(), stats, flows))
}

fn merge(
    settings: &Settings,
    neighbours: Vec<LanNeighbour>,
    leases: Vec<Lease>,
    stats: Option<&Stats>,
    flows: &Flows,
) -> DeviceList {
    let mut found: BTreeMap<Mac, ListedDevice> = BTreeMap::new();
    for LanNeighbour { neighbour: Neighbour { mac, address }, interface, age } in neighbours {
        let device = found.entry(mac).or_default();
        device.add(address);
        device.age = Some(device.age.map_or(age, |other| other.min(age)));
        device.interface = Some(interface);
    }
    for Lease { mac, address, hostname } in leases {
        let device = found.entry(mac).or_default();
        device.add(address);
        device.hostname = hostname.or(device.hostname.take());
    }
    let mut found: Vec<ListedDevice> =
        found.into_iter().map(|(mac, device)| ListedDevice { mac: Some(mac), ..device }).collect();
    found.sort_by_key(|device| device.age.unwrap_or(Duration::MAX));
    let truncated = found.len() > MAX_DEVICES;
    found.truncate(MAX_DEVICES);
    found.sort_by_key(|device| device.mac);

    let mut devices = Vec::new();
    for (number, section) in (1..).zip(&settings.devices) {
        let index = found.iter().position(|device| is_of(section, device));
        let mut device = match index {
            Some(index) => found.remove(index),
            // Another section names the same device.
            None if devices.iter().any(|device| is_of(section, device)) => continue,
            None => ListedDevice {
                mac: section.mac,
                addresses: section.address.into_iter().collect(),
                ..ListedDevice::default()
            },
        };
        device.name = Some(section.name.clone());
        device.traffic =
            stats.filter(|_| number < DEVICES).map(|stats| (stats.devices[number], flows.received(number as u8)));
        devices.push(device);
    }
    devices.append(&mut found);
    devices.iter_mut().for_each(|device| device.resolve_policy(settings));
    DeviceList { devices, truncated }
}

/// Policies in order of precedence if several sections name a device: strictest first, as in the guard.
const PRECEDENCE: [Policy; 3] = [Policy::Block, Policy::Shape, Policy::Direct];

fn is_of(section: &Device, device: &ListedDevice) -> bool {
    let mac = section.mac.is_some() && section.mac == device.mac;
    mac || section.address.is_some_and(|address| device.addresses.contains(&address))
}

impl ListedDevice {
    fn add(&mut self, address: IpAddr) {
        if !self.addresses.contains(&address) && self.addresses.len() < MAX_ADDRESSES {
            self.addresses.push(address);
            // IPv4 first: people look for it.
            self.addresses.sort();
        }
    }

    /// Sets the network and the policy from the settings.
    fn resolve_policy(&mut self, settings: &Settings) {
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
            (Some(policy), _) => (Some(policy), PolicySource::Device),
            (None, Some(network)) => (Some(network.policy), PolicySource::Network),
            (None, None) => (Some(Policy::Direct), PolicySource::Nothing),
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

impl PolicySource {
    fn name(self) -> &'static str {
        match self {
            PolicySource::Device => "device",
            PolicySource::Network => "network",
            PolicySource::Nothing => "nothing",
        }
    }
}

impl DeviceList {
    /// The list as a text, one device per line.
    pub fn text(&self) -> String {
        let mut out = String::new();
        for device in &self.devices {
            let policy = device.policy.map_or("unknown", Policy::name);
            let mac = device.mac.map_or("-".into(), |mac| mac.to_string());
            let name = device.name.as_ref().or(device.hostname.as_ref()).map_or("-", String::as_str);
            _ = write!(out, "{policy:6} {mac:17} {name}");
            for address in &device.addresses {
                _ = write!(out, ", {address}");
            }
            device.network.iter().for_each(|network| out.extend([", ", network]));
            if let Some(age) = device.age {
                _ = write!(out, ", seen {} s ago", age.as_secs());
            }
            if let Some((sent, received)) =
                device.traffic.filter(|(sent, received)| sent.packets + received.packets > 0)
            {
                _ = write!(out, ", {} bytes up, {} down", sent.bytes, received.bytes);
                _ = write!(out, ", delay {:.1} ms mean", mean_delay(&sent).as_millis_f64());
            }
            if device.mac.is_some_and(Mac::is_locally_administered) {
                out.push_str(", changes its MAC: choose its network instead of the device");
            }
            out.push('\n');
        }
        if self.truncated {
            out.push_str("further devices are not shown\n");
        }
        out
    }

    /// Writes the list as keys and values.
    pub fn put(&self, top: &mut Object<'_>) {
        top.array("devices", &self.devices, |object, device| device.put(object));
        top.flag("cut", self.truncated);
    }
}

#[cfg(test)]
mod tests;
