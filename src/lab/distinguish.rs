//! Measures how well the provider can tell two conditions of the tunnel apart.
//!
//! There are two kinds of measurement. `battery` runs statistical tests on all packets, for every property that is
//! known to reveal activity inside tunnels: they answer whether there is any difference. `attacks` measures how useful
//! a difference is: classifiers train on the earlier half of the time, then guess on the later half from a given number
//! of packets. The area under the curve gives their accuracy, and shuffled labels show the accuracy by chance.

mod attacks;
mod battery;
mod blocks;
mod condition;
mod report;
mod spectrum;
pub mod tunnel;

#[cfg(test)]
mod tests;

pub use attacks::{Attack, AttackScore};
pub use battery::TestResult;
pub use condition::{Condition, Stretch, read_events};
pub use report::{draw, print};

use std::collections::BTreeMap;

use serde::Serialize;

use super::error::Error;
use super::trace::Direction;

/// Minimum number of packets of a condition, both directions together.
const MIN_CELLS: usize = 500;

/// Options of a comparison.
#[derive(Clone, Copy, Debug)]
pub struct DistinguishOptions {
    /// Family-wise significance level: the probability that two equal conditions are called different, over all tests
    /// together; 0..1.
    pub alpha: f64,
    /// Whether to run the random forest, the slowest attack.
    pub forest: bool,
    /// Seed of the forest and of the shuffles.
    pub seed: u64,
    /// Minimum number of blocks in each condition. Statistics use the longest blocks that satisfy it: more blocks give
    /// narrower confidence intervals, longer blocks give finer statistics.
    pub min_blocks: usize,
}

impl Default for DistinguishOptions {
    fn default() -> DistinguishOptions {
        DistinguishOptions { alpha: 0.01, forest: true, seed: 1, min_blocks: 60 }
    }
}

/// The result of a comparison.
#[derive(Clone, Debug, Serialize)]
pub struct DistinguishReport {
    /// Names of the two conditions.
    pub names: [String; 2],
    /// Number of data packets of each condition, `[up, down]`.
    pub packets: [[usize; 2]; 2],
    /// Length of each condition in seconds.
    pub seconds: [f64; 2],
    /// Number of data packets of each length in bytes, for each condition.
    pub sizes: [BTreeMap<u32, usize>; 2],
    /// Number of the home's packets outside the tunnel.
    pub strays: [usize; 2],
    /// Number of WireGuard handshake packets of each condition, `[up, down]`.
    pub handshakes: [[usize; 2]; 2],
    /// Descriptions of properties that no tunnel should show under any condition.
    pub flaws: Vec<String>,
    /// Results of the tests on all packets, in ascending order of p-value.
    pub tests: Vec<TestResult>,
    /// Results of the attacks on parts of the packets.
    pub attacks: Vec<Attack>,
    /// Family-wise significance level.
    pub alpha: f64,
    /// Seed of the forest and of the shuffles.
    pub seed: u64,
    /// Whether any test distinguishes the conditions at that level.
    pub told_apart: bool,
    /// Summary in words.
    pub verdict: String,
}

/// Compares two conditions of one tunnel. Fails if either has too few packets.
pub fn compare(
    names: [&str; 2],
    a: &Condition,
    b: &Condition,
    options: DistinguishOptions,
) -> Result<DistinguishReport, Error> {
    let packets = [a, b].map(|condition| Direction::ALL.map(|direction| condition.count(direction)));
    for (name, counts) in names.iter().zip(packets) {
        let cells = counts[0] + counts[1];
        if cells < MIN_CELLS {
            return Err(Error::Request(format!(
                "distinguishing {}: {name} has only {cells} tunnel packets; capture for longer: at least {MIN_CELLS} \
                 are needed, 20000 are better",
                names.join(" from ")
            )));
        }
    }
    let sizes = [a, b].map(sizes);
    let attacks = attacks::run(a, b, options);
    let mut tests = battery::run(a, b, options.min_blocks);
    tests.extend(attacks.iter().filter_map(attacks::as_test));
    battery::correct(&mut tests);
    let told_apart = tests.iter().any(|test| test.p_corrected < options.alpha);
    let mut report = DistinguishReport {
        names: names.map(str::to_owned),
        packets,
        seconds: [a.seconds(), b.seconds()],
        flaws: flaws(names, [a, b], &sizes),
        sizes,
        strays: [a.strays, b.strays],
        handshakes: [a.handshakes, b.handshakes],
        tests,
        attacks,
        alpha: options.alpha,
        seed: options.seed,
        told_apart,
        verdict: String::new(),
    };
    report.verdict = report::verdict(&report);
    Ok(report)
}

fn sizes(condition: &Condition) -> BTreeMap<u32, usize> {
    let mut sizes = BTreeMap::new();
    for cell in condition.cells() {
        *sizes.entry(cell.bytes).or_default() += 1;
    }
    sizes
}

fn flaws(names: [&str; 2], conditions: [&Condition; 2], sizes: &[BTreeMap<u32, usize>; 2]) -> Vec<String> {
    let mut flaws = Vec::new();
    for ((name, condition), sizes) in names.iter().zip(conditions).zip(sizes) {
        if sizes.len() > 1 {
            let counts: Vec<String> =
                sizes.iter().take(6).map(|(bytes, count)| format!("{count} of {bytes}")).collect();
            let more = if sizes.len() > 6 { ", ..." } else { "" };
            flaws.push(format!("{name}: data packets have {} sizes ({}{more} bytes)", sizes.len(), counts.join(", ")));
        }
        for (direction, class_and_hops) in Direction::ALL.into_iter().zip(&condition.class_and_hops) {
            if class_and_hops.len() > 1 {
                let way = direction.name();
                flaws.push(format!(
                    "{name}: data packets {way} have {} pairs of traffic class and hop limit",
                    class_and_hops.len()
                ));
            }
        }
        if condition.strays > 0 {
            flaws.push(format!("{name}: {} packets of the home outside the tunnel", condition.strays));
        }
    }
    flaws
}
