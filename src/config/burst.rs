//! Settings of bursts.

use crate::units::{BitsPerSec, Chance, Nanos};

/// `config burst`: a higher rate in slots that follow the need of some devices by a randomised response.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Burst {
    /// `device`: bit N is the device whose section is the Nth, counted from 1.
    pub devices: u64,
    /// `upload`: rate from router to endpoint in a burst, on the wire.
    pub upload: BitsPerSec,
    /// `download`: rate from endpoint to router in a burst, on the wire.
    pub download: BitsPerSec,
    /// `slot`: length of a slot.
    pub slot: Nanos,
    /// `begin`: the probability of a burst after a slot without, if there is need.
    pub begin: Chance,
    /// `decoy`: the same if there is none.
    pub decoy: Chance,
    /// `keep`: the probability of a burst after one, if there is need.
    pub keep: Chance,
    /// `linger`: the same if there is none; `None` if it follows from the lengths that were watched.
    pub linger: Option<Chance>,
}

impl Burst {
    /// The default of `linger`, and the least that follows from what was watched.
    pub const LINGER: Chance = Chance(600_000);
}
