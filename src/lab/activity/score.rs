//! Scores detected onsets against labelled events.

use serde::Serialize;

use super::detect::{Detector, Onset, SampledTraffic};
use super::labels::LabelledCapture;

/// An onset this many seconds before a label still matches it: labels and captures used different clocks.
const EARLY_S: f64 = 2.0;
/// An onset this many seconds after a label still matches it.
const LATE_S: f64 = 10.0;
/// Number of time shifts of the labels that estimate the recall by chance.
const CHANCE_SHIFTS: usize = 20;

/// The detector's score on one capture.
#[derive(Clone, Debug, Serialize)]
pub struct DetectionScore {
    /// Name of the capture.
    pub case: String,
    /// The kind of activity.
    pub kind: String,
    /// Why the capture is not a fair measure; `None` if it is one.
    pub caveat: Option<&'static str>,
    /// Number of labelled events.
    pub labels: usize,
    /// Number of onsets outside the unscored spans.
    pub onsets: usize,
    /// Number of onsets that match a label or fall within the duration of its event.
    pub onsets_right: usize,
    /// Number of labels that an onset matches.
    pub found: usize,
    /// Mean number of labels that an onset matches when the labels are shifted in time.
    pub found_by_chance: f64,
    /// Delay from each matched label to its onset in seconds, ascending; negative where the clocks disagree.
    pub delays_s: Vec<f64>,
}

/// The detector's score on all captures of one kind of activity.
#[derive(Clone, Debug, Serialize)]
pub struct PooledScore {
    /// The kind of activity.
    pub kind: String,
    /// Why the kind is not a fair measure; `None` if it is one.
    pub caveat: Option<&'static str>,
    /// Number of captures.
    pub cases: usize,
    /// Number of labelled events.
    pub labels: usize,
    /// Number of onsets.
    pub onsets: usize,
    /// Share of the onsets that match a label, 0..=1.
    pub precision: f64,
    /// Share of the labels that an onset matches, 0..=1.
    pub recall: f64,
    /// Recall for labels that are shifted in time, 0..=1.
    pub recall_by_chance: f64,
    /// Median of the delays, in seconds.
    pub delay_p50_s: f64,
    /// 90th percentile of the delays, in seconds.
    pub delay_p90_s: f64,
}

/// Runs the detector on a capture and scores its onsets.
pub fn score(capture: &LabelledCapture, detector: &Detector) -> DetectionScore {
    score_traffic(capture, &SampledTraffic::of(&capture.trace, detector.sample), detector)
}

/// Runs the detector on other traffic than that of the capture, and scores its onsets by the capture's labels.
pub fn score_traffic(capture: &LabelledCapture, traffic: &SampledTraffic, detector: &Detector) -> DetectionScore {
    let onsets: Vec<Onset> =
        detector.onsets_in(traffic).into_iter().filter(|onset| !capture.is_unscored(onset.start_s)).collect();
    let mut delays_s: Vec<f64> = capture
        .labels
        .iter()
        .filter_map(|label| matching_onset(&onsets, label.start_s).map(|at| at - label.start_s))
        .collect();
    delays_s.sort_unstable_by(f64::total_cmp);
    let matches = |onset: &&Onset| {
        capture.labels.iter().any(|label| {
            let latest = label.start_s + label.duration_s.max(LATE_S);
            (label.start_s - EARLY_S..=latest).contains(&onset.start_s)
        })
    };
    DetectionScore {
        case: capture.name.clone(),
        kind: capture.kind.to_owned(),
        caveat: capture.caveat,
        labels: capture.labels.len(),
        onsets: onsets.len(),
        onsets_right: onsets.iter().filter(matches).count(),
        found: delays_s.len(),
        found_by_chance: found_by_chance(capture, traffic, &onsets),
        delays_s,
    }
}

/// Pools the scores of each kind of activity, in the order in which the kinds first appear.
pub fn pool_by_kind(scores: &[DetectionScore]) -> Vec<PooledScore> {
    let mut kinds: Vec<&str> = Vec::new();
    for score in scores {
        if !kinds.contains(&score.kind.as_str()) {
            kinds.push(&score.kind);
        }
    }
    let pool = |kind: &str| {
        let own: Vec<&DetectionScore> = scores.iter().filter(|score| score.kind == kind).collect();
        let sum = |count: fn(&DetectionScore) -> usize| own.iter().map(|score| count(score)).sum::<usize>();
        let (labels, onsets) = (sum(|o| o.labels), sum(|o| o.onsets));
        let mut delays: Vec<f64> = own.iter().flat_map(|score| score.delays_s.iter().copied()).collect();
        delays.sort_unstable_by(f64::total_cmp);
        let quantile = |part: f64| {
            let rank = (part * delays.len().saturating_sub(1) as f64).round() as usize;
            delays.get(rank).copied().unwrap_or(0.0)
        };
        PooledScore {
            kind: kind.to_owned(),
            caveat: own.first().and_then(|score| score.caveat),
            cases: own.len(),
            labels,
            onsets,
            precision: sum(|o| o.onsets_right) as f64 / onsets.max(1) as f64,
            recall: sum(|o| o.found) as f64 / labels.max(1) as f64,
            recall_by_chance: own.iter().map(|o| o.found_by_chance).sum::<f64>() / labels.max(1) as f64,
            delay_p50_s: quantile(0.5),
            delay_p90_s: quantile(0.9),
        }
    };
    kinds.into_iter().map(pool).collect()
}

fn matching_onset(onsets: &[Onset], label_s: f64) -> Option<f64> {
    let inside = onsets.iter().map(|onset| onset.start_s).filter(|at| (-EARLY_S..=LATE_S).contains(&(at - label_s)));
    inside.min_by(|a, b| (a - label_s).abs().total_cmp(&(b - label_s).abs()))
}

fn found_by_chance(capture: &LabelledCapture, traffic: &SampledTraffic, onsets: &[Onset]) -> f64 {
    let length = traffic.length.as_secs_f64().max(1.0);
    let mut found = 0;
    for shift in 1..=CHANCE_SHIFTS {
        let by = length * shift as f64 / (CHANCE_SHIFTS + 1) as f64;
        found += capture
            .labels
            .iter()
            .filter(|label| matching_onset(onsets, (label.start_s + by) % length).is_some())
            .count();
    }
    found as f64 / CHANCE_SHIFTS as f64
}
