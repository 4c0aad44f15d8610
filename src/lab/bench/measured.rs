//! Reads measurements of other programs: instructions, memory.

use std::fs;
use std::path::Path;

use serde::Deserialize;

use crate::lab::error::Error;
use crate::lab::simulate::{SimulationConfig, simulate};
use crate::lab::trace::HomeTrace;
use crate::units::Nanos;

/// Memory of a daemon.
#[derive(Clone, Copy, Debug, Deserialize)]
pub struct Footprint {
    /// Resident memory in KiB.
    pub rss_kb: f64,
    /// Anonymous part of it, in KiB.
    pub anon_kb: f64,
}

#[derive(Deserialize)]
struct Processes {
    router: Footprint,
}

impl Footprint {
    /// Reads the router's memory from the first of these run folders that has `proc.json`; `None` if none has.
    pub fn of_router(runs: &[&Path]) -> Result<Option<Footprint>, Error> {
        let Some(path) = runs.iter().map(|run| run.join("proc.json")).find(|path| path.is_file()) else {
            return Ok(None);
        };
        let text = fs::read_to_string(&path).map_err(Error::io("reading", &path))?;
        let processes: Processes =
            serde_json::from_str(&text).map_err(|error| Error::content(&path, error.line(), error.to_string()))?;
        Ok(Some(processes.router))
    }
}

/// Returns the number of cells, both directions together, in the hour that `millpond-lab simulate --synthetic --hours 1
/// --seed 1` simulates.
pub fn fixed_hour_cells() -> Result<u64, Error> {
    let silent = HomeTrace { devices: Vec::new(), length: Nanos::from_secs(3600) };
    let outcome = simulate(&silent, &SimulationConfig::default(), |_| {})?;
    Ok(outcome.directions.iter().map(|way| way.cells_data + way.cells_cover).sum())
}

/// Returns the total number of instructions in callgrind's output file.
pub fn instructions(path: &Path) -> Result<u64, Error> {
    let text = fs::read_to_string(path).map_err(Error::io("reading", path))?;
    let total = ["summary:", "totals:"]
        .into_iter()
        .find_map(|key| text.lines().find_map(|line| line.strip_prefix(key)))
        .and_then(|rest| rest.split_whitespace().next()?.parse().ok());
    total.ok_or_else(|| Error::content(path, 0, "no line `summary:` or `totals:`; is it callgrind's output file?"))
}
