//! Splits of a dataset into folds for cross-validation.

use std::collections::BTreeMap;

use rand::RngExt;
use rand::rngs::ChaCha8Rng;

use super::Dataset;

/// The fold of each row, 0..folds: every fold gets the same share of every class, chosen at random.
pub fn stratified(dataset: &Dataset, folds: usize, rng: &mut ChaCha8Rng) -> Vec<usize> {
    let mut fold_of = vec![0; dataset.rows.len()];
    let mut next = 0;
    for class in 0..dataset.classes.len() {
        let mut members: Vec<usize> = (0..dataset.rows.len()).filter(|&row| dataset.labels[row] == class).collect();
        shuffle(&mut members, rng);
        for row in members {
            fold_of[row] = next % folds;
            next += 1;
        }
    }
    fold_of
}

/// The fold of each row, 0..folds, with every group in one fold only. The groups of each class are spread over the
/// folds.
pub fn by_group(dataset: &Dataset, folds: usize, rng: &mut ChaCha8Rng) -> Vec<usize> {
    let mut fold_of_group = BTreeMap::new();
    for class in 0..dataset.classes.len() {
        let mut groups: Vec<usize> =
            dataset.groups.iter().zip(&dataset.labels).filter(|&(_, &label)| label == class).map(|(&g, _)| g).collect();
        groups.sort_unstable();
        groups.dedup();
        shuffle(&mut groups, rng);
        for (index, group) in groups.into_iter().enumerate() {
            fold_of_group.entry(group).or_insert(index % folds);
        }
    }
    dataset.groups.iter().map(|group| fold_of_group[group]).collect()
}

fn shuffle(items: &mut [usize], rng: &mut ChaCha8Rng) {
    for last in (1..items.len()).rev() {
        items.swap(last, rng.random_range(0..=last));
    }
}
