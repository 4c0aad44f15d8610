//! Units of time and rate, numbers of devices, and numbers in texts.

pub mod decimals;
mod device;

use std::fmt;
use std::ops::{Add, Sub};

pub use self::device::{DSCP_NUMBERS, DeviceId, DeviceTag, MIN_TAGGED_TTL, RESTORED_TTL};

/// A point in time or a duration, in nanoseconds. Points in time count from an origin that the driver chooses
/// (`CLOCK_MONOTONIC` in the daemon, zero in the simulator), never from the wall clock.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Nanos(pub u64);

impl Nanos {
    /// The origin, and the duration of zero.
    pub const ZERO: Nanos = Nanos(0);

    /// A duration of whole microseconds.
    pub const fn from_micros(us: u64) -> Nanos {
        Nanos(us * 1_000)
    }

    /// A duration of whole milliseconds.
    pub const fn from_millis(ms: u64) -> Nanos {
        Nanos(ms * 1_000_000)
    }

    /// A duration of whole seconds.
    pub const fn from_secs(s: u64) -> Nanos {
        Nanos(s * 1_000_000_000)
    }

    /// This duration in seconds.
    pub fn as_secs_f64(self) -> f64 {
        self.0 as f64 / 1e9
    }

    /// This duration in milliseconds.
    pub fn as_millis_f64(self) -> f64 {
        self.0 as f64 / 1e6
    }

    /// The time from `earlier` to `self`, or zero if `earlier` is later than `self`.
    pub fn saturating_since(self, earlier: Nanos) -> Nanos {
        Nanos(self.0.saturating_sub(earlier.0))
    }
}

impl Add for Nanos {
    type Output = Nanos;
    fn add(self, duration: Nanos) -> Nanos {
        Nanos(self.0 + duration.0)
    }
}

impl Sub for Nanos {
    type Output = Nanos;
    /// Panics (in debug builds) if `duration` is longer than `self`; see [`Nanos::saturating_since`].
    fn sub(self, duration: Nanos) -> Nanos {
        Nanos(self.0 - duration.0)
    }
}

/// A duration in seconds with as many decimals as it needs: `10`, `0.25`.
#[derive(Clone, Copy, Debug)]
pub struct Seconds(pub Nanos);

impl fmt::Display for Seconds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = format!("{}.{:09}", self.0.0 / 1_000_000_000, self.0.0 % 1_000_000_000);
        f.write_str(text.trim_end_matches('0').trim_end_matches('.'))
    }
}

/// Length of the month for which costs are calculated, in days.
pub const MONTH_DAYS: u64 = 30;

/// A rate in bits per second **on the wire**: outer IP header, UDP, tunnel and padding included, as a data cap counts
/// it. Settings give it in kbit/s, of 1000 bits each.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct BitsPerSec(pub u64);

impl BitsPerSec {
    /// The rate of that many kbit/s.
    pub const fn from_kbit(kbit: u64) -> BitsPerSec {
        BitsPerSec(kbit * 1_000)
    }

    /// Bytes that this rate sends in a month of [`MONTH_DAYS`] days without a pause.
    pub const fn bytes_in_month(self) -> u64 {
        self.0 * MONTH_DAYS * 86_400 / 8
    }

    /// The mean interval between packets of `wire_bytes` at this rate. The rate must not be zero.
    pub const fn interval(self, wire_bytes: usize) -> Nanos {
        Nanos(wire_bytes as u64 * 8 * 1_000_000_000 / self.0)
    }
}

impl fmt::Display for BitsPerSec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{:03} kbit/s", self.0 / 1_000, self.0 % 1_000)
    }
}

/// A probability in millionths.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Chance(pub u32);

impl Chance {
    /// The probability of what is certain.
    pub const ONE: u32 = 1_000_000;

    /// The probability as a fraction, 0..=1.
    pub fn fraction(self) -> f64 {
        f64::from(self.0) / f64::from(Chance::ONE)
    }
}

/// A number with its noun: `1 home`, `2 homes`.
pub fn counted(number: usize, one: &str, many: &str) -> String {
    format!("{number} {}", if number == 1 { one } else { many })
}

#[cfg(test)]
mod tests {
    use super::{Nanos, Seconds, counted};

    #[test]
    fn one_thing_is_no_plural() {
        let counted = |number| counted(number, "home", "homes");
        assert_eq!([0, 1, 2].map(counted), ["0 homes", "1 home", "2 homes"]);
    }

    #[test]
    fn seconds_have_as_many_decimals_as_they_need() {
        let texts = [0, 1, 250_000_000, 10_000_000_000, 3_000_000_100].map(|ns| Seconds(Nanos(ns)).to_string());
        assert_eq!(texts, ["0", "0.000000001", "0.25", "10", "3.0000001"]);
    }
}
