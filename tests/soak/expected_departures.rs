//! The moments that an engine should draw, computed beside it from seed and pace alone.

use millpond::core::Pace;
use millpond::law::Law;
use millpond::law::sampler::IntervalSampler;
use millpond::units::Nanos;
use rand::SeedableRng;
use rand::rngs::ChaCha12Rng;

/// The sequence of departures of one engine.
pub struct ExpectedDepartures {
    rng: ChaCha12Rng,
    sampler: IntervalSampler,
    next: Nanos,
    pub tally: Drift,
}

/// How far the drawn intervals are from their means, in all.
#[derive(Clone, Copy, Debug, Default)]
pub struct Drift {
    /// Intervals.
    pub intervals: u64,
    /// Sum of the differences from the means, in seconds.
    pub deviation_s: f64,
    /// Sum of the laws' variances, in square seconds.
    pub variance_s2: f64,
    /// How often a session that had been silent began again.
    pub restarts: u64,
    /// ExpectedDepartures that had passed before the engine was asked for a cell.
    pub missed: u64,
}

impl ExpectedDepartures {
    /// The moments of an engine that was made at `start` with that pace.
    pub fn new(seed: [u8; 32], pace: Pace, start: Nanos) -> ExpectedDepartures {
        let mut expected = ExpectedDepartures {
            rng: ChaCha12Rng::from_seed(seed),
            sampler: IntervalSampler::new(pace.law, pace.spread_percent),
            next: start,
            tally: Drift::default(),
        };
        expected.next = start + expected.draw(pace);
        expected
    }

    /// Follows the engine, whose next departure is now `next`. Panics if that is not the moment that it should draw.
    pub fn follow(&mut self, pace: Pace, next: Nanos, now: Nanos) {
        if next == self.next {
            return;
        }
        let interval = self.draw(pace);
        if now + interval == next && self.next + interval != next {
            // A session begins again: one interval after the moment at which it did.
            self.tally.restarts += 1;
            self.next = next;
            return;
        }
        self.next = self.next + interval;
        while self.next <= now {
            self.tally.missed += 1;
            self.next = self.next + self.draw(pace);
        }
        assert_eq!(self.next, next, "the engine drew another moment at {now:?} with {pace:?}");
    }

    fn draw(&mut self, pace: Pace) -> Nanos {
        if !self.sampler.draws(pace.law, pace.spread_percent) {
            self.sampler = IntervalSampler::new(pace.law, pace.spread_percent);
        }
        let interval = self.sampler.draw(pace.mean, &mut self.rng);
        let mean_s = pace.mean.as_secs_f64();
        let spread = if pace.law == Law::Constant { 0.0 } else { f64::from(pace.spread_percent) / 100.0 };
        self.tally.intervals += 1;
        self.tally.deviation_s += interval.as_secs_f64() - mean_s;
        self.tally.variance_s2 += (mean_s * spread).powi(2);
        interval
    }
}

impl Drift {
    /// Adds another engine's.
    pub fn add(&mut self, other: &Drift) {
        self.intervals += other.intervals;
        self.deviation_s += other.deviation_s;
        self.variance_s2 += other.variance_s2;
        self.restarts += other.restarts;
        self.missed += other.missed;
    }

    /// How many standard deviations the sum of all intervals is from what the rates promise.
    pub fn sigmas(&self) -> f64 {
        self.deviation_s / self.variance_s2.sqrt().max(f64::MIN_POSITIVE)
    }
}
