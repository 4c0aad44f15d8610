//! How often a classifier was right.

use serde::Serialize;

/// Truth against answer, and what follows from it.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Scores {
    /// `confusion[truth][answer]`, in numbers of observations.
    pub confusion: Vec<Vec<usize>>,
    /// Part of all observations that were classed rightly, 0..=1.
    pub accuracy: f64,
    /// Mean over the classes of the part that was classed rightly: does not flatter the frequent ones. 0..=1.
    pub balanced_accuracy: f64,
}

impl Scores {
    /// From pairs of truth and answer. Classes without an observation do not count in the balanced accuracy.
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
