//! Attacks: classifiers that train on the earlier half of each condition and guess on the later half.

use rand::rngs::ChaCha8Rng;
use rand::{RngExt, SeedableRng};
use serde::Serialize;

use super::DistinguishOptions;
use super::battery::{TestResult, coupling_rows, interval_rows};
use super::blocks::{COUPLING_FEATURES, FeatureRows, INTERVAL_FEATURES};
use super::condition::Condition;
use crate::lab::learn::{Dataset, ForestParams, RandomForest};
use crate::lab::stats::{Auc, area_under_curve};
use crate::lab::trace::Direction;

/// Numbers of blocks behind one guess.
const BLOCKS_PER_GUESS: [usize; 8] = [1, 4, 16, 40, 80, 160, 400, 1600];
/// Minimum number of guesses about each condition for a useful confidence interval.
const MIN_GUESSES: usize = 10;
/// Number of packets in one window of the forest.
const WINDOW_PACKETS: usize = 32;
/// Maximum number of training windows of each condition.
const MAX_TRAINING_WINDOWS: usize = 6_000;
const FOREST_GROWTH: ForestParams = ForestParams { trees: 40, depth: 10, leaf: 10, draws: 8_000 };

/// An attack and its results.
#[derive(Clone, Debug, Serialize)]
pub struct Attack {
    /// Name of the attack.
    pub name: String,
    /// Results for an increasing number of packets per guess.
    pub points: Vec<AttackScore>,
}

/// The result of an attack with a given number of packets per guess.
#[derive(Clone, Debug, Serialize)]
pub struct AttackScore {
    /// Number of packets behind one guess.
    pub packets_per_guess: usize,
    /// Number of guesses about each condition.
    pub guesses: [usize; 2],
    /// Number of packets behind all guesses.
    pub packets: usize,
    /// Area under the curve of the guesses.
    pub area: Auc,
    /// Area under the curve with shuffled labels: the result by chance.
    pub shuffled: Auc,
}

/// Runs every attack for which there are enough packets.
pub(super) fn run(a: &Condition, b: &Condition, options: DistinguishOptions) -> Vec<Attack> {
    let mut rng = ChaCha8Rng::seed_from_u64(options.seed);
    let mut attacks = Vec::new();
    for direction in Direction::ALL {
        let (rows_a, rows_b, length) = interval_rows(a, b, direction, options.min_blocks);
        let what = format!("intervals, {}", direction.name());
        attacks.extend(best_statistic(&what, &INTERVAL_FEATURES, [&rows_a, &rows_b], length, &mut rng));
    }
    let (rows_a, rows_b, length) = coupling_rows(a, b, options.min_blocks);
    attacks.extend(best_statistic("coupling", &COUPLING_FEATURES, [&rows_a, &rows_b], length, &mut rng));
    if options.forest {
        attacks.extend(forest(a, b, options.seed, &mut rng));
    }
    attacks
}

/// Returns an attack as a test: do the guesses from the fewest packets, which are the most numerous, differ from
/// chance?
pub(super) fn as_test(attack: &Attack) -> Option<TestResult> {
    let point = attack.points.first()?;
    Some(TestResult {
        name: format!("guesses, {}", attack.name),
        direction: None,
        values: [0.5, point.area.auc],
        p_value: point.area.p_value,
        p_corrected: 1.0,
    })
}

/// Chooses the feature, and its sign, that best separates the earlier halves, and guesses with it on the later halves.
/// The choice uses nothing of the later halves.
fn best_statistic(
    what: &str,
    names: &[&str],
    rows: [&FeatureRows; 2],
    length: usize,
    rng: &mut ChaCha8Rng,
) -> Option<Attack> {
    let [early, late] = halves(rows)?;
    let column = |rows: &[Vec<f64>], index: usize| rows.iter().map(|row| row[index]).collect::<Vec<f64>>();
    let area = |index: usize| area_under_curve(&column(early[0], index), &column(early[1], index));
    let areas: Vec<f64> = (0..names.len()).filter_map(area).map(|area| area.auc).collect();
    let best = (0..areas.len()).max_by(|&x, &y| (areas[x] - 0.5).abs().total_cmp(&(areas[y] - 0.5).abs()))?;
    let sign = if areas[best] < 0.5 { -1.0 } else { 1.0 };
    let scores = late.map(|rows| column(rows, best).into_iter().map(|value| sign * value).collect::<Vec<f64>>());
    let points = points(&scores, length, rng);
    (!points.is_empty()).then(|| Attack { name: format!("best statistic of {what}: {}", names[best]), points })
}

fn halves(rows: [&FeatureRows; 2]) -> Option<[[&[Vec<f64>]; 2]; 2]> {
    let [(early_a, late_a), (early_b, late_b)] = rows.map(|rows| rows.0.split_at(rows.0.len() / 2));
    (!early_a.is_empty() && !early_b.is_empty()).then_some([[early_a, early_b], [late_a, late_b]])
}

/// Trains a random forest on windows of (interval, size, direction).
fn forest(a: &Condition, b: &Condition, seed: u64, rng: &mut ChaCha8Rng) -> Option<Attack> {
    let mean_ms = mean_interval_ms(a, b);
    let windows = [a, b].map(|condition| windows(condition, mean_ms));
    let middles = [windows[0].len() / 2, windows[1].len() / 2];
    if middles.iter().any(|middle| *middle < MIN_GUESSES) {
        return None;
    }
    let mut table = Dataset { classes: vec!["first".to_owned(), "second".to_owned()], ..Dataset::default() };
    for (label, (windows, middle)) in windows.iter().zip(middles).enumerate() {
        let step = middle.div_ceil(MAX_TRAINING_WINDOWS).max(1);
        for (index, row) in windows[..middle].iter().enumerate().step_by(step) {
            table.push(row.clone(), label, index);
        }
    }
    let grown = RandomForest::train(&table, FOREST_GROWTH, seed);
    let scores = [0, 1].map(|index| {
        windows[index][middles[index]..].iter().map(|row| f64::from(grown.vote_shares(row)[1])).collect::<Vec<f64>>()
    });
    let points = points(&scores, WINDOW_PACKETS, rng);
    (!points.is_empty()).then(|| Attack { name: "random forest over interval, size, direction".to_owned(), points })
}

fn mean_interval_ms(a: &Condition, b: &Condition) -> f64 {
    let cells = a.cells().count() + b.cells().count();
    (a.seconds() + b.seconds()) * 1e3 / cells.max(1) as f64
}

/// Returns one row of features for each window: of each packet the interval from the previous packet, the interval from
/// the previous packet of its direction, its direction and its size; then a summary of each direction's intervals.
fn windows(condition: &Condition, mean_ms: f64) -> Vec<Vec<f32>> {
    let mut rows = Vec::new();
    for stretch in &condition.stretches {
        let mut last_own = [None; 2];
        let mut last = None;
        for window in stretch.cells.chunks_exact(WINDOW_PACKETS) {
            let mut row = Vec::with_capacity(4 * WINDOW_PACKETS + 12);
            let mut own: [Vec<f64>; 2] = Default::default();
            for cell in window {
                let since = |earlier: Option<u64>| {
                    earlier.map_or(1.0, |earlier| (cell.time_ns - earlier) as f64 / 1e6 / mean_ms)
                };
                let index = cell.direction as usize;
                let interval = since(last_own[index]);
                own[index].push(interval);
                row.extend([since(last) as f32, interval as f32, index as f32, cell.bytes as f32]);
                last_own[index] = Some(cell.time_ns);
                last = Some(cell.time_ns);
            }
            for intervals in &mut own {
                row.extend(summary(intervals));
            }
            rows.push(row);
        }
    }
    rows
}

fn summary(intervals: &mut [f64]) -> [f32; 6] {
    let count = intervals.len().max(1) as f64;
    let mean = intervals.iter().sum::<f64>() / count;
    let variance = intervals.iter().map(|value| (value - mean).powi(2)).sum::<f64>() / count;
    let lag = intervals.windows(2).map(|pair| (pair[0] - mean) * (pair[1] - mean)).sum::<f64>() / count;
    let min = intervals.iter().copied().fold(f64::MAX, f64::min);
    let max = intervals.iter().copied().fold(f64::MIN, f64::max);
    [intervals.len() as f64, mean, variance.sqrt(), lag, min, max].map(|value| value as f32)
}

/// Scores guesses from an increasing number of blocks, until fewer than [`MIN_GUESSES`] guesses are left.
fn points(scores: &[Vec<f64>; 2], length: usize, rng: &mut ChaCha8Rng) -> Vec<AttackScore> {
    let mut points = Vec::new();
    for together in BLOCKS_PER_GUESS {
        let means = [0, 1].map(|index| {
            let groups = scores[index].chunks_exact(together);
            groups.map(|group| group.iter().sum::<f64>() / together as f64).collect::<Vec<f64>>()
        });
        let guesses = [means[0].len(), means[1].len()];
        if guesses.iter().any(|count| *count < MIN_GUESSES) {
            break;
        }
        let mut mixed = means.concat();
        for last in (1..mixed.len()).rev() {
            mixed.swap(last, rng.random_range(0..=last));
        }
        let (first, second) = mixed.split_at(guesses[0]);
        let (Some(area), Some(shuffled)) = (area_under_curve(&means[0], &means[1]), area_under_curve(first, second))
        else {
            break;
        };
        let packets_per_guess = together * length;
        let packets = packets_per_guess * (guesses[0] + guesses[1]);
        points.push(AttackScore { packets_per_guess, guesses, packets, area, shuffled });
    }
    points
}
