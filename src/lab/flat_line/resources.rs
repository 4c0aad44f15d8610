//! Flash, memory and processor time that an emulated router uses.

use std::path::Path;

use serde::{Deserialize, Serialize};

use super::run::{self, InstructionCounts};
use super::{AnalysedRun, CheckResult};
use crate::lab::error::Error;

/// Budgets for a router with 16 MB of flash and 64 MB of memory (design section 10).
const MAX_PACKAGE_BYTES: u64 = 600_000;
const MAX_RSS_KB: f64 = 2560.0;
const MAX_ANON_KB: f64 = 1024.0;

/// Resources of the router, each the maximum of all runs.
#[derive(Clone, Debug, Serialize)]
pub struct RouterResources {
    /// Size of the compressed package.
    pub package_bytes: u64,
    /// Size of all files in the package.
    pub installed_bytes: u64,
    /// Resident memory of the daemon in KiB.
    pub rss_kb: f64,
    /// Anonymous part of the resident memory in KiB.
    pub anon_kb: f64,
    /// Share of the emulated processor that the daemon uses. The emulated speed depends on the host, so the share says
    /// nothing about a real router.
    pub cpu_percent: f64,
    /// Instructions of the daemon per cell that it sent or received, counted by the emulator over the windows of all
    /// runs; `None` if the emulator cannot count.
    pub instructions_per_cell: Option<f64>,
    /// Instructions of the whole machine per cell, with kernel, WireGuard and forwarding.
    pub machine_instructions_per_cell: Option<f64>,
}

#[derive(Deserialize)]
struct PackageSizes {
    package_bytes: u64,
    installed_bytes: u64,
}

impl RouterResources {
    /// Reads `package.json` in the folder of the runs, and combines the runs. `None` without that file: then the
    /// router is a network namespace.
    pub fn read(folder: &Path, analysed: &[AnalysedRun]) -> Result<Option<RouterResources>, Error> {
        let path = folder.join("package.json");
        if !path.is_file() {
            return Ok(None);
        }
        let PackageSizes { package_bytes, installed_bytes } = run::json(&path)?;
        let max = |figure: fn(run::ProcessUsage) -> f64| {
            analysed.iter().map(|analysed| figure(analysed.run.router())).fold(0.0, f64::max)
        };
        let counted: Vec<InstructionCounts> =
            analysed.iter().filter_map(|analysed| analysed.run.instructions).collect();
        let cells: u64 = counted.iter().map(|counts| counts.cells).sum();
        let per_cell = |figure: fn(&InstructionCounts) -> u64| {
            (cells > 0).then(|| (counted.iter().map(figure).sum::<u64>() as f64 / cells as f64).round())
        };
        Ok(Some(RouterResources {
            package_bytes,
            installed_bytes,
            rss_kb: max(|process| process.rss_kb),
            anon_kb: max(|process| process.anon_kb),
            cpu_percent: max(|process| process.cpu_percent),
            instructions_per_cell: per_cell(|counts| counts.program),
            machine_instructions_per_cell: per_cell(|counts| counts.machine),
        }))
    }

    /// Compares the figures with the budgets.
    pub(super) fn check(&self, checks: &mut Vec<CheckResult>) {
        let mut check = |passed, what| checks.push(CheckResult::new(passed, "router", what));
        check(
            self.package_bytes <= MAX_PACKAGE_BYTES,
            format!(
                "package of at most {MAX_PACKAGE_BYTES} bytes ({}, {} installed)",
                self.package_bytes, self.installed_bytes
            ),
        );
        check(self.rss_kb <= MAX_RSS_KB, format!("at most {MAX_RSS_KB} KiB resident ({})", self.rss_kb));
        check(self.anon_kb <= MAX_ANON_KB, format!("at most {MAX_ANON_KB} KiB anonymous ({})", self.anon_kb));
    }
}
