//! Captures of labelled devices, from the data folder or synthetic.

use std::collections::BTreeSet;
use std::fs;

use super::observe::observe;
use crate::lab::capture::Mac;
use crate::lab::error::Error;
use crate::lab::trace::{DataFolder, DeviceKind, Trace};
use crate::units::Nanos;

/// Captures of single devices during their set-up, in one folder per device with a file that holds its address.
const SETUPS: &str = "iot-sentinel-setup/*/_iotdevice-mac.txt";
const SETUP_CAPTURES: &str = "*.pcap";
/// Number and length of the synthetic captures of each device.
const SYNTHETIC_CAPTURES: u64 = 4;
const SYNTHETIC_SECONDS: u64 = 40 * 60;

/// One capture of one device.
#[derive(Clone, Debug)]
pub struct DeviceCapture {
    /// Index into the corpus' devices.
    pub device: usize,
    /// Ethernet address of the device; `None` for synthetic captures.
    pub mac: Option<Mac>,
    /// DNS names that the device looked up.
    pub names: BTreeSet<String>,
    /// Packets of the device to and from the Internet.
    pub trace: Trace,
}

/// Labelled captures.
#[derive(Clone, Debug, Default)]
pub struct Corpus {
    /// Names of the devices; those captured in use come first.
    pub devices: Vec<String>,
    /// Number of devices captured in use; the others were captured only during their set-up.
    pub in_use: usize,
    /// The captures.
    pub captures: Vec<DeviceCapture>,
    /// Warnings about damaged captures, of which only the packets before the damage are used.
    pub warnings: Vec<String>,
}

impl Corpus {
    /// Reads every capture of the folder. Calls `progress` with the number of captures read and their total number.
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
            let summary = observe(&path)?;
            corpus.warnings.extend(summary.damage.map(|damage| format!("{damage}; using the packets before it")));
            let host = summary.hosts.into_iter().find(|host| host.mac == mac);
            let (names, trace) = host.map_or_else(
                || (BTreeSet::new(), Trace { device: mac.to_string(), packets: Vec::new() }),
                |host| (host.names, host.trace),
            );
            corpus.captures.push(DeviceCapture { device, mac: Some(mac), names, trace });
            progress(index + 1, total);
        }
        Ok(corpus)
    }

    /// Generates several synthetic captures of each kind of device. They have neither addresses nor names.
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

    /// Selects the devices with these names; all of them count as in use.
    pub fn only(&self, names: &[String]) -> Result<Corpus, Error> {
        let mut corpus = Corpus { warnings: self.warnings.clone(), ..Corpus::default() };
        for name in names {
            let Some(known) = self.devices.iter().position(|device| device.eq_ignore_ascii_case(name)) else {
                return Err(Error::Request(format!(
                    "selecting devices: unknown device `{name}`; the known devices are {}",
                    self.devices.join(", ")
                )));
            };
            let own = self.captures.iter().filter(|capture| capture.device == known);
            corpus
                .captures
                .extend(own.map(|capture| DeviceCapture { device: corpus.devices.len(), ..capture.clone() }));
            corpus.devices.push(self.devices[known].clone());
        }
        corpus.in_use = corpus.devices.len();
        Ok(corpus)
    }
}
