//! The traces of all devices of a home on a common time axis.

use std::fmt;
use std::path::{Path, PathBuf};

use super::{DataFolder, DeviceKind, Trace, busy_excerpt, extract};
use crate::lab::error::Error;
use crate::units::Nanos;

/// The captures of the 44-minute recording of a home with all devices, in the data folder.
const WHOLE_HOME: &str = "smart-home-firewall/all-devices/*/*.pcap";

/// The traces of the devices of a home, on a common time axis.
#[derive(Clone, Debug)]
pub struct HomeTrace {
    /// The traces in a fixed order; device numbers are indices into this list.
    pub devices: Vec<Trace>,
    /// Length of the recording, at least that of the longest trace.
    pub length: Nanos,
}

/// The source of a trace.
#[derive(Clone, Debug)]
pub enum TraceOrigin {
    /// An excerpt of a capture.
    Capture {
        /// The capture file.
        path: PathBuf,
        /// Start of the excerpt, relative to the first packet of the capture.
        start: Nanos,
    },
    /// A generated trace.
    Synthetic {
        /// Seed of the generator.
        seed: u64,
    },
}

impl HomeTrace {
    /// A busy excerpt of `length` for each device in the folder, all starting at the same time. Devices without
    /// Internet traffic are left out.
    pub fn of_busy_excerpts(folder: &DataFolder, length: Nanos) -> Result<(HomeTrace, Vec<TraceOrigin>), Error> {
        let mut devices = Vec::new();
        let mut origins = Vec::new();
        for device in folder.devices()? {
            let mut traces = Vec::new();
            for path in &device.captures {
                let mut extracted = extract(path, &[(device.name.clone(), device.mac)])?;
                traces.append(&mut extracted.traces);
            }
            if let Some(excerpt) = busy_excerpt(&traces, length) {
                devices.push(traces[excerpt.index].cut(excerpt.start, length));
                origins
                    .push(TraceOrigin::Capture { path: device.captures[excerpt.index].clone(), start: excerpt.start });
            }
        }
        Ok((HomeTrace { devices, length }, origins))
    }

    /// The 44-minute recording of a whole home: every listed device with Internet traffic in it, each from the capture
    /// of the interface with most of its packets.
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

    /// The synthetic home of [`DeviceKind::HOME`].
    pub fn synthetic(length: Nanos, seed: u64) -> (HomeTrace, Vec<TraceOrigin>) {
        let devices: Vec<_> = DeviceKind::HOME.iter().map(|(name, kind)| kind.trace(name, length, seed)).collect();
        let origins = vec![TraceOrigin::Synthetic { seed }; devices.len()];
        (HomeTrace { devices, length }, origins)
    }

    /// Combines traces on a common time axis, each shifted by its offset.
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

    /// Reads every `*.csv` of a folder as the trace of a device, sorted by name.
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
                "reading home {}: it contains no trace (*.csv); create some with `millpond-lab trace`",
                folder.display()
            )));
        }
        Ok(HomeTrace::merge(traces.into_iter().map(|trace| (trace, Nanos::ZERO))))
    }

    /// Repeats the home until `length` is reached.
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
