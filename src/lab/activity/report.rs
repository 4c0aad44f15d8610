//! Prints and draws the results of activity inference.

use std::path::{Path, PathBuf};

use super::detect::{Detector, Onset};
use super::labels::LabelledCapture;
use super::score::PooledScore;
use crate::lab::error::Error;
use crate::lab::plot::{Chart, Series, SeriesStyle, save};
use crate::lab::trace::{Direction, Trace};
use crate::units::Nanos;

/// Maximum time that a panel shows, so that single events are visible.
const MAX_SHOWN: Nanos = Nanos::from_secs(600);

/// Prints the precision, recall and delay for each kind of activity.
pub fn print_results(kinds: &[PooledScore]) {
    println!(
        "{:<30} {:>8} {:>7} {:>7} {:>10} {:>8} {:>10} {:>9} {:>9}",
        "activity", "captures", "events", "onsets", "precision", "recall", "by chance", "delay p50", "p90"
    );
    for kind in kinds {
        println!(
            "{:<30} {:>8} {:>7} {:>7} {:>8.1} % {:>6.1} % {:>8.1} % {:>7.2} s {:>7.2} s{}",
            kind.kind,
            kind.cases,
            kind.labels,
            kind.onsets,
            100.0 * kind.precision,
            100.0 * kind.recall,
            100.0 * kind.recall_by_chance,
            kind.delay_p50_s,
            kind.delay_p90_s,
            if kind.caveat.is_some() { " *" } else { "" }
        );
    }
    for caveat in kinds.iter().filter_map(|kind| kind.caveat).take(1) {
        println!("* {caveat}");
    }
    println!(
        "An event counts as found if an onset lies between 2 s before and 10 s after it. `by chance` is the recall for \
         events at shifted times."
    );
}

/// Prints the onsets of a host.
pub fn print_onsets(host: &str, onsets: &[Onset]) {
    println!("{host}: {} onsets of activity", onsets.len());
    for onset in onsets {
        println!(
            "  {:>10.1} s  for {:>6.1} s, up to {:>8.0} bytes in 2 s",
            onset.start_s,
            onset.end_s - onset.start_s,
            onset.peak_bytes
        );
    }
}

/// Draws the paper's figure 1 (rates and known events) and figure 5 (rates, known and inferred events), with one panel
/// for each kind of activity. Returns the paths of the figures.
pub fn draw(captures: &[LabelledCapture], detector: &Detector, folder: &Path) -> Result<Vec<PathBuf>, Error> {
    let mut kinds: Vec<&LabelledCapture> = Vec::new();
    for capture in captures {
        if kinds.iter().all(|shown| shown.kind != capture.kind) {
            kinds.push(capture);
        }
    }
    let known_times = |capture: &&LabelledCapture| capture.labels.iter().map(|label| label.start_s).collect::<Vec<_>>();
    let inferred_times = |capture: &&LabelledCapture| {
        detector.onsets(&capture.trace).iter().map(|onset| onset.start_s).collect::<Vec<_>>()
    };
    let known: Vec<Chart> = kinds.iter().map(|capture| panel(capture, &[("known", known_times(capture))])).collect();
    let both: Vec<Chart> = kinds
        .iter()
        .map(|capture| panel(capture, &[("known", known_times(capture)), ("inferred", inferred_times(capture))]))
        .collect();
    Ok(vec![
        save(folder, "figure-1-activity", &Chart::stack(&known))?,
        save(folder, "figure-5-inference", &Chart::stack(&both))?,
    ])
}

/// Draws one host's rate with its onsets. Returns the path of the figure.
pub fn draw_trace(name: &str, trace: &Trace, onsets: &[Onset], folder: &Path) -> Result<PathBuf, Error> {
    let marks = onsets.iter().map(|onset| onset.start_s).collect();
    let chart = rate_chart(format!("{name}: inferred activity"), trace, trace.length(), &[("inferred", marks)]);
    save(folder, &format!("activity-{}", name.replace(':', "")), &chart.svg())
}

fn panel(capture: &LabelledCapture, marks: &[(&str, Vec<f64>)]) -> Chart {
    rate_chart(
        format!("{}: {}", capture.kind, capture.name),
        &capture.trace,
        capture.trace.length().min(MAX_SHOWN),
        marks,
    )
}

fn rate_chart(title: String, trace: &Trace, length: Nanos, marks: &[(&str, Vec<f64>)]) -> Chart {
    let mut series = Vec::new();
    for direction in Direction::ALL {
        // One value per second, but at most 600 values.
        let sample_s = (length.as_secs_f64() / 600.0).max(1.0);
        let mut bytes = vec![0.0; (length.as_secs_f64() / sample_s) as usize + 1];
        for event in trace.packets.iter().filter(|event| event.direction == direction && event.time <= length) {
            bytes[(event.time.as_secs_f64() / sample_s) as usize] += f64::from(event.bytes) / sample_s;
        }
        let values = bytes.iter().enumerate().map(|(at, bytes)| (at as f64 * sample_s, *bytes)).collect();
        series.push(Series { name: direction.name().to_owned(), style: SeriesStyle::Line, values });
    }
    for (name, times) in marks {
        let values = times.iter().filter(|at| **at <= length.as_secs_f64()).map(|at| (*at, 0.0)).collect();
        series.push(Series { name: (*name).to_owned(), style: SeriesStyle::VerticalLines, values });
    }
    Chart { title, x: "s".to_owned(), y: "bytes per second".to_owned(), logarithmic: false, series }
}
