//! Mean, spread and exact quantiles of a sample.

use serde::Serialize;

/// A summary of a sample, in the unit of the sample; all zero for an empty one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct Summary {
    /// Number of values.
    pub count: usize,
    /// Arithmetic mean.
    pub mean: f64,
    /// Standard deviation, with n - 1 in the denominator.
    pub sd: f64,
    /// First percentile.
    pub p01: f64,
    /// Median.
    pub p50: f64,
    /// 99th percentile.
    pub p99: f64,
    /// Maximum.
    pub max: f64,
}

impl Summary {
    /// Summarises a sample and sorts it.
    pub fn of(sample: &mut [f64]) -> Summary {
        let count = sample.len();
        if count == 0 {
            return Summary::default();
        }
        sample.sort_unstable_by(f64::total_cmp);
        let mean = sample.iter().sum::<f64>() / count as f64;
        let squares: f64 = sample.iter().map(|value| (value - mean).powi(2)).sum();
        Summary {
            count,
            mean,
            sd: (squares / (count.max(2) - 1) as f64).sqrt(),
            p01: quantile(sample, 0.01),
            p50: quantile(sample, 0.50),
            p99: quantile(sample, 0.99),
            max: sample[count - 1],
        }
    }
}

/// The smallest value of a sorted sample for which at least the share `part` of all values is not larger.
fn quantile(sorted: &[f64], part: f64) -> f64 {
    let rank = (part * sorted.len() as f64).ceil() as usize;
    sorted[rank.clamp(1, sorted.len()) - 1]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn summarises_a_known_sample() {
        let mut sample: Vec<f64> = (1..=200).rev().map(f64::from).collect();
        let summary = Summary::of(&mut sample);
        assert_eq!((summary.p01, summary.p50, summary.p99, summary.max), (2.0, 100.0, 198.0, 200.0));
        assert_eq!(summary.mean, 100.5);
        assert!((summary.sd - 57.879_184).abs() < 1e-5, "{}", summary.sd);
    }

    #[test]
    fn summarises_empty_and_single_value_samples() {
        assert_eq!(Summary::of(&mut []), Summary::default());
        let one = Summary::of(&mut [7.0]);
        assert_eq!((one.mean, one.sd, one.p01, one.p99), (7.0, 0.0, 7.0, 7.0));
    }
}
