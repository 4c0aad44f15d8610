//! Delay of a sparse stream in the laboratory, against the least that the law allows.

use std::path::Path;

use serde::Serialize;

use crate::lab::error::Error;
use crate::lab::flat_line::Run;
use crate::lab::stats::Summary;
use crate::lab::trace::Direction;

const PER_SECOND: [u32; 2] = [5, 20];
const BESIDE: [&str; 2] = ["nothing", "tcp"];

/// One stream of 100-byte packets going up.
#[derive(Clone, Debug, Serialize)]
pub struct SparseRow {
    /// Packets a second.
    pub per_second: u32,
    /// `nothing` or `tcp`.
    pub beside: &'static str,
    /// Mean delay over the law's mean residual interval `E[X²] / 2E[X]`: what a packet waits that comes at any moment.
    pub ratio_mean: f64,
    /// 99th percentile of the delay.
    pub p99_ms: f64,
    /// Packets that never arrived.
    pub lost: usize,
}

/// Reads the runs of scenario `sparse` in `folder`; those that are absent are left out.
pub fn sparse(folder: &Path) -> Result<Vec<SparseRow>, Error> {
    let mut rows = Vec::new();
    for per_second in PER_SECOND {
        for beside in BESIDE {
            let path = folder.join(format!("{per_second}-{beside}"));
            if path.join("run.json").is_file() {
                rows.push(row(&Run::read(&path)?, per_second, beside));
            }
        }
    }
    Ok(rows)
}

fn row(run: &Run, per_second: u32, beside: &'static str) -> SparseRow {
    let settings = &run.recording.settings;
    let up = || run.recording.packets.iter().filter(|packet| packet.direction == Direction::Up);
    let mut delays: Vec<f64> = up().filter_map(|packet| packet.delay_ms()).collect();
    let lost = up().count() - delays.len();
    let delay = Summary::of(&mut delays);
    let mean_interval_ms = settings.wire_bytes as f64 * 8e3 / settings.upload_bps;
    let residual_ms = mean_interval_ms * (1.0 + run.spread().powi(2)) / 2.0;
    SparseRow { per_second, beside, ratio_mean: delay.mean / residual_ms, p99_ms: delay.p99, lost }
}
