//! The departure times of cells, drawn from a law that never sees traffic.
//!
//! Each interval counts from the previous scheduled departure, never from the actual one, so that a late cell delays no
//! other (invariant I2).

use rand::SeedableRng;
use rand::rngs::ChaCha12Rng;

use super::params::Pace;
use crate::law::sampler::IntervalSampler;
use crate::units::Nanos;

/// A sequence of departure times. It depends only on seed, start and pace.
pub struct DepartureSchedule {
    pace: Pace,
    sampler: IntervalSampler,
    rng: ChaCha12Rng,
    next: Nanos,
    /// Cells that leave at the next departure.
    next_train: u8,
    /// Cells that leave at each departure after it.
    train: u8,
}

impl DepartureSchedule {
    /// A sequence whose first departure is one interval after `start`.
    pub fn new(pace: Pace, seed: [u8; 32], start: Nanos) -> DepartureSchedule {
        let sampler = IntervalSampler::new(pace.law, pace.spread_percent);
        let rng = ChaCha12Rng::from_seed(seed);
        let mut schedule = DepartureSchedule { pace, sampler, rng, next: start, next_train: 1, train: 1 };
        schedule.advance();
        schedule
    }

    /// The next departure.
    pub fn next(&self) -> Nanos {
        self.next
    }

    /// Number of cells that leave at the next departure, at least 1.
    pub fn next_train(&self) -> usize {
        usize::from(self.next_train)
    }

    /// Number of cells that leave at each departure after the next one.
    pub fn train(&self) -> usize {
        usize::from(self.train)
    }

    /// The largest number of cells that can leave at the departure which the driver asks for next.
    pub fn largest_train(&self) -> usize {
        usize::from(self.next_train.max(self.train))
    }

    /// Lets `train` cells leave at each departure after the next one. The next one ends an interval that was drawn for
    /// the train before, so it keeps that train, and the rate stays what it is.
    pub fn set_train(&mut self, train: u8) {
        self.train = train;
    }

    /// Draws the departure that follows the next one, and makes it the next.
    pub fn advance(&mut self) {
        self.next_train = self.train;
        self.next = self.next + self.sampler.draw(self.pace.mean, &mut self.rng);
    }

    /// The pace in force.
    pub fn pace(&self) -> Pace {
        self.pace
    }

    /// Draws all intervals after the next departure at another pace.
    pub fn set_pace(&mut self, pace: Pace) {
        if !self.sampler.draws(pace.law, pace.spread_percent) {
            self.sampler = IntervalSampler::new(pace.law, pace.spread_percent);
        }
        self.pace = pace;
    }

    /// Restarts the sequence; its next departure is one interval after `start`.
    pub fn restart(&mut self, pace: Pace, start: Nanos) {
        self.set_pace(pace);
        self.next = start;
        self.advance();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::law::Law;

    const T: Nanos = Nanos(25_400_000);

    #[test]
    fn a_new_pace_does_not_move_the_next_departure() {
        let mut schedule =
            DepartureSchedule::new(Pace { law: Law::Constant, mean: T, spread_percent: 33 }, [1; 32], Nanos(5));
        schedule.set_pace(Pace { law: Law::Constant, mean: Nanos(10), spread_percent: 33 });
        assert_eq!(schedule.next(), Nanos(5) + T);
        schedule.advance();
        assert_eq!(schedule.next(), Nanos(15) + T);
    }
}
