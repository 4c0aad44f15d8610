//! What an engine must know of bursts.

use super::machine::BurstRules;
use crate::core::params::{Limits, Pace};
use crate::units::{BitsPerSec, Nanos};

/// How the cells of a slot leave.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct SlotPace {
    /// Law, mean interval and spread, of trains.
    pub pace: Pace,
    /// Cells in each train, at least 1.
    pub train: u8,
    /// How long before its departure a train is built.
    pub lead: Nanos,
}

/// The bursts of the end that decides on them, the router.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct BurstParams {
    /// The coins' probabilities and the length of a slot.
    pub rules: BurstRules,
    /// How its cells leave in a burst.
    pub burst: SlotPace,
    /// Rate of the peer's cells in a burst.
    pub peer_rate: BitsPerSec,
    /// Cells in each train of the peer in a burst.
    pub peer_train: u8,
    /// The listed devices: bit N is device number N.
    pub devices: u64,
    /// The listed devices need a burst while more of their bytes wait.
    pub need_bytes: u64,
    /// The limits of the queue: the age is that of the listed devices' packets.
    pub limits: Limits,
}

/// A slot that the peer has announced.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct AnnouncedSlot {
    /// Its number.
    pub number: u16,
    /// When it begins, by this end's clock.
    pub starts: Nanos,
    /// Its length.
    pub length: Nanos,
    /// How this end's cells leave in it, if it is a burst.
    pub burst: Option<SlotPace>,
    /// The rate that the answer grants for bursts.
    pub granted: BitsPerSec,
}
