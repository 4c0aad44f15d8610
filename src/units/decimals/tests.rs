//! Fractions as texts, compared with Rust's own.

use rand::rngs::ChaCha12Rng;
use rand::{RngExt, SeedableRng};

use super::*;

const SEED: u64 = 20_261_127;

#[test]
fn decimals_are_those_of_rusts_own_formatting() {
    let mut rng = ChaCha12Rng::seed_from_u64(SEED);
    // Sixteenths contain every number in the middle between two decimals.
    let mut numbers: Vec<f64> = (0..2000).map(|sixteenths| f64::from(sixteenths) / 16.0).collect();
    numbers.extend([0.0, 0.0005, 0.9995, 9.95, 1e12, 1e15 + 0.5, 2f64.powi(52) + 1.0, 2f64.powi(63), 1.8e19]);
    numbers.extend([f64::MIN_POSITIVE, 5e-324, 2f64.powi(-11), 2f64.powi(-12), f64::EPSILON]);
    numbers.extend((0..20_000).map(|_| 10f64.powf(rng.random_range(-25.0..19.0))));
    numbers.extend((0..20_000).map(|_| f64::from(rng.random::<u32>()) / 1e3));
    for number in numbers
        .iter()
        .flat_map(|number| [*number, number * (1.0 + f64::EPSILON), number * (1.0 - f64::EPSILON), -number])
    {
        for places in 0..=3 {
            assert_eq!(with_decimals(number, places), format!("{number:.places$}"), "{number:e} {places} seed {SEED}");
        }
    }
}

#[test]
fn powers_of_ten_are_those_of_rusts_own_formatting() {
    let mut rng = ChaCha12Rng::seed_from_u64(SEED);
    let random = (0..20_000).map(|_| 10f64.powf(rng.random_range(-300.0..0.0)));
    for number in [0.0, 1.0, 0.5, 9.96e-5, 9.94e-5, 1e-4, 1.04e-300, 5e-324].into_iter().chain(random) {
        assert_eq!(with_power_of_ten(number), format!("{number:.1e}"), "{number:e} seed {SEED}");
    }
}
