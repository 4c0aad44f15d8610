//! `millpond-lab bound`: what could the best possible test learn from the lateness of departures?

use std::path::PathBuf;
use std::process::ExitCode;

use argh::FromArgs;

use crate::lab::bound::{self, BoundOptions, LatenessRecord};
use crate::lab::error::Error;

/// Allowed number of simulated packets.
const PACKETS: std::ops::RangeInclusive<usize> = 1_000..=10_000_000;

/// Computes how many packets the best possible test needs to tell two conditions apart, from records of the lateness of
/// departures that `millpond lateness` wrote under each.
#[derive(FromArgs)]
#[argh(subcommand, name = "bound")]
pub(super) struct BoundCommand {
    /// two records of lateness
    #[argh(positional)]
    records: Vec<PathBuf>,
    /// simulated packets behind each divergence, 1000..=10000000 (default: 50000)
    #[argh(option, default = "BoundOptions::default().packets")]
    packets: usize,
    /// print JSON
    #[argh(switch)]
    json: bool,
    /// seed of the simulation (default: 1)
    #[argh(option, default = "1")]
    seed: u64,
}

impl BoundCommand {
    pub(super) fn run(self) -> Result<ExitCode, Error> {
        let [first, second] = self.records.as_slice() else {
            return Err(Error::Request(format!("bound: give two records, got {}; see --help", self.records.len())));
        };
        if !PACKETS.contains(&self.packets) {
            let problem = format!("bound: --packets: want 1000..=10000000, got {}", self.packets);
            return Err(Error::Request(problem));
        }
        let (a, b) = (LatenessRecord::read(first)?, LatenessRecord::read(second)?);
        let names = [first, second].map(|path| path.display().to_string());
        let options = BoundOptions { packets: self.packets, seed: self.seed };
        let report = bound::bound([&names[0], &names[1]], [&a, &b], options)?;
        if self.json {
            println!("{}", serde_json::to_string_pretty(&report).unwrap_or_default());
        } else {
            bound::print(&report);
        }
        Ok(ExitCode::SUCCESS)
    }
}
