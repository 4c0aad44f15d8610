//! The bound against exact answers and against real attacks.

use rand::rngs::ChaCha8Rng;
use rand::{RngExt, SeedableRng};

use super::*;
use crate::core::lateness::min_watch_days;
use crate::core::{Histogram, Pace, Stats};
use crate::lab::distinguish::tunnel::Cell;
use crate::lab::distinguish::{self, DistinguishOptions, Stretch, compare};
use crate::lab::trace::Direction;
use crate::law::Law;
use crate::law::sampler::IntervalSampler;
use crate::units::Nanos;

const T: u64 = 25_400_000;

fn record(law: Law, lateness_ns: Vec<u64>) -> LatenessRecord {
    LatenessRecord { law, spread_percent: law.default_spread(), interval_ns: T, missed_slots: 0, lateness_ns }
}

fn normal_draw(rng: &mut ChaCha8Rng) -> f64 {
    let radius = (-2.0 * (1.0 - rng.random::<f64>()).ln()).sqrt();
    radius * (std::f64::consts::TAU * rng.random::<f64>()).cos()
}

/// Normal lateness with that standard deviation around 2 ms; successive values have this correlation.
fn normal_lateness(sd_us: f64, correlation: f64, count: usize, seed: u64) -> Vec<u64> {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let mut last = normal_draw(&mut rng);
    let values = (0..count).map(|_| {
        last = correlation * last + (1.0 - correlation * correlation).sqrt() * normal_draw(&mut rng);
        (2e6 + sd_us * 1e3 * last).max(0.0) as u64
    });
    values.collect()
}

/// The divergence rate of two stationary normal processes (M. S. Pinsker 1964): intervals of the law plus differences
/// of successive latenesses, whose correlation falls as powers of the first.
fn exact_rate(sd: f64, variances: [f64; 2], correlation: f64) -> f64 {
    let steps = 20_000;
    let ratio = |step: usize| {
        let frequency = std::f64::consts::PI * (step as f64 + 0.5) / steps as f64;
        let chain =
            (1.0 - correlation * correlation) / (1.0 - 2.0 * correlation * frequency.cos() + correlation * correlation);
        let spectrum = |variance: f64| sd * sd + variance * chain * (2.0 - 2.0 * frequency.cos());
        spectrum(variances[0]) / spectrum(variances[1])
    };
    let excess = |ratio: f64| {
        let small = ratio - 1.0;
        small - small.ln_1p()
    };
    (0..steps).map(|step| excess(ratio(step)) / 2.0).sum::<f64>() / steps as f64
}

fn variance(record: &LatenessRecord) -> f64 {
    (record.summary().sd_us * 1e3 / T as f64).powi(2)
}

/// Normal law, normal lateness: the sequence is a normal process, and its divergence is known.
#[test]
fn the_filter_finds_the_exact_divergence_of_normal_processes() {
    let cases = [([500.0, 1_000.0], 0.0), ([1_000.0, 500.0], 0.0), ([5.0, 20.0], 0.0), ([200.0, 50.0], 0.0)];
    for (index, (sds, correlation)) in cases.into_iter().enumerate() {
        let seed = 10 + 2 * index as u64;
        let [a, b] =
            [0, 1].map(|of| record(Law::Normal, normal_lateness(sds[of], correlation, 100_000, seed + of as u64)));
        let options = BoundOptions { packets: 20_000, seed };
        let report = bound(["a", "b"], [&a, &b], options).unwrap();
        let variances = [variance(&a), variance(&b)];
        for (way, variances) in [variances, [variances[1], variances[0]]].into_iter().enumerate() {
            let exact = exact_rate(0.15, variances, correlation);
            let Divergence { nats_per_packet, standard_error, .. } = report.divergence[way];
            let error = 4.0 * standard_error + (report.grid_error[way] + 0.01) * exact;
            println!(
                "{sds:?} us, way {way}, seed {seed}: {nats_per_packet:.3e} +- {standard_error:.1e}, exact {exact:.3e}, \
                 grid {:.1e}",
                report.grid_error[way]
            );
            assert!((nats_per_packet - exact).abs() < error, "{sds:?}: {nats_per_packet} against {exact} +- {error}");
            assert!(standard_error < 0.1 * exact && report.grid_error[way] < 0.2, "{report:?}");
        }
    }
}

/// Correlation counts: lateness that stays alike from cell to cell shows less in intervals than lateness that does not.
#[test]
fn correlation_of_successive_lateness_counts() {
    let rate = |correlation: f64| {
        let [a, b] = [(1_000.0, 31), (500.0, 32)]
            .map(|(sd, seed)| record(Law::Normal, normal_lateness(sd, correlation, 100_000, seed)));
        let report = bound(["a", "b"], [&a, &b], BoundOptions { packets: 20_000, seed: 3 }).unwrap();
        let exact = exact_rate(0.15, [variance(&a), variance(&b)], correlation);
        let rate = report.divergence[0].nats_per_packet;
        println!("correlation {correlation}: {rate:.3e}, exact for a chain of normal values {exact:.3e}");
        // The filter's chain repeats values instead of moving gradually: the covariances are the same, and tiny
        // divergences depend on nothing else.
        assert!((rate / exact - 1.0).abs() < 0.15, "{rate} against {exact}");
        rate
    };
    let [negative, none, positive] = [-0.4, 0.0, 0.6].map(rate);
    assert!(positive < 0.5 * none && negative > 1.2 * none, "{negative} {none} {positive}");
}

/// Departures of the law with that lateness.
fn departures(law: Law, lateness: &[u64], seed: u64) -> distinguish::Condition {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let sampler = IntervalSampler::new(law, law.default_spread());
    let mut scheduled = 0;
    let mut cells: Vec<Cell> = lateness
        .iter()
        .map(|late| {
            scheduled += sampler.draw(Nanos(T), &mut rng).0;
            Cell { time_ns: scheduled + late, direction: Direction::Up, bytes: 508 }
        })
        .collect();
    cells.sort_by_key(|cell| cell.time_ns);
    distinguish::Condition { stretches: vec![Stretch { cells }], ..Default::default() }
}

fn exponential(mean_us: f64, count: usize, seed: u64) -> Vec<u64> {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    (0..count).map(|_| (-mean_us * 1e3 * (1.0 - rng.random::<f64>()).ln()) as u64).collect()
}

/// No attack of `distinguish` beats the bound, and the best of them comes near it when lateness is planted.
#[test]
fn no_attack_beats_the_bound() {
    let count = 60_000;
    for (law, means_us) in
        [(Law::Gamma, [1_500.0, 300.0]), (Law::Normal, [800.0, 200.0]), (Law::Gamma, [3_000.0, 2_000.0])]
    {
        let seed = 40;
        let lateness = [0, 1].map(|of| exponential(means_us[of], count, seed + of as u64));
        let records = lateness.clone().map(|lateness| record(law, lateness));
        let options = BoundOptions { packets: 20_000, seed };
        let report = bound(["a", "b"], [&records[0], &records[1]], options).unwrap();
        let [a, b] = [0, 1].map(|of| departures(law, &lateness[of], seed + 7 + of as u64));
        let options = DistinguishOptions { seed, ..DistinguishOptions::default() };
        let attacked = compare(["a", "b"], &a, &b, options).unwrap();
        let mut best = 0.0f64;
        for attack in &attacked.attacks {
            for point in &attack.points {
                let bound = report.best_area(point.packets_per_guess);
                println!(
                    "{law} {means_us:?} us, seed {seed}, {} at {} packets: {:.3} [{:.3}, {:.3}], bound {bound:.3}",
                    attack.name, point.packets_per_guess, point.area.auc, point.area.ci95[0], point.area.ci95[1]
                );
                // Twice the half-width of a 95 % interval, because there are many intervals.
                let half = (point.area.ci95[1] - point.area.ci95[0]) / 2.0;
                assert!(point.area.auc - 2.0 * half < bound, "{}: {point:?}, bound {bound}", attack.name);
                best = best.max((point.area.auc - 0.5) / (bound - 0.5).max(0.05));
            }
        }
        assert!(best > 0.5, "the attacks must reach half of what the bound allows, got {best}");
    }
}

/// What a router says of itself is a bound, too: never more days than the best possible test needs.
#[test]
fn a_router_claims_no_more_than_the_bound() {
    for (index, (law, means_us)) in [
        (Law::Gamma, [20.0, 5.0]),
        (Law::Gamma, [120.0, 60.0]),
        (Law::Normal, [60.0, 10.0]),
        (Law::Normal, [1_000.0, 200.0]),
        (Law::Gamma, [2_000.0, 2_000.0]),
    ]
    .into_iter()
    .enumerate()
    {
        let seed = 70 + 2 * index as u64;
        let lateness = [0, 1].map(|of| exponential(means_us[of], 20_000, seed + of as u64));
        let records = lateness.clone().map(|lateness| record(law, lateness));
        let report = bound(["a", "b"], [&records[0], &records[1]], BoundOptions { packets: 5_000, seed }).unwrap();
        let [data_lateness, mut lateness] = lateness.map(|lateness| {
            let mut histogram = Histogram::default();
            lateness.into_iter().for_each(|late| histogram.record(Nanos(late)));
            histogram
        });
        lateness.add(&data_lateness);
        let pace = Pace { law, mean: Nanos(T), spread_percent: law.default_spread() };
        let stats = Stats { lateness, data_lateness, ..Stats::default() };
        let claimed = min_watch_days(pace, &stats).unwrap();
        let needed = report.needed[0].days;
        println!("{law} {means_us:?} us, seed {seed}: {claimed:.2e} days claimed, the best test needs {needed:.2e}");
        assert!(claimed < needed, "{claimed} against {needed}");
    }
}

#[test]
fn equal_conditions_differ_no_more_than_halves_of_a_record() {
    let [a, b] = [51, 52].map(|seed| record(Law::Gamma, exponential(50.0, 50_000, seed)));
    let report = bound(["a", "b"], [&a, &b], BoundOptions { packets: 5_000, seed: 5 }).unwrap();
    let [first, second] = report.divergence.map(|divergence| divergence.nats_per_packet);
    println!("{first:.1e} {second:.1e}, floor {:.1e}", report.floor);
    assert!(first < 10.0 * report.floor && second < 10.0 * report.floor, "{report:?}");
    assert!(report.needed[0].days > 1_000.0 && report.needed[1].packets > report.needed[0].packets);
}

#[test]
fn a_test_of_few_packets_is_bounded_too() {
    let divergence = |nats_per_packet, variance| Divergence { nats_per_packet, standard_error: 0.0, variance };
    // Two normal distributions one standard deviation apart: the divergence is 1/2, the variance 1, and the best test
    // of n packets errs with the probability of a normal value beyond the square root of n / 4.
    let both = [divergence(0.5, 1.0); 2];
    for (error, packets) in [(0.10, 7.0), (0.01, 22.0)] {
        assert_eq!(needed_packets(&both, error), packets);
    }
    // Very different conditions: one packet is enough.
    assert_eq!(needed_packets(&[divergence(50.0, 1.0); 2], 0.01), 1.0);
}

#[test]
fn unusable_records_are_refused_in_one_line() {
    let values = format!("[{}1]", "20000,".repeat(999));
    let with = |change: (&str, &str)| {
        let good = format!(
            "{{\"law\":\"gamma\",\"spread_percent\":33,\"interval_ns\":25400000,\"missed_slots\":0,\
             \"lateness_ns\":{values}}}"
        );
        assert!(good.contains(change.0), "{}", change.0);
        LatenessRecord::parse_text(&good.replace(change.0, change.1))
    };
    assert_eq!(with(("\"missed_slots\":0,", "")).unwrap().lateness_ns.len(), 1_000);
    for (change, words) in [
        (("{\"law\"", "\"law\""), "no record of lateness"),
        (("gamma", "uniform"), "unknown law 'uniform'"),
        (("33", "99"), "spread_percent: 99"),
        (("33", "-1"), "no record of lateness"),
        (("25400000", "0"), "interval_ns"),
        ((",1]", ",-1]"), "no record of lateness"),
        ((",1]", ",1.5]"), "no record of lateness"),
        ((",1]", "]"), "999 departures are too few"),
        ((values.as_str(), "[]"), "0 departures are too few"),
        ((",1]}", ""), "no record of lateness"),
        (("lateness_ns", "lateness_us"), "missing field `lateness_ns`"),
    ] {
        let error = with(change).unwrap_err();
        assert!(error.contains(words) && error.lines().count() == 1, "{error}");
    }
    let missing = LatenessRecord::read(std::path::Path::new("/nonexistent/a.json")).unwrap_err().to_string();
    assert!(missing.contains("/nonexistent/a.json"), "{missing}");
    let [gamma, normal, constant] =
        [Law::Gamma, Law::Normal, Law::Constant].map(|law| record(law, exponential(50.0, 2_000, 61)));
    let refused = |a, b| bound(["a", "b"], [a, b], BoundOptions::default()).unwrap_err().to_string();
    assert!(refused(&gamma, &normal).contains("different lines: gamma 33 %"));
    assert!(refused(&constant, &constant).contains("the law constant hides no lateness"));
    let faster = LatenessRecord { interval_ns: T / 2, ..gamma.clone() };
    assert!(refused(&gamma, &faster).contains("25400000 ns and gamma 33 %, 12700000 ns"));
}

/// Values that do not vary, and values with a single outlier, make no division by zero.
#[test]
fn records_without_variation_have_a_bound() {
    let still = record(Law::Gamma, vec![20_000; 2_000]);
    let mut outlier = still.clone();
    outlier.lateness_ns[7] = 30_000_000;
    for (a, b) in [(&still, &still), (&still, &outlier)] {
        let report = bound(["a", "b"], [a, b], BoundOptions { packets: 1_000, seed: 6 }).unwrap();
        assert!(report.divergence.iter().all(|divergence| divergence.nats_per_packet.is_finite()), "{report:?}");
        assert!(report.needed.iter().all(|needed| needed.packets >= 1.0), "{report:?}");
    }
}
