//! The laws draw what they promise.

use millpond::law::Law;
use millpond::units::Nanos;
use rand::SeedableRng;
use rand::rngs::ChaCha12Rng;

const T: Nanos = Nanos(25_400_000);

/// Intervals in units of their mean.
fn intervals(law: Law, spread_percent: u8, count: usize) -> Vec<f64> {
    let mut rng = ChaCha12Rng::from_seed([7; 32]);
    (0..count).map(|_| law.draw(T, spread_percent, &mut rng).0 as f64 / T.0 as f64).collect()
}

fn mean(values: &[f64]) -> f64 {
    values.iter().sum::<f64>() / values.len() as f64
}

/// Mean, standard deviation and skewness.
fn moments(values: &[f64]) -> (f64, f64, f64) {
    let mean_of = mean(values);
    let central = |power| mean(&values.iter().map(|v| (v - mean_of).powi(power)).collect::<Vec<_>>());
    let sd = central(2).sqrt();
    (mean_of, sd, central(3) / sd.powi(3))
}

/// The spreads that settings may ask for: the narrowest, the default and the widest.
fn spreads(law: Law) -> [u8; 3] {
    let (least, most) = law.spread_range().into_inner();
    [least, law.default_spread(), most]
}

#[test]
fn laws_have_the_moments_that_they_promise() {
    for law in Law::ALL {
        for percent in spreads(law) {
            let spread = f64::from(percent) / 100.0;
            let skew = match law {
                Law::Gamma => 2.0 * spread,
                Law::Normal => 0.0,
                Law::Constant => {
                    assert!(intervals(law, percent, 100).iter().all(|i| *i == 1.0));
                    continue;
                }
                Law::Kernel => {
                    assert!(intervals(law, percent, 100).iter().all(|i| *i == 0.8));
                    continue;
                }
            };
            let (mean, sd, skewness) = moments(&intervals(law, percent, 200_000));
            assert!((mean - 1.0).abs() < 0.004, "{law} {percent}: mean {mean}");
            assert!((sd - spread).abs() < 0.005, "{law} {percent}: sd {sd}");
            assert!((skewness - skew).abs() < 0.05, "{law} {percent}: skewness {skewness}");
        }
    }
}

#[test]
fn successive_intervals_are_uncorrelated() {
    for law in Law::ALL.into_iter().filter(|law| law.has_spread()) {
        let values = intervals(law, law.default_spread(), 100_000);
        let (mean, sd, _) = moments(&values);
        for lag in 1..=10 {
            let products: Vec<f64> = values.windows(lag + 1).map(|w| (w[0] - mean) * (w[lag] - mean)).collect();
            let correlation = products.iter().sum::<f64>() / products.len() as f64 / (sd * sd);
            assert!(correlation.abs() < 0.015, "{law}, lag {lag}: {correlation}");
        }
    }
}

/// Each of the ranges that are equally likely by the density gets its share of the draws.
#[test]
fn draws_follow_the_density() {
    const RANGES: usize = 50;
    const DRAWS: usize = 200_000;
    for law in Law::ALL {
        for percent in spreads(law) {
            let Some(bounds) = law.quantiles::<{ RANGES - 1 }>(percent) else { continue };
            let mut counts = [0.0; RANGES];
            let intervals = intervals(law, percent, DRAWS);
            intervals.iter().for_each(|interval| counts[bounds.partition_point(|bound| bound <= interval)] += 1.0);
            let expected = DRAWS as f64 / RANGES as f64;
            for (range, count) in counts.iter().enumerate() {
                let sigmas = (count - expected) / expected.sqrt();
                assert!(sigmas.abs() < 4.5, "{law} {percent}: {count} in range {range}, {sigmas:+.1} sigmas");
            }
            let beyond = intervals.iter().filter(|interval| **interval > 4.0).count();
            assert!(beyond < DRAWS / 10_000, "{law} {percent}: {beyond} draws beyond the end of the integral");
        }
    }
}

/// What hides the system's jitter can be drawn by the engine and audited.
#[test]
fn smooth_laws_have_a_spread_and_a_density() {
    assert!(Law::default().is_smooth());
    for law in Law::ALL.into_iter().filter(|law| law.is_smooth()) {
        assert!(law.has_spread() && law.density(law.default_spread(), 1.0).is_some(), "{law}");
        // An edge at zero shows any jitter, as that of the exponential law does.
        let spread = *law.spread_range().end();
        let [zero, one] = [1e-6, 1.0].map(|x| law.density(spread, x).unwrap());
        assert!(zero < 1e-5 * one, "{law}: density {zero:e} at zero");
    }
}

#[test]
fn without_the_kernel_the_engine_paces() {
    for law in Law::ALL {
        let instead = law.without_kernel_pacing();
        assert!(!instead.paced_by_kernel(), "{law}");
        assert_eq!(instead == law, !law.paced_by_kernel(), "{law}");
    }
}
