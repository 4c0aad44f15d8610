//! The laws draw intervals with the promised distributions, and the lists outside Rust contain every law.

use std::fs;
use std::path::Path;

use millpond::law::Law;
use millpond::law::sampler::IntervalSampler;
use millpond::units::Nanos;
use rand::SeedableRng;
use rand::rngs::ChaCha12Rng;

const SHIPPED: &str = "files/etc/config/millpond";
const LUCI: &str = "luci-app/htdocs/luci-static/resources/view/millpond/settings.js";
const T: Nanos = Nanos(25_400_000);

/// Intervals in units of their mean.
fn intervals(law: Law, spread_percent: u8, count: usize) -> Vec<f64> {
    let mut rng = ChaCha12Rng::from_seed([7; 32]);
    let sampler = IntervalSampler::new(law, spread_percent);
    (0..count).map(|_| sampler.draw(T, &mut rng).0 as f64 / T.0 as f64).collect()
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

/// The smallest, the default and the largest spread in the settings.
fn spreads(law: Law) -> [u8; 3] {
    let (min, max) = law.spread_range().into_inner();
    [min, law.default_spread(), max]
}

/// Peers of different versions would understand a changed number as another law.
#[test]
fn names_and_numbers_are_stable() {
    let expected = [("gamma", 0), ("normal", 1), ("constant", 2), ("kernel", 3)];
    assert_eq!(Law::ALL.map(|law| (law.name(), law.number())), expected);
    for law in Law::ALL {
        assert_eq!((Law::from_name(law.name()), Law::from_number(law.number())), (Some(law), Some(law)));
    }
    assert_eq!((Law::from_name("uniform"), Law::from_number(255)), (None, None));
}

#[test]
fn the_default_spread_is_in_range() {
    for law in Law::ALL {
        let range = law.spread_range();
        assert!(range.contains(&law.default_spread()) && *range.end() <= 100, "{law}");
        assert_eq!(*range.start() > 0, law.has_spread(), "{law}: a draw treats 0 % as 1 %");
    }
}

#[test]
fn laws_have_the_promised_moments() {
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

/// The integral of a law's density, computed step by step: the reference for the draws.
struct Distribution(Vec<f64>);

impl Distribution {
    const STEPS: usize = 100_000;
    const END: f64 = 8.0;

    /// `None` for a law without a density.
    fn new(law: Law, spread_percent: u8) -> Option<Distribution> {
        let step = Distribution::END / Distribution::STEPS as f64;
        let density = |halves: usize| law.density(spread_percent, halves as f64 / 2.0 * step).filter(|d| d.is_finite());
        law.density(spread_percent, 1.0)?;
        let mut sum = 0.0;
        let mut integral = vec![0.0];
        for index in 0..Distribution::STEPS {
            let [left, middle, right] = [0, 1, 2].map(|half| density(2 * index + half).unwrap_or(0.0));
            sum += (left + 4.0 * middle + right) / 6.0 * step;
            integral.push(sum);
        }
        Some(Distribution(integral.into_iter().map(|part| part / sum).collect()))
    }

    /// The probability of an interval up to `x` means.
    fn below(&self, x: f64) -> f64 {
        let place = x / Distribution::END * Distribution::STEPS as f64;
        let index = (place as usize).min(Distribution::STEPS - 1);
        self.0[index] + (self.0[index + 1] - self.0[index]) * (place - index as f64)
    }

    /// The interval in means with that probability below it.
    fn quantile(&self, probability: f64) -> f64 {
        let index = self.0.partition_point(|below| *below < probability).clamp(1, Distribution::STEPS) - 1;
        let part = (probability - self.0[index]) / (self.0[index + 1] - self.0[index]);
        (index as f64 + part) / Distribution::STEPS as f64 * Distribution::END
    }
}

/// A probability as the sampler's random number.
fn random(probability: f64) -> u64 {
    (probability * 2f64.powi(64)) as u64
}

/// A mean of 2^40 ns, so that an interval has more digits than a real one.
const FINE: Nanos = Nanos(1 << 40);

#[test]
fn quantiles_are_those_of_the_law() {
    for law in Law::ALL {
        for percent in spreads(law) {
            let Some(exact) = Distribution::new(law, percent) else { continue };
            let sampler = IntervalSampler::new(law, percent);
            let below = |probability| exact.below(sampler.quantile(FINE, random(probability)).0 as f64 / FINE.0 as f64);
            // Both tails, finer and finer, down to one in 65,536; and the density everywhere between.
            for step in 0..3_000 {
                let tail = 0.5 * (-f64::from(step) / 200.0).exp2();
                for (found, expected) in [(below(tail), tail), (1.0 - below(1.0 - tail), tail)] {
                    let off = (found - expected).abs();
                    assert!(off < 2e-6 && off < 0.01 * expected, "{law} {percent}: {found} for {expected}");
                }
                let [left, right] = [-1e-5, 1e-5].map(|off| below((f64::from(step) + 0.5) / 3_000.0 + off));
                let density = (right - left) / 2e-5;
                assert!((density - 1.0).abs() < 0.01, "{law} {percent}: {density} at step {step}");
            }
            let ends = [0, u64::MAX].map(|random| sampler.quantile(FINE, random).0);
            assert!(ends[0] < ends[1] && ends[1] < 8 * FINE.0, "{law} {percent}: {ends:?}");
        }
    }
}

/// The longest mean that a rate can have: one product would not fit into 64 bits.
#[test]
fn long_intervals_do_not_overflow() {
    let sampler = IntervalSampler::new(Law::Gamma, 33);
    let [short, long] = [1_000_000, 1_000_000_000_000_000].map(|mean| sampler.quantile(Nanos(mean), 1 << 63).0);
    assert_eq!(short, long / 1_000_000_000, "{long}");
    assert_eq!(sampler.quantile(Nanos(0), 1 << 63), Nanos(1));
}

/// Ranges of equal probability contain equal numbers of draws. `LAW_DRAWS` is the number of draws for each law and
/// spread; `make soak` makes 100 million.
#[test]
fn draws_follow_the_law() {
    const RANGES: usize = 500;
    let draws = std::env::var("LAW_DRAWS").map_or(200_000, |draws| draws.parse().expect("LAW_DRAWS: a number"));
    for law in Law::ALL {
        for percent in spreads(law) {
            let Some(exact) = Distribution::new(law, percent) else { continue };
            let bound = |range: usize| (exact.quantile(range as f64 / RANGES as f64) * FINE.0 as f64) as u64;
            let bounds: Vec<u64> = (1..RANGES).map(bound).collect();
            let sampler = IntervalSampler::new(law, percent);
            let mut rng = ChaCha12Rng::from_seed([percent; 32]);
            let mut counts = [0; RANGES];
            for _ in 0..draws {
                let interval = sampler.draw(FINE, &mut rng).0;
                counts[bounds.partition_point(|bound| *bound <= interval)] += 1;
            }
            let expected = draws as f64 / RANGES as f64;
            let squares: f64 = counts.iter().map(|count| (f64::from(*count) - expected).powi(2) / expected).sum();
            let sigmas = (squares - (RANGES - 1) as f64) / (2.0 * (RANGES - 1) as f64).sqrt();
            println!(
                "{law} {percent}: {draws} draws, chi-squared {squares:.0} of {} ({sigmas:+.1} sigmas)",
                RANGES - 1
            );
            assert!(sigmas.abs() < 4.5, "{law} {percent}: {squares}, {sigmas:+.1} sigmas");
        }
    }
}

/// A law that hides the system's jitter has a spread, and a density for the audit.
#[test]
fn smooth_laws_have_a_spread_and_a_density() {
    assert!(Law::default().is_smooth());
    for law in Law::ALL.into_iter().filter(|law| law.is_smooth()) {
        assert!(law.has_spread() && law.density(law.default_spread(), 1.0).is_some(), "{law}");
        // A density with an edge at zero, such as that of the exponential law, reveals jitter.
        let spread = *law.spread_range().end();
        let [zero, one] = [1e-6, 1.0].map(|x| law.density(spread, x).unwrap());
        assert!(zero < 1e-5 * one, "{law}: density {zero:e} at zero");
    }
}

#[test]
fn every_law_has_a_variant_without_kernel_pacing() {
    for law in Law::ALL {
        let paced_by_engine = law.without_kernel_pacing();
        assert!(!paced_by_engine.paced_by_kernel(), "{law}");
        assert_eq!(paced_by_engine == law, !law.paced_by_kernel(), "{law}");
    }
}

/// LuCI, the shipped settings and the laboratory's scripts cannot read [`Law::ALL`].
#[test]
fn lists_outside_rust_contain_every_law() {
    let all = Law::ALL.map(Law::name);
    let smooth: Vec<_> = Law::ALL.into_iter().filter(|law| law.is_smooth()).map(Law::name).collect();
    let default = Law::default();
    let mut entries = vec![
        (SHIPPED, all.join(" | ")),
        (SHIPPED, format!("option law '{default}'")),
        (SHIPPED, format!("option spread '{}'", default.default_spread())),
        (LUCI, format!("[ '{}' ].forEach((law)", all.join("', '"))),
        (LUCI, format!("option.default = '{default}'")),
        ("tests/lab/run", format!("${{LAB_LAWS:-{}}}", all.join(" "))),
        ("tests/lab/scenarios/flat-line.sh", format!("for law in {};", all.join(" "))),
        ("tests/lab/scenarios/adversary.sh", format!("\"{}\"", all.join(" "))),
        ("tests/lab/scenarios/adversary.sh", format!("\t\t{}) turns", smooth.join(" | "))),
    ];
    let (mut laws, mut narrowest, mut widest) = (0, u8::MAX, 0);
    for law in Law::ALL.into_iter().filter(|law| law.has_spread()) {
        let (min, max) = law.spread_range().into_inner();
        (laws, narrowest, widest) = (laws + 1, narrowest.min(min), widest.max(max));
        entries.push((SHIPPED, format!("{law} {min}..={max}")));
        entries.push((LUCI, format!("{law} {min} to {max} ({}", law.default_spread())));
        entries.push((LUCI, format!("option.depends('law', '{law}')")));
    }
    entries.push((LUCI, format!("wholeNumber({narrowest}, {widest})(id, value)")));
    let missing: Vec<_> = entries.iter().filter(|(file, text)| !read(file).contains(text.as_str())).collect();
    assert!(missing.is_empty(), "{missing:#?}");
    assert_eq!(read(LUCI).matches("option.depends('law', ").count(), laws, "only these laws have a spread");
}

/// A file of this repository.
fn read(file: &str) -> String {
    fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(file)).expect("a readable file")
}
