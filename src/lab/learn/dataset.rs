//! Labelled rows of numbers.

use rand::RngExt;
use rand::rngs::ChaCha8Rng;

/// Observations with their features, class and origin.
#[derive(Clone, Debug, Default)]
pub struct Dataset {
    /// Names of the classes.
    pub classes: Vec<String>,
    /// One row of features per observation, all of the same length.
    pub rows: Vec<Vec<f32>>,
    /// Class of each row, an index into `classes`.
    pub labels: Vec<usize>,
    /// What each row came from, as a capture: rows of one group are alike for reasons that are not their class.
    pub groups: Vec<usize>,
}

impl Dataset {
    /// Adds an observation.
    pub fn push(&mut self, row: Vec<f32>, label: usize, group: usize) {
        self.rows.push(row);
        self.labels.push(label);
        self.groups.push(group);
    }

    /// How many observations there are of each class.
    pub fn counts(&self) -> Vec<usize> {
        let mut counts = vec![0; self.classes.len()];
        for &label in &self.labels {
            counts[label] += 1;
        }
        counts
    }

    /// The rows whose indices pass.
    pub fn subset(&self, mut wanted: impl FnMut(usize) -> bool) -> Dataset {
        let mut subset = Dataset { classes: self.classes.clone(), ..Dataset::default() };
        for index in (0..self.rows.len()).filter(|&index| wanted(index)) {
            subset.push(self.rows[index].clone(), self.labels[index], self.groups[index]);
        }
        subset
    }

    /// The same rows with the labels permuted: what a method finds in these is not there.
    pub fn shuffled(&self, rng: &mut ChaCha8Rng) -> Dataset {
        let mut table = self.clone();
        for last in (1..table.labels.len()).rev() {
            table.labels.swap(last, rng.random_range(0..=last));
        }
        table
    }
}
