//! The methods on datasets whose answer is known.

use rand::rngs::ChaCha8Rng;
use rand::{RngExt, SeedableRng};

use super::*;

/// Two classes that only the combination (exclusive or) of two features distinguishes, and a third feature of noise.
fn exclusive_or(rows: usize, seed: u64) -> Dataset {
    println!("seed {seed}");
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let mut dataset = Dataset { classes: vec!["same".into(), "different".into()], ..Dataset::default() };
    for row in 0..rows {
        let (a, b): (f32, f32) = (rng.random(), rng.random());
        dataset.push(vec![a, b, rng.random()], usize::from((a < 0.5) != (b < 0.5)), row / 10);
    }
    dataset
}

fn accuracy(train: &Dataset, test: &Dataset, answer: impl Fn(&[f32]) -> usize) -> f64 {
    let pairs = test.rows.iter().zip(&test.labels).map(|(row, &label)| (label, answer(row)));
    Scores::of(train.classes.len(), pairs).balanced_accuracy
}

#[test]
fn a_forest_learns_a_combination_of_features_and_nothing_from_shuffled_labels() {
    let (train, test) = (exclusive_or(2_000, 1), exclusive_or(1_000, 2));
    let forest = RandomForest::train(&train, ForestParams::default(), 3);
    assert!(accuracy(&train, &test, |row| forest.predict(row)) > 0.95);
    let shuffled = train.shuffled(&mut ChaCha8Rng::seed_from_u64(4));
    let forest = RandomForest::train(&shuffled, ForestParams::default(), 3);
    let blind = accuracy(&train, &test, |row| forest.predict(row));
    assert!((0.44..0.56).contains(&blind), "{blind}");
}

#[test]
fn the_same_dataset_and_seed_give_the_same_forest() {
    let dataset = exclusive_or(300, 5);
    let grow = |seed| {
        RandomForest::train(&dataset, ForestParams { trees: 5, ..ForestParams::default() }, seed)
            .vote_shares(&[0.3, 0.6, 0.5])
    };
    assert_eq!(grow(1), grow(1));
    assert!((grow(2).iter().sum::<f32>() - 1.0).abs() < 1e-5);
}

#[test]
fn a_rare_class_has_the_same_weight_as_a_common_one() {
    let mut rng = ChaCha8Rng::seed_from_u64(6);
    let mut dataset = Dataset { classes: vec!["common".into(), "rare".into()], ..Dataset::default() };
    for row in 0..2_000 {
        let rare = usize::from(row % 50 == 0);
        dataset.push(vec![rng.random::<f32>() + 0.9 * rare as f32], rare, row);
    }
    let forest = RandomForest::train(&dataset, ForestParams { depth: 3, ..ForestParams::default() }, 1);
    assert_eq!((forest.predict(&[0.2]), forest.predict(&[1.5])), (0, 1));
}

#[test]
fn nearest_neighbours_match_a_calculation_by_hand() {
    let mut dataset = Dataset { classes: vec!["a".into(), "b".into()], ..Dataset::default() };
    for (x, label) in [(0.0, 0), (1.0, 1), (1.2, 1), (9.0, 0)] {
        dataset.push(vec![x], label, 0);
    }
    assert_eq!(nearest_class(&dataset, 3, &[0.1]), Some(1), "two of the three nearest");
    assert_eq!(nearest_class(&dataset, 1, &[0.1]), Some(0));
    assert_eq!(nearest_class(&dataset, 2, &[0.1]), Some(0), "the nearest row decides a tie");
    assert_eq!(nearest_class(&Dataset::default(), 3, &[0.1]), None);
}

#[test]
fn folds_are_balanced_by_class_and_never_divide_a_group() {
    let dataset = exclusive_or(1_000, 7);
    let mut rng = ChaCha8Rng::seed_from_u64(8);
    let fold_of = stratified(&dataset, 10, &mut rng);
    for class in 0..2 {
        let all = dataset.counts()[class];
        for fold in 0..10 {
            let here = (0..1_000).filter(|&row| fold_of[row] == fold && dataset.labels[row] == class).count();
            assert!(here.abs_diff(all / 10) <= 1, "class {class} fold {fold}: {here} of {all}");
        }
    }
    let fold_of = by_group(&dataset, 10, &mut rng);
    for row in 1..1_000 {
        assert!(dataset.groups[row] != dataset.groups[row - 1] || fold_of[row] == fold_of[row - 1]);
    }
}

#[test]
fn scores_match_a_calculation_by_hand() {
    let scores = Scores::of(3, [(0, 0), (0, 0), (0, 1), (0, 0), (1, 1), (1, 0)]);
    assert_eq!(scores.confusion, [[3, 1, 0], [1, 1, 0], [0, 0, 0]]);
    assert!((scores.accuracy - 4.0 / 6.0).abs() < 1e-12);
    assert!((scores.balanced_accuracy - 0.625).abs() < 1e-12, "the class without observations is left out");
}
