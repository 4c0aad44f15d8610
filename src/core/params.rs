//! What the engine is told by its driver.

use crate::law::Law;
use crate::units::{BitsPerSec, Nanos};
use crate::wire::size::CellSize;

/// All parameters of an engine.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Params {
    /// Length of every cell that leaves, in bytes of UDP payload; above [`crate::wire::cell::HEADER_BYTES`].
    pub payload_bytes: usize,
    /// The moments at which cells leave.
    pub pace: Pace,
    /// How long before its departure a cell is built. What arrives after that waits for the next cell.
    pub lead: Nanos,
    /// Bounds of the queue.
    pub limits: Limits,
}

/// The law of departures.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Pace {
    /// How intervals are drawn.
    pub law: Law,
    /// Mean interval; above zero.
    pub mean: Nanos,
    /// Standard deviation in percent of the mean, at most the end of [`Law::spread_range`].
    pub spread_percent: u8,
}

impl Pace {
    /// The pace that puts `rate` on the wire with cells of `size`.
    pub fn new(law: Law, spread_percent: u8, rate: BitsPerSec, size: CellSize) -> Pace {
        Pace { law, mean: rate.interval(size.wire_bytes), spread_percent }
    }
}

/// Bounds of the queue.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Limits {
    /// Memory for waiting packets, in bytes; at most [`Limits::MAX_BYTES`].
    pub bytes: usize,
    /// A packet that has waited longer is dropped.
    pub age: Nanos,
}

impl Limits {
    /// The most memory that a queue can use.
    pub const MAX_BYTES: usize = 8_000_000;
}

impl Default for Limits {
    /// 256 KiB, which is 13 s at the default upload rate, and ten seconds: longer than any retransmission timer of
    /// TCP's that a device still listens to.
    fn default() -> Limits {
        Limits { bytes: 256 * 1024, age: Nanos::from_secs(10) }
    }
}
