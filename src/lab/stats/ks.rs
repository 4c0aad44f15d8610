//! The two-sample Kolmogorov-Smirnov test.

use serde::Serialize;

/// Result of the test.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct KolmogorovSmirnov {
    /// Largest distance between the two empirical distributions, 0..=1.
    pub statistic: f64,
    /// Probability of a distance at least as large if both samples come from the same continuous distribution.
    pub p_value: f64,
}

/// Compares two samples and sorts both; `None` if one is empty.
///
/// The p-value is Kolmogorov's asymptotic one with M. A. Stephens' correction for finite samples (1970),
/// lambda = (sqrt(n) + 0.12 + 0.11 / sqrt(n)) D with n = ab / (a + b), accurate from n = 4 on. With ties the test is
/// conservative: it reports a difference less often.
pub fn kolmogorov_smirnov(a: &mut [f64], b: &mut [f64]) -> Option<KolmogorovSmirnov> {
    if a.is_empty() || b.is_empty() {
        return None;
    }
    a.sort_unstable_by(f64::total_cmp);
    b.sort_unstable_by(f64::total_cmp);
    let (count_a, count_b) = (a.len() as f64, b.len() as f64);
    let (mut i, mut j, mut statistic) = (0, 0, 0f64);
    while i < a.len() && j < b.len() {
        let value = a[i].min(b[j]);
        while i < a.len() && a[i] <= value {
            i += 1;
        }
        while j < b.len() && b[j] <= value {
            j += 1;
        }
        statistic = statistic.max((i as f64 / count_a - j as f64 / count_b).abs());
    }
    let root = (count_a * count_b / (count_a + count_b)).sqrt();
    Some(KolmogorovSmirnov { statistic, p_value: tail((root + 0.12 + 0.11 / root) * statistic) })
}

/// Probability that Kolmogorov's distribution exceeds `lambda`.
fn tail(lambda: f64) -> f64 {
    if lambda < 0.2 {
        // The series below converges slowly here, and the value is 1 to within 1e-12.
        return 1.0;
    }
    let term = |k: i32| {
        let sign = if k % 2 == 1 { 1.0 } else { -1.0 };
        sign * (-2.0 * (f64::from(k) * lambda).powi(2)).exp()
    };
    (2.0 * (1..=100).map(term).sum::<f64>()).clamp(0.0, 1.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Critical values of Kolmogorov's limiting distribution, as in N. Smirnov's table (1948).
    #[test]
    fn the_tail_matches_published_critical_values() {
        for (lambda, p) in [(1.07275, 0.20), (1.22385, 0.10), (1.35810, 0.05), (1.62762, 0.01), (1.94947, 0.001)] {
            assert!((tail(lambda) - p).abs() < 1e-4 * p, "{lambda}: {} against {p}", tail(lambda));
        }
        assert_eq!(tail(0.0), 1.0);
        assert!(tail(10.0) < 1e-80);
    }

    #[test]
    fn the_statistic_matches_a_calculation_by_hand() {
        let result = kolmogorov_smirnov(&mut [1.0, 2.0, 3.0, 4.0], &mut [3.0, 4.0, 5.0, 6.0, 7.0]).unwrap();
        assert!((result.statistic - 0.6).abs() < 1e-12);
        let same = kolmogorov_smirnov(&mut [1.0, 2.0, 3.0], &mut [1.0, 2.0, 3.0]).unwrap();
        assert_eq!((same.statistic, same.p_value), (0.0, 1.0));
        let apart = kolmogorov_smirnov(&mut [1.0; 100], &mut [2.0; 100]).unwrap();
        assert_eq!(apart.statistic, 1.0);
        assert!(apart.p_value < 1e-20);
        assert_eq!(kolmogorov_smirnov(&mut [], &mut [1.0]), None);
    }

    /// For samples of one distribution, p-values are uniform: about one in twenty lies below 0.05.
    #[test]
    fn p_values_are_uniform_for_equal_distributions() {
        use rand::{RngExt, SeedableRng, rngs::ChaCha8Rng};
        let seed = 7;
        println!("seed {seed}");
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let mut below = 0;
        for _ in 0..2_000 {
            let mut draw = |n: usize| (0..n).map(|_| rng.random::<f64>()).collect::<Vec<_>>();
            let (mut a, mut b) = (draw(150), draw(220));
            below += usize::from(kolmogorov_smirnov(&mut a, &mut b).unwrap().p_value < 0.05);
        }
        assert!((70..=130).contains(&below), "{below} of 2000 below 0.05");
    }
}
