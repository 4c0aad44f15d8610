//! The k-nearest-neighbours classifier.

use super::Dataset;

/// The majority class of the `k` rows nearest to `row` by Euclidean distance; in a tie, the class of the nearest row.
/// `None` for an empty dataset.
pub fn nearest_class(dataset: &Dataset, k: usize, row: &[f32]) -> Option<usize> {
    let mut nearest: Vec<(f32, usize)> = Vec::with_capacity(k + 1);
    for (other, &label) in dataset.rows.iter().zip(&dataset.labels) {
        let distance: f32 = other.iter().zip(row).map(|(a, b)| (a - b) * (a - b)).sum();
        if nearest.len() == k && nearest.last().is_some_and(|&(worst, _)| distance >= worst) {
            continue;
        }
        let at = nearest.partition_point(|&(closer, _)| closer <= distance);
        nearest.insert(at, (distance, label));
        nearest.truncate(k);
    }
    let votes = |class: usize| nearest.iter().filter(|&&(_, label)| label == class).count();
    let max_votes = nearest.iter().map(|&(_, label)| votes(label)).max()?;
    nearest.iter().map(|&(_, label)| label).find(|&label| votes(label) == max_votes)
}
