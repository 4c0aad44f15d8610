//! A histogram of durations in fixed memory.

use crate::units::Nanos;

/// Eight buckets per octave: a percentile is at most 6 % off.
const SUB_BITS: u32 = 3;
const SUB_BUCKETS: u32 = 1 << SUB_BITS;
/// Durations below 2^10 ns (about 1 µs) share one bucket.
const LOWEST_BIT: u32 = 10;
/// Durations of 2^38 ns (275 s) and more share one bucket.
const OCTAVES: u32 = 28;
const BUCKETS: usize = (OCTAVES * SUB_BUCKETS) as usize + 1;

/// Counts of durations in logarithmic buckets from 1 µs to 275 s, with exact sum and maximum.
#[derive(Clone, Debug)]
pub struct Histogram {
    /// All are halved before one of them would overflow: percentiles need only their proportions.
    counts: [u32; BUCKETS],
    count: u64,
    sum: u64,
    max: Nanos,
}

impl Default for Histogram {
    fn default() -> Histogram {
        Histogram { counts: [0; BUCKETS], count: 0, sum: 0, max: Nanos::ZERO }
    }
}

impl Histogram {
    /// Counts one duration.
    pub fn record(&mut self, duration: Nanos) {
        let bucket = bucket_of(duration);
        if self.counts[bucket] == u32::MAX {
            self.counts.iter_mut().for_each(|count| *count /= 2);
        }
        self.counts[bucket] += 1;
        self.count += 1;
        self.sum = self.sum.saturating_add(duration.0);
        self.max = self.max.max(duration);
    }

    /// Adds the counts of another histogram.
    #[cfg(any(test, feature = "endpoint", feature = "lab"))]
    pub fn add(&mut self, other: &Histogram) {
        let sum = |(count, more): (&u32, &u32)| u64::from(*count) + u64::from(*more);
        let fits = self.counts.iter().zip(&other.counts).all(|pair| sum(pair) <= u64::from(u32::MAX));
        for (count, more) in self.counts.iter_mut().zip(&other.counts) {
            *count = (sum((count, more)) >> u32::from(!fits)) as u32;
        }
        self.count += other.count;
        self.sum = self.sum.saturating_add(other.sum);
        self.max = self.max.max(other.max);
    }

    /// Number of durations.
    pub fn count(&self) -> u64 {
        self.count
    }

    /// Their sum in nanoseconds.
    pub fn sum(&self) -> u64 {
        self.sum
    }

    /// Their exact mean; zero if there are none.
    pub fn mean(&self) -> Nanos {
        Nanos(self.sum.checked_div(self.count).unwrap_or(0))
    }

    /// The longest duration, exact.
    pub fn max(&self) -> Nanos {
        self.max
    }

    /// The middle of each bucket that has counted something, with its count here and that in `other`.
    pub fn counts_beside(&self, other: &Histogram) -> impl Iterator<Item = (Nanos, [u32; 2])> {
        let counts = self.counts.iter().zip(&other.counts).enumerate().filter(|(_, (count, _))| **count > 0);
        counts.map(|(bucket, (count, other))| (middle_of(bucket), [*count, *other]))
    }

    /// The duration below which `percent` of them lie, to within a bucket and at most [`Histogram::max`]; zero if there
    /// are none.
    pub fn percentile(&self, percent: f64) -> Nanos {
        let total: u64 = self.counts.iter().map(|count| u64::from(*count)).sum();
        let rank = (total as f64 * percent / 100.0).ceil().max(1.0) as u64;
        let mut cumulative = 0;
        for (bucket, count) in self.counts.iter().enumerate() {
            cumulative += u64::from(*count);
            if cumulative >= rank {
                return middle_of(bucket).min(self.max);
            }
        }
        self.max
    }
}

fn bucket_of(duration: Nanos) -> usize {
    let Some(octave) = duration.0.checked_ilog2().and_then(|bit| bit.checked_sub(LOWEST_BIT)) else { return 0 };
    let within = (duration.0 >> (octave + LOWEST_BIT - SUB_BITS)) as u32 & (SUB_BUCKETS - 1);
    ((octave * SUB_BUCKETS + within) as usize + 1).min(BUCKETS - 1)
}

fn middle_of(bucket: usize) -> Nanos {
    let Some(index) = (bucket as u32).checked_sub(1) else { return Nanos(1 << (LOWEST_BIT - 1)) };
    let step = 1u64 << (index / SUB_BUCKETS + LOWEST_BIT - SUB_BITS);
    Nanos(step * u64::from(SUB_BUCKETS + index % SUB_BUCKETS) + step / 2)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_within_a_bucket() {
        let mut histogram = Histogram::default();
        for us in 1..=10_000 {
            histogram.record(Nanos::from_micros(us));
        }
        for percent in [1.0, 50.0, 99.0, 100.0] {
            let exact = percent * 100.0 * 1e3;
            let read = histogram.percentile(percent).0 as f64;
            assert!((read / exact - 1.0).abs() < 0.07, "{percent} %: {read} against {exact}");
        }
        assert_eq!(histogram.mean(), Nanos(5_000_500));
        assert_eq!(histogram.max(), Nanos::from_millis(10));
    }

    /// A daemon with many homes reaches this in a week, one with a fast line in a month and a half.
    #[test]
    fn percentiles_stay_right_beyond_32_bits() {
        let mut histogram = Histogram::default();
        for _ in 0..900 {
            histogram.record(Nanos::from_micros(20));
        }
        for _ in 0..100 {
            histogram.record(Nanos::from_millis(5));
        }
        let before = [50.0, 89.0, 91.0].map(|percent| histogram.percentile(percent));
        let mut sum = histogram.clone();
        for _ in 0..26 {
            let same = sum.clone();
            sum.add(&same);
        }
        assert_eq!(sum.count(), 1_000 << 26);
        assert_eq!([50.0, 89.0, 91.0].map(|percent| sum.percentile(percent)), before);
        // A bucket that is full makes room for more, and keeps its part.
        let mut full = Histogram { counts: [u32::MAX; BUCKETS], ..sum };
        let median = full.percentile(50.0);
        (0..10).for_each(|_| full.record(Nanos::from_micros(20)));
        assert_eq!(full.percentile(50.0), median);
        assert!(full.counts.iter().all(|count| *count < u32::MAX), "every bucket has room");
    }

    #[test]
    fn extreme_durations_have_a_bucket() {
        let mut histogram = Histogram::default();
        assert_eq!((histogram.percentile(50.0), histogram.mean()), (Nanos::ZERO, Nanos::ZERO));
        for bit in 0..64 {
            histogram.record(Nanos(1 << bit));
        }
        histogram.record(Nanos(0));
        histogram.record(Nanos(u64::MAX));
        assert_eq!(histogram.count(), 66);
        assert_eq!(histogram.max(), Nanos(u64::MAX));
    }
}
