//! Area under the receiver operating characteristic, which equals the normalised Mann-Whitney U statistic.

use serde::Serialize;

use super::two_sided_p;

/// Two-sided 95 % quantile of the normal distribution.
const Z95: f64 = 1.959_964;

/// How well a score distinguishes two classes of observations.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Auc {
    /// Probability that an observation of the second class scores higher than one of the first, with ties counted half:
    /// 0.5 means that the score tells nothing, 1 that it always tells, 0 the same with the classes swapped.
    pub auc: f64,
    /// 95 % confidence interval, if observations are independent.
    pub ci95: [f64; 2],
    /// Probability of a value at least as far from 0.5 if both classes have the same distribution.
    pub p_value: f64,
}

/// The area under the curve for two samples of scores; `None` if one is empty.
///
/// The interval follows R. G. Newcombe's method 5 (*Confidence intervals for an effect size measure based on the
/// Mann-Whitney statistic*, 2006), which has the nominal coverage near 0 and 1 too. The p-value is the normal
/// approximation of the rank-sum test, corrected for ties.
pub fn area_under_curve(first: &[f64], second: &[f64]) -> Option<Auc> {
    if first.is_empty() || second.is_empty() {
        return None;
    }
    let mut all: Vec<(f64, bool)> = Vec::with_capacity(first.len() + second.len());
    all.extend(first.iter().map(|&score| (score, false)));
    all.extend(second.iter().map(|&score| (score, true)));
    all.sort_unstable_by(|a, b| a.0.total_cmp(&b.0));
    let (mut rank_sum, mut ties, mut before) = (0.0, 0.0, 0usize);
    for equal in all.chunk_by(|a, b| a.0 == b.0) {
        let count = equal.len() as f64;
        let rank = before as f64 + (count + 1.0) / 2.0;
        rank_sum += rank * equal.iter().filter(|entry| entry.1).count() as f64;
        ties += count.powi(3) - count;
        before += equal.len();
    }
    let (m, n) = (first.len() as f64, second.len() as f64);
    let auc = (rank_sum - n * (n + 1.0) / 2.0) / (m * n);
    let variance = (m + n + 1.0 - ties / ((m + n) * (m + n - 1.0)).max(1.0)) / (12.0 * m * n);
    let p_value = if variance > 0.0 { two_sided_p((auc - 0.5) / variance.sqrt()) } else { 1.0 };
    Some(Auc { auc, ci95: [bound(auc, m, n, 0.0), bound(auc, m, n, 1.0)], p_value })
}

/// The confidence limit between `auc` and `end` (0 or 1), by bisection: the value at which `auc` is [`Z95`] standard
/// deviations away. The deviation is Newcombe's, for samples of `m` and `n` scores.
fn bound(auc: f64, m: f64, n: f64, end: f64) -> f64 {
    let (mut inside, mut outside) = (auc, end);
    for _ in 0..60 {
        let middle = (inside + outside) / 2.0;
        let half = (m + n) / 2.0 - 1.0;
        let spread = 1.0 + half * (1.0 - middle) / (2.0 - middle) + half * middle / (1.0 + middle);
        let deviation = (middle * (1.0 - middle) * spread / (m * n)).max(0.0).sqrt();
        if (auc - middle).abs() <= Z95 * deviation { inside = middle } else { outside = middle }
    }
    inside
}

#[cfg(test)]
mod tests {
    use rand::rngs::ChaCha8Rng;
    use rand::{RngExt, SeedableRng};

    use super::*;

    #[test]
    fn areas_match_a_calculation_by_hand() {
        let area = |a: &[f64], b: &[f64]| area_under_curve(a, b).unwrap().auc;
        assert_eq!(area(&[1.0, 2.0], &[3.0, 4.0]), 1.0);
        assert_eq!(area(&[3.0, 4.0], &[1.0, 2.0]), 0.0);
        assert_eq!(area(&[1.0, 3.0], &[2.0, 3.0]), 0.625);
        let same = area_under_curve(&[5.0; 10], &[5.0; 20]).unwrap();
        assert_eq!((same.auc, same.p_value), (0.5, 1.0));
        assert_eq!(area_under_curve(&[], &[1.0]), None);
        let perfect = area_under_curve(&[0.0; 10], &[1.0; 10]).unwrap();
        assert!(perfect.ci95[0] < 0.95 && perfect.ci95[1] == 1.0, "so few scores leave a wide interval: {perfect:?}");
    }

    #[test]
    fn the_confidence_interval_has_its_nominal_coverage() {
        let seed = 11;
        println!("seed {seed}");
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        // For uniform scores on 0..1 and shift..1 + shift, the area is 1 - (1 - shift)² / 2.
        for shift in [0.0, 0.1, 0.4f64] {
            let truth = 1.0 - (1.0 - shift).powi(2) / 2.0;
            let mut covered = 0;
            for _ in 0..1_000 {
                let first: Vec<f64> = (0..60).map(|_| rng.random()).collect();
                let second: Vec<f64> = (0..40).map(|_| rng.random::<f64>() + shift).collect();
                let [low, high] = area_under_curve(&first, &second).unwrap().ci95;
                covered += usize::from((low..=high).contains(&truth));
            }
            assert!((925..=985).contains(&covered), "shift {shift}: {covered} of 1000");
        }
    }
}
