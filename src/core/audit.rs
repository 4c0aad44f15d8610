//! What the wire shows, against what the law promises: the provider's view of one's own line, counted in fixed memory.
//!
//! [`Audit`] takes every packet of the tunnel with its moment and size. Sizes have to be one; intervals have to fit the
//! law, by Pearson's chi-squared test over [`BINS`] intervals of equal probability.

mod chi_squared;

#[cfg(test)]
mod tests;

use self::chi_squared::chi_squared_tail;
use super::histogram::Histogram;
use super::params::Pace;
use crate::units::Nanos;

/// Intervals are counted in so many bins that the law makes equally likely.
pub const BINS: usize = 50;

/// Fewer intervals say nothing of a law: ten to a bin.
const ENOUGH_INTERVALS: u64 = 10 * BINS as u64;

/// A fit less likely than this is called wrong: once in ten thousand audits of a sound line.
pub const WRONG_FIT: f64 = 1e-4;

/// Sizes that are told apart; all beyond are counted together.
const SIZES: usize = 8;

/// One direction of the tunnel, as it passes.
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
    first: Option<Nanos>,
    last: Option<Nanos>,
}

/// What was found in one direction.
#[derive(Clone, Debug, PartialEq)]
pub struct Finding {
    /// Tunnel packets that carry cells, whatever their size.
    pub packets: u64,
    /// Of them, those that have not the promised size.
    pub wrong_sizes: u64,
    /// How many packets there were of each size in bytes, the most frequent first; at most eight sizes.
    pub sizes: Vec<(u16, u64)>,
    /// Mean rate in bits per second on the wire, from the first packet to the last.
    pub bits_per_second: f64,
    /// The rate that the law promises.
    pub promised_bits_per_second: f64,
    /// The shortest and longest interval, and their mean.
    pub interval_mean: Nanos,
    /// The longest interval.
    pub interval_max: Nanos,
    /// Probability of a fit as bad as this one if intervals followed the law; `None` where the law has no density,
    /// or for too few intervals.
    pub fit_p: Option<f64>,
}

impl Audit {
    /// Nothing seen yet of a line that should send packets of `wire_bytes` at `pace`.
    pub fn new(pace: Pace, wire_bytes: u16) -> Audit {
        Audit {
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

    /// Takes a packet that carries a cell. `bytes` counts from the outer IP header on.
    pub fn handle(&mut self, at: Nanos, bytes: u16) {
        self.packets += 1;
        self.count_size(bytes);
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

    /// Packets so far.
    pub fn packets(&self) -> u64 {
        self.packets
    }

    /// What has been found so far.
    pub fn finding(&self) -> Finding {
        let right = self.sizes.iter().find(|(bytes, _)| *bytes == self.wire_bytes).map_or(0, |(_, count)| *count);
        let mut sizes: Vec<_> = self.sizes.iter().copied().filter(|(_, count)| *count > 0).collect();
        sizes.sort_by_key(|(bytes, count)| (u64::MAX - count, *bytes));
        let span = self.first.zip(self.last).map_or(0.0, |(first, last)| last.saturating_since(first).as_secs_f64());
        let total: f64 = sizes.iter().map(|(bytes, count)| f64::from(*bytes) * *count as f64).sum();
        // The first packet only starts the clock.
        let share = self.packets.saturating_sub(1) as f64 / self.packets.max(1) as f64;
        let per_second = |bytes: f64, seconds: f64| if seconds > 0.0 { 8.0 * bytes / seconds } else { 0.0 };
        Finding {
            packets: self.packets,
            wrong_sizes: self.packets - right,
            sizes,
            bits_per_second: per_second(total * share, span),
            promised_bits_per_second: per_second(f64::from(self.wire_bytes), self.pace.mean.as_secs_f64()),
            interval_mean: self.intervals.mean(),
            interval_max: self.intervals.max(),
            fit_p: self.fit(),
        }
    }

    fn count_size(&mut self, bytes: u16) {
        let place = self.sizes.iter_mut().find(|(size, count)| *size == bytes || *count == 0);
        match place {
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
        if total < ENOUGH_INTERVALS {
            return None;
        }
        let expected = total as f64 / BINS as f64;
        let statistic = self.bins.iter().map(|count| (f64::from(*count) - expected).powi(2) / expected).sum();
        Some(chi_squared_tail(statistic, (BINS - 1) as f64))
    }
}

impl Finding {
    /// What is wrong, one sentence for each.
    pub fn wrongs(&self) -> Vec<String> {
        let mut wrongs = Vec::new();
        if self.wrong_sizes > 0 {
            wrongs.push(format!("{} of {} packets have another size than promised", self.wrong_sizes, self.packets));
        }
        if let Some(p) = self.fit_p.filter(|p| *p < WRONG_FIT) {
            wrongs.push(format!("the intervals do not follow the law (p = {p:.1e})"));
        }
        wrongs
    }
}
