//! Onsets against what is known to have happened.

use serde::Serialize;

use super::detect::{Detector, Onset};
use super::labels::Case;

/// An onset this long before a label still answers it: clocks of labels are not those of captures.
const EARLY_S: f64 = 2.0;
/// An onset this long after a label still answers it.
const LATE_S: f64 = 10.0;
/// Labels are moved by so many different times to learn what chance gives.
const SHIFTS: usize = 20;

/// How well one case was found out.
#[derive(Clone, Debug, Serialize)]
pub struct Outcome {
    /// The capture.
    pub case: String,
    /// The kind of activity.
    pub kind: String,
    /// Why the case is no fair measure, if it is none.
    pub caveat: Option<&'static str>,
    /// Things that happened.
    pub labels: usize,
    /// Onsets found outside the spans that are not scored.
    pub onsets: usize,
    /// Onsets that answer a label, or fall into the time that the labelled thing takes.
    pub onsets_right: usize,
    /// Labels that are answered.
    pub found: usize,
    /// Labels that would be answered if they lay elsewhere: the mean over shifted ones.
    pub found_by_chance: f64,
    /// From each answered label to its onset, in seconds, ascending; negative where the clocks disagree.
    pub delays_s: Vec<f64>,
}

/// Cases of one kind together.
#[derive(Clone, Debug, Serialize)]
pub struct Pooled {
    /// The kind of activity.
    pub kind: String,
    /// Why the kind is no fair measure, if it is none.
    pub caveat: Option<&'static str>,
    /// Captures.
    pub cases: usize,
    /// Things that happened.
    pub labels: usize,
    /// Onsets found.
    pub onsets: usize,
    /// Part of the onsets that are right, 0..=1.
    pub precision: f64,
    /// Part of the labels that are found, 0..=1.
    pub recall: f64,
    /// Part of the labels that would be found if they lay elsewhere, 0..=1.
    pub recall_by_chance: f64,
    /// Median of the delays, in seconds.
    pub delay_p50_s: f64,
    /// 90th percentile of the delays, in seconds.
    pub delay_p90_s: f64,
}

/// Runs the detector on a case.
pub fn score(case: &Case, detector: &Detector) -> Outcome {
    let onsets: Vec<Onset> =
        detector.onsets(&case.trace).into_iter().filter(|onset| !case.is_unscored(onset.start_s)).collect();
    let mut delays_s: Vec<f64> =
        case.labels.iter().filter_map(|label| answer(&onsets, label.start_s).map(|at| at - label.start_s)).collect();
    delays_s.sort_unstable_by(f64::total_cmp);
    let right = |onset: &&Onset| {
        case.labels.iter().any(|label| {
            let latest = label.start_s + label.duration_s.max(LATE_S);
            (label.start_s - EARLY_S..=latest).contains(&onset.start_s)
        })
    };
    Outcome {
        case: case.name.clone(),
        kind: case.kind.to_owned(),
        caveat: case.caveat,
        labels: case.labels.len(),
        onsets: onsets.len(),
        onsets_right: onsets.iter().filter(right).count(),
        found: delays_s.len(),
        found_by_chance: by_chance(case, &onsets),
        delays_s,
    }
}

/// The outcomes of each kind together, in the order in which the kinds appear.
pub fn pooled(outcomes: &[Outcome]) -> Vec<Pooled> {
    let mut kinds: Vec<&str> = Vec::new();
    for outcome in outcomes {
        if !kinds.contains(&outcome.kind.as_str()) {
            kinds.push(&outcome.kind);
        }
    }
    let pool = |kind: &str| {
        let own: Vec<&Outcome> = outcomes.iter().filter(|outcome| outcome.kind == kind).collect();
        let sum = |count: fn(&Outcome) -> usize| own.iter().map(|outcome| count(outcome)).sum::<usize>();
        let (labels, onsets) = (sum(|o| o.labels), sum(|o| o.onsets));
        let mut delays: Vec<f64> = own.iter().flat_map(|outcome| outcome.delays_s.iter().copied()).collect();
        delays.sort_unstable_by(f64::total_cmp);
        let quantile = |part: f64| {
            let rank = (part * delays.len().saturating_sub(1) as f64).round() as usize;
            delays.get(rank).copied().unwrap_or(0.0)
        };
        Pooled {
            kind: kind.to_owned(),
            caveat: own.first().and_then(|outcome| outcome.caveat),
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

fn answer(onsets: &[Onset], label_s: f64) -> Option<f64> {
    let inside = onsets.iter().map(|onset| onset.start_s).filter(|at| (-EARLY_S..=LATE_S).contains(&(at - label_s)));
    inside.min_by(|a, b| (a - label_s).abs().total_cmp(&(b - label_s).abs()))
}

fn by_chance(case: &Case, onsets: &[Onset]) -> f64 {
    let length = case.trace.length().as_secs_f64().max(1.0);
    let mut found = 0;
    for shift in 1..=SHIFTS {
        let by = length * shift as f64 / (SHIFTS + 1) as f64;
        found += case.labels.iter().filter(|label| answer(onsets, (label.start_s + by) % length).is_some()).count();
    }
    found as f64 / SHIFTS as f64
}
