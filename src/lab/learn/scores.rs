//! Accuracy of a classifier.

use serde::Serialize;

/// The confusion matrix of a classifier, and the accuracies that follow from it.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Scores {
    /// `confusion[true class][predicted class]`: number of observations.
    pub confusion: Vec<Vec<usize>>,
    /// Share of all observations that were classified correctly, 0..=1.
    pub accuracy: f64,
    /// Mean over the classes of the share that was classified correctly, 0..=1. Frequent classes do not dominate it.
    pub balanced_accuracy: f64,
}

impl Scores {
    /// Counts pairs of true and predicted class. Classes without observations are left out of the balanced accuracy.
    pub fn of(classes: usize, pairs: impl IntoIterator<Item = (usize, usize)>) -> Scores {
        let mut confusion = vec![vec![0; classes]; classes];
        for (truth, answer) in pairs {
            confusion[truth][answer] += 1;
        }
        let total: usize = confusion.iter().flatten().sum();
        let right: usize = (0..classes).map(|class| confusion[class][class]).sum();
        let parts: Vec<f64> = (0..classes)
            .map(|class| (confusion[class][class], confusion[class].iter().sum::<usize>()))
            .filter(|&(_, all)| all > 0)
            .map(|(right, all)| right as f64 / all as f64)
            .collect();
        Scores {
            accuracy: right as f64 / total.max(1) as f64,
            balanced_accuracy: parts.iter().sum::<f64>() / parts.len().max(1) as f64,
            confusion,
        }
    }
}
