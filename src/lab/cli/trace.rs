//! `millpond-lab trace`: traces from captures, or made up.

use std::fs;
use std::path::PathBuf;
use std::process::ExitCode;

use argh::FromArgs;

use super::home;
use crate::lab::capture::Mac;
use crate::lab::error::Error;
use crate::lab::trace::{self, DataFolder, Direction, HomeTrace, TraceOrigin, extract, write_csv};
use crate::units::Nanos;

/// Writes one trace (t_ns,direction,bytes) per device: a busy stretch of each device of the data folder with
/// --all, the 44-minute run of a whole home with --whole, or what one device did in the given captures. Without a data folder
/// (../shared/data or $MILLPOND_DATA) --all and --whole make traces up from the seed.
#[derive(FromArgs)]
#[argh(subcommand, name = "trace")]
pub(super) struct TraceCommand {
    /// every device of the data folder
    #[argh(switch)]
    all: bool,
    /// the whole home's run, all devices on one time line
    #[argh(switch)]
    whole: bool,
    /// length of each stretch in seconds (default: 120 with --all, all there is otherwise)
    #[argh(option)]
    seconds: Option<u64>,
    /// folder for the traces; made if absent
    #[argh(option)]
    out: PathBuf,
    /// seed of made-up traces
    #[argh(option, default = "1")]
    seed: u64,
    /// make traces up even where there is a data folder
    #[argh(switch)]
    synthetic: bool,
    /// MAC address of the device to look for in the captures
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
        fs::create_dir_all(&self.out).map_err(Error::io("making folder", &self.out))?;
        println!("{:<18} {:>8} {:>10} {:>10}  from", "device", "packets", "up bytes", "down bytes");
        for (trace, origin) in home.devices.iter().zip(&origins) {
            let path = self.out.join(format!("{}.csv", trace.device));
            write_csv(trace, &path)?;
            let (up, down) = (trace.bytes(Direction::Up), trace.bytes(Direction::Down));
            println!("{:<18} {:>8} {up:>10} {down:>10}  {origin}", trace.device, trace.packets.len());
        }
        println!("{} traces in {}", home.devices.len(), self.out.display());
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
            return Err(Error::Request("trace: --mac needs at least one capture to look in".to_owned()));
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
        let stretch = trace::busiest_excerpt(&traces, length).ok_or_else(|| {
            Error::Request(format!("trace: none of the captures has a packet between {mac} and the Internet"))
        })?;
        let origin = TraceOrigin::Capture { path: self.captures[stretch.index].clone(), start: stretch.start };
        let trace = traces[stretch.index].cut(stretch.start, length);
        Ok((HomeTrace { devices: vec![trace], length }, vec![origin]))
    }

    fn folder(&self) -> Option<DataFolder> {
        home::folder(self.synthetic)
    }
}
