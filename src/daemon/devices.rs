//! The list of all devices: from the settings, the kernel's neighbour table and DHCP leases.

pub mod answer;
pub mod leases;

use std::io;
use std::net::IpAddr;
use std::time::Duration;

use self::answer::{DeviceAnswer, DevicesAnswer};
use self::leases::Lease;
use crate::config::model::{Device, Mac, Policy, Role, Settings};
use crate::core::{DeviceStats, Stats};
use crate::daemon::dataplane::device_traffic::{Received, TrafficByDevice};
use crate::daemon::rounded::Rounded;
use crate::sys::Neighbour;
use crate::sys::fw4_zones::with_interfaces;
use crate::sys::lan_neighbours::{LanNeighbour, lan_neighbours, own_macs};
use crate::units::{DeviceId, Nanos};

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
    /// The addresses of its interfaces, the one seen last first.
    macs: Vec<Mac>,
    /// Whether it is this machine itself.
    is_self: bool,
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
pub fn list(
    settings: Option<&Settings>,
    stats: Option<&Stats>,
    device_traffic: &TrafficByDevice,
) -> io::Result<DeviceList> {
    let Some(settings) = settings.filter(|settings| settings.role == Role::Router) else {
        return Err(io::Error::other("only a router with valid settings lists devices"));
    };
    let settings = &with_interfaces(settings);
    let (mut neighbours, mut leases) = (lan_neighbours(settings)?, leases::read());
    retain_others(&own_macs(), &mut neighbours, &mut leases);
    Ok(merge(settings, neighbours, leases, stats, device_traffic))
}

/// Removes the router itself, which may see its own packets through another of its interfaces.
fn retain_others(own: &[Mac], neighbours: &mut Vec<LanNeighbour>, leases: &mut Vec<Lease>) {
    neighbours.retain(|one| !own.contains(&one.neighbour.mac));
    leases.retain(|lease| !own.contains(&lease.mac));
}

fn merge(
    settings: &Settings,
    neighbours: Vec<LanNeighbour>,
    leases: Vec<Lease>,
    stats: Option<&Stats>,
    device_traffic: &TrafficByDevice,
) -> DeviceList {
    let mut found: Vec<ListedDevice> = Vec::new();
    for LanNeighbour { neighbour: Neighbour { mac, address }, interface, age } in neighbours {
        let device = with_mac(&mut found, mac);
        device.add(address);
        device.age = Some(device.age.map_or(age, |other| other.min(age)));
        device.interface = Some(interface);
    }
    for Lease { mac, address, hostname } in leases {
        let device = with_mac(&mut found, mac);
        device.add(address);
        device.hostname = hostname.or(device.hostname.take());
    }
    let truncated = found.len() > MAX_DEVICES;
    if truncated {
        let seconds = |device: &ListedDevice| device.age.unwrap_or(Duration::MAX);
        found.sort_unstable_by(|one, other| (seconds(one), &one.macs).cmp(&(seconds(other), &other.macs)));
        found.truncate(MAX_DEVICES);
    }
    found.sort_unstable_by(|one, other| one.macs.cmp(&other.macs));

    let mut devices = Vec::new();
    for (index, section) in settings.devices.iter().enumerate() {
        let (own, others): (Vec<_>, Vec<_>) = found.into_iter().partition(|device| is_of(section, device));
        found = others;
        let mut device = match own.into_iter().reduce(ListedDevice::merged) {
            Some(device) => device,
            // Another section names the same device.
            None if devices.iter().any(|device| is_of(section, device)) => continue,
            None => ListedDevice {
                addresses: section.address.into_iter().collect(),
                is_self: cfg!(feature = "endpoint") && section.is_self,
                ..ListedDevice::default()
            },
        };
        let unseen = section.macs.iter().filter(|mac| !device.macs.contains(mac));
        device.macs = device.macs.iter().chain(unseen).copied().collect();
        device.name = Some(section.name.clone());
        let number = DeviceId::of_section(index);
        device.traffic = stats
            .map(|stats| (stats.devices.get(number).copied().unwrap_or_default(), device_traffic.received(number)));
        devices.push(device);
    }
    devices.append(&mut found);
    devices.iter_mut().for_each(|device| device.resolve_policy(settings));
    DeviceList { devices, truncated }
}

/// The device with this Ethernet address, which is added if there is none.
fn with_mac(found: &mut Vec<ListedDevice>, mac: Mac) -> &mut ListedDevice {
    let index = found.iter().position(|device| device.macs[0] == mac).unwrap_or_else(|| {
        found.push(ListedDevice { macs: vec![mac], ..ListedDevice::default() });
        found.len() - 1
    });
    &mut found[index]
}

/// Policies in order of precedence if several sections name a device: strictest first, as in the guard.
const PRECEDENCE: [Policy; 3] = [Policy::Block, Policy::Shape, Policy::Direct];

fn is_of(section: &Device, device: &ListedDevice) -> bool {
    section.macs.iter().any(|mac| device.macs.contains(mac))
        || section.address.is_some_and(|address| device.addresses.contains(&address))
        || cfg!(feature = "endpoint") && section.is_self && device.is_self
}

impl ListedDevice {
    fn add(&mut self, address: IpAddr) {
        if !self.addresses.contains(&address) && self.addresses.len() < MAX_ADDRESSES {
            self.addresses.push(address);
            // IPv4 first: people look for it.
            self.addresses.sort_unstable();
        }
    }

    /// This device and `other`, which is the same one with another of its interfaces.
    fn merged(self, other: ListedDevice) -> ListedDevice {
        let seconds = |device: &ListedDevice| device.age.unwrap_or(Duration::MAX);
        let (mut one, two) = if seconds(&self) <= seconds(&other) { (self, other) } else { (other, self) };
        one.macs.extend(two.macs);
        two.addresses.into_iter().for_each(|address| one.add(address));
        one.hostname = one.hostname.or(two.hostname);
        one
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

    fn answer(&self) -> DeviceAnswer {
        let texts = |addresses: &[IpAddr]| addresses.iter().map(IpAddr::to_string).collect();
        let (sent, received) = self.traffic.unzip();
        let delayed = sent.filter(|sent| sent.packets > 0);
        DeviceAnswer {
            mac: self.macs.first().map(Mac::to_string),
            other_macs: self.macs.iter().skip(1).map(Mac::to_string).collect(),
            random_mac: self.macs.first().map(|mac| mac.is_locally_administered()),
            addresses: texts(&self.addresses),
            hostname: self.hostname.clone(),
            name: self.name.clone(),
            network: self.network.clone(),
            interface: self.interface.clone(),
            policy: self.policy.map(|policy| policy.name().into()),
            chosen_by: self.chosen_by.name().into(),
            last_seen_s: self.age.map(|age| age.as_secs()),
            upload_packets: sent.map(|sent| sent.packets),
            upload_bytes: sent.map(|sent| sent.bytes),
            download_packets: received.map(|received| received.packets),
            download_bytes: received.map(|received| received.bytes),
            delay_mean_ms: delayed.map(|sent| Rounded(Nanos(sent.delay_sum.0 / sent.packets).as_millis_f64())),
            delay_max_ms: delayed.map(|sent| Rounded(sent.delay_max.as_millis_f64())),
        }
    }
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
    /// The list as an answer.
    pub fn answer(&self) -> DevicesAnswer {
        DevicesAnswer { devices: self.devices.iter().map(ListedDevice::answer).collect(), cut: self.truncated }
    }
}

#[cfg(test)]
mod tests;
