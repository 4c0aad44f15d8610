//! Records of the lateness of single departures, as `millpond lateness` writes them.

use std::fs;
use std::path::Path;

use serde::Deserialize;

use super::RecordSummary;
use super::grid::correlation;
use crate::lab::error::Error;
use crate::lab::stats::Summary;
use crate::law::Law;

/// Fewer departures say little about the tail of the lateness.
const MIN_DEPARTURES: usize = 1_000;
/// Maximum size of a file: ten times the largest record.
const MAX_BYTES: u64 = 100_000_000;

/// The lateness of single departures, in order.
#[derive(Clone, Debug, PartialEq)]
pub struct LatenessRecord {
    /// The law of the intervals.
    pub law: Law,
    /// Its standard deviation in percent of the mean interval.
    pub spread_percent: u8,
    /// The mean interval in nanoseconds.
    pub interval_ns: u64,
    /// Departures that were missed meanwhile.
    pub missed_slots: u64,
    /// By how much each departure was late, in nanoseconds.
    pub lateness_ns: Vec<u64>,
}

/// The file.
#[derive(Deserialize)]
struct RecordFile {
    law: String,
    spread_percent: u8,
    interval_ns: u64,
    #[serde(default)]
    missed_slots: u64,
    lateness_ns: Vec<u64>,
}

impl LatenessRecord {
    /// Reads a record.
    ///
    /// # Errors
    /// The file cannot be read, is no record, or has too few departures.
    pub fn read(path: &Path) -> Result<LatenessRecord, Error> {
        let length = fs::metadata(path).map_err(Error::io("reading", path))?.len();
        if length > MAX_BYTES {
            let problem = format!("{length} bytes are no record of lateness: it has at most {MAX_BYTES}");
            return Err(Error::content(path, 0, problem));
        }
        let text = fs::read_to_string(path).map_err(Error::io("reading", path))?;
        LatenessRecord::parse_text(&text).map_err(|problem| Error::content(path, 0, problem))
    }

    pub(super) fn parse_text(text: &str) -> Result<LatenessRecord, String> {
        let file: RecordFile = serde_json::from_str(text)
            .map_err(|error| format!("no record of lateness ({error}); 'millpond lateness' writes one"))?;
        let RecordFile { law: name, spread_percent, interval_ns, missed_slots, lateness_ns } = file;
        let law = Law::from_name(&name).ok_or_else(|| format!("unknown law '{name}'"))?;
        if !law.spread_range().contains(&spread_percent) {
            return Err(format!("spread_percent: {spread_percent} is not a spread of the law {law}"));
        }
        if interval_ns == 0 {
            return Err("interval_ns: want at least 1".to_owned());
        }
        let count = lateness_ns.len();
        if count < MIN_DEPARTURES {
            return Err(format!("{count} departures are too few: record at least {MIN_DEPARTURES}, better 200000"));
        }
        Ok(LatenessRecord { law, spread_percent, interval_ns, missed_slots, lateness_ns })
    }

    /// Each lateness in mean intervals.
    pub fn in_intervals(&self) -> Vec<f64> {
        self.lateness_ns.iter().map(|late| *late as f64 / self.interval_ns as f64).collect()
    }

    /// A summary for people.
    pub fn summary(&self) -> RecordSummary {
        let mut us: Vec<f64> = self.lateness_ns.iter().map(|late| *late as f64 / 1e3).collect();
        let correlation = correlation(&us);
        let Summary { count, mean, sd, p50, p99, max, .. } = Summary::of(&mut us);
        RecordSummary {
            count,
            mean_us: mean,
            sd_us: sd,
            p50_us: p50,
            p99_us: p99,
            max_us: max,
            correlation,
            missed_slots: self.missed_slots,
        }
    }
}
