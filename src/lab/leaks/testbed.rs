//! `run.json`: who takes part, and where the tunnel runs.

use std::fs;
use std::net::IpAddr;
use std::path::Path;

use serde::Deserialize;

use super::mark::Policy;
use crate::lab::capture::Mac;
use crate::lab::error::Error;

/// The run's places and devices.
#[derive(Clone, Debug)]
pub struct Testbed {
    /// Provider's interface towards the home: frames that it sends go in to the home, all others come out.
    pub provider: Mac,
    /// Every address that the home's router has at the provider in the course of the run.
    pub routers: Vec<IpAddr>,
    /// Every address of the endpoint.
    pub endpoints: Vec<IpAddr>,
    /// UDP port of the tunnel at the endpoint.
    pub tunnel_port: u16,
    /// All devices, each with a name that is not the beginning of another's.
    pub devices: Vec<TestDevice>,
}

/// A device of the home.
#[derive(Clone, Debug, Deserialize)]
pub struct TestDevice {
    /// Its name; `leak-NAME` is in all that it says.
    pub name: String,
    /// Part of the addresses on the Internet that only it talks to.
    pub number: u8,
    /// Its own addresses.
    pub addresses: Vec<IpAddr>,
    /// Its policy before the first event. `None`: it is in no settings. It must not lose service, and shows that all ways of
    /// talking do reach the wire.
    pub policy: Option<Policy>,
}

#[derive(Deserialize)]
struct TestbedFile {
    provider_mac: String,
    routers: Vec<IpAddr>,
    endpoints: Vec<IpAddr>,
    tunnel_port: u16,
    devices: Vec<TestDevice>,
}

impl Testbed {
    /// Reads the file at `path`.
    pub fn read(path: &Path) -> Result<Testbed, Error> {
        let text = fs::read_to_string(path).map_err(Error::io("reading", path))?;
        let wrong = |line, problem: String| Error::content(path, line, problem);
        let file: TestbedFile = serde_json::from_str(&text).map_err(|error| wrong(error.line(), error.to_string()))?;
        let devices = file.devices;
        for (place, one) in devices.iter().enumerate() {
            let clash = |(other, device): (usize, &TestDevice)| {
                other != place && (device.number == one.number || device.name.starts_with(&one.name))
            };
            if devices.iter().enumerate().any(clash) {
                return Err(wrong(0, format!("device {} cannot be told from another by name and number", one.name)));
            }
        }
        if devices.iter().all(|device| device.policy.is_some()) {
            return Err(wrong(0, "no device is unshaped".to_owned()));
        }
        Ok(Testbed {
            provider: file.provider_mac.parse().map_err(|problem| wrong(0, problem))?,
            routers: file.routers,
            endpoints: file.endpoints,
            tunnel_port: file.tunnel_port,
            devices,
        })
    }

    /// The place of the device of that name.
    pub fn place(&self, name: &str) -> Option<usize> {
        self.devices.iter().position(|device| device.name == name)
    }

    /// The places of the devices that are in no settings.
    pub fn unshaped(&self) -> impl Iterator<Item = usize> + '_ {
        self.devices.iter().enumerate().filter(|(_, device)| device.policy.is_none()).map(|(place, _)| place)
    }
}
