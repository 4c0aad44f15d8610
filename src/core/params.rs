//! The parameters that the driver gives to the engine.

use crate::law::Law;
use crate::units::{BitsPerSec, Nanos};
use crate::wire::size::CellSize;

/// All parameters of an engine.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Params {
    /// Length of every cell to the peer, in bytes of UDP payload; greater than [`crate::wire::cell::HEADER_BYTES`].
    pub payload_bytes: usize,
    /// The law and rate of departures.
    pub pace: Pace,
    /// How long before its departure a cell is built. A packet that arrives later waits for the next cell.
    pub lead: Nanos,
    /// The limits of the queue.
    pub limits: Limits,
}

/// The law of departures with its mean and spread.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Pace {
    /// How intervals are drawn.
    pub law: Law,
    /// Mean interval; greater than zero.
    pub mean: Nanos,
    /// Standard deviation in percent of the mean; at most the upper end of [`Law::spread_range`].
    pub spread_percent: u8,
}

impl Pace {
    /// The pace that sends `rate` on the wire with cells of `size`.
    pub fn new(law: Law, spread_percent: u8, rate: BitsPerSec, size: CellSize) -> Pace {
        Pace { law, mean: rate.interval(size.wire_bytes), spread_percent }
    }

    /// The pace of trains that sends `rate` on the wire with `train` cells of `wire_bytes` in each.
    pub fn of_trains(law: Law, spread_percent: u8, rate: BitsPerSec, wire_bytes: usize, train: u8) -> Pace {
        Pace { law, mean: rate.interval(wire_bytes * usize::from(train.max(1))), spread_percent }
    }
}

/// The limits of the queue.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Limits {
    /// Memory for waiting packets, in bytes; at most [`Limits::MAX_BYTES`].
    pub bytes: usize,
    /// Maximum waiting time; a packet that has waited longer is dropped.
    pub age: Nanos,
}

impl Limits {
    /// Maximum memory of a queue, in bytes.
    pub const MAX_BYTES: usize = 8_000_000;
}

impl Default for Limits {
    /// 256 KiB, which is 13 s at the default upload rate, and ten seconds: longer than any TCP retransmission timer
    /// after which a device still accepts the answer.
    fn default() -> Limits {
        Limits { bytes: 256 * 1024, age: Nanos::from_secs(10) }
    }
}
