//! Judges the laboratory's runs: is the line flat, and does it stay flat when the home falls silent?
//!
//! [`ShapedRun`] reads one run's directory, [`WanCapture`] what the provider captured in it, [`judge`] decides,
//! and [`FlatLineReport`] is the JSON that remains.

mod checks;
mod observe;
mod resources;
mod run;

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::path::Path;

use serde::Serialize;

pub use checks::{CheckResult, Verdict};
pub use observe::{WanCapture, WanDirection};
pub use resources::RouterResources;
pub use run::{DaemonStatus, Recording, ShapedRun, Workload};

use super::error::Error;
use super::stats::Summary;
use super::trace::Direction;
use crate::law::Law;

/// All runs of a scenario, and how busy and silent ones compare.
#[derive(Debug, Serialize)]
pub struct FlatLineReport {
    /// One per run and direction.
    pub runs: Vec<DirectionReport>,
    /// One per law and direction for which there is a busy and a silent run.
    pub comparisons: Vec<checks::LoadComparison>,
    /// The router, where it is a router of its own.
    #[serde(flatten)]
    pub router: Option<RouterResources>,
}

/// One direction of one run.
#[derive(Debug, Serialize)]
pub struct DirectionReport {
    /// The law's name.
    pub law: &'static str,
    /// `busy` or `idle`.
    pub load: &'static str,
    /// `up` or `down`.
    pub direction: &'static str,
    /// What the provider saw.
    pub wire: WireReport,
    /// What the devices had of it.
    pub devices: Vec<DeviceReport>,
    /// The daemon that sends in this direction: the router's for up, the endpoint's for down.
    pub daemon: DaemonReport,
}

/// What the provider saw in one direction.
#[derive(Debug, Serialize)]
pub struct WireReport {
    /// Tunnel data packets, whatever their size.
    pub packets: usize,
    /// Their sizes in bytes from the IP header on, and how many there were of each.
    pub sizes: BTreeMap<usize, usize>,
    /// The tunnel's own handshake and control messages.
    pub handshakes: usize,
    /// Packets beside the tunnel.
    pub strays: usize,
    /// Frames of router and provider between themselves (ARP, neighbour discovery), which tell nothing of devices.
    pub link_layer: usize,
    /// Of all data packets over the window.
    pub bits_per_second: f64,
    /// Between data packets.
    pub interval_ms: IntervalSummary,
}

/// IntervalSummary in milliseconds.
#[derive(Debug, Serialize)]
pub struct IntervalSummary {
    mean: f64,
    sd: f64,
    p01: f64,
    p50: f64,
    p99: f64,
    max: f64,
}

/// One device's packets in one direction.
#[derive(Debug, Serialize)]
pub struct DeviceReport {
    /// Its name.
    pub name: String,
    /// Packets handed to the tunnel in the window.
    pub sent: usize,
    /// Of them, arrived.
    pub received: usize,
    /// Of them, not.
    pub lost: usize,
    /// From handing over to arrival.
    pub delay_ms: DelaySummary,
}

/// DelaySummary in milliseconds.
#[derive(Debug, Serialize)]
pub struct DelaySummary {
    /// Arithmetic mean.
    pub mean: f64,
    /// Median.
    pub p50: f64,
    /// 99th percentile.
    pub p99: f64,
    /// Longest.
    pub max: f64,
}

/// What a daemon used, and how late its cells left.
#[derive(Debug, Serialize)]
pub struct DaemonReport {
    /// Resident memory in KiB.
    pub rss_kb: f64,
    /// Of it, anonymous.
    pub anon_kb: f64,
    /// Of one processor.
    pub cpu_percent: f64,
    /// From the scheduled to the actual departure.
    pub lateness_us: run::LatenessSummary,
}

/// A run with what was captured in it.
pub struct AnalysedRun {
    /// The directory's files.
    pub run: ShapedRun,
    /// The capture, reduced.
    pub observed: WanCapture,
}

/// Reads every run in `folder`, in the order of laws, busy before idle. A folder without any is an error.
pub fn examine(folder: &Path) -> Result<Vec<AnalysedRun>, Error> {
    let mut examined = Vec::new();
    for law in Law::ALL {
        for load in Workload::ALL {
            let path = folder.join(format!("{law}-{}", load.name()));
            if path.join("run.json").is_file() {
                let run = ShapedRun::read(&path)?;
                let observed = WanCapture::read(&path.join("wan.pcap"), &run.recording.settings)?;
                examined.push(AnalysedRun { run, observed });
            }
        }
    }
    if examined.is_empty() {
        let problem = "no run in it (LAW-LOAD/run.json); run `tests/lab/run flat-line` first";
        return Err(Error::content(folder, 0, problem));
    }
    Ok(examined)
}

/// The report on these runs, and every check with its verdict; of the laws in `laws` both loads should be there.
pub fn judge(
    examined: &[AnalysedRun],
    laws: &[Law],
    router: Option<RouterResources>,
) -> (FlatLineReport, Vec<CheckResult>) {
    let mut checks = Vec::new();
    for run in examined {
        checks::run(run, &mut checks);
    }
    if let Some(router) = &router {
        router.check(&mut checks);
    }
    let comparisons = checks::compare(examined, laws, &mut checks);
    let runs = examined.iter().flat_map(|run| Direction::ALL.map(|direction| run.report(direction))).collect();
    (FlatLineReport { runs, comparisons, router }, checks)
}

impl AnalysedRun {
    fn report(&self, direction: Direction) -> DirectionReport {
        let line = self.observed.line(direction);
        let process = self.run.process(direction);
        DirectionReport {
            law: self.run.law.name(),
            load: self.run.recording.load.name(),
            direction: direction.name(),
            wire: WireReport {
                packets: line.cells.len(),
                sizes: line.sizes(),
                handshakes: line.handshakes,
                strays: line.strays.len(),
                link_layer: line.link_layer,
                bits_per_second: line.bits_per_second(self.run.recording.seconds()),
                interval_ms: line.intervals_ms().into(),
            },
            devices: self.run.recording.devices(direction),
            daemon: DaemonReport {
                rss_kb: process.rss_kb,
                anon_kb: process.anon_kb,
                cpu_percent: process.cpu_percent,
                lateness_us: self.run.status(direction).peer().lateness_us,
            },
        }
    }
}

impl From<Vec<f64>> for IntervalSummary {
    fn from(mut intervals: Vec<f64>) -> IntervalSummary {
        let Summary { mean, sd, p01, p50, p99, max, .. } = Summary::of(&mut intervals);
        IntervalSummary { mean, sd, p01, p50, p99, max }
    }
}

impl From<Summary> for DelaySummary {
    fn from(Summary { mean, p50, p99, max, .. }: Summary) -> DelaySummary {
        DelaySummary { mean, p50, p99, max }
    }
}
