//! What status, metrics and audits say of a session: a copy, because an endpoint's sessions belong to other threads.

use std::net::Ipv4Addr;

use super::session::{BurstReport, Session};
use crate::core::{Pace, Stats};
use crate::daemon::state::StateSince;
use crate::units::Nanos;
use crate::wire::control::ShapingRequest;

/// One session at one moment.
pub struct SessionReport {
    /// The peer's name.
    pub name: String,
    /// The peer's address inside the tunnel.
    pub peer: Ipv4Addr,
    /// The state at the last tick, and when it began.
    pub state_since: StateSince,
    /// Whether cells are sent.
    pub sends: bool,
    /// Whether cover cells are sent.
    pub covers: bool,
    /// The pace of this end, and the expected pace of the peer if it is known.
    pub paces: [Option<Pace>; 2],
    /// Cells that leave together at each end, in the order of `paces`.
    pub trains: [u8; 2],
    /// A router's bursts, once its endpoint knows them.
    pub bursts: Option<BurstReport>,
    /// Whether some slots have a higher rate.
    pub has_bursts: bool,
    /// The request as granted to a home.
    pub granted: Option<ShapingRequest>,
    /// The engine's counters.
    pub stats: Stats,
    /// Bytes on the wire of the cells sent, up to the last tick, and received.
    #[cfg(feature = "endpoint")]
    pub wire_bytes: [u64; 2],
    /// See [`crate::core::Engine::min_watch_days`].
    pub min_watch_days: Option<f64>,
}

impl SessionReport {
    /// Copies what is to be reported.
    pub fn new(session: &Session) -> SessionReport {
        SessionReport {
            name: session.name().to_owned(),
            peer: session.peer(),
            state_since: session.state_since(),
            sends: session.next_timeout().is_some(),
            covers: session.covers(),
            paces: session.paces(),
            trains: session.trains(),
            bursts: session.bursts(),
            has_bursts: session.has_bursts(),
            granted: session.granted().copied(),
            stats: session.engine().stats().clone(),
            #[cfg(feature = "endpoint")]
            wire_bytes: session.wire_bytes(),
            min_watch_days: session.engine().min_watch_days(),
        }
    }

    /// Mean number of cells that both ends send a second, if they have the same pace; zero while this end sends none.
    pub fn cells_per_second(&self) -> f64 {
        let mean = self.paces[0].filter(|_| self.sends).map(|pace| pace.mean.0 as f64);
        let pair_of_trains = 2.0 * f64::from(self.trains[0]);
        mean.map_or(0.0, |mean| pair_of_trains * Nanos::from_secs(1).0 as f64 / mean)
    }
}
