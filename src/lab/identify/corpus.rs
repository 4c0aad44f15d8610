//! What is known of labelled devices: the data folder, or made-up homes.

use std::collections::BTreeSet;
use std::fs;

use super::observe::observe;
use crate::lab::capture::Mac;
use crate::lab::error::Error;
use crate::lab::trace::{DataFolder, DeviceKind, Trace};
use crate::units::Nanos;

/// Captures of single devices while they are set up, one folder each with the device's address in a file.
const SETUPS: &str = "iot-sentinel-setup/*/_iotdevice-mac.txt";
const SETUP_CAPTURES: &str = "*.pcap";
/// Made-up homes of so many captures of so many seconds.
const SYNTHETIC_CAPTURES: u64 = 4;
const SYNTHETIC_SECONDS: u64 = 40 * 60;

/// One capture of one device.
#[derive(Clone, Debug)]
pub struct DeviceCapture {
    /// Index into the corpus' devices.
    pub device: usize,
    /// Its address, where there is one.
    pub mac: Option<Mac>,
    /// Names that it looked up.
    pub names: BTreeSet<String>,
    /// Its packets to and from the Internet.
    pub trace: Trace,
}

/// Labelled captures.
#[derive(Clone, Debug, Default)]
pub struct Corpus {
    /// Names of the devices; those in long use first.
    pub devices: Vec<String>,
    /// How many of them were captured in use, the others only while they were set up.
    pub in_use: usize,
    /// The captures.
    pub captures: Vec<DeviceCapture>,
    /// Captures that were damaged, in words. What came before the damage is used.
    pub warnings: Vec<String>,
}

impl Corpus {
    /// Reads every capture that the folder names, telling `progress` how many of how many are read.
    pub fn read(folder: &DataFolder, mut progress: impl FnMut(usize, usize)) -> Result<Corpus, Error> {
        let mut wanted = Vec::new();
        let mut corpus = Corpus::default();
        for device in folder.devices()? {
            wanted.extend(device.captures.into_iter().map(|path| (corpus.devices.len(), device.mac, path)));
            corpus.devices.push(device.name);
        }
        corpus.in_use = corpus.devices.len();
        for path in folder.matching(SETUPS)? {
            let text = fs::read_to_string(&path).map_err(Error::io("reading", &path))?;
            let mac: Mac = text.trim().parse().map_err(|problem: String| Error::content(&path, 1, problem))?;
            let Some(parent) = path.parent() else { continue };
            let name = parent.file_name().unwrap_or_default().to_string_lossy().into_owned();
            let captures = folder.matching(&format!("iot-sentinel-setup/{name}/{SETUP_CAPTURES}"))?;
            wanted.extend(captures.into_iter().map(|path| (corpus.devices.len(), mac, path)));
            corpus.devices.push(name);
        }
        let total = wanted.len();
        for (index, (device, mac, path)) in wanted.into_iter().enumerate() {
            let sighting = observe(&path)?;
            corpus.warnings.extend(sighting.damage.map(|damage| format!("{damage}; using the packets before it")));
            let host = sighting.hosts.into_iter().find(|host| host.mac == mac);
            let (names, trace) = host.map_or_else(
                || (BTreeSet::new(), Trace { device: mac.to_string(), packets: Vec::new() }),
                |host| (host.names, host.trace),
            );
            corpus.captures.push(DeviceCapture { device, mac: Some(mac), names, trace });
            progress(index + 1, total);
        }
        Ok(corpus)
    }

    /// Several made-up captures of the kinds of device that the project can make up. They have neither addresses nor
    /// names.
    pub fn synthetic(seed: u64) -> Corpus {
        let mut corpus = Corpus::default();
        for (device, (name, kind)) in DeviceKind::HOME.iter().enumerate() {
            corpus.devices.push((*name).to_owned());
            for capture in 0..SYNTHETIC_CAPTURES {
                let trace = kind.trace(name, Nanos::from_secs(SYNTHETIC_SECONDS), seed * 1_000 + capture);
                corpus.captures.push(DeviceCapture { device, mac: None, names: BTreeSet::new(), trace });
            }
        }
        corpus.in_use = corpus.devices.len();
        corpus
    }

    /// Only the devices of these names; those count as in use.
    pub fn only(&self, names: &[String]) -> Result<Corpus, Error> {
        let mut corpus = Corpus { warnings: self.warnings.clone(), ..Corpus::default() };
        for name in names {
            let Some(known) = self.devices.iter().position(|device| device.eq_ignore_ascii_case(name)) else {
                return Err(Error::Request(format!(
                    "choosing devices: there is no `{name}`; there are {}",
                    self.devices.join(", ")
                )));
            };
            let own = self.captures.iter().filter(|record| record.device == known);
            corpus.captures.extend(own.map(|record| DeviceCapture { device: corpus.devices.len(), ..record.clone() }));
            corpus.devices.push(self.devices[known].clone());
        }
        corpus.in_use = corpus.devices.len();
        Ok(corpus)
    }
}
