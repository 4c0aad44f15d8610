use super::*;
use crate::lab::trace::HomeTrace;

fn line() -> BurstLine {
    BurstLine {
        base: [BitsPerSec::from_kbit(20); 2],
        burst: [BitsPerSec::from_kbit(600), BitsPerSec::from_kbit(60)],
        slot: Nanos::from_secs(10),
        begin: Chance(900_000),
        keep: Chance(950_000),
        linger: None,
        events_a_day: Some(20.0),
        event: Some(Nanos::from_secs(30)),
        weeks: 60,
        seed: 3,
    }
}

/// The attacker's belief is the bound, and it is right as often as it believes: neither is beaten.
#[test]
fn the_best_attacker_meets_the_bound_and_does_not_beat_it() {
    let line = line();
    println!("seed {}", line.seed);
    let need = NeedPattern::new(20.0, 3.0, line.slot);
    for (decoy, linger) in [(3_000, 600_000), (30_000, 600_000), (30_000, 700_000), (100_000, 900_000)] {
        let rules = BurstRules { linger: Chance(linger), ..line.rules(Chance(decoy), &need) };
        let bound = BurstOdds::new(&rules, &need).after_event;
        let result = attack(&rules, &need, line.weeks, line.seed);
        let error = (bound * (1.0 - bound) / f64::from(result.bursts)).sqrt();
        assert!(result.bursts > 500, "{result:?}");
        assert!((result.belief - bound).abs() < 3.0 * error, "decoy {decoy}: {result:?}, bound {bound}");
        let share = f64::from(result.real) / f64::from(result.bursts);
        assert!((share - bound).abs() < 4.0 * error, "decoy {decoy}: right in {share}, bound {bound}");
        assert!(result.in_need < bound + 3.0 * error, "before the end of an event the attacker knows less");
    }
}

#[test]
fn epsilon_is_that_of_the_worse_state() {
    let rules = line().rules(Chance(30_000), &NeedPattern::new(20.0, 3.0, line().slot));
    assert!((epsilon(&rules) - 30f64.ln()).abs() < 1e-9);
    let rules = BurstRules { keep: Chance(999_000), linger: Chance(100_000), ..rules };
    assert!((epsilon(&rules) - 900f64.ln()).abs() < 1e-9);
}

/// More decoys cost more and say less; the other lines hide as much for more.
#[test]
fn decoys_buy_disbelief() {
    let (home, _) = HomeTrace::synthetic(Nanos::from_secs(300), 3);
    let listed = [home.devices.iter().position(|trace| trace.device.contains("camera")).expect("a camera")];
    let rows = rows(&home, &listed, &BurstLine { weeks: 20, ..line() }).unwrap();
    assert_eq!(rows.len(), DECOYS.len());
    for pair in rows.windows(2) {
        assert!(pair[1].gb_month > pair[0].gb_month && pair[1].belief_after < pair[0].belief_after, "{rows:#?}");
    }
    for row in &rows {
        assert!(row.belief_before < row.belief_after && row.epsilon > 0.0 && row.p99_s > 0.0, "{row:?}");
        assert!((row.events_day - 20.0).abs() < 0.5, "{row:?}");
    }
}
