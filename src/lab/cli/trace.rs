//! `millpond-lab trace`: extracts traces from captures, or generates synthetic ones.

use std::fs;
use std::path::PathBuf;
use std::process::ExitCode;

use argh::FromArgs;

use super::home;
use crate::lab::capture::Mac;
use crate::lab::error::Error;
use crate::lab::trace::{self, DataFolder, Direction, HomeTrace, TraceOrigin, extract, write_csv};
use crate::units::Nanos;

/// Writes one trace (t_ns,direction,bytes) for each device: with --all, a busy part of each device's traffic in the
/// data folder; with --whole, the 44-minute run of a whole home; with --mac, one device's traffic in the given
/// captures. Without the data folder (../shared/data or $MILLPOND_DATA), --all and --whole generate synthetic traces
/// from the seed.
#[derive(FromArgs)]
#[argh(subcommand, name = "trace")]
pub(super) struct TraceCommand {
    /// write a trace of every device of the data folder
    #[argh(switch)]
    all: bool,
    /// write the whole home's run, with all devices on one timeline
    #[argh(switch)]
    whole: bool,
    /// length of each trace in seconds (default: 120 with --all, otherwise unlimited)
    #[argh(option)]
    seconds: Option<u64>,
    /// folder for the traces; created if absent
    #[argh(option)]
    out: PathBuf,
    /// seed of synthetic traces (default: 1)
    #[argh(option, default = "1")]
    seed: u64,
    /// use synthetic traces even if the data folder exists
    #[argh(switch)]
    synthetic: bool,
    /// MAC address of the device in the captures
    #[argh(option)]
    mac: Option<String>,
    /// name of that device (default: device)
    #[argh(option, default = "String::from(\"device\")")]
    name: String,
    /// captures to read, with --mac
    #[argh(positional)]
    captures: Vec<PathBuf>,
}

impl TraceCommand {
    pub(super) fn run(self) -> Result<ExitCode, Error> {
        let (home, origins) = match (self.all, self.whole, &self.mac) {
            (true, false, None) => self.stretches()?,
            (false, true, None) => self.whole_home()?,
            (false, false, Some(mac)) => self.one_device(mac)?,
            _ => {
                return Err(Error::Request(
                    "trace: give one of --all, --whole, or --mac with captures; see --help".to_owned(),
                ));
            }
        };
        fs::create_dir_all(&self.out).map_err(Error::io("creating folder", &self.out))?;
        println!("{:<18} {:>8} {:>10} {:>10}  from", "device", "packets", "up bytes", "down bytes");
        for (trace, origin) in home.devices.iter().zip(&origins) {
            let path = self.out.join(format!("{}.csv", trace.device));
            write_csv(trace, &path)?;
            let (up, down) = (trace.bytes(Direction::Up), trace.bytes(Direction::Down));
            println!("{:<18} {:>8} {up:>10} {down:>10}  {origin}", trace.device, trace.packets.len());
        }
        println!("wrote {} traces to {}", home.devices.len(), self.out.display());
        Ok(ExitCode::SUCCESS)
    }

    fn stretches(&self) -> Result<(HomeTrace, Vec<TraceOrigin>), Error> {
        let length = Nanos::from_secs(self.seconds.unwrap_or(120));
        match self.folder() {
            Some(folder) => HomeTrace::of_busy_excerpts(&folder, length),
            None => Ok(HomeTrace::synthetic(length, self.seed)),
        }
    }

    fn whole_home(&self) -> Result<(HomeTrace, Vec<TraceOrigin>), Error> {
        let (mut home, origins) = home::whole(self.folder().as_ref(), self.seed)?;
        if let Some(seconds) = self.seconds {
            home.devices = home.devices.iter().map(|trace| trace.cut(Nanos::ZERO, Nanos::from_secs(seconds))).collect();
        }
        Ok((home, origins))
    }

    fn one_device(&self, mac: &str) -> Result<(HomeTrace, Vec<TraceOrigin>), Error> {
        let mac: Mac = mac.parse().map_err(|problem| Error::Request(format!("trace: --mac: {problem}")))?;
        if self.captures.is_empty() {
            return Err(Error::Request("trace: --mac needs at least one capture".to_owned()));
        }
        let mut traces = Vec::new();
        for path in &self.captures {
            let mut extracted = extract(path, &[(self.name.clone(), mac)])?;
            if let Some(damage) = &extracted.damage {
                eprintln!("millpond-lab: {damage}; using the packets before it");
            }
            traces.append(&mut extracted.traces);
        }
        let length = self.seconds.map_or(Nanos(u64::MAX / 2), Nanos::from_secs);
        let stretch = trace::busy_excerpt(&traces, length)
            .ok_or_else(|| Error::Request(format!("trace: no capture has a packet between {mac} and the Internet")))?;
        let origin = TraceOrigin::Capture { path: self.captures[stretch.index].clone(), start: stretch.start };
        let trace = traces[stretch.index].cut(stretch.start, length);
        Ok((HomeTrace { devices: vec![trace], length }, vec![origin]))
    }

    fn folder(&self) -> Option<DataFolder> {
        home::folder(self.synthetic)
    }
}
