//! Exact two-sided tests of counts and variances. Each p-value doubles the smaller tail.

use statrs::function::beta::beta_reg;
use statrs::function::factorial::ln_binomial;

/// p-value of `successes` out of `trials`, each with success probability `p`.
pub fn binomial_two_sided(successes: u64, trials: u64, p: f64) -> f64 {
    let at_least = |k: u64| match k {
        0 => 1.0,
        _ if k > trials || p <= 0.0 => 0.0,
        _ if p >= 1.0 => 1.0,
        _ => beta_reg(k as f64, (trials - k + 1) as f64, p),
    };
    double(1.0 - at_least(successes + 1), at_least(successes))
}

/// p-value of `marked` items among `drawn` items out of `all`, of which `all_marked` are marked. The sum has `drawn`
/// terms, so `drawn` should be small.
pub fn hypergeometric_two_sided(marked: u64, drawn: u64, all_marked: u64, all: u64) -> f64 {
    if drawn > all || all_marked > all || marked > drawn.min(all_marked) {
        return 1.0;
    }
    let whole = ln_binomial(all, drawn);
    let probability = |k: u64| {
        if k > all_marked || drawn - k > all - all_marked {
            return 0.0;
        }
        (ln_binomial(all_marked, k) + ln_binomial(all - all_marked, drawn - k) - whole).exp()
    };
    double((0..=marked).map(probability).sum(), (marked..=drawn).map(probability).sum())
}

/// p-value of a ratio of two variances, for the degrees of freedom of its numerator and denominator.
pub fn variance_ratio_two_sided(ratio: f64, freedom_above: f64, freedom_below: f64) -> f64 {
    if !ratio.is_finite() || ratio <= 0.0 {
        return 1.0;
    }
    let share = freedom_above * ratio / (freedom_above * ratio + freedom_below);
    let below = beta_reg(freedom_above / 2.0, freedom_below / 2.0, share.clamp(0.0, 1.0));
    // The other tail by symmetry, because 1 minus the first tail would lose all digits.
    let above = beta_reg(freedom_below / 2.0, freedom_above / 2.0, (1.0 - share).clamp(0.0, 1.0));
    double(below, above)
}

fn double(low: f64, high: f64) -> f64 {
    (2.0 * low.min(high)).clamp(0.0, 1.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn close(value: f64, expected: f64) {
        assert!((value - expected).abs() < 1e-6 * expected.max(1e-3), "{value} against {expected}");
    }

    #[test]
    fn p_values_match_a_calculation_by_hand() {
        close(binomial_two_sided(0, 10, 0.5), 2.0 / 1024.0);
        close(binomial_two_sided(10, 10, 0.5), 2.0 / 1024.0);
        close(binomial_two_sided(5, 10, 0.5), 1.0);
        close(hypergeometric_two_sided(4, 4, 10, 20), 2.0 * 210.0 / 4845.0);
        close(hypergeometric_two_sided(0, 4, 10, 20), 2.0 * 210.0 / 4845.0);
        close(hypergeometric_two_sided(3, 2, 10, 20), 1.0);
        // With 2 and 2 degrees of freedom P(F > f) = 1 / (1 + f).
        close(variance_ratio_two_sided(99.0, 2.0, 2.0), 0.02);
        close(variance_ratio_two_sided(1.0 / 99.0, 2.0, 2.0), 0.02);
        close(variance_ratio_two_sided(1.0, 30.0, 30.0), 1.0);
    }
}
