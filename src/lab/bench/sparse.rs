//! Compares the delay of a sparse stream in the laboratory with the minimum that the law allows.

use std::path::Path;

use serde::Serialize;

use crate::lab::error::Error;
use crate::lab::flat_line::{Recording, ShapedRun};
use crate::lab::stats::Summary;
use crate::lab::trace::Direction;

const PER_SECOND: [u32; 2] = [5, 20];
const CONCURRENT: [&str; 2] = ["nothing", "tcp"];
const UNSHAPED: &str = "20-unshaped";

/// One upload stream of 100-byte packets.
#[derive(Clone, Debug, Serialize)]
pub struct SparseRow {
    /// Packets per second.
    pub per_second: u32,
    /// Concurrent traffic: `nothing` or `tcp`.
    pub beside: &'static str,
    /// Mean delay.
    pub mean_ms: f64,
    /// Mean delay divided by the law's mean residual interval `E[X²] / 2E[X]`, the mean wait of a packet that arrives
    /// at a random moment.
    pub ratio_mean: f64,
    /// The same after subtracting the laboratory's own delay, which is the stream's mean delay through an unshaped
    /// tunnel. `None` if that delay was not measured.
    pub ratio_above_path: Option<f64>,
    /// 99th percentile of the delay.
    pub p99_ms: f64,
    /// Number of lost packets.
    pub lost: usize,
}

/// Reads the runs of scenario `sparse` in `folder` and skips absent runs.
pub fn sparse(folder: &Path) -> Result<Vec<SparseRow>, Error> {
    let unshaped = folder.join(UNSHAPED);
    let path_ms = match unshaped.join("run.json").is_file() {
        true => Some(upload_delay(&Recording::read(&unshaped)?).0.mean),
        false => None,
    };
    let mut rows = Vec::new();
    for per_second in PER_SECOND {
        for beside in CONCURRENT {
            let path = folder.join(format!("{per_second}-{beside}"));
            if path.join("run.json").is_file() {
                rows.push(row(&ShapedRun::read(&path)?, per_second, beside, path_ms));
            }
        }
    }
    Ok(rows)
}

fn row(run: &ShapedRun, per_second: u32, beside: &'static str, path_ms: Option<f64>) -> SparseRow {
    let settings = &run.recording.settings;
    let (delay, lost) = upload_delay(&run.recording);
    let mean_interval_ms = settings.wire_bytes as f64 * 8e3 / settings.upload_bps;
    let residual_ms = mean_interval_ms * (1.0 + run.spread().powi(2)) / 2.0;
    SparseRow {
        per_second,
        beside,
        mean_ms: delay.mean,
        ratio_mean: delay.mean / residual_ms,
        ratio_above_path: path_ms.map(|path_ms| (delay.mean - path_ms) / residual_ms),
        p99_ms: delay.p99,
        lost,
    }
}

/// Returns the delay of the upload packets and the number of lost ones.
fn upload_delay(recording: &Recording) -> (Summary, usize) {
    let sent = || recording.packets.iter().filter(|packet| packet.direction == Direction::Up);
    let mut delays: Vec<f64> = sent().filter_map(|packet| packet.delay_ms()).collect();
    let lost = sent().count() - delays.len();
    (Summary::of(&mut delays), lost)
}
