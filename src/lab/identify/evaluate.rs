//! How well do traffic shapes tell devices apart? Cross-validation.

use std::fmt;

use rand::SeedableRng;
use rand::rngs::ChaCha8Rng;
use serde::Serialize;

use super::corpus::Corpus;
use super::shape;
use crate::lab::learn::{Dataset, ForestParams, RandomForest, Scores, by_group, nearest_class, stratified};
use crate::units::Nanos;

/// Lengths of the paper's samples, in seconds.
pub const SAMPLE_SECONDS: [u64; 3] = [1, 5, 10];
/// Lengths of the paper's windows, in seconds.
pub const WINDOW_SECONDS: [u64; 3] = [60, 120, 300];
const FOLDS: usize = 10;
const NEIGHBOURS: usize = 3;
/// A device with one capture only is split into so many parts of consecutive windows in place of captures.
const SPLITS_OF_SINGLE_CAPTURE: usize = 10;

/// A classifier.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Method {
    /// The paper's: three nearest neighbours by mean and standard deviation of bytes per sample.
    Neighbours,
    /// A random forest over sizes, intervals, directions and bursts.
    Forest,
}

/// What is kept apart between learning and testing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Split {
    /// Windows, as in the paper: a window is tested while its neighbours in time were learned.
    Window,
    /// Whole captures (of a device with one capture, tenths of it).
    Capture,
}

/// One way of telling, tested.
#[derive(Clone, Debug, Serialize)]
pub struct CrossValidation {
    /// The classifier.
    pub method: Method,
    /// What was kept apart.
    pub split: Split,
    /// Length of a window.
    pub window_s: u64,
    /// Length of a sample; `None` for the forest, which has samples of its own.
    pub sample_s: Option<u64>,
    /// Windows of each device, in the order of `devices`.
    pub windows: Vec<usize>,
    /// With the true labels.
    pub scores: Scores,
    /// With the labels shuffled before learning: what chance gives.
    pub shuffled: Scores,
}

/// All of them.
#[derive(Clone, Debug, Serialize)]
pub struct Evaluation {
    /// The devices, as the confusion matrices have them.
    pub devices: Vec<String>,
    /// Seed of folds, forests and shuffles.
    pub seed: u64,
    /// Every method, split, window and sample.
    #[serde(rename = "cells")]
    pub results: Vec<CrossValidation>,
}

impl Evaluation {
    /// The cell with the best balanced accuracy among those that pass.
    pub fn best(&self, passes: impl Fn(&CrossValidation) -> bool) -> Option<&CrossValidation> {
        let balanced = |cell: &&CrossValidation| cell.scores.balanced_accuracy;
        self.results.iter().filter(|cell| passes(cell)).max_by(|a, b| balanced(a).total_cmp(&balanced(b)))
    }
}

/// How much is tested.
#[derive(Clone, Debug)]
pub struct EvaluationConfig {
    /// Lengths of the windows, in seconds.
    pub window_s: Vec<u64>,
    /// Trees of each forest.
    pub trees: usize,
}

impl Default for EvaluationConfig {
    fn default() -> EvaluationConfig {
        EvaluationConfig { window_s: WINDOW_SECONDS.to_vec(), trees: ForestParams::default().trees }
    }
}

/// Tests every method on the devices of the corpus that are in use, telling `progress` how many of how many cells are done.
pub fn evaluate(
    corpus: &Corpus,
    effort: &EvaluationConfig,
    seed: u64,
    mut progress: impl FnMut(usize, usize),
) -> Evaluation {
    let mut results = Vec::new();
    let growth = ForestParams { trees: effort.trees, ..ForestParams::default() };
    let total = effort.window_s.len() * (SAMPLE_SECONDS.len() + 1) * 2;
    for &window_s in &effort.window_s {
        let width = Nanos::from_secs(window_s);
        let samples = SAMPLE_SECONDS.map(Some).into_iter().chain([None]);
        for sample_s in samples {
            let (method, table) = match sample_s {
                Some(s) => (
                    Method::Neighbours,
                    table(corpus, width, |packets, start| shape::rates(packets, start, width, Nanos::from_secs(s))),
                ),
                None => (Method::Forest, table(corpus, width, |packets, start| shape::features(packets, start, width))),
            };
            for split in [Split::Window, Split::Capture] {
                let mut rng = ChaCha8Rng::seed_from_u64(seed ^ window_s << 8);
                let fold_of = match split {
                    Split::Window => stratified(&table, FOLDS, &mut rng),
                    Split::Capture => by_group(&table, FOLDS, &mut rng),
                };
                let scores = validate(method, growth, &table, &table, &fold_of, seed);
                let shuffled = validate(method, growth, &table.shuffled(&mut rng), &table, &fold_of, seed);
                results.push(CrossValidation {
                    method,
                    split,
                    window_s,
                    sample_s,
                    windows: table.counts(),
                    scores,
                    shuffled,
                });
                progress(results.len(), total);
            }
        }
    }
    Evaluation { devices: corpus.devices[..corpus.in_use].to_vec(), seed, results: results }
}

/// The windows of the devices in use as a table, grouped by capture.
pub(super) fn table(
    corpus: &Corpus,
    width: Nanos,
    features: impl Fn(&[crate::lab::trace::PacketRecord], Nanos) -> Vec<f32>,
) -> Dataset {
    let mut table = Dataset { classes: corpus.devices[..corpus.in_use].to_vec(), ..Dataset::default() };
    for (index, record) in corpus.captures.iter().enumerate().filter(|(_, record)| record.device < corpus.in_use) {
        let alone = corpus.captures.iter().filter(|other| other.device == record.device).count() == 1;
        let rows: Vec<_> = shape::windows(&record.trace, width).collect();
        for (number, (start, packets)) in rows.iter().enumerate() {
            let part = if alone { number * SPLITS_OF_SINGLE_CAPTURE / rows.len() } else { 0 };
            table.push(features(packets, *start), record.device, index * SPLITS_OF_SINGLE_CAPTURE + part);
        }
    }
    table
}

fn validate(
    method: Method,
    growth: ForestParams,
    learned: &Dataset,
    truth: &Dataset,
    fold_of: &[usize],
    seed: u64,
) -> Scores {
    let mut pairs = Vec::with_capacity(truth.rows.len());
    for fold in 0..FOLDS {
        let train = learned.subset(|row| fold_of[row] != fold);
        let tested = (0..truth.rows.len()).filter(|&row| fold_of[row] == fold);
        if train.rows.is_empty() {
            continue;
        }
        let forest = (method == Method::Forest).then(|| RandomForest::train(&train, growth, seed + fold as u64));
        for row in tested {
            let answer = match &forest {
                Some(forest) => forest.predict(&truth.rows[row]),
                None => nearest_class(&train, NEIGHBOURS, &truth.rows[row]).unwrap_or(0),
            };
            pairs.push((truth.labels[row], answer));
        }
    }
    Scores::of(truth.classes.len(), pairs)
}

impl fmt::Display for Method {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Method::Neighbours => "3-NN on rates (the paper's)",
            Method::Forest => "random forest",
        })
    }
}

impl fmt::Display for Split {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Split::Window => "by window",
            Split::Capture => "by capture",
        })
    }
}
