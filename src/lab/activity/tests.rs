//! Activity inference on made-up captures, and on real ones where they are at hand.

use super::*;
use crate::lab::trace::{DataFolder, Direction, Event, Trace};
use crate::units::Nanos;

fn trace(packets: &[(f64, u16)]) -> Trace {
    let event =
        |&(at_s, bytes): &(f64, u16)| Event { time: Nanos((at_s * 1e9) as u64), direction: Direction::Up, bytes };
    Trace { device: "test".to_owned(), events: packets.iter().map(event).collect() }
}

/// A heartbeat every ten seconds, and two uses.
fn heartbeat_and_two_uses() -> Trace {
    let mut packets: Vec<(f64, u16)> = (0..60).map(|beat| (f64::from(beat) * 10.0, 90)).collect();
    for start in [101.5, 333.25] {
        packets.extend((0..8).map(|packet| (start + f64::from(packet) * 0.1, 300)));
    }
    packets.sort_by(|a, b| a.0.total_cmp(&b.0));
    trace(&packets)
}

#[test]
fn uses_are_found_at_their_first_packet_and_heartbeats_are_not() {
    let onsets = Detector::default().onsets(&heartbeat_and_two_uses());
    let starts: Vec<f64> = onsets.iter().map(|onset| onset.start_s).collect();
    assert_eq!(starts, [101.5, 333.25]);
}

#[test]
fn a_steady_rate_has_no_onsets() {
    let packets: Vec<(f64, u16)> = (0..10_000).map(|packet| (f64::from(packet) * 0.05, 1_000)).collect();
    assert_eq!(Detector::default().onsets(&trace(&packets)), []);
    assert_eq!(Detector::default().onsets(&trace(&[])), []);
}

#[test]
fn scoring_by_hand() {
    let label = |start_s| Label { start_s, duration_s: 0.0, what: String::new() };
    let case = |labels: &[f64], unscored_s: &[(f64, f64)]| Case {
        name: "test".to_owned(),
        kind: "test",
        caveat: None,
        trace: heartbeat_and_two_uses(),
        labels: labels.iter().copied().map(label).collect(),
        unscored_s: unscored_s.to_vec(),
    };
    let outcome = score(&case(&[100.0, 200.0], &[]), &Detector::default());
    assert_eq!((outcome.labels, outcome.onsets, outcome.onsets_right, outcome.found), (2, 2, 1, 1));
    assert_eq!(outcome.delays_s, [1.5]);
    assert!(outcome.found_by_chance < 0.2);
    let outcome = score(&case(&[100.0], &[(300.0, 400.0)]), &Detector::default());
    assert_eq!((outcome.onsets, outcome.onsets_right), (1, 1), "the second use is not scored");
    let kinds = pooled(&[outcome]);
    assert_eq!((kinds[0].precision, kinds[0].recall, kinds[0].delay_p50_s), (1.0, 1.0, 1.5));
}

#[test]
fn made_up_uses_are_found() {
    let seed = 3;
    println!("seed {seed}");
    let outcomes: Vec<Outcome> = synthetic_cases(seed).iter().map(|case| score(case, &Detector::default())).collect();
    let kind = &pooled(&outcomes)[0];
    assert!(kind.recall > 0.9 && kind.precision > 0.9, "{kind:?}");
    assert!(kind.recall_by_chance < 0.5, "{kind:?}");
}

#[test]
fn voice_questions_are_found_in_real_captures() {
    let Some(folder) = DataFolder::find() else {
        println!("skipped: voice_questions_are_found_in_real_captures: no captures");
        return;
    };
    let cases = cases(&folder, |_, _| {}).unwrap();
    let outcomes: Vec<Outcome> = cases.iter().map(|case| score(case, &Detector::default())).collect();
    let kinds = pooled(&outcomes);
    let questions = kinds.iter().find(|kind| kind.kind == "voice questions").unwrap();
    assert!(questions.recall > 0.8 && questions.precision > 0.6, "{questions:?}");
    assert!(questions.recall > 2.0 * questions.recall_by_chance, "{questions:?}");
    assert!(kinds.iter().filter(|kind| kind.caveat.is_some()).count() == 2, "fitted times are named as such");
}
