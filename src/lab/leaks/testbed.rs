//! `run.json`: the devices, and the addresses of the tunnel's ends.

use std::fs;
use std::net::IpAddr;
use std::path::Path;

use serde::{Deserialize, Deserializer};

use super::mark::Policy;
use crate::lab::capture::Mac;
use crate::lab::error::Error;

/// The addresses and devices of a run.
#[derive(Clone, Debug)]
pub struct Testbed {
    /// The provider's interface to the home: frames from it go to the home, all others leave the home.
    pub provider: Mac,
    /// Every WAN address that the router has during the run.
    pub routers: Vec<IpAddr>,
    /// Every address of the endpoint.
    pub endpoints: Vec<IpAddr>,
    /// UDP port of the tunnel at the endpoint.
    pub tunnel_port: u16,
    /// How many events the run must have at least.
    pub min_events: usize,
    /// All devices. No name is the start of another one.
    pub devices: Vec<TestDevice>,
}

/// A device of the home.
#[derive(Clone, Debug, Deserialize)]
pub struct TestDevice {
    /// Name of the device; every payload that it sends contains `leak-NAME`.
    pub name: String,
    /// Part of the server addresses that are reserved for this device.
    pub number: u8,
    /// Ethernet address of the device.
    #[serde(deserialize_with = "mac")]
    pub mac: Mac,
    /// Addresses of the device in the LAN, and addresses of other networks that it also uses.
    pub addresses: Vec<IpAddr>,
    /// Policy before the first event. `None` for a device without settings: it must not lose service, and it proves
    /// that every kind of request reaches the wire.
    pub policy: Option<Policy>,
}

#[derive(Deserialize)]
struct TestbedFile {
    provider_mac: String,
    routers: Vec<IpAddr>,
    endpoints: Vec<IpAddr>,
    tunnel_port: u16,
    min_events: usize,
    devices: Vec<TestDevice>,
}

fn mac<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Mac, D::Error> {
    String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
}

impl Testbed {
    /// Reads the file at `path`.
    pub fn read(path: &Path) -> Result<Testbed, Error> {
        let text = fs::read_to_string(path).map_err(Error::io("reading", path))?;
        let wrong = |line, problem: String| Error::content(path, line, problem);
        let file: TestbedFile = serde_json::from_str(&text).map_err(|error| wrong(error.line(), error.to_string()))?;
        let devices = file.devices;
        for (index, one) in devices.iter().enumerate() {
            let clash = |(other, device): (usize, &TestDevice)| {
                other != index && (device.number == one.number || device.name.starts_with(&one.name))
            };
            if devices.iter().enumerate().any(clash) {
                return Err(wrong(
                    0,
                    format!("device {} is not distinguishable from another one by name and number", one.name),
                ));
            }
        }
        if devices.iter().all(|device| device.policy.is_some()) {
            return Err(wrong(0, "every device has a policy; at least one must have none".to_owned()));
        }
        Ok(Testbed {
            provider: file.provider_mac.parse().map_err(|problem| wrong(0, problem))?,
            routers: file.routers,
            endpoints: file.endpoints,
            tunnel_port: file.tunnel_port,
            min_events: file.min_events,
            devices,
        })
    }

    /// Index of the device with this name.
    pub fn index(&self, name: &str) -> Option<usize> {
        self.devices.iter().position(|device| device.name == name)
    }

    /// Indices of the devices without settings.
    pub fn unshaped(&self) -> impl Iterator<Item = usize> + '_ {
        self.devices.iter().enumerate().filter(|(_, device)| device.policy.is_none()).map(|(index, _)| index)
    }
}
