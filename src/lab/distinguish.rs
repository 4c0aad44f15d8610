//! How well can the tunnel under two conditions be told apart by what the provider sees?
//!
//! Two answers. `battery` tests everything that is known to give tunnels away on all packets at once: the sharpest
//! question, "is there any difference?". `attacks` asks what a difference is worth: methods learn on the earlier half of
//! the time and guess on the later one, from so many packets at a time; the area under the curve says how often they are
//! right, and shuffled labels show what chance gives.

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

/// Fewer packets of a condition than this, either way, say nothing.
const MIN_CELLS: usize = 500;

/// How to compare.
#[derive(Clone, Copy, Debug)]
pub struct DistinguishOptions {
    /// Probability of calling two equal conditions different, over all tests together; 0..1.
    pub alpha: f64,
    /// Whether to grow the random forest, the slowest part.
    pub forest: bool,
    /// Seed of the forest and of the shuffles.
    pub seed: u64,
    /// Statistics are taken from the longest blocks of which each condition has so many: more of them give narrower
    /// intervals, longer ones finer statistics.
    pub min_blocks: usize,
}

impl Default for DistinguishOptions {
    fn default() -> DistinguishOptions {
        DistinguishOptions { alpha: 0.01, forest: true, seed: 1, min_blocks: 60 }
    }
}

/// What was found.
#[derive(Clone, Debug, Serialize)]
pub struct DistinguishReport {
    /// What was compared.
    pub names: [String; 2],
    /// Data packets of each, `[up, down]`.
    pub packets: [[usize; 2]; 2],
    /// Lengths in seconds.
    pub seconds: [f64; 2],
    /// How many data packets there were of each length in bytes.
    pub sizes: [BTreeMap<u32, usize>; 2],
    /// Packets of the home beside the tunnel.
    pub strays: [usize; 2],
    /// WireGuard handshakes, `[up, down]`.
    pub handshakes: [[usize; 2]; 2],
    /// What no tunnel should show under any condition, in words.
    pub flaws: Vec<String>,
    /// Tests on all packets, the smallest p-value first.
    pub tests: Vec<TestResult>,
    /// Guesses from parts of the packets.
    pub attacks: Vec<Attack>,
    /// Probability of calling two equal conditions different.
    pub alpha: f64,
    /// Seed of forest and shuffles.
    pub seed: u64,
    /// Whether any test tells the conditions apart at that level.
    pub told_apart: bool,
    /// All of it in one sentence.
    pub verdict: String,
}

/// Compares two conditions of one tunnel.
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
                "distinguishing {}: {name} has {cells} tunnel packets, which say nothing; at least {MIN_CELLS} are \
                 needed, 20000 are better: capture for longer",
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
            flaws.push(format!("{name}: data packets of {} sizes ({}{more} bytes)", sizes.len(), counts.join(", ")));
        }
        for (direction, class_and_hops) in Direction::ALL.into_iter().zip(&condition.class_and_hops) {
            if class_and_hops.len() > 1 {
                let way = direction.name();
                flaws.push(format!(
                    "{name}: data packets {way} of {} traffic classes or hop limits",
                    class_and_hops.len()
                ));
            }
        }
        if condition.strays > 0 {
            flaws.push(format!("{name}: {} packets of the home beside the tunnel", condition.strays));
        }
    }
    flaws
}
