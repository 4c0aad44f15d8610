//! Tail probabilities of the normal distribution.

/// Probability that a standard normal variable lies at least `sigmas` from zero in either direction.
///
/// Uses the power series of the error function below 2 and its continued fraction above.
pub fn two_sided_p(sigmas: f64) -> f64 {
    let x = sigmas.abs() / std::f64::consts::SQRT_2;
    if x.is_nan() {
        return 1.0;
    }
    if x < 2.0 { 1.0 - erf_series(x) } else { erfc_fraction(x) }
}

fn erf_series(x: f64) -> f64 {
    let (mut term, mut sum) = (x, x);
    for n in 1..60 {
        term *= -x * x / f64::from(n);
        sum += term / f64::from(2 * n + 1);
    }
    2.0 / std::f64::consts::PI.sqrt() * sum
}

fn erfc_fraction(x: f64) -> f64 {
    let fraction = (1..=60).rev().fold(0.0, |tail, n| f64::from(n) / 2.0 / (x + tail));
    (-x * x).exp() / std::f64::consts::PI.sqrt() / (x + fraction)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn p_values_match_published_tables() {
        for (sigmas, p) in [(0.0, 1.0), (1.0, 0.317_310_508), (1.959_964, 0.05), (2.575_829, 0.01), (3.290_527, 0.001)]
        {
            assert!((two_sided_p(sigmas) - p).abs() < 1e-7, "{sigmas}: {}", two_sided_p(sigmas));
            assert_eq!(two_sided_p(sigmas), two_sided_p(-sigmas));
        }
        assert!((two_sided_p(6.0) / 1.973_175e-9 - 1.0).abs() < 1e-4);
    }
}
