//! What other programs measured: instructions, sizes, memory.

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
    /// Resident, KiB.
    pub rss_kb: f64,
    /// Of it, anonymous.
    pub anon_kb: f64,
}

#[derive(Deserialize)]
struct Processes {
    router: Footprint,
}

impl Footprint {
    /// The router's, from the first of these runs that exists.
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

/// Cells of the fixed hour that `millpond-lab simulate --synthetic --hours 1 --seed 1` simulates, both ways.
pub fn fixed_hour_cells() -> Result<u64, Error> {
    let silent = HomeTrace { devices: Vec::new(), length: Nanos::from_secs(3600) };
    let outcome = simulate(&silent, &SimulationConfig::default(), |_| {})?;
    Ok(outcome.directions.iter().map(|way| way.cells_data + way.cells_cover).sum())
}

/// Instructions that callgrind counted in all, from its output file.
pub fn instructions(path: &Path) -> Result<u64, Error> {
    let text = fs::read_to_string(path).map_err(Error::io("reading", path))?;
    let total = ["summary:", "totals:"]
        .into_iter()
        .find_map(|key| text.lines().find_map(|line| line.strip_prefix(key)))
        .and_then(|rest| rest.split_whitespace().next()?.parse().ok());
    total.ok_or_else(|| Error::content(path, 0, "no line `summary:` or `totals:`; is it callgrind's output file?"))
}
