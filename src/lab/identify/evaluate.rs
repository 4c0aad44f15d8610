//! Cross-validation of identification by traffic pattern.

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
/// A device with a single capture is divided into this many parts of consecutive windows, which replace captures.
const SPLITS_OF_SINGLE_CAPTURE: usize = 10;

/// A classifier.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Method {
    /// The paper's classifier: three nearest neighbours by mean and standard deviation of the bytes per sample.
    Neighbours,
    /// A random forest on sizes, intervals, directions and bursts.
    Forest,
}

/// The unit that is either in the training set or in the test set.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Split {
    /// Windows, as in the paper: the training set may contain the windows just before and after a tested one.
    Window,
    /// Whole captures, or tenths of the capture of a device that has only one.
    Capture,
}

/// The cross-validated scores of one method with one set of parameters.
#[derive(Clone, Debug, Serialize)]
pub struct CrossValidation {
    /// The classifier.
    pub method: Method,
    /// The unit of the split.
    pub split: Split,
    /// Length of a window in seconds.
    pub window_s: u64,
    /// Length of a sample in seconds; `None` for the forest, whose features use fixed samples.
    pub sample_s: Option<u64>,
    /// Number of windows of each device, in the order of [`Evaluation::devices`].
    pub windows: Vec<usize>,
    /// Scores with the true labels.
    pub scores: Scores,
    /// Scores after training on shuffled labels: the level of chance.
    pub shuffled: Scores,
}

/// The results of all methods and parameters.
#[derive(Clone, Debug, Serialize)]
pub struct Evaluation {
    /// The devices, in the order of the confusion matrices.
    pub devices: Vec<String>,
    /// Seed of folds, forests and shuffles.
    pub seed: u64,
    /// One result per method, split, window and sample.
    #[serde(rename = "cells")]
    pub results: Vec<CrossValidation>,
}

impl Evaluation {
    /// The result with the best balanced accuracy among those that `passes` accepts.
    pub fn best(&self, passes: impl Fn(&CrossValidation) -> bool) -> Option<&CrossValidation> {
        let balanced = |result: &&CrossValidation| result.scores.balanced_accuracy;
        self.results.iter().filter(|result| passes(result)).max_by(|a, b| balanced(a).total_cmp(&balanced(b)))
    }
}

/// The extent of an evaluation.
#[derive(Clone, Debug)]
pub struct EvaluationConfig {
    /// Lengths of the windows, in seconds.
    pub window_s: Vec<u64>,
    /// Number of trees in each forest.
    pub trees: usize,
}

impl Default for EvaluationConfig {
    fn default() -> EvaluationConfig {
        EvaluationConfig { window_s: WINDOW_SECONDS.to_vec(), trees: ForestParams::default().trees }
    }
}

/// Tests every method on the devices of the corpus that are in use. Calls `progress` with the number of results so far
/// and their total number.
pub fn evaluate(
    corpus: &Corpus,
    config: &EvaluationConfig,
    seed: u64,
    mut progress: impl FnMut(usize, usize),
) -> Evaluation {
    let mut results = Vec::new();
    let params = ForestParams { trees: config.trees, ..ForestParams::default() };
    let total = config.window_s.len() * (SAMPLE_SECONDS.len() + 1) * 2;
    for &window_s in &config.window_s {
        let width = Nanos::from_secs(window_s);
        let samples = SAMPLE_SECONDS.map(Some).into_iter().chain([None]);
        for sample_s in samples {
            let (method, dataset) = match sample_s {
                Some(s) => (
                    Method::Neighbours,
                    dataset(corpus, width, |packets, start| shape::rates(packets, start, width, Nanos::from_secs(s))),
                ),
                None => {
                    (Method::Forest, dataset(corpus, width, |packets, start| shape::features(packets, start, width)))
                }
            };
            for split in [Split::Window, Split::Capture] {
                let mut rng = ChaCha8Rng::seed_from_u64(seed ^ window_s << 8);
                let fold_of = match split {
                    Split::Window => stratified(&dataset, FOLDS, &mut rng),
                    Split::Capture => by_group(&dataset, FOLDS, &mut rng),
                };
                let scores = validate(method, params, &dataset, &dataset, &fold_of, seed);
                let shuffled = validate(method, params, &dataset.shuffled(&mut rng), &dataset, &fold_of, seed);
                results.push(CrossValidation {
                    method,
                    split,
                    window_s,
                    sample_s,
                    windows: dataset.counts(),
                    scores,
                    shuffled,
                });
                progress(results.len(), total);
            }
        }
    }
    Evaluation { devices: corpus.devices[..corpus.in_use].to_vec(), seed, results }
}

/// A dataset of the windows of the devices in use, grouped by capture.
pub(super) fn dataset(
    corpus: &Corpus,
    width: Nanos,
    features: impl Fn(&[crate::lab::trace::PacketRecord], Nanos) -> Vec<f32>,
) -> Dataset {
    let mut dataset = Dataset { classes: corpus.devices[..corpus.in_use].to_vec(), ..Dataset::default() };
    for (index, capture) in corpus.captures.iter().enumerate().filter(|(_, capture)| capture.device < corpus.in_use) {
        let alone = corpus.captures.iter().filter(|other| other.device == capture.device).count() == 1;
        let rows: Vec<_> = shape::windows(&capture.trace, width).collect();
        for (number, (start, packets)) in rows.iter().enumerate() {
            let part = if alone { number * SPLITS_OF_SINGLE_CAPTURE / rows.len() } else { 0 };
            dataset.push(features(packets, *start), capture.device, index * SPLITS_OF_SINGLE_CAPTURE + part);
        }
    }
    dataset
}

fn validate(
    method: Method,
    params: ForestParams,
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
        let forest = (method == Method::Forest).then(|| RandomForest::train(&train, params, seed + fold as u64));
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
            Method::Neighbours => "3-NN on rates (paper)",
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
