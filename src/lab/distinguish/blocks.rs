//! Reduces blocks of consecutive packets to features that may reveal activity inside the tunnel.

use std::f64::consts::TAU;

use super::condition::Condition;
use crate::lab::trace::Direction;

/// Names of the features of a block of one direction.
pub(super) const INTERVAL_FEATURES: [&str; 22] = [
    "mean",
    "variance",
    "mean of logarithms",
    "entropy",
    "below 0.1 % quantile",
    "below 1 % quantile",
    "below 10 % quantile",
    "above 90 % quantile",
    "above 99 % quantile",
    "above 99.9 % quantile",
    "shortest",
    "longest",
    "autocorrelation, lag 1",
    "autocorrelation, lag 2",
    "autocorrelation, lags 3 to 8",
    "autocorrelation, lags 9 to 32",
    "variance of sums of 8",
    "skewness",
    "phase within 1 ms",
    "phase within 4 ms",
    "phase within 10 ms",
    "phase within 1 s",
];
/// Names of the features of a block of both directions.
pub(super) const COUPLING_FEATURES: [&str; 6] = [
    "up soon after down (2 %)",
    "up soon after down (10 %)",
    "down soon after up (2 %)",
    "down soon after up (10 %)",
    "counts of up and down, correlation",
    "changes of direction",
];
/// Lengths of blocks in packets. The longest one that gives enough blocks is used.
const BLOCK_LENGTHS: [usize; 4] = [256, 128, 64, 32];
const PERIODS_NS: [u64; 4] = [1_000_000, 4_000_000, 10_000_000, 1_000_000_000];
const ENTROPY_BINS: usize = 16;
const COUNT_WINDOWS: usize = 16;

/// One row of features for each block of a condition, in order of time.
#[derive(Clone, Debug, Default)]
pub(super) struct FeatureRows(pub(super) Vec<Vec<f64>>);

/// Statistics of both conditions together, which reveal nothing about either.
pub(super) struct PooledIntervals {
    /// Mean interval in milliseconds.
    pub(super) mean_ms: f64,
    quantiles: [f64; 6],
    bins: Vec<f64>,
}

impl PooledIntervals {
    /// Computes the statistics of the intervals of both conditions, and sorts the intervals.
    pub(super) fn of(intervals_ms: &mut [f64]) -> PooledIntervals {
        intervals_ms.sort_unstable_by(f64::total_cmp);
        let at = |part: f64| {
            let last = intervals_ms.len().saturating_sub(1) as f64;
            intervals_ms.get((part * last).round() as usize).copied().unwrap_or(0.0)
        };
        PooledIntervals {
            mean_ms: intervals_ms.iter().sum::<f64>() / intervals_ms.len().max(1) as f64,
            quantiles: [0.001, 0.01, 0.1, 0.9, 0.99, 0.999].map(at),
            bins: (1..ENTROPY_BINS).map(|bin| at(bin as f64 / ENTROPY_BINS as f64)).collect(),
        }
    }
}

/// Returns the longest length of which both conditions have at least `min_blocks` blocks, or else the shortest length.
pub(super) fn length(a: &Condition, b: &Condition, min_blocks: usize, count: impl Fn(&Condition) -> usize) -> usize {
    let fewest = count(a).min(count(b));
    BLOCK_LENGTHS
        .into_iter()
        .find(|length| fewest / length >= min_blocks)
        .unwrap_or(BLOCK_LENGTHS[BLOCK_LENGTHS.len() - 1])
}

/// Returns the feature rows of blocks of `length` intervals of one direction.
pub(super) fn intervals(
    condition: &Condition,
    direction: Direction,
    length: usize,
    pooled: &PooledIntervals,
) -> FeatureRows {
    let mut rows = FeatureRows::default();
    for stretch in &condition.stretches {
        let times: Vec<u64> = stretch.cells.iter().filter(|c| c.direction == direction).map(|c| c.time_ns).collect();
        let mut start = 0;
        while start + length < times.len() {
            rows.0.push(interval_row(&times[start..=start + length], pooled));
            start += length;
        }
    }
    rows
}

/// Returns the feature rows of blocks of `length` packets of both directions.
pub(super) fn coupling(condition: &Condition, length: usize, mean_ms: [f64; 2]) -> FeatureRows {
    let mut rows = FeatureRows::default();
    for stretch in &condition.stretches {
        for block in stretch.cells.chunks_exact(length) {
            let cells: Vec<(u64, Direction)> = block.iter().map(|cell| (cell.time_ns, cell.direction)).collect();
            rows.0.push(coupling_row(&cells, mean_ms));
        }
    }
    rows
}

fn interval_row(times: &[u64], pooled: &PooledIntervals) -> Vec<f64> {
    let x: Vec<f64> = times.windows(2).map(|pair| (pair[1] - pair[0]) as f64 / 1e6).collect();
    let count = x.len() as f64;
    let mean = x.iter().sum::<f64>() / count;
    let centred: Vec<f64> = x.iter().map(|value| value - mean).collect();
    let moment = |power: i32| centred.iter().map(|value| value.powi(power)).sum::<f64>() / count;
    let variance = moment(2);
    let share = |passes: &dyn Fn(f64) -> bool| x.iter().filter(|value| passes(**value)).count() as f64 / count;
    let [q001, q01, q10, q90, q99, q999] = pooled.quantiles;
    let lag = |lag: usize| {
        let products: f64 = centred.iter().zip(&centred[lag..]).map(|(a, b)| a * b).sum();
        if variance > 0.0 { products / count / variance } else { 0.0 }
    };
    let lags = |from: usize, to: usize| (from..=to.min(x.len() - 1)).map(lag).sum::<f64>();
    let sums: Vec<f64> = centred.chunks_exact(8).map(|group| group.iter().sum::<f64>().powi(2)).collect();
    let logs = x.iter().map(|value| (value / pooled.mean_ms).max(1e-9).ln()).sum::<f64>() / count;
    let mut row = vec![
        mean,
        variance,
        logs,
        entropy(&x, &pooled.bins),
        share(&|value| value < q001),
        share(&|value| value < q01),
        share(&|value| value < q10),
        share(&|value| value > q90),
        share(&|value| value > q99),
        share(&|value| value > q999),
        x.iter().copied().fold(f64::MAX, f64::min),
        x.iter().copied().fold(f64::MIN, f64::max),
        lag(1),
        lag(2),
        lags(3, 8),
        lags(9, 32),
        sums.iter().sum::<f64>() / sums.len().max(1) as f64,
        if variance > 0.0 { moment(3) / variance.powf(1.5) } else { 0.0 },
    ];
    row.extend(PERIODS_NS.map(|period| concentration(times, period)));
    row
}

/// Returns the entropy over bins that hold equal shares of all intervals.
fn entropy(x: &[f64], bins: &[f64]) -> f64 {
    let mut counts = vec![0usize; bins.len() + 1];
    for value in x {
        counts[bins.partition_point(|bin| bin < value)] += 1;
    }
    let part = |count: usize| count as f64 / x.len() as f64;
    counts.into_iter().filter(|count| *count > 0).map(|count| -part(count) * part(count).ln()).sum()
}

/// Returns how strongly the times concentrate at one phase of a period, 0..=1: the mean resultant length.
fn concentration(times: &[u64], period_ns: u64) -> f64 {
    let (mut east, mut north) = (0.0, 0.0);
    for time in times {
        let (sine, cosine) = ((time % period_ns) as f64 / period_ns as f64 * TAU).sin_cos();
        east += cosine;
        north += sine;
    }
    east.hypot(north) / times.len() as f64
}

fn coupling_row(cells: &[(u64, Direction)], mean_ms: [f64; 2]) -> Vec<f64> {
    let soon = |direction: Direction, part: f64| {
        let within_ns = (part * 1e6 * mean_ms[1 - direction as usize]) as u64;
        let pairs = cells.windows(2).filter(|pair| pair[1].1 == direction && pair[0].1 != direction);
        let own = cells.iter().filter(|cell| cell.1 == direction).count().max(1);
        pairs.filter(|pair| pair[1].0 - pair[0].0 < within_ns).count() as f64 / own as f64
    };
    let changes = cells.windows(2).filter(|pair| pair[0].1 != pair[1].1).count();
    vec![
        soon(Direction::Up, 0.02),
        soon(Direction::Up, 0.1),
        soon(Direction::Down, 0.02),
        soon(Direction::Down, 0.1),
        count_correlation(cells),
        changes as f64 / cells.len() as f64,
    ]
}

fn count_correlation(cells: &[(u64, Direction)]) -> f64 {
    let (first, last) = (cells[0].0, cells[cells.len() - 1].0);
    let width = ((last - first) / COUNT_WINDOWS as u64 + 1).max(1);
    let mut counts = [[0.0f64; COUNT_WINDOWS]; 2];
    for (time, direction) in cells {
        counts[*direction as usize][((time - first) / width) as usize] += 1.0;
    }
    let centred = counts.map(|counts| {
        let mean = counts.iter().sum::<f64>() / COUNT_WINDOWS as f64;
        counts.map(|count| count - mean)
    });
    let product = |a: usize, b: usize| centred[a].iter().zip(&centred[b]).map(|(x, y)| x * y).sum::<f64>();
    let scale = (product(0, 0) * product(1, 1)).sqrt();
    if scale > 0.0 { product(0, 1) / scale } else { 0.0 }
}
