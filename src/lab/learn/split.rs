//! Which part of a table is learned from and which is tested on.

use std::collections::BTreeMap;

use rand::RngExt;
use rand::rngs::ChaCha8Rng;

use super::Dataset;

/// The fold of each row, 0..folds: every fold gets its part of every class, in random order.
pub fn stratified(table: &Dataset, folds: usize, rng: &mut ChaCha8Rng) -> Vec<usize> {
    let mut fold_of = vec![0; table.rows.len()];
    let mut next = 0;
    for class in 0..table.classes.len() {
        let mut members: Vec<usize> = (0..table.rows.len()).filter(|&row| table.labels[row] == class).collect();
        shuffle(&mut members, rng);
        for row in members {
            fold_of[row] = next % folds;
            next += 1;
        }
    }
    fold_of
}

/// The fold of each row, 0..folds, such that no group is in two folds. Each class spreads its groups over the folds.
pub fn by_group(table: &Dataset, folds: usize, rng: &mut ChaCha8Rng) -> Vec<usize> {
    let mut fold_of_group = BTreeMap::new();
    for class in 0..table.classes.len() {
        let mut groups: Vec<usize> =
            table.groups.iter().zip(&table.labels).filter(|&(_, &label)| label == class).map(|(&g, _)| g).collect();
        groups.sort_unstable();
        groups.dedup();
        shuffle(&mut groups, rng);
        for (index, group) in groups.into_iter().enumerate() {
            fold_of_group.entry(group).or_insert(index % folds);
        }
    }
    table.groups.iter().map(|group| fold_of_group[group]).collect()
}

fn shuffle(items: &mut [usize], rng: &mut ChaCha8Rng) {
    for last in (1..items.len()).rev() {
        items.swap(last, rng.random_range(0..=last));
    }
}
