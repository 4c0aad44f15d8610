//! The cost of many homes to an endpoint, as `tests/lab/endpoint_load` measures it, from `endpoint.json`.

use std::fs;
use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::lab::error::Error;

/// The measurement with one number of homes.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct EndpointLoadRow {
    /// Number of homes.
    pub homes: u64,
    /// Threads of the endpoint.
    #[serde(default = "one")]
    pub threads: u64,
    /// Cells sent and received.
    pub cells_per_second: f64,
    /// Processor time of the endpoint in percent of one processor.
    pub cpu_percent: f64,
    /// Time from the scheduled to the actual departure.
    pub lateness_us: Lateness,
    /// Resident memory per home in KiB.
    pub kb_per_home: f64,
    /// Cells that did not leave or did not arrive.
    pub drops: u64,
    /// The smallest share of its cells that a home received, in percent.
    #[serde(default)]
    pub least_percent: f64,
}

const fn one() -> u64 {
    1
}

/// Percentiles in microseconds.
#[derive(Clone, Copy, Debug, Deserialize, Serialize)]
pub struct Lateness {
    /// Median.
    pub p50: f64,
    /// 99th percentile.
    pub p99: f64,
}

#[derive(Deserialize)]
struct EndpointLoad {
    runs: Vec<EndpointLoadRow>,
}

impl EndpointLoadRow {
    /// Processor time for one cell, sent or received, in microseconds.
    pub fn cell_us(&self) -> f64 {
        self.cpu_percent / 100.0 / self.cells_per_second * 1e6
    }
}

/// Reads `path`. Returns no rows if the file is absent.
pub fn endpoint_load(path: &Path) -> Result<Vec<EndpointLoadRow>, Error> {
    if !path.is_file() {
        return Ok(Vec::new());
    }
    let text = fs::read_to_string(path).map_err(Error::io("reading", path))?;
    let read: Result<EndpointLoad, _> = serde_json::from_str(&text);
    read.map(|read| read.runs).map_err(|error| Error::content(path, error.line(), error.to_string()))
}
