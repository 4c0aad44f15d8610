//! Checks the laboratory's `flat-line` runs: does the link carry one packet size at the configured rate, and does it
//! look the same when the home is busy and when it is silent?
//!
//! [`ShapedRun`] reads the directory of one run, [`WanCapture`] the provider's capture in it, [`judge`] applies the
//! checks, and [`FlatLineReport`] is the resulting JSON.

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

/// All runs of a scenario, and comparisons of busy with idle runs.
#[derive(Debug, Serialize)]
pub struct FlatLineReport {
    /// One entry per run and direction.
    pub runs: Vec<DirectionReport>,
    /// One entry per law and direction that has both a busy and an idle run.
    pub comparisons: Vec<checks::LoadComparison>,
    /// What the router used, if it ran as an emulated machine.
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
    /// Delivery and delays of each device's packets.
    pub devices: Vec<DeviceReport>,
    /// The daemon that sends in this direction: the router's for `up`, the endpoint's for `down`.
    pub daemon: DaemonReport,
}

/// What the provider saw in one direction.
#[derive(Debug, Serialize)]
pub struct WireReport {
    /// Number of tunnel data packets of any size.
    pub packets: usize,
    /// Number of data packets of each size, in bytes from the IP header on.
    pub sizes: BTreeMap<usize, usize>,
    /// Number of handshake and control messages of the tunnel.
    pub handshakes: usize,
    /// Number of packets outside the tunnel.
    pub strays: usize,
    /// Number of ARP and neighbour discovery frames between router and provider, which reveal nothing about devices.
    pub link_layer: usize,
    /// Mean rate of the data packets in the measuring window.
    pub bits_per_second: f64,
    /// Intervals between data packets.
    pub interval_ms: IntervalSummary,
}

/// A summary of intervals in milliseconds.
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
    /// Packets of these that arrived.
    pub received: usize,
    /// Packets of these that did not arrive.
    pub lost: usize,
    /// Delay from the handover to the tunnel until arrival.
    pub delay_ms: DelaySummary,
}

/// A summary of delays in milliseconds.
#[derive(Debug, Serialize)]
pub struct DelaySummary {
    /// Arithmetic mean.
    pub mean: f64,
    /// Median.
    pub p50: f64,
    /// 99th percentile.
    pub p99: f64,
    /// Maximum.
    pub max: f64,
}

/// What a daemon used, and how late it sent cells.
#[derive(Debug, Serialize)]
pub struct DaemonReport {
    /// Resident memory in KiB.
    pub rss_kb: f64,
    /// Anonymous part of the resident memory in KiB.
    pub anon_kb: f64,
    /// Processor time in percent of one processor.
    pub cpu_percent: f64,
    /// Time from the scheduled to the actual departure.
    pub lateness_us: run::LatenessSummary,
}

/// A run with the provider's capture of it.
pub struct AnalysedRun {
    /// The other files of the run's directory.
    pub run: ShapedRun,
    /// The analysed capture.
    pub capture: WanCapture,
}

/// Reads every run in `folder`, in the order of laws, busy before idle. A folder without a run is an error.
pub fn analyse_runs(folder: &Path) -> Result<Vec<AnalysedRun>, Error> {
    let mut analysed = Vec::new();
    for law in Law::ALL {
        for load in Workload::ALL {
            let path = folder.join(format!("{law}-{}", load.name()));
            if path.join("run.json").is_file() {
                let run = ShapedRun::read(&path)?;
                let capture = WanCapture::read(&path.join("wan.pcap"), &run.recording.settings)?;
                analysed.push(AnalysedRun { run, capture });
            }
        }
    }
    if analysed.is_empty() {
        let problem = "it contains no run (LAW-LOAD/run.json); run `tests/lab/run flat-line` first";
        return Err(Error::content(folder, 0, problem));
    }
    Ok(analysed)
}

/// Reports on these runs and checks them. A law of `laws` without both a busy and an idle run gives a skipped check.
pub fn judge(
    analysed: &[AnalysedRun],
    laws: &[Law],
    router: Option<RouterResources>,
) -> (FlatLineReport, Vec<CheckResult>) {
    let mut checks = Vec::new();
    for run in analysed {
        checks::run(run, &mut checks);
    }
    if let Some(router) = &router {
        router.check(&mut checks);
    }
    let comparisons = checks::compare(analysed, laws, &mut checks);
    let runs = analysed.iter().flat_map(|run| Direction::ALL.map(|direction| run.report(direction))).collect();
    (FlatLineReport { runs, comparisons, router }, checks)
}

impl AnalysedRun {
    fn report(&self, direction: Direction) -> DirectionReport {
        let line = self.capture.line(direction);
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
