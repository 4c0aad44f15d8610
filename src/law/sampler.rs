//! Draws intervals without floating point: a router has no unit for it, and draws one for every cell.
//!
//! An interval is a quantile of the law for a random probability. It is found in two steps: the quantile of the normal
//! distribution, from a table that all laws share, and the law's quantile for the same probability, which as a function
//! of the first is so smooth that 25 points describe it.

use rand::{Rng, RngExt};

use super::quantiles::{self, ONE_BITS, Point, Tail};
use super::{KERNEL_FEED_PERCENT, Law, fraction};
use crate::units::Nanos;

/// Points from -6 to 6 standard deviations, half a one apart.
const POINTS: usize = 25;
const MIDDLE: usize = POINTS / 2;

/// The probabilities of the normal distribution beyond 6, 5.5, ..., 0.5 and 0.
const BEYOND: [f64; MIDDLE + 1] = [
    9.865_876_450e-10,
    1.898_956_247e-8,
    2.866_515_719e-7,
    3.397_673_125e-6,
    3.167_124_183e-5,
    2.326_290_790e-4,
    1.349_898_032e-3,
    6.209_665_326e-3,
    2.275_013_195e-2,
    6.680_720_127e-2,
    1.586_552_539e-1,
    3.085_375_387e-1,
    0.5,
];

/// A law with its spread, ready to draw.
pub struct IntervalSampler {
    law: Law,
    spread_percent: u8,
    curve: Curve,
}

/// An interval in units of the mean.
enum Curve {
    /// Always this many percent.
    Fixed(u64),
    /// The law's quantiles where the normal distribution's are -6, -5.5, ..., 6.
    Quantiles([Point; POINTS]),
}

impl IntervalSampler {
    /// Prepares draws of the law. `spread_percent` is the standard deviation in percent of the mean; 0 counts as 1.
    /// Takes about 300 values of the density.
    pub fn new(law: Law, spread_percent: u8) -> IntervalSampler {
        let curve = match (law, law.density(spread_percent, 1.0)) {
            (Law::Kernel, _) => Curve::Fixed(10_000 / KERNEL_FEED_PERCENT),
            (_, None) => Curve::Fixed(100),
            (_, Some(_)) => Curve::Quantiles(law_quantiles(law, spread_percent)),
        };
        IntervalSampler { law, spread_percent, curve }
    }

    /// Whether this draws that law with that spread.
    pub fn draws(&self, law: Law, spread_percent: u8) -> bool {
        self.law == law && self.spread_percent == spread_percent
    }

    /// Draws an interval of at least one nanosecond.
    pub fn draw(&self, mean: Nanos, rng: &mut impl Rng) -> Nanos {
        self.quantile(mean, rng.random())
    }

    /// The interval that is as long as `random` of 2^64 draws, or longer.
    pub fn quantile(&self, mean: Nanos, random: u64) -> Nanos {
        match &self.curve {
            Curve::Fixed(percent) => Nanos((mean.0 * percent / 100).max(1)),
            Curve::Quantiles(points) => scaled(mean, quantile(points, random)),
        }
    }
}

/// `part` in fixed point of `mean`. Two products, because one may not fit into 64 bits.
fn scaled(mean: Nanos, part: u32) -> Nanos {
    let (whole, rest) = (mean.0 >> ONE_BITS, mean.0 & ((1 << ONE_BITS) - 1));
    Nanos((whole * u64::from(part) + ((rest * u64::from(part)) >> ONE_BITS)).max(1))
}

fn quantile(points: &[Point; POINTS], random: u64) -> u32 {
    // From -6 at 0: two points to a unit. The sum is up to 12, which fits without a sign.
    let place = quantiles::normal_quantile(random).wrapping_add(6 << ONE_BITS) as u32;
    let index = (place >> (ONE_BITS - 1)) as usize;
    let position = place << (32 - (ONE_BITS - 1));
    points[index].towards(points[index + 1], position).max(0) as u32
}

fn law_quantiles(law: Law, spread_percent: u8) -> [Point; POINTS] {
    let spread = fraction(spread_percent);
    let density = |x: f64| law.density(spread_percent, x).unwrap_or(0.0);
    // Less than 1e-12 of a law is outside.
    let low = (1.0 - 7.0 * spread).max(0.0);
    let high = 1.0 + (7.0 + 20.0 * spread) * spread;
    let lower = Tail::new(high - low, |distance| if low + distance > 0.0 { density(low + distance) } else { 0.0 });
    let total = lower.total();
    let upper = lower.reversed();
    let mut points = [Point::default(); POINTS];
    let areas = || BEYOND.iter().map(|probability| probability * total);
    let both = lower.distances(areas()).zip(upper.distances(areas()));
    for (index, (below, above)) in both.enumerate() {
        let normal = quantiles::normal_density((MIDDLE - index) as f64 / 2.0);
        let point = |x: f64| Point::new(x, 0.5 * normal * total / density(x));
        points[POINTS - 1 - index] = point(high - above);
        points[index] = point(low + below);
    }
    points
}
