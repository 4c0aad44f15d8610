//! Compares the traffic on the wire with the law: the home's tunnel as the Internet provider sees it, in fixed memory.
//!
//! [`Audit`] takes the time and the size of every tunnel packet. All packets must have the promised size. The intervals
//! must follow the law: Pearson's chi-squared test over [`BINS`] bins of equal probability. With trains, an interval is
//! that between the first cells of two trains, and every train must have all its cells.

mod chi_squared;

#[cfg(test)]
mod tests;

use self::chi_squared::chi_squared_tail;
use super::histogram::Histogram;
use super::params::Pace;
use crate::units::Nanos;
use crate::units::decimals::with_power_of_ten;

/// Number of bins in which intervals are counted; the law makes all of them equally likely.
pub const BINS: usize = 50;

/// Minimum number of intervals for the test: ten per bin. Fewer say nothing about the law.
const MIN_INTERVALS: u64 = 10 * BINS as u64;

/// A fit less probable than this counts as a violation. That happens by chance in one of ten thousand audits of a
/// tunnel that does follow its law.
pub const MIN_FIT_P: f64 = 1e-4;

/// Number of sizes that are counted separately; packets of further sizes are counted together.
const SIZES: usize = 8;

/// The counters of one direction of the tunnel.
pub struct Audit {
    pace: Pace,
    wire_bytes: u16,
    /// The bounds between bins, in mean intervals; `None` for a law without a density.
    bounds: Option<[f64; BINS - 1]>,
    packets: u64,
    sizes: [(u16, u64); SIZES],
    other_sizes: u64,
    bins: [u32; BINS],
    intervals: Histogram,
    trains: TrainCounter,
    first: Option<Nanos>,
    last: Option<Nanos>,
}

/// Finds the trains in a stream of packets. A train ends with its last cell, or with a gap that no train has.
#[derive(Clone, Copy, Debug)]
pub struct TrainCounter {
    /// Cells in a train.
    train: u8,
    /// A longer gap is between two trains.
    max_gap: Nanos,
    /// Cells so far of the last train.
    cells: u8,
    last: Nanos,
    trains: u64,
    short: u64,
}

/// The result for one direction.
#[derive(Clone, Debug, PartialEq)]
pub struct Finding {
    /// Tunnel packets that carry cells, whatever their size.
    pub packets: u64,
    /// The number of them whose size is not the promised one.
    pub wrong_sizes: u64,
    /// Each size in bytes with its number of packets, the most frequent first; at most eight sizes.
    pub sizes: Vec<(u16, u64)>,
    /// Mean rate in bits per second on the wire, from the first packet to the last.
    pub bits_per_second: f64,
    /// The rate that the law promises, in bits per second on the wire.
    pub promised_bits_per_second: f64,
    /// The mean interval.
    pub interval_mean: Nanos,
    /// The longest interval.
    pub interval_max: Nanos,
    /// Probability of a fit at least as bad as this one if the intervals follow the law; `None` if the law has no
    /// density or there are too few intervals.
    pub fit_p: Option<f64>,
}

impl Audit {
    /// An audit without packets, for a tunnel that should send `train` packets of `wire_bytes` together at `pace`.
    pub fn new(pace: Pace, train: u8, wire_bytes: u16) -> Audit {
        Audit {
            trains: TrainCounter::new(train, pace.mean),
            pace,
            wire_bytes,
            bounds: pace.law.quantiles(pace.spread_percent),
            packets: 0,
            sizes: [(0, 0); SIZES],
            other_sizes: 0,
            bins: [0; BINS],
            intervals: Histogram::default(),
            first: None,
            last: None,
        }
    }

    /// Counts a packet that carries a cell. `bytes` is its length from the outer IP header on.
    pub fn handle(&mut self, at: Nanos, bytes: u16) {
        self.packets += 1;
        self.count_size(bytes);
        if !self.trains.handle(at) {
            return;
        }
        if let Some(last) = self.last {
            let interval = at.saturating_since(last);
            self.intervals.record(interval);
            if let Some(bounds) = &self.bounds {
                let interval = interval.0 as f64 / self.pace.mean.0 as f64;
                self.bins[bounds.partition_point(|bound| *bound <= interval)] += 1;
            }
        }
        self.first.get_or_insert(at);
        self.last = Some(at);
    }

    /// Number of packets counted so far.
    pub fn packets(&self) -> u64 {
        self.packets
    }

    /// Number of trains so far without all their cells.
    pub fn short_trains(&self) -> u64 {
        self.trains.short()
    }

    /// The result so far.
    pub fn finding(&self) -> Finding {
        let promised = self.sizes.iter().find(|(bytes, _)| *bytes == self.wire_bytes).map_or(0, |(_, count)| *count);
        let mut sizes: Vec<_> = self.sizes.iter().copied().filter(|(_, count)| *count > 0).collect();
        sizes.sort_unstable_by_key(|(bytes, count)| (u64::MAX - count, *bytes));
        let span = self.first.zip(self.last).map_or(0.0, |(first, last)| last.saturating_since(first).as_secs_f64());
        let total: f64 = sizes.iter().map(|(bytes, count)| f64::from(*bytes) * *count as f64).sum();
        // The first train starts the measurement; its bytes do not count.
        let trains = self.trains.trains;
        let share = trains.saturating_sub(1) as f64 / trains.max(1) as f64;
        let per_second = |bytes: f64, seconds: f64| if seconds > 0.0 { 8.0 * bytes / seconds } else { 0.0 };
        Finding {
            packets: self.packets,
            wrong_sizes: self.packets - promised,
            sizes,
            bits_per_second: per_second(total * share, span),
            promised_bits_per_second: per_second(
                f64::from(self.wire_bytes) * f64::from(self.trains.train),
                self.pace.mean.as_secs_f64(),
            ),
            interval_mean: self.intervals.mean(),
            interval_max: self.intervals.max(),
            fit_p: self.fit(),
        }
    }

    fn count_size(&mut self, bytes: u16) {
        let slot = self.sizes.iter_mut().find(|(size, count)| *size == bytes || *count == 0);
        match slot {
            Some((size, count)) => {
                *size = bytes;
                *count += 1;
            }
            None => self.other_sizes += 1,
        }
    }

    fn fit(&self) -> Option<f64> {
        self.bounds.as_ref()?;
        let total: u64 = self.bins.iter().map(|count| u64::from(*count)).sum();
        if total < MIN_INTERVALS {
            return None;
        }
        let expected = total as f64 / BINS as f64;
        let statistic = self.bins.iter().map(|count| (f64::from(*count) - expected).powi(2) / expected).sum();
        Some(chi_squared_tail(statistic, (BINS - 1) as f64))
    }
}

impl TrainCounter {
    /// Expects trains of `train` cells, `mean` apart.
    pub fn new(train: u8, mean: Nanos) -> TrainCounter {
        // A cell of a train follows within microseconds; of a thousand intervals hardly one is so short.
        let max_gap = Nanos(mean.0 / 4);
        TrainCounter { train: train.max(1), max_gap, cells: 0, last: Nanos::ZERO, trains: 0, short: 0 }
    }

    /// Notes a cell at `at`. Returns whether a train begins with it.
    pub fn handle(&mut self, at: Nanos) -> bool {
        let continues = self.cells > 0 && self.cells < self.train && at.saturating_since(self.last) <= self.max_gap;
        self.last = at;
        if continues {
            self.cells += 1;
            return false;
        }
        // The capture may have begun within the first train.
        self.short += u64::from(self.trains > 1 && self.cells < self.train);
        self.trains += 1;
        self.cells = 1;
        true
    }

    /// Number of trains so far that ended without all their cells.
    pub fn short(&self) -> u64 {
        self.short
    }
}

impl Finding {
    /// Everything that does not match the promise, one sentence for each violation.
    pub fn violations(&self) -> Vec<String> {
        let mut violations = Vec::new();
        if self.wrong_sizes > 0 {
            violations.push(format!("{} of {} packets do not have the promised size", self.wrong_sizes, self.packets));
        }
        if let Some(p) = self.fit_p.filter(|p| *p < MIN_FIT_P) {
            violations.push(format!("the intervals do not follow the law (p = {})", with_power_of_ten(p)));
        }
        violations
    }
}
