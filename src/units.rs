//! Units of time and rate.

use std::fmt;
use std::ops::{Add, Sub};

/// A moment or a span in nanoseconds. IntervalTable count from an origin of the driver's choice
/// (`CLOCK_MONOTONIC` in the daemon, zero in the simulator) and never from the wall clock.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Nanos(pub u64);

impl Nanos {
    /// The origin, and the empty span.
    pub const ZERO: Nanos = Nanos(0);

    /// A span of whole microseconds.
    pub const fn from_micros(us: u64) -> Nanos {
        Nanos(us * 1_000)
    }

    /// A span of whole milliseconds.
    pub const fn from_millis(ms: u64) -> Nanos {
        Nanos(ms * 1_000_000)
    }

    /// A span of whole seconds.
    pub const fn from_secs(s: u64) -> Nanos {
        Nanos(s * 1_000_000_000)
    }

    /// This span in seconds.
    pub fn as_secs_f64(self) -> f64 {
        self.0 as f64 / 1e9
    }

    /// This span in milliseconds.
    pub fn as_millis_f64(self) -> f64 {
        self.0 as f64 / 1e6
    }

    /// The span from `earlier` to this moment, or zero if `earlier` is the later one.
    pub fn saturating_since(self, earlier: Nanos) -> Nanos {
        Nanos(self.0.saturating_sub(earlier.0))
    }
}

impl Add for Nanos {
    type Output = Nanos;
    fn add(self, span: Nanos) -> Nanos {
        Nanos(self.0 + span.0)
    }
}

impl Sub for Nanos {
    type Output = Nanos;
    /// Panics (in debug builds) if `span` is longer than `self`; see [`Nanos::saturating_since`].
    fn sub(self, span: Nanos) -> Nanos {
        Nanos(self.0 - span.0)
    }
}

/// Days of the month that costs are given for.
pub const MONTH_DAYS: u64 = 30;

/// A rate in bits per second **on the wire**: outer IP header, UDP, tunnel and padding included,
/// which is what a data cap counts. Settings give it in kbit/s, of 1000 bits each.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct BitsPerSec(pub u64);

impl BitsPerSec {
    /// A rate from the settings' kbit/s.
    pub const fn from_kbit(kbit: u64) -> BitsPerSec {
        BitsPerSec(kbit * 1_000)
    }

    /// Bytes of a month of this rate, which never rests.
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
