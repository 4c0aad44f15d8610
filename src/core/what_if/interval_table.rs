//! Draws intervals from a precomputed table: a router without a floating-point unit needs thousands a second.

use crate::core::params::Pace;
use crate::core::schedule::DepartureSchedule;
use crate::law::Law;
use crate::units::Nanos;

/// Number of entries; they are evenly spaced quantiles of the law.
const ENTRIES: usize = 256;
/// Number of draws that are averaged for each entry.
const DRAWS: usize = 4;
/// Fraction bits of the entries' fixed-point format: the longest entry is eight mean intervals.
const ONE_BITS: u32 = 13;

/// The law's quantiles in units of the mean interval, in fixed point.
pub(super) struct IntervalTable([u16; ENTRIES]);

impl IntervalTable {
    pub fn new(law: Law, spread_percent: u8, seed: u64) -> IntervalTable {
        // Delays depend on when cells leave, not on when they are fed to HTB.
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
            // Scaled to a mean of exactly one; otherwise the step's rate would be off by the table's sampling error.
            let scaled = u128::from(group.iter().sum::<u64>()) * ((ENTRIES as u128) << ONE_BITS) / u128::from(total);
            *entry = scaled.min(u128::from(u16::MAX)) as u16;
        }
        IntervalTable(table)
    }

    /// Draws an interval with that mean; `random` is 8 random bits.
    pub fn interval(&self, mean: Nanos, random: u8) -> Nanos {
        Nanos(((mean.0 * u64::from(self.0[usize::from(random)])) >> ONE_BITS).max(1))
    }
}
