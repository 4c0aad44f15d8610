//! Tails of the chi-squared and of the normal distribution.

/// Probability that a chi-squared variable exceeds `statistic`, by the approximation of E. B. Wilson, M. M. Hilferty,
/// *The distribution of chi-square* (1931). It is accurate to a few percent for 49 degrees of freedom.
pub(super) fn chi_squared_tail(statistic: f64, degrees: f64) -> f64 {
    let width = 2.0 / (9.0 * degrees);
    // By `ln` and `exp`, which a router's program contains anyway.
    let cube_root = ((statistic / degrees).ln() / 3.0).exp();
    normal_tail((cube_root - (1.0 - width)) / width.sqrt())
}

/// Probability that a standard normal variable exceeds `z`: M. Abramowitz, I. A. Stegun, *Handbook of mathematical
/// functions* (1964), 7.1.26, and the asymptotic form above 4, where 7.1.26 is too coarse.
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
    fn tails_match_published_tables() {
        // Critical values of chi-squared with 49 degrees of freedom.
        for (statistic, p) in [(66.339, 0.05), (74.919, 0.01), (85.351, 0.001), (94.8, 0.0001)] {
            let found = chi_squared_tail(statistic, 49.0);
            assert!((found / p - 1.0).abs() < 0.06, "{statistic}: {found} instead of {p}");
        }
        assert!((normal_tail(0.0) - 0.5).abs() < 1e-6 && (normal_tail(1.96) - 0.025).abs() < 1e-5);
        assert!(normal_tail(40.0) < 1e-300 && normal_tail(-40.0) == 1.0);
    }
}
