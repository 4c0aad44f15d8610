//! The once-a-second work for each home of a thread: a few homes at a time, spread over the second, so that it delays
//! no cell.

use std::net::Ipv4Addr;

use super::overload::Slots;
use crate::config::model::Key;
use crate::daemon::dataplane::DataPlane;
use crate::daemon::dataplane::session::Session;
use crate::daemon::dataplane::totals::{DelayTotals, Totals};
use crate::daemon::state::State;
use crate::units::Nanos;
use crate::wire::control::ShapingRequest;

/// Every home has its turn once in this time.
const PERIOD: Nanos = Nanos::from_secs(1);
/// Homes in one turn.
const SLICE: usize = 4;

/// What a thread reports once a second.
#[derive(Clone, Default)]
pub struct SweepReport {
    /// The bytes that passed through its homes.
    pub totals: Totals,
    /// The delays of the packets sent.
    pub delays: DelayTotals,
    /// The best state of any home.
    pub state: State,
    /// The grant with the longest train, of several such that of the first home.
    pub granted: Option<ShapingRequest>,
    /// Whether cells of a home leave or arrive in trains.
    pub has_trains: bool,
    /// The silent homes whose WireGuard handshakes need a look, and how long each is silent.
    pub silent: Vec<(Ipv4Addr, Nanos)>,
    /// The public keys that homes have announced as their own.
    pub key_updates: Vec<(Ipv4Addr, Key)>,
    /// All departures so far.
    slots: Slots,
}

/// The running round.
pub struct Sweep {
    next: usize,
    due: Nanos,
    report: SweepReport,
}

impl SweepReport {
    /// The departures since the report before.
    pub fn slots_since(&self, before: &SweepReport) -> Slots {
        Slots {
            used: self.slots.used.saturating_sub(before.slots.used),
            missed: self.slots.missed.saturating_sub(before.slots.missed),
        }
    }

    fn add(&mut self, session: &mut Session, now: Nanos) {
        session.handle_tick(now);
        let address = session.peer();
        self.silent.extend(session.poll_rehandshake(now).map(|silence| (address, silence)));
        self.key_updates.extend(session.poll_key_update().map(|key| (address, key)));
        self.state = State::best([self.state, session.state_since().state]);
        let granted = session.granted().filter(|one| self.granted.is_none_or(|first| one.trains[1] > first.trains[1]));
        self.granted = granted.copied().or(self.granted);
        self.has_trains |= session.has_trains();
        let (stats, [sent, received]) = (session.engine().stats(), session.wire_bytes());
        self.totals.home_upload += stats.bytes_out;
        self.totals.wire_upload += received;
        self.totals.home_download += stats.bytes_in;
        self.totals.wire_download += sent;
        self.delays.count += stats.delay.count();
        self.delays.sum = self.delays.sum.saturating_add(stats.delay.sum());
        self.slots.used += stats.cells_data + stats.cells_cover;
        self.slots.missed += stats.slots_missed;
    }
}

impl Sweep {
    /// The first round begins at `now`.
    pub fn new(now: Nanos) -> Sweep {
        Sweep { next: 0, due: now, report: SweepReport::default() }
    }

    /// When the next homes have their turn.
    pub fn due(&self) -> Nanos {
        self.due
    }

    /// Does the work for the next homes. Returns the report at the end of a round.
    pub fn step(&mut self, plane: &mut DataPlane, now: Nanos) -> Option<SweepReport> {
        let sessions = plane.sessions_mut();
        let turns = sessions.len().div_ceil(SLICE).max(1);
        let end = (self.next + SLICE).min(sessions.len());
        for session in sessions.get_mut(self.next..end).unwrap_or_default() {
            self.report.add(session, now);
        }
        self.due = (self.due + Nanos(PERIOD.0 / turns as u64)).max(now);
        if end < plane.sessions().all().len() {
            self.next = end;
            return None;
        }
        self.next = 0;
        Some(std::mem::take(&mut self.report))
    }
}
