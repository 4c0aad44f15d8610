//! The laws' distributions, by numbers.

use super::{BINS, has_density};
use crate::law::Law;

/// Steps of the integral of the density, up to [`LONGEST`] mean intervals: beyond that lies less than 1e-9.
const STEPS: usize = 4_096;
const LONGEST: f64 = 4.0;

/// The bounds between bins of equal probability, in mean intervals.
pub(super) struct Quantiles([f64; BINS - 1]);

impl Quantiles {
    /// `None` for a law without a density.
    pub fn new(law: Law, spread_percent: u8) -> Option<Quantiles> {
        if !has_density(law) {
            return None;
        }
        let spread = f64::from(spread_percent.max(1)) / 100.0;
        let total: f64 = (0..STEPS).map(|step| density(law, spread, middle(step))).sum();
        let mut bounds = [0.0; BINS - 1];
        let (mut sum, mut step) = (0.0, 0);
        for (index, bound) in bounds.iter_mut().enumerate() {
            let wanted = total * (index + 1) as f64 / BINS as f64;
            let mut here = density(law, spread, middle(step));
            while sum + here < wanted && step + 1 < STEPS {
                sum += here;
                step += 1;
                here = density(law, spread, middle(step));
            }
            *bound = (step as f64 + (wanted - sum) / here.max(f64::MIN_POSITIVE)) * LONGEST / STEPS as f64;
        }
        Some(Quantiles(bounds))
    }

    /// The bin of an interval, in mean intervals.
    pub fn bin(&self, interval: f64) -> usize {
        self.0.partition_point(|bound| *bound <= interval)
    }
}

fn middle(step: usize) -> f64 {
    (step as f64 + 0.5) * LONGEST / STEPS as f64
}

/// Up to a factor. The logarithm first: powers of a narrow gamma's shape overflow.
fn density(law: Law, spread: f64, x: f64) -> f64 {
    let shape = 1.0 / (spread * spread);
    match law {
        Law::Gamma => ((shape - 1.0) * x.ln() - shape * (x - 1.0)).exp(),
        Law::Normal => (-0.5 * ((x - 1.0) / spread).powi(2)).exp(),
        Law::Constant | Law::Kernel => 0.0,
    }
}

/// Probability of a chi-squared variable above `statistic`: E. B. Wilson, M. M. Hilferty, *The distribution of
/// chi-square* (1931), which is within a few percent of it for this many degrees of freedom.
pub(super) fn chi_squared_tail(statistic: f64, degrees: f64) -> f64 {
    let width = 2.0 / (9.0 * degrees);
    normal_tail(((statistic / degrees).cbrt() - (1.0 - width)) / width.sqrt())
}

/// Probability of a standard normal variable above `z`: M. Abramowitz, I. A. Stegun, *Handbook of mathematical functions*
/// (1964), 7.1.26, and its asymptotic form where that is too coarse.
fn normal_tail(z: f64) -> f64 {
    if z < 0.0 {
        return 1.0 - normal_tail(-z);
    }
    if z > 4.0 {
        return (-0.5 * z * z).exp() / (z * (2.0 * std::f64::consts::PI).sqrt()) * (1.0 - 1.0 / (z * z));
    }
    let x = z / std::f64::consts::SQRT_2;
    let t = 1.0 / (1.0 + 0.327_591_1 * x);
    let polynomial =
        t * (0.254_829_592 + t * (-0.284_496_736 + t * (1.421_413_741 + t * (-1.453_152_027 + t * 1.061_405_429))));
    0.5 * polynomial * (-x * x).exp()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tails_are_those_of_the_tables() {
        // Critical values of chi-squared with 49 degrees of freedom.
        for (statistic, p) in [(66.339, 0.05), (74.919, 0.01), (85.351, 0.001), (94.8, 0.0001)] {
            let found = chi_squared_tail(statistic, 49.0);
            assert!((found / p - 1.0).abs() < 0.06, "{statistic}: {found} instead of {p}");
        }
        assert!((normal_tail(0.0) - 0.5).abs() < 1e-6 && (normal_tail(1.96) - 0.025).abs() < 1e-5);
        assert!(normal_tail(40.0) < 1e-300 && normal_tail(-40.0) == 1.0);
    }
}
