//! Draws intervals from few entries: eighty shapers in each direction draw at once.

use crate::law::Law;
use crate::law::sampler::IntervalSampler;
use crate::units::Nanos;

/// Number of entries; each stands for an equal part of the law's probability.
const ENTRIES: usize = 256;
/// Number of quantiles that are averaged for each entry.
const QUANTILES: usize = 4;
/// Fraction bits of the entries' fixed-point format: the longest entry is eight mean intervals.
const ONE_BITS: u32 = 13;

/// The law's quantiles in units of the mean interval, in fixed point.
pub(super) struct IntervalTable([u16; ENTRIES]);

impl IntervalTable {
    pub fn new(law: Law, spread_percent: u8) -> IntervalTable {
        // Delays depend on when cells leave, not on when they are fed to HTB.
        let sampler = IntervalSampler::new(law.without_kernel_pacing(), spread_percent);
        const ALL: usize = ENTRIES * QUANTILES;
        // In the middle of as many equal parts of 2^64.
        let quantile = |index: usize| {
            sampler.quantile(Nanos::from_secs(1), (2 * index as u64 + 1) * (u64::MAX / (2 * ALL as u64))).0
        };
        let total: u64 = (0..ALL).map(quantile).sum();
        // Scaled to a mean of exactly one; otherwise the step's rate would be off by the tails that the quantiles miss.
        IntervalTable(std::array::from_fn(|entry| {
            let sum: u64 = (0..QUANTILES).map(|index| quantile(entry * QUANTILES + index)).sum();
            let scaled = u128::from(sum) * ((ENTRIES as u128) << ONE_BITS) / u128::from(total);
            scaled.min(u128::from(u16::MAX)) as u16
        }))
    }

    /// Draws an interval with that mean; `random` is 8 random bits.
    pub fn interval(&self, mean: Nanos, random: u8) -> Nanos {
        Nanos(((mean.0 * u64::from(self.0[usize::from(random)])) >> ONE_BITS).max(1))
    }
}
