//! Whether the bursts that a router wants are in force.

use crate::core::burst::BurstParams;
use crate::units::{BitsPerSec, Nanos};

/// An endpoint that answers nothing for three slots, and for this long, knows no bursts.
const ANSWER_TIMEOUT: Nanos = Nanos::from_secs(20);

/// The bursts of a router's session.
pub(super) struct BurstState {
    pub params: BurstParams,
    /// The endpoint's rate in bursts, once it has answered.
    pub granted: Option<BitsPerSec>,
    /// When the endpoint last answered, or was not there to answer.
    pub answered: Nanos,
}

/// What the status says of a router's bursts.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct BurstReport {
    /// Probabilities and rates in force.
    pub params: BurstParams,
    /// The endpoint's rate in bursts.
    pub granted: BitsPerSec,
    /// Whether one is on.
    pub is_bursting: bool,
}

impl BurstState {
    /// Whether the endpoint is there and has not answered for too long.
    pub fn is_overdue(&self, now: Nanos) -> bool {
        now.saturating_since(self.answered) > ANSWER_TIMEOUT.max(Nanos(3 * self.params.rules.slot.0))
    }
}
