//! A whole home: the traces of its devices on one time line.

use std::fmt;
use std::path::{Path, PathBuf};

use super::{DataFolder, Kind, Trace, busy, extract};
use crate::lab::error::Error;
use crate::units::Nanos;

/// The 44-minute run of a home with all devices, in the data folder.
const WHOLE_HOME: &str = "smart-home-firewall/all-devices/*/*.pcap";

/// Devices on one time line.
#[derive(Clone, Debug)]
pub struct Home {
    /// In a fixed order; device numbers are indices into this.
    pub devices: Vec<Trace>,
    /// At least as long as the longest trace.
    pub length: Nanos,
}

/// Where a trace came from.
#[derive(Clone, Debug)]
pub enum Origin {
    /// A stretch of a capture.
    Capture {
        /// The file.
        path: PathBuf,
        /// Where the stretch starts, from the capture's first packet.
        start: Nanos,
    },
    /// Made up.
    Synthetic {
        /// From this seed.
        seed: u64,
    },
}

impl Home {
    /// A busy stretch of `length` of each device in the folder, all starting at once. Devices without a single
    /// packet to the Internet are left out.
    pub fn of_stretches(folder: &DataFolder, length: Nanos) -> Result<(Home, Vec<Origin>), Error> {
        let mut devices = Vec::new();
        let mut origins = Vec::new();
        for device in folder.devices()? {
            let mut traces = Vec::new();
            for path in &device.captures {
                let mut extracted = extract(path, &[(device.name.clone(), device.mac)])?;
                traces.append(&mut extracted.traces);
            }
            if let Some(stretch) = busy(&traces, length) {
                devices.push(traces[stretch.index].cut(stretch.start, length));
                origins.push(Origin::Capture { path: device.captures[stretch.index].clone(), start: stretch.start });
            }
        }
        Ok((Home { devices, length }, origins))
    }

    /// The 44-minute run of the whole home: every listed device with Internet traffic there, each from the capture of the interface that saw most of it.
    pub fn whole(folder: &DataFolder) -> Result<(Home, Vec<Origin>), Error> {
        let wanted: Vec<_> = folder.devices()?.into_iter().map(|device| (device.name, device.mac)).collect();
        let mut best: Vec<Option<(Trace, u64, PathBuf)>> = vec![None; wanted.len()];
        for path in folder.matching(WHOLE_HOME)? {
            let extracted = extract(&path, &wanted)?;
            for (slot, trace) in best.iter_mut().zip(extracted.traces) {
                let seen = slot.as_ref().map_or(0, |(best, ..)| best.events.len());
                if trace.events.len() > seen {
                    *slot = Some((trace, extracted.extent.first_ns, path.clone()));
                }
            }
        }
        let found: Vec<_> = best.into_iter().flatten().collect();
        let Some(origin_ns) = found.iter().map(|(_, first_ns, _)| *first_ns).min() else {
            return Err(Error::Request(format!("no capture of a whole home at {WHOLE_HOME} in the data folder")));
        };
        let origins =
            found.iter().map(|(.., path)| Origin::Capture { path: path.clone(), start: Nanos::ZERO }).collect();
        let parts = found.into_iter().map(|(trace, first_ns, _)| (trace, Nanos(first_ns - origin_ns)));
        Ok((Home::merge(parts), origins))
    }

    /// The made-up home of [`Kind::HOME`].
    pub fn synthetic(length: Nanos, seed: u64) -> (Home, Vec<Origin>) {
        let devices: Vec<_> = Kind::HOME.iter().map(|(name, kind)| kind.trace(name, length, seed)).collect();
        let origins = vec![Origin::Synthetic { seed }; devices.len()];
        (Home { devices, length }, origins)
    }

    /// Puts traces on one time line, each shifted by its offset.
    pub fn merge(parts: impl IntoIterator<Item = (Trace, Nanos)>) -> Home {
        let mut devices = Vec::new();
        for (mut trace, offset) in parts {
            for event in &mut trace.events {
                event.time = event.time + offset;
            }
            devices.push(trace);
        }
        let length = devices.iter().map(Trace::length).max().unwrap_or_default();
        Home { devices, length: length + Nanos(1) }
    }

    /// Reads every `*.csv` of a folder, in order of name, as a home.
    pub fn read(folder: &Path) -> Result<Home, Error> {
        let entries = std::fs::read_dir(folder).map_err(Error::io("listing", folder))?;
        let mut paths = Vec::new();
        for entry in entries {
            let path = entry.map_err(Error::io("listing", folder))?.path();
            if path.extension().is_some_and(|extension| extension == "csv") {
                paths.push(path);
            }
        }
        paths.sort();
        let traces: Vec<_> = paths.iter().map(|path| super::read_csv(path)).collect::<Result<_, _>>()?;
        if traces.is_empty() {
            return Err(Error::Request(format!(
                "reading home {}: no trace (*.csv) in it; make some with `millpond-lab trace`",
                folder.display()
            )));
        }
        Ok(Home::merge(traces.into_iter().map(|trace| (trace, Nanos::ZERO))))
    }

    /// The same home again and again until `length` is full.
    pub fn repeated(&self, length: Nanos) -> Home {
        let period = self.length.0.max(1);
        let mut home = Home { devices: Vec::new(), length };
        for trace in &self.devices {
            let rounds = length.0.div_ceil(period);
            let shifted = (0..rounds).flat_map(|round| {
                let offset = Nanos(round * period);
                trace.events.iter().map(move |event| super::Event { time: event.time + offset, ..*event })
            });
            let events = shifted.take_while(|event| event.time < length).collect();
            home.devices.push(Trace { device: trace.device.clone(), events });
        }
        home
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Origin::Capture { path, start } => write!(f, "{} from second {:.1}", path.display(), start.as_secs_f64()),
            Origin::Synthetic { seed } => write!(f, "synthetic, seed {seed}"),
        }
    }
}
