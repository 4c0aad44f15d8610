//! Labelled observations.

use rand::RngExt;
use rand::rngs::ChaCha8Rng;

/// Observations with features, class and group.
#[derive(Clone, Debug, Default)]
pub struct Dataset {
    /// Names of the classes.
    pub classes: Vec<String>,
    /// One row of features per observation, all of the same length.
    pub rows: Vec<Vec<f32>>,
    /// Class of each row, as an index into `classes`.
    pub labels: Vec<usize>,
    /// Group of each row, for instance its capture: rows of one group resemble each other for reasons other than their
    /// class.
    pub groups: Vec<usize>,
}

impl Dataset {
    /// Adds an observation.
    pub fn push(&mut self, row: Vec<f32>, label: usize, group: usize) {
        self.rows.push(row);
        self.labels.push(label);
        self.groups.push(group);
    }

    /// Number of observations of each class.
    pub fn counts(&self) -> Vec<usize> {
        let mut counts = vec![0; self.classes.len()];
        for &label in &self.labels {
            counts[label] += 1;
        }
        counts
    }

    /// The rows whose index `wanted` accepts.
    pub fn subset(&self, mut wanted: impl FnMut(usize) -> bool) -> Dataset {
        let mut subset = Dataset { classes: self.classes.clone(), ..Dataset::default() };
        for index in (0..self.rows.len()).filter(|&index| wanted(index)) {
            subset.push(self.rows[index].clone(), self.labels[index], self.groups[index]);
        }
        subset
    }

    /// The same rows with permuted labels. What a method learns from them is chance.
    pub fn shuffled(&self, rng: &mut ChaCha8Rng) -> Dataset {
        let mut dataset = self.clone();
        for last in (1..dataset.labels.len()).rev() {
            dataset.labels.swap(last, rng.random_range(0..=last));
        }
        dataset
    }
}
