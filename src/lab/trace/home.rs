//! A whole home: the traces of its devices on one time line.

use std::fmt;
use std::path::{Path, PathBuf};

use super::{DataFolder, DeviceKind, Trace, busiest_excerpt, extract};
use crate::lab::error::Error;
use crate::units::Nanos;

/// The 44-minute run of a home with all devices, in the data folder.
const WHOLE_HOME: &str = "smart-home-firewall/all-devices/*/*.pcap";

/// Devices on one time line.
#[derive(Clone, Debug)]
pub struct HomeTrace {
    /// In a fixed order; device numbers are indices into this.
    pub devices: Vec<Trace>,
    /// At least as long as the longest trace.
    pub length: Nanos,
}

/// Where a trace came from.
#[derive(Clone, Debug)]
pub enum TraceOrigin {
    /// A excerpt of a capture.
    Capture {
        /// The file.
        path: PathBuf,
        /// Where the excerpt starts, from the capture's first packet.
        start: Nanos,
    },
    /// Made up.
    Synthetic {
        /// From this seed.
        seed: u64,
    },
}

impl HomeTrace {
    /// A busy excerpt of `length` of each device in the folder, all starting at once. Devices without a single
    /// packet to the Internet are left out.
    pub fn of_busy_excerpts(folder: &DataFolder, length: Nanos) -> Result<(HomeTrace, Vec<TraceOrigin>), Error> {
        let mut devices = Vec::new();
        let mut origins = Vec::new();
        for device in folder.devices()? {
            let mut traces = Vec::new();
            for path in &device.captures {
                let mut extracted = extract(path, &[(device.name.clone(), device.mac)])?;
                traces.append(&mut extracted.traces);
            }
            if let Some(excerpt) = busiest_excerpt(&traces, length) {
                devices.push(traces[excerpt.index].cut(excerpt.start, length));
                origins
                    .push(TraceOrigin::Capture { path: device.captures[excerpt.index].clone(), start: excerpt.start });
            }
        }
        Ok((HomeTrace { devices, length }, origins))
    }

    /// The 44-minute run of the whole home: every listed device with Internet traffic there, each from the capture of the interface that saw most of it.
    pub fn whole(folder: &DataFolder) -> Result<(HomeTrace, Vec<TraceOrigin>), Error> {
        let wanted: Vec<_> = folder.devices()?.into_iter().map(|device| (device.name, device.mac)).collect();
        let mut best: Vec<Option<(Trace, u64, PathBuf)>> = vec![None; wanted.len()];
        for path in folder.matching(WHOLE_HOME)? {
            let extracted = extract(&path, &wanted)?;
            for (slot, trace) in best.iter_mut().zip(extracted.traces) {
                let seen = slot.as_ref().map_or(0, |(best, ..)| best.packets.len());
                if trace.packets.len() > seen {
                    *slot = Some((trace, extracted.extent.first_ns, path.clone()));
                }
            }
        }
        let found: Vec<_> = best.into_iter().flatten().collect();
        let Some(origin_ns) = found.iter().map(|(_, first_ns, _)| *first_ns).min() else {
            return Err(Error::Request(format!("no capture of a whole home at {WHOLE_HOME} in the data folder")));
        };
        let origins =
            found.iter().map(|(.., path)| TraceOrigin::Capture { path: path.clone(), start: Nanos::ZERO }).collect();
        let parts = found.into_iter().map(|(trace, first_ns, _)| (trace, Nanos(first_ns - origin_ns)));
        Ok((HomeTrace::merge(parts), origins))
    }

    /// The made-up home of [`DeviceKind::HOME`].
    pub fn synthetic(length: Nanos, seed: u64) -> (HomeTrace, Vec<TraceOrigin>) {
        let devices: Vec<_> = DeviceKind::HOME.iter().map(|(name, kind)| kind.trace(name, length, seed)).collect();
        let origins = vec![TraceOrigin::Synthetic { seed }; devices.len()];
        (HomeTrace { devices, length }, origins)
    }

    /// Puts traces on one time line, each shifted by its offset.
    pub fn merge(parts: impl IntoIterator<Item = (Trace, Nanos)>) -> HomeTrace {
        let mut devices = Vec::new();
        for (mut trace, offset) in parts {
            for packet in &mut trace.packets {
                packet.time = packet.time + offset;
            }
            devices.push(trace);
        }
        let length = devices.iter().map(Trace::length).max().unwrap_or_default();
        HomeTrace { devices, length: length + Nanos(1) }
    }

    /// Reads every `*.csv` of a folder, in order of name, as a home.
    pub fn read(folder: &Path) -> Result<HomeTrace, Error> {
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
        Ok(HomeTrace::merge(traces.into_iter().map(|trace| (trace, Nanos::ZERO))))
    }

    /// The same home again and again until `length` is full.
    pub fn repeated(&self, length: Nanos) -> HomeTrace {
        let period = self.length.0.max(1);
        let mut home = HomeTrace { devices: Vec::new(), length };
        for trace in &self.devices {
            let rounds = length.0.div_ceil(period);
            let shifted = (0..rounds).flat_map(|round| {
                let offset = Nanos(round * period);
                trace.packets.iter().map(move |packet| super::PacketRecord { time: packet.time + offset, ..*packet })
            });
            let packets = shifted.take_while(|packet| packet.time < length).collect();
            home.devices.push(Trace { device: trace.device.clone(), packets });
        }
        home
    }
}

impl fmt::Display for TraceOrigin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            TraceOrigin::Capture { path, start } => {
                write!(f, "{} from second {:.1}", path.display(), start.as_secs_f64())
            }
            TraceOrigin::Synthetic { seed } => write!(f, "synthetic, seed {seed}"),
        }
    }
}
