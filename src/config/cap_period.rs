//! Billing periods.

use crate::units::MONTH_DAYS;

/// The length of a billing period.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum CapPeriod {
    /// From midnight to midnight.
    Day,
    /// Seven days.
    Week,
    /// A calendar month.
    #[default]
    Month,
}

impl CapPeriod {
    /// Its days; those of a month as in all monthly costs.
    pub fn days(self) -> u64 {
        match self {
            CapPeriod::Day => 1,
            CapPeriod::Week => 7,
            CapPeriod::Month => MONTH_DAYS,
        }
    }
}
