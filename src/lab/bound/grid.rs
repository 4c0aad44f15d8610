//! The points that stand for all latenesses of two conditions.

use super::filter::LatenessChain;

/// Rounds of S. Lloyd's method (*Least squares quantization in PCM*, 1982).
const ROUNDS: usize = 40;

/// Points, ascending, that represent the latenesses of both conditions with the least squared error: only variances and
/// covariances of a lateness can be seen from outside. Unit: mean intervals.
pub(super) struct LatenessGrid {
    pub points: Vec<f64>,
}

impl LatenessGrid {
    /// At most `count` points for two samples.
    pub fn new(samples: [&[f64]; 2], count: usize) -> LatenessGrid {
        let mut all: Vec<f64> = samples.concat();
        all.sort_unstable_by(f64::total_cmp);
        let mut sums = vec![0.0];
        all.iter().for_each(|value| sums.push(sums[sums.len() - 1] + value));
        // Half of the points at equal shares of the sample, half at equal distances, so that tails have points, too.
        let (least, most) = (all[0], all[all.len() - 1]);
        let half = count / 2;
        let mut points: Vec<f64> = (0..half).map(|index| all[(2 * index + 1) * all.len() / (2 * half)]).collect();
        points.extend((0..count - half).map(|index| least + (most - least) * index as f64 / (count - half - 1) as f64));
        points.sort_unstable_by(f64::total_cmp);
        points.dedup();
        for _ in 0..ROUNDS {
            let edges: Vec<usize> =
                middles(&points).map(|middle| all.partition_point(|value| *value < middle)).collect();
            let starts = std::iter::once(0).chain(edges.iter().copied());
            let ends = edges.iter().copied().chain([all.len()]);
            let cells = starts.zip(ends).filter(|(start, end)| start < end);
            points = cells.map(|(start, end)| (sums[end] - sums[start]) / (end - start) as f64).collect();
        }
        LatenessGrid { points }
    }

    /// The distribution of a sample on the grid, with the correlation of successive values.
    pub fn condition(&self, values: &[f64]) -> LatenessChain {
        let middles: Vec<f64> = middles(&self.points).collect();
        let mut weights = vec![0.0; self.points.len()];
        for value in values {
            weights[middles.partition_point(|middle| middle <= value)] += 1.0 / values.len() as f64;
        }
        LatenessChain::new(&self.points, weights, correlation(values))
    }
}

/// The correlation of successive values; 0 if they do not vary.
pub(super) fn correlation(values: &[f64]) -> f64 {
    let mean = values.iter().sum::<f64>() / values.len() as f64;
    let squares: f64 = values.iter().map(|value| (value - mean).powi(2)).sum();
    let products: f64 = values.windows(2).map(|pair| (pair[0] - mean) * (pair[1] - mean)).sum();
    if squares > 0.0 { products / squares } else { 0.0 }
}

fn middles(points: &[f64]) -> impl Iterator<Item = f64> {
    points.windows(2).map(|pair| (pair[0] + pair[1]) / 2.0)
}
