//! The moments at which cells leave: drawn from a law that never sees traffic.
//!
//! Each interval counts from the scheduled departure before it, never from the actual one, so that a late cell
//! delays no other (invariant I2).

use rand::rngs::ChaCha12Rng;
use rand::{RngExt, SeedableRng};

use super::params::Pace;
use crate::law::Law;
use crate::units::Nanos;

/// Under the law `kernel` cells of both kinds are fed to the queue discipline this much faster than it lets them go,
/// in percent of the rate, so that one always stands ready.
const KERNEL_FEED_PERCENT: u64 = 125;

/// A sequence of departures. A function of seed, start and pace alone.
pub struct Schedule {
    pace: Pace,
    rng: ChaCha12Rng,
    next: Nanos,
}

impl Schedule {
    /// The sequence that begins one interval after `start`.
    pub fn new(pace: Pace, seed: [u8; 32], start: Nanos) -> Schedule {
        let mut schedule = Schedule { pace, rng: ChaCha12Rng::from_seed(seed), next: start };
        schedule.advance();
        schedule
    }

    /// The coming departure.
    pub fn next(&self) -> Nanos {
        self.next
    }

    /// Goes on to the departure after the coming one.
    pub fn advance(&mut self) {
        self.next = self.next + self.interval();
    }

    /// The pace in force.
    pub fn pace(&self) -> Pace {
        self.pace
    }

    /// Draws all intervals after the coming departure from another pace.
    pub fn set_pace(&mut self, pace: Pace) {
        self.pace = pace;
    }

    /// Begins anew, one interval after `start`.
    pub fn restart(&mut self, pace: Pace, start: Nanos) {
        self.pace = pace;
        self.next = start;
        self.advance();
    }

    /// Draws an interval of at least one nanosecond.
    fn interval(&mut self) -> Nanos {
        let mean = self.pace.mean.0 as f64;
        let spread = f64::from(self.pace.spread_percent.max(1)) / 100.0;
        let drawn = match self.pace.law {
            Law::Constant => self.pace.mean.0,
            Law::Kernel => self.pace.mean.0 * 100 / KERNEL_FEED_PERCENT,
            Law::Gamma => (self.gamma(1.0 / (spread * spread)) * mean * spread * spread) as u64,
            Law::Normal => loop {
                let drawn = mean * (1.0 + spread * self.normal());
                if drawn > 0.0 {
                    break drawn as u64;
                }
            },
        };
        Nanos(drawn.max(1))
    }

    /// A draw from the gamma distribution of that shape (at least 1) and scale 1: G. Marsaglia, W. W. Tsang, *A
    /// simple method for generating gamma variables* (2000).
    fn gamma(&mut self, shape: f64) -> f64 {
        let d = shape - 1.0 / 3.0;
        let c = 1.0 / (9.0 * d).sqrt();
        loop {
            let x = self.normal();
            let v = (1.0 + c * x).powi(3);
            if v <= 0.0 {
                continue;
            }
            let u: f64 = self.uniform();
            if u.ln() < 0.5 * x * x + d - d * v + d * v.ln() {
                return d * v;
            }
        }
    }

    /// A draw from the standard normal distribution: G. Marsaglia's polar method, its second value left unused so
    /// that no state but the generator's carries over.
    fn normal(&mut self) -> f64 {
        loop {
            let x = 2.0 * self.uniform() - 1.0;
            let y = 2.0 * self.uniform() - 1.0;
            let s = x * x + y * y;
            if s > 0.0 && s < 1.0 {
                return x * (-2.0 * s.ln() / s).sqrt();
            }
        }
    }

    /// A draw from the open interval (0, 1).
    fn uniform(&mut self) -> f64 {
        ((self.rng.random::<u64>() >> 11) as f64 + 0.5) / (1u64 << 53) as f64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const T: Nanos = Nanos(25_400_000);

    fn intervals(law: Law, spread_percent: u8, count: usize) -> Vec<f64> {
        let mut schedule = Schedule::new(Pace { law, mean: T, spread_percent }, [7; 32], Nanos::ZERO);
        let mut last = schedule.next();
        (0..count)
            .map(|_| {
                schedule.advance();
                let interval = schedule.next() - last;
                last = schedule.next();
                interval.0 as f64 / T.0 as f64
            })
            .collect()
    }

    fn mean(values: &[f64]) -> f64 {
        values.iter().sum::<f64>() / values.len() as f64
    }

    /// Mean, standard deviation and skewness.
    fn moments(values: &[f64]) -> (f64, f64, f64) {
        let mean_of = mean(values);
        let central = |power| mean(&values.iter().map(|v| (v - mean_of).powi(power)).collect::<Vec<_>>());
        let sd = central(2).sqrt();
        (mean_of, sd, central(3) / sd.powi(3))
    }

    #[test]
    fn laws_have_the_moments_that_they_promise() {
        for (law, percent, skew) in [(Law::Gamma, 33, 0.66), (Law::Gamma, 10, 0.2), (Law::Normal, 15, 0.0)] {
            let (mean, sd, skewness) = moments(&intervals(law, percent, 200_000));
            let spread = f64::from(percent) / 100.0;
            assert!((mean - 1.0).abs() < 0.004, "{law}: mean {mean}");
            assert!((sd - spread).abs() < 0.005, "{law}: sd {sd}");
            assert!((skewness - skew).abs() < 0.05, "{law}: skewness {skewness}");
        }
        assert!(intervals(Law::Constant, 33, 100).iter().all(|i| *i == 1.0));
        assert!(intervals(Law::Kernel, 33, 100).iter().all(|i| *i == 0.8));
    }

    #[test]
    fn successive_intervals_are_uncorrelated() {
        let values = intervals(Law::Gamma, 33, 100_000);
        let (mean, sd, _) = moments(&values);
        for lag in 1..=10 {
            let products: Vec<f64> = values.windows(lag + 1).map(|w| (w[0] - mean) * (w[lag] - mean)).collect();
            let correlation = products.iter().sum::<f64>() / products.len() as f64 / (sd * sd);
            assert!(correlation.abs() < 0.015, "lag {lag}: {correlation}");
        }
    }

    #[test]
    fn a_new_pace_leaves_the_coming_departure_alone() {
        let mut schedule = Schedule::new(Pace { law: Law::Constant, mean: T, spread_percent: 33 }, [1; 32], Nanos(5));
        schedule.set_pace(Pace { law: Law::Constant, mean: Nanos(10), spread_percent: 33 });
        assert_eq!(schedule.next(), Nanos(5) + T);
        schedule.advance();
        assert_eq!(schedule.next(), Nanos(15) + T);
    }
}
