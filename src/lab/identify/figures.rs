//! The paper's figures 3 and 4 for the devices at hand, and a confusion matrix.

use std::path::{Path, PathBuf};

use super::corpus::Corpus;
use super::evaluate::{Evaluation, Method, SAMPLE_SECONDS, Split, WINDOW_SECONDS, table};
use super::shape;
use crate::lab::error::Error;
use crate::lab::plot::{Chart, Grid, Series, SeriesStyle, save};
use crate::units::Nanos;

/// More points of one device in a scatter plot only hide the others.
const MAX_POINTS: usize = 150;

/// Draws the figures into a folder; gives their paths.
pub fn draw(corpus: &Corpus, evaluation: &Evaluation, folder: &Path) -> Result<Vec<PathBuf>, Error> {
    let mut paths = vec![
        save(folder, "figure-3-rates", &rates(corpus).svg())?,
        save(folder, "figure-4-accuracy", &Chart::stack(&accuracy(evaluation)))?,
    ];
    if let Some(cell) = evaluation.best(|cell| cell.split == Split::Capture) {
        let share = |row: &Vec<usize>| {
            let all = row.iter().sum::<usize>().max(1) as f64;
            row.iter().map(|&count| count as f64 / all).collect()
        };
        let grid = Grid {
            title: format!("Answers in percent per device: {}, split by capture", cell.method),
            names: evaluation.devices.clone(),
            shares: cell.scores.confusion.iter().map(share).collect(),
        };
        paths.push(save(folder, "confusion", &grid.svg())?);
    }
    Ok(paths)
}

/// Figure 3: where devices lie by mean and standard deviation of their rate.
fn rates(corpus: &Corpus) -> Chart {
    let width = Nanos::from_secs(WINDOW_SECONDS[2]);
    let table = table(corpus, width, |events, start| shape::rates(events, start, width, Nanos::from_secs(1)));
    let mut chart = Chart {
        title: "Rate per window of 300 s, samples of 1 s".to_owned(),
        x: "mean, bytes per second".to_owned(),
        y: "standard deviation".to_owned(),
        logarithmic: true,
        series: Vec::new(),
    };
    for (class, name) in table.classes.iter().enumerate() {
        let own: Vec<&Vec<f32>> =
            table.rows.iter().zip(&table.labels).filter(|(_, label)| **label == class).map(|(row, _)| row).collect();
        let step = own.len().div_ceil(MAX_POINTS).max(1);
        let values = own.into_iter().step_by(step).map(|row| (f64::from(row[0]), f64::from(row[1]))).collect();
        chart.series.push(Series { name: name.clone(), style: SeriesStyle::Points, values });
    }
    chart
}

/// Figure 4: accuracy by lengths of window and sample, for both splits.
fn accuracy(evaluation: &Evaluation) -> Vec<Chart> {
    let panel = |split: Split| {
        let mut series = Vec::new();
        let mut line = |name: String, method: Method, sample_s: Option<u64>, shuffled: bool| {
            let own =
                evaluation.results.iter().filter(|c| c.split == split && c.method == method && c.sample_s == sample_s);
            let scores =
                |cell: &super::evaluate::CrossValidation| if shuffled { &cell.shuffled } else { &cell.scores }.balanced_accuracy;
            let values = own.map(|cell| (cell.window_s as f64, 100.0 * scores(cell))).collect();
            series.push(Series { name, style: SeriesStyle::Line, values });
        };
        for s in SAMPLE_SECONDS {
            line(format!("3-NN, {s} s samples"), Method::Neighbours, Some(s), false);
        }
        line("forest".to_owned(), Method::Forest, None, false);
        line("forest, shuffled labels".to_owned(), Method::Forest, None, true);
        // Anchors the axis, so that both panels compare.
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
