//! Intervals by the law, from a table: a router without floating point draws thousands a second.

use crate::core::params::Pace;
use crate::core::schedule::DepartureSchedule;
use crate::law::Law;
use crate::units::Nanos;

/// Entries, evenly spaced quantiles of the law.
const ENTRIES: usize = 256;
/// Draws from which each quantile is taken.
const DRAWS: usize = 4;
/// One mean interval, in the table's fixed point: the longest entry is eight means.
const ONE_BITS: u32 = 13;

/// The law's quantiles, in units of the mean interval.
pub(super) struct IntervalTable([u16; ENTRIES]);

impl IntervalTable {
    pub fn new(law: Law, spread_percent: u8, seed: u64) -> IntervalTable {
        // What counts is when cells leave, not when they are fed to HTB.
        let law = law.without_kernel_pacing();
        let mut bytes = [0; 32];
        bytes[..8].copy_from_slice(&seed.to_le_bytes());
        let pace = Pace { law, mean: Nanos::from_secs(1), spread_percent };
        let mut schedule = DepartureSchedule::new(pace, bytes, Nanos::ZERO);
        let mut draws: Vec<u64> = (0..ENTRIES * DRAWS)
            .map(|_| {
                let last = schedule.next();
                schedule.advance();
                (schedule.next() - last).0
            })
            .collect();
        draws.sort_unstable();
        let total: u64 = draws.iter().sum();
        let mut table = [0; ENTRIES];
        for (entry, group) in table.iter_mut().zip(draws.chunks_exact(DRAWS)) {
            // Scaled to a mean of exactly one, or the step's rate would be off by the table's sampling error.
            let scaled = u128::from(group.iter().sum::<u64>()) * ((ENTRIES as u128) << ONE_BITS) / u128::from(total);
            *entry = scaled.min(u128::from(u16::MAX)) as u16;
        }
        IntervalTable(table)
    }

    /// An interval of that mean; `random` needs 8 random bits.
    pub fn interval(&self, mean: Nanos, random: u8) -> Nanos {
        Nanos(((mean.0 * u64::from(self.0[usize::from(random)])) >> ONE_BITS).max(1))
    }
}
