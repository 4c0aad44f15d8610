//! The paper's figures 3 and 4 for the evaluated devices, and a confusion matrix.

use std::path::{Path, PathBuf};

use super::corpus::Corpus;
use super::evaluate::{CrossValidation, Evaluation, Method, SAMPLE_SECONDS, Split, WINDOW_SECONDS, dataset};
use super::shape;
use crate::lab::error::Error;
use crate::lab::plot::{Chart, Grid, Series, SeriesStyle, save};
use crate::units::Nanos;

/// Maximum points per device in a scatter plot; more would hide other devices.
const MAX_POINTS: usize = 150;

/// Writes the figures to a folder and returns their paths.
pub fn draw(corpus: &Corpus, evaluation: &Evaluation, folder: &Path) -> Result<Vec<PathBuf>, Error> {
    let mut paths = vec![
        save(folder, "figure-3-rates", &rates(corpus).svg())?,
        save(folder, "figure-4-accuracy", &Chart::stack(&accuracy(evaluation)))?,
    ];
    if let Some(result) = evaluation.best(|result| result.split == Split::Capture) {
        let share = |row: &Vec<usize>| {
            let all = row.iter().sum::<usize>().max(1) as f64;
            row.iter().map(|&count| count as f64 / all).collect()
        };
        let grid = Grid {
            title: format!("Predictions in percent per device: {}, split by capture", result.method),
            names: evaluation.devices.clone(),
            shares: result.scores.confusion.iter().map(share).collect(),
        };
        paths.push(save(folder, "confusion", &grid.svg())?);
    }
    Ok(paths)
}

/// Figure 3: the devices by mean and standard deviation of their rate.
fn rates(corpus: &Corpus) -> Chart {
    let width = Nanos::from_secs(WINDOW_SECONDS[2]);
    let dataset = dataset(corpus, width, |events, start| shape::rates(events, start, width, Nanos::from_secs(1)));
    let mut chart = Chart {
        title: "Rate per window of 300 s, samples of 1 s".to_owned(),
        x: "mean, bytes per second".to_owned(),
        y: "standard deviation".to_owned(),
        logarithmic: true,
        series: Vec::new(),
    };
    for (class, name) in dataset.classes.iter().enumerate() {
        let own: Vec<&Vec<f32>> = dataset
            .rows
            .iter()
            .zip(&dataset.labels)
            .filter(|(_, label)| **label == class)
            .map(|(row, _)| row)
            .collect();
        let step = own.len().div_ceil(MAX_POINTS).max(1);
        let values = own.into_iter().step_by(step).map(|row| (f64::from(row[0]), f64::from(row[1]))).collect();
        chart.series.push(Series { name: name.clone(), style: SeriesStyle::Points, values });
    }
    chart
}

/// Figure 4: accuracy by length of window and sample, for both splits.
fn accuracy(evaluation: &Evaluation) -> Vec<Chart> {
    let panel = |split: Split| {
        let mut series = Vec::new();
        let mut line = |name: String, method: Method, sample_s: Option<u64>, shuffled: bool| {
            let own =
                evaluation.results.iter().filter(|c| c.split == split && c.method == method && c.sample_s == sample_s);
            let scores =
                |result: &CrossValidation| if shuffled { &result.shuffled } else { &result.scores }.balanced_accuracy;
            let values = own.map(|result| (result.window_s as f64, 100.0 * scores(result))).collect();
            series.push(Series { name, style: SeriesStyle::Line, values });
        };
        for s in SAMPLE_SECONDS {
            line(format!("3-NN, {s} s samples"), Method::Neighbours, Some(s), false);
        }
        line("forest".to_owned(), Method::Forest, None, false);
        line("forest, shuffled labels".to_owned(), Method::Forest, None, true);
        // Fixes the range of the axis, so that both charts are comparable.
        series.push(Series {
            name: String::new(),
            style: SeriesStyle::Points,
            values: vec![(60.0, 0.0), (60.0, 100.0)],
        });
        Chart {
            title: format!("Balanced accuracy, split {split}"),
            x: "window, s".to_owned(),
            y: "percent".to_owned(),
            logarithmic: false,
            series,
        }
    };
    vec![panel(Split::Window), panel(Split::Capture)]
}
