//! A building's line: a flat gigabit each way between two ends, as `tests/lab/gateway` measures it, from
//! `gateway.json`.

use std::fs;
use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::lab::error::Error;

/// The result of a measurement. A gigabit counts cells as WireGuard would carry them, outer header included.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct GatewayReport {
    /// Devices, each with an address of its own.
    pub devices: usize,
    /// What the line carried up under the heaviest load, in gigabits a second.
    pub gbit_up: f64,
    /// The same down.
    pub gbit_down: f64,
    /// What two bare loops carried each way that exchange the same trains by the same system calls.
    pub ceiling_gbit: f64,
    /// The fastest flat line that both ends held each way, of those that were tried.
    pub max_gbit: f64,
    /// `max_gbit` in proportion to `ceiling_gbit`.
    pub ratio: f64,
    /// Processor time for one cell, sent or received, of the end that needs more, without home traffic.
    pub us_per_cell_idle: f64,
    /// The same under the heaviest load.
    pub us_per_cell: f64,
    /// The same of the bare loop.
    pub us_per_cell_ceiling: f64,
    /// Mean delay of a sparse packet beside the heaviest load, in proportion to the law's mean residual interval.
    pub sparse_ratio: f64,
    /// Cells lost on the way, in both directions together.
    pub lost: u64,
    /// Departures that were missed, at both ends together.
    pub missed: u64,
    /// Area under the curve of the best attack that tells the heaviest load from an idle home.
    pub auc: f64,
    /// Every load that was tried.
    pub loads: Vec<GatewayLoad>,
}

/// The line under one load.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct GatewayLoad {
    /// Home traffic that was offered, half of it each way, in megabits a second of payload.
    pub mbit: f64,
    /// What arrived, up and down, in megabits a second of payload.
    pub carried_mbit: [f64; 2],
    /// Processor time for one cell of router and endpoint, in microseconds.
    pub us_per_cell: [f64; 2],
    /// Processor time of router and endpoint, in percent of one processor.
    pub cpu_percent: [f64; 2],
    /// Mean delay of a sparse packet, up and down, in microseconds.
    pub sparse_us: [f64; 2],
    /// The larger of the two in proportion to the law's mean residual interval.
    pub sparse_ratio: f64,
    /// Datagrams of the load, and of the sparse stream, that did not arrive, in percent.
    pub lost_percent: [f64; 2],
    /// Area under the curve of the best attack that tells this load from an idle home.
    pub auc: f64,
    /// Whether any test tells the two apart.
    pub told_apart: bool,
}

/// Reads `path`. Returns nothing if the file is absent.
pub fn gateway(path: &Path) -> Result<Option<GatewayReport>, Error> {
    if !path.is_file() {
        return Ok(None);
    }
    let text = fs::read_to_string(path).map_err(Error::io("reading", path))?;
    serde_json::from_str(&text).map(Some).map_err(|error| Error::content(path, error.line(), error.to_string()))
}
