//! Quantiles of distributions that are given by their densities, and a table of those of the normal distribution.

use std::f64::consts::TAU;
use std::sync::OnceLock;

/// Fraction bits of the fixed-point numbers here: all quantiles are in -8..8.
pub(super) const ONE_BITS: u32 = 28;

/// Intervals of Simpson's rule. With half of them, the shortest intervals of a wide `gamma` would be 1 % off.
const STEPS: usize = 256;

/// Octaves of the probabilities below one half, down to 2^-29. Smaller ones are drawn as if they were in the last
/// octave: at 80 intervals a second that is one in a month.
const OCTAVES: usize = 28;

/// Cells in each octave.
const CELLS: usize = 8;

/// Where the density of the normal distribution is cut off: far behind the last octave.
const NORMAL_END: f64 = 8.5;

/// A point of a curve in fixed point.
#[derive(Clone, Copy, Default)]
pub(super) struct Point {
    /// The value there.
    pub value: i32,
    /// The growth over one cell with the slope there.
    pub slope: i32,
}

impl Point {
    pub fn new(value: f64, slope: f64) -> Point {
        let fixed = |number: f64| (number * f64::from(1u32 << ONE_BITS)) as i32;
        Point { value: fixed(value), slope: fixed(slope) }
    }

    /// The curve between this point and the next one, at `position` of 2^32 of the cell: a cubic with the slopes of
    /// both (Hermite). So the density of what is drawn has no steps.
    pub fn towards(self, next: Point, position: u32) -> i32 {
        let times = |number: i32| ((i64::from(number) * i64::from(position)) >> 32) as i32;
        let rise = next.value - self.value;
        let square = 3 * rise - 2 * self.slope - next.slope;
        let cube = self.slope + next.slope - 2 * rise;
        self.value + times(self.slope + times(square + times(cube)))
    }
}

/// A density from one of its ends on.
pub(super) struct Tail {
    /// The density at the ends and in the middle of each interval of Simpson's rule.
    values: [f64; 2 * STEPS + 1],
    /// Length of an interval.
    step: f64,
}

impl Tail {
    /// The density `length` far, from the end on; its argument is the distance from the end.
    pub fn new(length: f64, density: impl Fn(f64) -> f64) -> Tail {
        let step = length / STEPS as f64;
        Tail { values: std::array::from_fn(|index| density(index as f64 * step / 2.0)), step }
    }

    /// The same density from its other end on.
    pub fn reversed(&self) -> Tail {
        Tail { values: std::array::from_fn(|index| self.values[2 * STEPS - index]), step: self.step }
    }

    /// The integral of the whole.
    pub fn total(&self) -> f64 {
        (0..STEPS).map(|index| self.area(index)).sum()
    }

    /// For each of the `areas`, in ascending order, the distance from the end where the integral reaches it.
    pub fn distances(&self, areas: impl Iterator<Item = f64>) -> impl Iterator<Item = f64> {
        let (mut sum, mut index) = (0.0, 0);
        areas.map(move |area| {
            while index + 1 < STEPS && sum + self.area(index) < area {
                sum += self.area(index);
                index += 1;
            }
            (index as f64 + self.part(index, area - sum)) * self.step
        })
    }

    fn area(&self, index: usize) -> f64 {
        let [left, middle, right] = self.interval(index);
        (left + 4.0 * middle + right) / 6.0 * self.step
    }

    fn interval(&self, index: usize) -> [f64; 3] {
        [self.values[2 * index], self.values[2 * index + 1], self.values[2 * index + 2]]
    }

    /// The part of the interval, 0 to 1, whose integral is `area`: Newton's method on the integral of the parabola
    /// through the density's three values.
    fn part(&self, index: usize, area: f64) -> f64 {
        let [left, middle, right] = self.interval(index);
        let linear = -3.0 * left + 4.0 * middle - right;
        let square = 2.0 * left - 4.0 * middle + 2.0 * right;
        let mut part = (area / self.area(index)).clamp(0.0, 1.0);
        for _ in 0..4 {
            let integral = part * (left + part * (linear / 2.0 + part * square / 3.0));
            let density = left + part * (linear + part * square);
            part = (part - (integral - area / self.step) / density).clamp(0.0, 1.0);
        }
        part
    }
}

/// The density of the standard normal distribution.
pub(super) fn normal_density(x: f64) -> f64 {
    (-0.5 * x * x).exp() / TAU.sqrt()
}

/// The upper quantiles of the standard normal distribution, for probabilities of 2^-29 to 2^-1. Each octave is divided
/// into cells of equal length, and the slope is that per unit of the probability's logarithm.
struct NormalTable([Point; OCTAVES * CELLS + 1]);

impl NormalTable {
    /// Computed once, with floating point. The result is a constant.
    fn get() -> &'static NormalTable {
        static TABLE: OnceLock<NormalTable> = OnceLock::new();
        TABLE.get_or_init(|| {
            let tail = Tail::new(NORMAL_END, |distance| normal_density(NORMAL_END - distance));
            let probability = |index: usize| {
                let octave = 2f64.powi((index / CELLS) as i32 - OCTAVES as i32 - 1);
                octave * (1.0 + (index % CELLS) as f64 / CELLS as f64)
            };
            let mut distances = tail.distances((0..=OCTAVES * CELLS).map(probability));
            NormalTable(std::array::from_fn(|index| {
                let x = NORMAL_END - distances.next().unwrap_or(NORMAL_END);
                Point::new(x, -probability(index) / normal_density(x))
            }))
        })
    }

    /// The quantile for a probability of 2^-1, of which `random` says all bits: the number of leading zeros is the
    /// octave, the bits behind the first one are the place in it.
    fn upper(&self, random: u64) -> i32 {
        let octave = (random.leading_zeros() as usize).min(OCTAVES - 1);
        let place = random << octave << 1;
        let cell = (place >> 61) as usize;
        let index = (OCTAVES - 1 - octave) * CELLS + cell;
        // With the probability p = 8 + cell units of this octave, the growth per unit is 1 / p of that per logarithm.
        let per_unit = |point: Point, units: usize| Point { slope: point.slope / units as i32, ..point };
        let from = per_unit(self.0[index], CELLS + cell);
        from.towards(per_unit(self.0[index + 1], CELLS + cell + 1), (place >> 29) as u32)
    }
}

/// The quantile of the standard normal distribution for a probability of `random` / 2^64, in fixed point; within ±6.
pub(super) fn normal_quantile(random: u64) -> i32 {
    // The first bit is the sign, the others are a probability below one half.
    let table = NormalTable::get();
    if random >> 63 == 0 { -table.upper(random << 1) } else { table.upper(!random << 1) }
}
