//! k nearest neighbours.

use super::Dataset;

/// The class that most of the `k` rows nearest to `row` have, by Euclidean distance; among equals that of the
/// nearest. `None` for an empty table.
pub fn nearest_class(table: &Dataset, k: usize, row: &[f32]) -> Option<usize> {
    let mut nearest: Vec<(f32, usize)> = Vec::with_capacity(k + 1);
    for (other, &label) in table.rows.iter().zip(&table.labels) {
        let distance: f32 = other.iter().zip(row).map(|(a, b)| (a - b) * (a - b)).sum();
        if nearest.len() == k && nearest.last().is_some_and(|&(worst, _)| distance >= worst) {
            continue;
        }
        let at = nearest.partition_point(|&(closer, _)| closer <= distance);
        nearest.insert(at, (distance, label));
        nearest.truncate(k);
    }
    let votes = |class: usize| nearest.iter().filter(|&&(_, label)| label == class).count();
    let most = nearest.iter().map(|&(_, label)| votes(label)).max()?;
    nearest.iter().map(|&(_, label)| label).find(|&label| votes(label) == most)
}
