//! A line that follows its law passes the audit; a line with a planted flaw does not.

use super::*;
use crate::core::schedule::DepartureSchedule;
use crate::law::Law;

const MEAN: Nanos = Nanos(25_400_000);

fn pace(law: Law, spread_percent: u8) -> Pace {
    Pace { law, mean: MEAN, spread_percent }
}

/// Audits `count` packets of a schedule, each altered by `alter`.
fn audit(pace: Pace, count: u64, alter: impl Fn(u64, Nanos) -> (Nanos, u16)) -> Finding {
    let mut schedule = DepartureSchedule::new(pace, [9; 32], Nanos::ZERO);
    let mut audit = Audit::new(pace, 1, 508);
    for number in 0..count {
        let (at, bytes) = alter(number, schedule.next());
        audit.handle(at, bytes);
        schedule.advance();
    }
    audit.finding()
}

#[test]
fn a_line_that_follows_its_law_passes() {
    let every_spread = |law: Law| law.spread_range().map(move |spread| (law, spread));
    for (law, spread) in Law::ALL.into_iter().filter(|law| law.has_spread()).flat_map(every_spread) {
        let finding = audit(pace(law, spread), 20_000, |_, at| (at, 508));
        assert_eq!((finding.violations(), finding.wrong_sizes), (Vec::new(), 0), "{law} {spread}: {finding:?}");
        assert!(finding.fit_p.is_some_and(|p| p > MIN_FIT_P), "{law} {spread}: {finding:?}");
        assert!((finding.bits_per_second / finding.promised_bits_per_second - 1.0).abs() < 0.02, "{finding:?}");
    }
    let constant = audit(pace(Law::Constant, 0), 20_000, |_, at| (at, 508));
    assert_eq!((constant.fit_p, constant.violations()), (None, Vec::new()));
}

/// The audit tolerates the daemon's own lateness of up to half a millisecond.
#[test]
fn small_lateness_passes() {
    let late = |number: u64, at: Nanos| (at + Nanos(number * 7_919 % 500_000), 508);
    assert_eq!(audit(pace(Law::Gamma, 33), 20_000, late).violations(), Vec::<String>::new());
}

#[test]
fn a_second_size_is_detected() {
    let finding = audit(pace(Law::Gamma, 33), 2_000, |number, at| (at, if number == 77 { 92 } else { 508 }));
    assert_eq!((finding.wrong_sizes, finding.sizes.as_slice()), (1, [(508, 1_999), (92, 1)].as_slice()));
    assert_eq!(finding.violations().len(), 1);
    let all = audit(pace(Law::Gamma, 33), 2_000, |number, at| (at, 40 + (number % 100) as u16));
    assert_eq!((all.wrong_sizes, all.sizes.len()), (2_000, SIZES));
}

#[test]
fn wrong_intervals_are_detected() {
    let law = pace(Law::Gamma, 33);
    let other_law = audit(pace(Law::Constant, 0), 2_000, |_, at| (at, 508));
    assert_eq!(other_law.fit_p, None);
    let detected = |alter: &dyn Fn(u64, Nanos) -> (Nanos, u16)| audit(law, 20_000, alter).fit_p.unwrap() < MIN_FIT_P;
    // A clock tick of one millisecond is too small to matter; one of twelve milliseconds is not.
    assert!(detected(&|_, at| (Nanos(at.0 / 12_000_000 * 12_000_000), 508)), "a coarse timer");
    assert!(detected(&|_, at| (Nanos(at.0 / 100 * 107), 508)), "a rate 7 % low");
    assert!(detected(&|number, at| (if number % 10 == 0 { at + Nanos(12_000_000) } else { at }, 508)), "late bursts");
}

#[test]
fn too_few_packets_give_no_verdict() {
    let finding = audit(pace(Law::Gamma, 33), 100, |_, at| (at, 508));
    assert_eq!(finding.fit_p, None);
    let empty = Audit::new(pace(Law::Gamma, 33), 1, 508).finding();
    assert_eq!((empty.packets, empty.bits_per_second), (0, 0.0));
}

/// A line of trains of eight, whose cells `lost` does not let through; the capture begins within the first train.
fn audit_of_trains(spread: fn(u64) -> u64, lost: fn(u64, u64) -> bool) -> (Finding, u64) {
    let (pace, mut schedule) =
        (pace(Law::Gamma, 33), DepartureSchedule::new(pace(Law::Gamma, 33), [9; 32], Nanos::ZERO));
    let mut audit = Audit::new(pace, 8, 508);
    for number in 0..5_000 {
        for cell in if number == 0 { 3 } else { 0 }..8 {
            if !lost(number, cell) {
                audit.handle(schedule.next() + Nanos(spread(cell)), 508);
            }
        }
        schedule.advance();
    }
    (audit.finding(), audit.short_trains())
}

#[test]
fn a_train_is_one_moment_with_all_its_cells() {
    let (finding, short) = audit_of_trains(|cell| cell * 12_000, |_, _| false);
    assert_eq!((finding.violations(), finding.packets, short), (Vec::new(), 39_997, 0), "{finding:?}");
    assert!((finding.bits_per_second / finding.promised_bits_per_second - 1.0).abs() < 0.02, "{finding:?}");
    let (finding, short) = audit_of_trains(|cell| cell * 12_000, |number, cell| number % 100 == 7 && cell > 3);
    assert_eq!((finding.violations(), short), (Vec::new(), 50), "{finding:?}");
    // Cells that trickle out are no train.
    let (_, short) = audit_of_trains(|cell| cell * 8_000_000, |_, _| false);
    assert!(short > 4_000, "{short}");
}
