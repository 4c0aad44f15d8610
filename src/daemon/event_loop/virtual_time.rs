//! A daemon in virtual time, for tests that run for a year (`tests/soak`).
//!
//! Data plane with sessions and engines, level clock with calendar and billing period, data usage and history are the
//! daemon's. The kernel, the reconcile jobs, ubus and the forked processes are left out: changed settings come into
//! force at once.

use std::io;
use std::net::Ipv4Addr;
use std::path::Path;

use crate::config::model::{Level, Settings};
use crate::core::{Pace, Stats};
use crate::daemon::action::Action;
use crate::daemon::dataplane::session::Change;
use crate::daemon::dataplane::{DataPlane, Departure};
use crate::daemon::error::Error;
use crate::daemon::history::History;
use crate::daemon::problem::Code;
use crate::daemon::schedule::calendar::{BillingPeriod, LocalZone};
use crate::daemon::schedule::data_usage::DataUsage;
use crate::daemon::schedule::{LevelClock, Moment};
use crate::daemon::shape;
use crate::daemon::state::State;
use crate::units::Nanos;
use crate::wire::size::{CellSize, Encapsulation, IpVersion};

/// A daemon with one session, without a kernel.
pub struct VirtualDaemon {
    plane: DataPlane,
    schedule: LevelClock,
    history: History,
    configured: Settings,
    in_force: Settings,
    draw: fn() -> u32,
    data_cap_warning: Option<String>,
    peer: Ipv4Addr,
}

/// A moment by both clocks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Clocks {
    /// The monotonic clock.
    pub now: Nanos,
    /// The wall clock, in seconds of Unix time.
    pub unix_s: i64,
}

/// Where random numbers come from in place of the kernel.
#[derive(Clone, Copy, Debug)]
pub struct RandomSources {
    /// The seed of a new engine.
    pub seed: fn() -> io::Result<[u8; 32]>,
    /// The shift of the next change of level.
    pub draw: fn() -> u32,
}

/// The result of [`VirtualDaemon::handle_timeout`].
#[derive(Debug)]
pub enum VirtualStep<'a> {
    /// No cell was due.
    Idle,
    /// A cell was built.
    Built,
    /// This cell leaves now.
    Cell {
        /// Its scheduled departure.
        scheduled: Nanos,
        /// Its UDP payload.
        bytes: &'a [u8],
    },
}

/// The data usage of the billing period.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct VirtualUsage {
    /// Bytes on the wire so far.
    pub used_bytes: u64,
    /// Start and end of the period, in seconds of Unix time.
    pub period: [i64; 2],
}

impl VirtualDaemon {
    /// Starts with `settings` of one tunnel and one peer, at `peer` inside the tunnel. `zone` is a POSIX rule, and the
    /// data usage continues from the file at `usage`.
    pub fn start(
        configured: Settings,
        peer: Ipv4Addr,
        zone: &str,
        usage: &Path,
        random: RandomSources,
        clocks: Clocks,
    ) -> Result<VirtualDaemon, Error> {
        let mut plane = DataPlane::new();
        plane.set_seed_source(random.seed);
        let moment = Moment { now: clocks.now, unix_s: clocks.unix_s, draw: random.draw };
        let mut schedule = LevelClock::new(LocalZone::from_posix(zone), DataUsage::open(usage, clocks.now), moment);
        let in_force = schedule.in_force(&configured, moment);
        plane.update(&in_force, encapsulation(), true, clocks.now)?;
        let history = History::new(clocks.now);
        let draw = random.draw;
        Ok(VirtualDaemon { plane, schedule, history, configured, in_force, draw, data_cap_warning: None, peer })
    }

    /// Continues the counters from these values. To be called before the first cell.
    pub fn count_from(&mut self, stats: Stats, wire_bytes: [u64; 2]) {
        self.plane.sessions_mut()[0].count_from(stats, wire_bytes);
    }

    /// Takes over changed settings of the file, as a reload does once its reconcile job has ended.
    pub fn reload(&mut self, configured: Settings, clocks: Clocks) -> Result<(), Error> {
        let settings = self.schedule.in_force(&configured, self.moment(clocks));
        self.configured = configured;
        self.put_into_force(settings, clocks.now)
    }

    /// Does the work of each second. Returns whether the clock changed the level.
    pub fn handle_tick(&mut self, clocks: Clocks) -> Result<bool, Error> {
        let Clocks { now, unix_s } = clocks;
        _ = self.plane.handle_tick(now);
        self.history.sample(self.plane.sessions().totals(), self.plane.sessions().delays(), now);
        let totals = self.history.totals();
        let change = self.schedule.handle_tick(&self.configured, &self.in_force, false, self.moment(clocks));
        self.schedule.count(totals.wire_upload + totals.wire_download);
        if self.schedule.poll_check(now, || true) {
            let actions = self.schedule.check_usage(&self.configured, self.in_force.data_cap_gb, unix_s);
            for action in actions {
                if let Action::SetProblem(Code::DataCap, text) = action {
                    self.data_cap_warning = text;
                }
            }
        }
        match change {
            Some(Action::ChangeLevel(settings)) => self.put_into_force(*settings, now).map(|()| true),
            _ => Ok(false),
        }
    }

    /// Writes the data usage, as at exit.
    pub fn stop(&mut self) -> io::Result<()> {
        self.schedule.close()
    }

    /// When [`VirtualDaemon::handle_timeout`] is due next.
    pub fn next_timeout(&self) -> Option<Nanos> {
        self.plane.next_timeout()
    }

    /// Builds or sends the next cell.
    pub fn handle_timeout(&mut self, now: Nanos) -> VirtualStep<'_> {
        match self.plane.handle_timeout(now) {
            Departure::Idle => VirtualStep::Idle,
            Departure::Built => VirtualStep::Built,
            Departure::Train(train) => VirtualStep::Cell { scheduled: train.scheduled, bytes: train.cells() },
        }
    }

    /// Records that the cell of the last [`VirtualStep::Cell`] left.
    pub fn handle_departure(&mut self, now: Nanos) {
        self.plane.handle_departure(now);
    }

    /// Queues a packet for the peer. Returns whether the session sends and forwards, so that the packet counts.
    pub fn handle_packet(&mut self, now: Nanos, packet: &[u8]) -> bool {
        let before = self.stats().packets_in;
        self.plane.handle_packet(now, packet);
        self.stats().packets_in > before
    }

    /// Handles a cell from the peer. Returns whether the session began to send, or sends by a new grant.
    pub fn handle_cell(&mut self, now: Nanos, cell: &[u8]) -> bool {
        let changed = self.plane.handle_cell(now, self.peer, cell).is_some_and(|(_, change)| change != Change::None);
        if changed {
            self.plane.update_limits(&self.in_force, now);
        }
        changed
    }

    /// Copies the next packet for the devices into `buffer` and returns its length. A packet that the daemon would not
    /// forward is skipped.
    pub fn poll_packet(&mut self, buffer: &mut [u8]) -> Option<usize> {
        loop {
            let delivery = self.plane.poll_packet(0, buffer)?;
            if delivery.is_accepted {
                return Some(delivery.length);
            }
        }
    }

    /// Whether cells wait for a handshake of WireGuard.
    pub fn holds_cells(&self, now: Nanos) -> bool {
        self.plane.holds_cells(now)
    }

    /// Records the time of WireGuard's last handshake, in seconds of Unix time; 0 for none.
    pub fn note_handshake(&mut self, handshake_s: u64, now: Nanos) {
        self.plane.note_handshake(Some(handshake_s), now);
    }

    /// Lets no cell leave while WireGuard gets another peer.
    pub fn pause_cells(&mut self, now: Nanos) {
        self.plane.pause_cells(now);
    }

    /// Lets cells leave again.
    pub fn resume_cells(&mut self, now: Nanos) {
        self.plane.resume_cells(now);
    }

    /// The engine's counters.
    pub fn stats(&self) -> &Stats {
        self.plane.sessions().all()[0].engine().stats()
    }

    /// The pace of the engine, and the next departure that it has drawn.
    pub fn departures(&self) -> (Pace, Nanos) {
        let engine = self.plane.sessions().all()[0].engine();
        (engine.pace(), engine.poll_timeout().0 + shape::LEAD)
    }

    /// Bytes on the wire of the cells sent, up to the last tick, and received.
    pub fn wire_bytes(&self) -> [u64; 2] {
        self.plane.sessions().all()[0].wire_bytes()
    }

    /// The state at `now`.
    pub fn is_up(&self, now: Nanos) -> bool {
        matches!(self.plane.state(now), State::Shaping | State::Paused)
    }

    /// The level in force, and its pace and cell size.
    pub fn level(&self) -> (Level, Pace, CellSize) {
        let size = self.plane.size().expect("the data plane has been updated");
        (self.in_force.level, shape::shaping(&self.in_force, size).pace, size)
    }

    /// The data usage at `unix_s`; `None` while the clock is not set.
    pub fn usage(&self, unix_s: i64) -> Option<VirtualUsage> {
        let usage = self.schedule.usage(&self.configured, unix_s)?;
        let BillingPeriod { start, end } = usage.period;
        Some(VirtualUsage { used_bytes: usage.used, period: [start, end] })
    }

    /// The warning about the data cap, if there is one.
    pub fn data_cap_warning(&self) -> Option<&str> {
        self.data_cap_warning.as_deref()
    }

    fn put_into_force(&mut self, settings: Settings, now: Nanos) -> Result<(), Error> {
        self.in_force = settings;
        self.plane.update(&self.in_force, encapsulation(), true, now)
    }

    fn moment(&self, Clocks { now, unix_s }: Clocks) -> Moment {
        Moment { now, unix_s, draw: self.draw }
    }
}

fn encapsulation() -> Encapsulation {
    Encapsulation::wireguard(IpVersion::V4)
}
