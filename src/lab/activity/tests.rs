//! Tests activity inference on synthetic captures, and on real captures if the data folder exists.

use super::*;
use crate::lab::trace::{DataFolder, Direction, PacketRecord, Trace};
use crate::units::Nanos;

fn trace(packets: &[(f64, u16)]) -> Trace {
    let event = |&(at_s, bytes): &(f64, u16)| PacketRecord {
        time: Nanos((at_s * 1e9) as u64),
        direction: Direction::Up,
        bytes,
    };
    Trace { device: "test".to_owned(), packets: packets.iter().map(event).collect() }
}

/// Returns a trace with a heartbeat every ten seconds and two uses.
fn heartbeat_and_two_uses() -> Trace {
    let mut packets: Vec<(f64, u16)> = (0..60).map(|beat| (f64::from(beat) * 10.0, 90)).collect();
    for start in [101.5, 333.25] {
        packets.extend((0..8).map(|packet| (start + f64::from(packet) * 0.1, 300)));
    }
    packets.sort_by(|a, b| a.0.total_cmp(&b.0));
    trace(&packets)
}

#[test]
fn detector_finds_uses_at_their_first_packet_and_ignores_heartbeats() {
    let onsets = Detector::default().onsets(&heartbeat_and_two_uses());
    let starts: Vec<f64> = onsets.iter().map(|onset| onset.start_s).collect();
    assert_eq!(starts, [101.5, 333.25]);
}

#[test]
fn steady_rate_has_no_onsets() {
    let packets: Vec<(f64, u16)> = (0..10_000).map(|packet| (f64::from(packet) * 0.05, 1_000)).collect();
    assert_eq!(Detector::default().onsets(&trace(&packets)), []);
    assert_eq!(Detector::default().onsets(&trace(&[])), []);
}

#[test]
fn score_matches_a_calculation_by_hand() {
    let label = |start_s| Label { start_s, duration_s: 0.0, what: String::new() };
    let capture = |labels: &[f64], unscored_s: &[(f64, f64)]| LabelledCapture {
        name: "test".to_owned(),
        kind: "test",
        caveat: None,
        trace: heartbeat_and_two_uses(),
        labels: labels.iter().copied().map(label).collect(),
        unscored_s: unscored_s.to_vec(),
    };
    let scored = score(&capture(&[100.0, 200.0], &[]), &Detector::default());
    assert_eq!((scored.labels, scored.onsets, scored.onsets_right, scored.found), (2, 2, 1, 1));
    assert_eq!(scored.delays_s, [1.5]);
    assert!(scored.found_by_chance < 0.2);
    let scored = score(&capture(&[100.0], &[(300.0, 400.0)]), &Detector::default());
    assert_eq!((scored.onsets, scored.onsets_right), (1, 1), "the second use lies in an unscored span");
    let kinds = pool_by_kind(&[scored]);
    assert_eq!((kinds[0].precision, kinds[0].recall, kinds[0].delay_p50_s), (1.0, 1.0, 1.5));
}

#[test]
fn detector_finds_uses_in_synthetic_captures() {
    let seed = 3;
    println!("seed {seed}");
    let scores: Vec<DetectionScore> =
        synthetic_captures(seed).iter().map(|capture| score(capture, &Detector::default())).collect();
    let kind = &pool_by_kind(&scores)[0];
    assert!(kind.recall > 0.9 && kind.precision > 0.9, "{kind:?}");
    assert!(kind.recall_by_chance < 0.5, "{kind:?}");
}

#[test]
fn detector_finds_voice_questions_in_real_captures() {
    let Some(folder) = DataFolder::find() else {
        println!("skipped: detector_finds_voice_questions_in_real_captures: no captures");
        return;
    };
    let captures = labelled_captures(&folder, |_, _| {}).unwrap();
    let scores: Vec<DetectionScore> = captures.iter().map(|capture| score(capture, &Detector::default())).collect();
    let kinds = pool_by_kind(&scores);
    let questions = kinds.iter().find(|kind| kind.kind == "voice questions").unwrap();
    assert!(questions.recall > 0.8 && questions.precision > 0.6, "{questions:?}");
    assert!(questions.recall > 2.0 * questions.recall_by_chance, "{questions:?}");
    assert!(kinds.iter().filter(|kind| kind.caveat.is_some()).count() == 2, "fitted times are named as such");
}
