//! What the data plane as a whole does about bursts.

use super::DataPlane;
use crate::units::{Chance, Nanos};

impl DataPlane {
    /// Sets the probability `linger` of bursts that follows from what was watched, for the next update.
    pub fn set_linger(&mut self, linger: Option<Chance>) {
        self.sessions.set_linger(linger);
    }

    /// Why the bursts in the settings are not in force, on a router whose endpoint does not know them.
    pub fn missing_bursts(&self, now: Nanos) -> Option<String> {
        self.sessions.all().iter().find_map(|session| session.missing_bursts(now))
    }
}
