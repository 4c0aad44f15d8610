//! Two-sided tests on all packets, for every property that is known to reveal activity inside tunnels.

use std::collections::BTreeSet;

use serde::Serialize;

use super::blocks::{self, COUPLING_FEATURES, FeatureRows, INTERVAL_FEATURES, PooledIntervals};
use super::condition::Condition;
use super::spectrum;
use crate::lab::stats::{area_under_curve, binomial_two_sided, hypergeometric_two_sided, kolmogorov_smirnov};
use crate::lab::trace::Direction;

/// Numbers of shortest and of longest intervals whose origin is tested.
const EXTREME_COUNTS: [usize; 5] = [8, 32, 128, 512, 2048];
/// A gap is an interval longer than this multiple of the mean.
const GAP_FACTOR: f64 = 4.0;

/// The result of one test.
#[derive(Clone, Debug, Serialize)]
pub struct TestResult {
    /// Name of the test.
    pub name: String,
    /// Direction of the packets; `None` for both.
    #[serde(serialize_with = "direction_name")]
    pub direction: Option<Direction>,
    /// Value of the tested property in each condition.
    pub values: [f64; 2],
    /// Probability of a difference at least this large between equal conditions.
    pub p_value: f64,
    /// `p_value` corrected for the number of tests (S. Holm, 1979).
    pub p_corrected: f64,
}

fn direction_name<S: serde::Serializer>(direction: &Option<Direction>, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(direction.map_or("both", Direction::name))
}

/// Runs all tests. Their p-values are not yet corrected.
pub(super) fn run(a: &Condition, b: &Condition, min_blocks: usize) -> Vec<TestResult> {
    let mut tests = Vec::new();
    sizes(a, b, &mut tests);
    counts(a, b, &mut tests);
    for direction in Direction::ALL {
        intervals(a, b, direction, min_blocks, &mut tests);
    }
    coupling(a, b, min_blocks, &mut tests);
    tests
}

/// Corrects the p-values for their number and sorts them in ascending order.
pub(super) fn correct(tests: &mut [TestResult]) {
    tests.sort_by(|x, y| x.p_value.total_cmp(&y.p_value));
    let count = tests.len();
    let mut max = 0.0f64;
    for (index, test) in tests.iter_mut().enumerate() {
        max = max.max((test.p_value * (count - index) as f64).min(1.0));
        test.p_corrected = max;
    }
}

/// Returns the feature rows of one direction for both conditions, and the length of their blocks in packets.
pub(super) fn interval_rows(
    a: &Condition,
    b: &Condition,
    direction: Direction,
    min_blocks: usize,
) -> (FeatureRows, FeatureRows, usize) {
    let mut all = [a, b].map(|condition| condition.intervals_ms(direction).concat()).concat();
    let pooled = PooledIntervals::of(&mut all);
    let length = blocks::length(a, b, min_blocks, |condition| condition.count(direction));
    let rows = |condition| blocks::intervals(condition, direction, length, &pooled);
    (rows(a), rows(b), length)
}

/// Returns the feature rows of both directions together for both conditions, and the length of their blocks in packets.
pub(super) fn coupling_rows(a: &Condition, b: &Condition, min_blocks: usize) -> (FeatureRows, FeatureRows, usize) {
    let mean_ms = Direction::ALL.map(|direction| {
        let mut all = [a, b].map(|condition| condition.intervals_ms(direction).concat()).concat();
        PooledIntervals::of(&mut all).mean_ms
    });
    let length = blocks::length(a, b, min_blocks, |condition| condition.cells().count());
    let rows = |condition| blocks::coupling(condition, length, mean_ms);
    (rows(a), rows(b), length)
}

fn sizes(a: &Condition, b: &Condition, tests: &mut Vec<TestResult>) {
    for direction in Direction::ALL {
        let own = |condition: &Condition| -> Vec<u32> {
            condition.cells().filter(|cell| cell.direction == direction).map(|cell| cell.bytes).collect()
        };
        let (in_a, in_b) = (own(a), own(b));
        let sizes: BTreeSet<u32> = in_a.iter().chain(&in_b).copied().collect();
        // A single size leaves nothing to compare. With hundreds of sizes, the correction would hide every difference.
        for size in sizes.iter().take(if sizes.len() > 1 { 16 } else { 0 }) {
            let count = |cells: &[u32]| cells.iter().filter(|bytes| *bytes == size).count() as u64;
            let (x, y) = (count(&in_a), count(&in_b));
            let share = in_a.len() as f64 / (in_a.len() + in_b.len()) as f64;
            // Test the rarer of "this size" and "another size".
            let (x_other, y_other) = (in_a.len() as u64 - x, in_b.len() as u64 - y);
            let (first, total) = if x + y <= x_other + y_other { (x, x + y) } else { (x_other, x_other + y_other) };
            tests.push(TestResult {
                name: format!("packets of {size} bytes"),
                direction: Some(direction),
                values: [x as f64 / in_a.len().max(1) as f64, y as f64 / in_b.len().max(1) as f64],
                p_value: binomial_two_sided(first, total, share),
                p_corrected: 1.0,
            });
        }
    }
}

/// Tests strays, handshakes and gaps: counts that should be proportional to time alone.
fn counts(a: &Condition, b: &Condition, tests: &mut Vec<TestResult>) {
    let seconds = [a, b].map(Condition::seconds);
    let mut push = |name: &str, direction, counts: [usize; 2]| {
        let total = counts[0] + counts[1];
        if total == 0 {
            return;
        }
        let share = seconds[0] / (seconds[0] + seconds[1]);
        tests.push(TestResult {
            name: format!("{name}, per hour"),
            direction,
            values: [0, 1].map(|index| counts[index] as f64 * 3_600.0 / seconds[index].max(1e-9)),
            p_value: binomial_two_sided(counts[0] as u64, total as u64, share),
            p_corrected: 1.0,
        });
    };
    push("packets outside the tunnel", None, [a.strays, b.strays]);
    for direction in Direction::ALL {
        let index = direction as usize;
        push("handshakes", Some(direction), [a.handshakes[index], b.handshakes[index]]);
        push("trains that are not whole", Some(direction), [a.short_trains[index], b.short_trains[index]]);
        let intervals = [a, b].map(|condition| condition.intervals_ms(direction).concat());
        let all = intervals.iter().flatten();
        let mean = all.clone().sum::<f64>() / all.count().max(1) as f64;
        let gaps = intervals.map(|own| own.iter().filter(|interval| **interval > GAP_FACTOR * mean).count());
        push("gaps of 4 intervals", Some(direction), gaps);
    }
}

fn intervals(a: &Condition, b: &Condition, direction: Direction, min_blocks: usize, tests: &mut Vec<TestResult>) {
    let stretches = [a, b].map(|condition| condition.intervals_ms(direction));
    let [mut in_a, mut in_b] = [stretches[0].concat(), stretches[1].concat()];
    if in_a.is_empty() || in_b.is_empty() {
        return;
    }
    let (rows_a, rows_b, _) = interval_rows(a, b, direction, min_blocks);
    rank_sums(&INTERVAL_FEATURES, &rows_a, &rows_b, Some(direction), tests);
    if let Some(outcome) = kolmogorov_smirnov(&mut in_a, &mut in_b) {
        tests.push(TestResult {
            name: "distribution of intervals (Kolmogorov-Smirnov distance)".to_owned(),
            direction: Some(direction),
            values: [0.0, outcome.statistic],
            p_value: outcome.p_value,
            p_corrected: 1.0,
        });
    }
    let [mut lengths_a, mut lengths_b] = [a, b].map(|condition| condition.train_lengths_ms[direction as usize].clone());
    if let Some(outcome) = kolmogorov_smirnov(&mut lengths_a, &mut lengths_b) {
        tests.push(TestResult {
            name: "length of trains (Kolmogorov-Smirnov distance)".to_owned(),
            direction: Some(direction),
            values: [0.0, outcome.statistic],
            p_value: outcome.p_value,
            p_corrected: 1.0,
        });
    }
    extremes(&in_a, &in_b, direction, tests);
    if let Some(line) = spectrum::strongest_line(&stretches[0], &stretches[1]) {
        tests.push(TestResult {
            name: format!("spectral line at {:.4} cycles per packet", line.frequency),
            direction: Some(direction),
            values: line.powers,
            p_value: line.p_value,
            p_corrected: 1.0,
        });
    }
}

fn coupling(a: &Condition, b: &Condition, min_blocks: usize, tests: &mut Vec<TestResult>) {
    let both_ways = |condition: &Condition| Direction::ALL.iter().all(|direction| condition.count(*direction) > 0);
    if both_ways(a) && both_ways(b) {
        let (rows_a, rows_b, _) = coupling_rows(a, b, min_blocks);
        rank_sums(&COUPLING_FEATURES, &rows_a, &rows_b, None, tests);
    }
}

/// Runs one rank-sum test for each feature of the rows. The test assumes nothing about the law, only that blocks of
/// equal conditions have equal distributions.
fn rank_sums(
    names: &[&str],
    a: &FeatureRows,
    b: &FeatureRows,
    direction: Option<Direction>,
    tests: &mut Vec<TestResult>,
) {
    for (index, name) in names.iter().enumerate() {
        let column = |rows: &FeatureRows| -> Vec<f64> { rows.0.iter().map(|row| row[index]).collect() };
        let (in_a, in_b) = (column(a), column(b));
        let Some(area) = area_under_curve(&in_a, &in_b) else { continue };
        let mean = |values: &[f64]| values.iter().sum::<f64>() / values.len() as f64;
        tests.push(TestResult {
            name: (*name).to_owned(),
            direction,
            values: [mean(&in_a), mean(&in_b)],
            p_value: area.p_value,
            p_corrected: 1.0,
        });
    }
}

/// Tests from which condition the shortest and the longest of all intervals come. This detects the edges of a bounded
/// law, and single outliers. Both samples are sorted.
fn extremes(a: &[f64], b: &[f64], direction: Direction, tests: &mut Vec<TestResult>) {
    let mut all: Vec<(f64, bool)> = a.iter().map(|&value| (value, true)).chain(b.iter().map(|&v| (v, false))).collect();
    for end in ["shortest", "longest"] {
        all.sort_unstable_by(|x, y| x.0.total_cmp(&y.0));
        if end == "longest" {
            all.reverse();
        }
        for wanted in EXTREME_COUNTS {
            if wanted * 4 > all.len() {
                break;
            }
            // A choice among equal intervals would be arbitrary, so take all of them or none.
            let edge = all[wanted - 1].0;
            let before = all.iter().position(|entry| entry.0 == edge).unwrap_or(0);
            let drawn = if all[wanted].0 != edge { wanted } else { before };
            let marked = all[..drawn].iter().filter(|entry| entry.1).count();
            tests.push(TestResult {
                name: format!("origin of the {wanted} {end} intervals"),
                direction: Some(direction),
                values: [marked as f64, (drawn - marked) as f64],
                p_value: hypergeometric_two_sided(marked as u64, drawn as u64, a.len() as u64, all.len() as u64),
                p_corrected: 1.0,
            });
        }
    }
}
