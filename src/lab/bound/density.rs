//! The law's density as a table that is fast to read and smooth.

use crate::law::Law;

/// Number of steps of the table.
const STEPS: usize = 16_384;
/// Upper end of the table in mean intervals. Longer intervals are less likely than 1e-9 under every law.
const END: f64 = 6.0;

/// The density of the intervals, in units of their mean. Between the table's points it is a cubic with the density's
/// own slopes (Hermite), whose second derivative is right, too: small latenesses show in it alone.
pub(super) struct IntervalDensity {
    /// The density, and its slope times the step.
    points: Vec<[f64; 2]>,
}

impl IntervalDensity {
    /// The table of a law; `None` for a law without a density.
    pub fn new(law: Law, spread_percent: u8) -> Option<IntervalDensity> {
        let step = END / STEPS as f64;
        let at = |x: f64| {
            if x > 0.0 { law.density(spread_percent, x) } else { law.density(spread_percent, 1.0).map(|_| 0.0) }
        };
        let values = (0..=STEPS + 1).map(|index| at(index as f64 * step)).collect::<Option<Vec<f64>>>()?;
        let total = values.iter().sum::<f64>() * step;
        let points = (0..=STEPS).map(|index| {
            // The difference over a tenth of a step on each side is exact to 1e-10.
            let (x, near) = (index as f64 * step, step / 10.0);
            let slope = (at(x + near).unwrap_or(0.0) - at(x - near).unwrap_or(0.0)) / (2.0 * near);
            [values[index] / total, slope * step / total]
        });
        Some(IntervalDensity { points: points.collect() })
    }

    /// The density at `x` mean intervals.
    pub fn at(&self, x: f64) -> f64 {
        let place = x * (STEPS as f64 / END);
        if !(place >= 0.0 && place < STEPS as f64) {
            return 0.0;
        }
        let index = place as usize;
        let t = place - index as f64;
        let ([f0, d0], [f1, d1]) = (self.points[index], self.points[index + 1]);
        let rise = f1 - f0;
        f0 + t * (d0 + t * (3.0 * rise - 2.0 * d0 - d1 + t * (d0 + d1 - 2.0 * rise)))
    }
}
