//! The event loop: sends cells at their scheduled times, and moves packets and cells between the devices, the engines
//! and the peers.
//!
//! The loop does nothing else between building a cell and sending it, so the lateness of a departure does not depend on
//! what the devices or the peer just sent.

mod advice;
mod arrivals;
mod audit;
#[cfg(feature = "lab")]
mod bare;
mod bus;
mod calendar;
mod clock;
mod device_list;
mod endpoint_failover;
#[cfg(feature = "endpoint")]
mod enrolments;
mod join_key;
mod reconcile;
mod requests;

use std::net::{Ipv4Addr, SocketAddrV4};

use log::{info, warn};

use self::advice::AdviceState;
pub use self::audit::Audits;
#[cfg(feature = "lab")]
pub use self::bare::BareEndpoint;
pub use self::calendar::LevelClock;
use self::device_list::Listing;
use self::endpoint_failover::EndpointFailover;
#[cfg(feature = "endpoint")]
use self::enrolments::Enrolments;
use self::join_key::JoinKeyRollover;
use self::reconcile::TunnelIo;
use self::requests::Reload;
use crate::config::model::Settings;
use crate::core::CellKind;
use crate::daemon::Options;
use crate::daemon::control::socket::ControlServer;
use crate::daemon::control::status::StatusView;
use crate::daemon::control::ubus::{Presence, Provider};
use crate::daemon::dataplane::departure_queue::DepartureQueue;
use crate::daemon::dataplane::flows::Flows;
use crate::daemon::dataplane::liveness::{State, StateSince};
use crate::daemon::dataplane::session::Action;
use crate::daemon::dataplane::sessions::Sessions;
use crate::daemon::error::Error;
use crate::daemon::history::History;
use crate::daemon::problem::{Code, Problem};
use crate::daemon::reconcile::endpoint::Endpoint;
use crate::daemon::reconcile::host::Host;
use crate::daemon::reconcile::openvpn::Openvpn;
use crate::daemon::reconcile::saved_sysctls::SavedSysctls;
use crate::daemon::reconcile::{Reconciler, Tokens};
use crate::daemon::schedule::data_usage::DataUsage;
use crate::daemon::shape;
use crate::plan::ownership::{CELL_PORT, TUN_MTU};
use crate::plan::qdisc_tree::ShaperLimits;
use crate::sys::epoll::Poll;
use crate::sys::realtime::Refused;
use crate::sys::sd_notify::Manager;
use crate::sys::signal::Signals;
use crate::sys::timer::{self, Timer};
use crate::units::Nanos;
use crate::wire::MAX_PACKET_BYTES;
use crate::wire::size::CellSize;

// Epoll tokens of the event sources.
const TIMER: u64 = 0;
const PACKETS: u64 = 1;
const DATA_CELLS: u64 = 2;
const SIGNALS: u64 = 3;
const RECONCILER: Tokens = Tokens { monitor: 4, reconcile: 5, lookup: 6 };
const UBUS: u64 = 7;
const LISTING: u64 = 8;
const COVER_CELLS: u64 = 9;
const CONTROL: u64 = 10;
const OPENVPN: u64 = 32;
const PASSIVE_MONITOR: u64 = 33;
const AUDIT: u64 = 34;

/// Maximum packets, and maximum cells, read in one turn with few sessions.
const READ_BATCH: usize = 8;

/// With many sessions, each turn handles at most this many departures, then this many arrivals, so an overloaded host
/// starves neither side.
const TURN_LIMIT: usize = 32;

/// The loop spins for this long before a departure if there is only one session. Spinning takes less than one percent
/// of a processor at the default rates. With more sessions another cell is always about to leave, and the processor
/// seldom enters a deep sleep state.
const SPIN_WINDOW: Nanos = Nanos::from_micros(200);

/// With more sessions than this, some cell is always built and waiting. The loop then does not block on a cell that is
/// not due yet.
const MANY_SESSIONS: usize = 8;

/// With many sessions, departures within this window are handled together. Random intervals hide a lateness of this
/// order, and it does not depend on traffic.
const COALESCE_WINDOW: Nanos = Nanos::from_micros(100);

/// Housekeeping period.
const HOUSEKEEPING_PERIOD: Nanos = Nanos::from_secs(1);

/// Housekeeping runs only if the next departure is at least this far away. Writing a status or forking takes less time.
const MIN_IDLE_GAP: Nanos = Nanos::from_millis(2);
/// Housekeeping waits no longer than this if departures are never that far apart.
const MAX_HOUSEKEEPING_DELAY: Nanos = Nanos::from_millis(500);

const _: () = assert!(TUN_MTU as usize == MAX_PACKET_BYTES, "the engine accepts every packet of the TUN interface");

/// A running daemon.
pub struct EventLoop {
    options: Options,
    /// The settings in force; `None` until there are valid ones.
    settings: Option<Settings>,
    /// The settings in force plus what a broken file confines in addition. Only the guard uses them.
    confined: Option<Settings>,
    size: Option<CellSize>,
    poll: Poll,
    timer: Timer,
    signals: Signals,
    control: ControlServer,
    ubus: Provider,
    /// The ubus presence that was last logged.
    presence: Presence,
    listing: Listing,
    reconciler: Reconciler,
    endpoint: Endpoint,
    failover: EndpointFailover,
    join_key: JoinKeyRollover,
    #[cfg(feature = "endpoint")]
    enrolments: Enrolments,
    tunnel: TunnelIo,
    sessions: Sessions,
    flows: Flows,
    advice: AdviceState,
    history: History,
    clock: LevelClock,
    audits: Audits,
    departures: DepartureQueue,
    openvpn: Option<Openvpn>,
    /// The limits last given to the queueing tree.
    limits: Option<ShaperLimits>,
    /// New settings that are not in force yet.
    reload: Option<Reload>,
    /// Whether another reload was requested during the current one.
    reload_again: bool,
    /// Tunnel addresses of the peers that need a new WireGuard handshake.
    rehandshake: Vec<Ipv4Addr>,
    /// Whether the log names the shaping in force.
    announced: bool,
    manager: Manager,
    /// Sysctls to restore at exit.
    saved_sysctls: SavedSysctls,
    problems: Vec<Problem>,
    state_since: StateSince,
    started: Nanos,
    next_tick: Nanos,
    /// When the housekeeping that waits for a gap between departures began to wait.
    waiting_since: Option<Nanos>,
    buffer: Box<[u8; MAX_PACKET_BYTES]>,
}

impl EventLoop {
    /// Opens everything the loop polls. The first reconcile job brings up the tunnel, or waits for valid settings.
    pub fn start(options: &Options, settings: Result<Settings, Error>) -> Result<EventLoop, Error> {
        let poll = Poll::new().map_err(Error::system("creating an epoll instance"))?;
        let timer = Timer::new().map_err(Error::system("creating a timer"))?;
        let signals = Signals::open().map_err(Error::system("opening a signalfd"))?;
        poll.add(&timer, TIMER)
            .and_then(|()| poll.add(&signals, SIGNALS))
            .map_err(Error::system("adding timer and signals to the epoll instance"))?;
        let (control, socket_error) = ControlServer::listen(&options.socket, &poll, CONTROL)?;
        let now = timer::now();
        let (settings, settings_problem) = match settings {
            Ok(settings) => (Some(settings), None),
            Err(error) => (None, Some(Problem::new(Code::Settings, error.to_string()))),
        };
        let mut clock = LevelClock::new(DataUsage::open(&options.usage_file, now), now);
        let settings = settings.map(|configured| {
            let settings = clock.in_force(&configured);
            clock.adopt(configured);
            settings
        });
        let mut event_loop = EventLoop {
            options: options.clone(),
            reconciler: Reconciler::start(&poll, RECONCILER, now)?,
            endpoint: Endpoint::new(settings.as_ref(), now),
            failover: EndpointFailover::new(now),
            join_key: JoinKeyRollover::new(now),
            #[cfg(feature = "endpoint")]
            enrolments: Enrolments::default(),
            settings,
            confined: None,
            size: None,
            poll,
            timer,
            signals,
            control,
            ubus: Provider::new(options.brokers.clone(), UBUS, now),
            presence: Presence::Unknown,
            listing: Listing::default(),
            tunnel: TunnelIo::default(),
            sessions: Sessions::none(),
            flows: Flows::default(),
            advice: AdviceState::default(),
            history: History::new(now),
            clock,
            audits: Audits::new(now),
            departures: DepartureQueue::default(),
            openvpn: None,
            limits: None,
            reload: None,
            reload_again: false,
            rehandshake: Vec::new(),
            announced: false,
            manager: Manager::find(),
            saved_sysctls: SavedSysctls::read(&options.socket),
            problems: Vec::new(),
            state_since: StateSince::new(now),
            started: now,
            next_tick: now,
            waiting_since: None,
            buffer: Box::new([0; MAX_PACKET_BYTES]),
        };
        if settings_problem.is_some() {
            event_loop.manager.notify_ready();
        }
        let socket_problem = socket_error.map(|error| Problem::new(Code::Socket, error.to_string()));
        settings_problem.into_iter().chain(socket_problem).for_each(|problem| event_loop.note(problem));
        Ok(event_loop)
    }

    /// Runs until SIGTERM or SIGINT, until a reload finds `enabled 0`, or until a system call of the loop fails.
    pub fn run(&mut self) -> Result<(), Error> {
        loop {
            self.run_departures()?;
            let now = timer::now();
            self.tick(now);
            self.poll_reconciler(now);
            self.poll_ubus(now);
            self.run_advisor();
            if self.reload.is_none()
                && std::mem::take(&mut self.reload_again)
                && self.reload(None, now) == LoopFlow::Stop
            {
                return Ok(());
            }
            self.timer.set(self.next_wake(timer::now())).map_err(Error::system("setting the timer"))?;
            let mut tokens = [None; 16];
            let ready = self.poll.wait().map_err(Error::system("waiting for events"))?;
            tokens.iter_mut().zip(ready).for_each(|(slot, token)| *slot = Some(token));
            for token in tokens.into_iter().flatten() {
                if self.handle(token)? == LoopFlow::Stop {
                    return Ok(());
                }
            }
        }
    }

    /// Removes everything of millpond's from the kernel except the guard, and restores the saved sysctls.
    pub fn stop(self) -> Result<(), Error> {
        let EventLoop { reconciler, tunnel, openvpn, saved_sysctls, options, manager, mut clock, .. } = self;
        if let Err(error) = clock.close() {
            warn!(
                "writing the data usage to {}: {error}: the usage since the last write is lost",
                options.usage_file.display()
            );
        }
        manager.notify("STOPPING=1");
        // Running jobs and openvpn end first. The TUN interface goes last: mp0 lives as long as its descriptor, and the
        // routes and rules that use it must go before.
        drop(reconciler);
        drop(openvpn);
        let mut host = Host::open()?;
        let applied = host.tear_down(saved_sysctls)?;
        SavedSysctls::forget(&options.socket);
        drop(tunnel);
        applied.ops.iter().for_each(|op| info!("{op}"));
        info!("stopped");
        Ok(())
    }

    /// Records a real-time measure that the system refused.
    pub fn note_refused(&mut self, refused: &Refused) {
        self.note(Problem::new(Code::Realtime, refused.to_string()));
    }

    /// Builds and sends the cells that are due. With few sessions it does not return while a built cell waits.
    fn run_departures(&mut self) -> Result<(), Error> {
        let spin = if self.sessions.all().len() == 1 { SPIN_WINDOW } else { Nanos::ZERO };
        let many = self.has_many_sessions();
        let (mut built, mut actions) = (0usize, 0);
        while let Some(next) = self.departures.next() {
            actions += 1;
            if many && actions > 2 * TURN_LIMIT || (many || built == 0) && next > timer::now() {
                break;
            }
            let Some((when, index)) = self.departures.pop() else { break };
            timer::wait_until(when, spin).map_err(Error::system("waiting for a departure"))?;
            let session = self.sessions.session_mut(index);
            let peer = SocketAddrV4::new(session.peer(), CELL_PORT);
            match session.act(timer::now()) {
                Action::Built => built += 1,
                Action::Idle => {}
                Action::Send { scheduled, kind, cell } => {
                    // A cell that the kernel refuses counts as lost on the way. The schedule continues.
                    if let Some(sockets) = self.tunnel.sockets() {
                        _ = sockets.of(kind).send(cell, peer);
                    }
                    session.handle_departure(scheduled, timer::now());
                    built = built.saturating_sub(1);
                }
            }
            if let Some(next) = session.next() {
                self.departures.add(next, index);
            }
        }
        Ok(())
    }

    /// When the loop must wake next. Overdue housekeeping waits for a gap, which comes after a departure.
    fn next_wake(&self, now: Nanos) -> Nanos {
        let housekeeping = [self.reconciler.due(), self.lookup_due(now), self.ubus.due(), self.listing.due()];
        let housekeeping = housekeeping.into_iter().flatten().filter(|due| *due > now);
        let next = self.departures.next().map(|next| next + self.slack());
        next.into_iter().chain(housekeeping).fold(self.next_tick, Nanos::min)
    }

    fn handle(&mut self, token: u64) -> Result<LoopFlow, Error> {
        let now = timer::now();
        match token {
            TIMER => self.timer.acknowledge().map_err(Error::system("reading the timer"))?,
            PACKETS => self.handle_packets(),
            DATA_CELLS => self.handle_cells(CellKind::Data),
            COVER_CELLS => self.handle_cells(CellKind::Cover),
            SIGNALS => return self.handle_signal(),
            token if token == RECONCILER.monitor => self.handle_kernel_events(now),
            // The events are level-triggered: those that must wait for a gap are reported again.
            _ if !self.has_gap(now) => {}
            OPENVPN => self.handle_openvpn_output(),
            token if token == RECONCILER.reconcile => self.handle_reconcile_report(now),
            token if token == RECONCILER.lookup => self.handle_addresses(now),
            LISTING => self.handle_device_list(now),
            PASSIVE_MONITOR => self.handle_observed_packets(),
            AUDIT => self.handle_audit(now),
            UBUS => return Ok(self.handle_ubus(now)),
            _ => return Ok(self.handle_client(token, now)),
        }
        Ok(LoopFlow::Continue)
    }

    fn view(&self, now: Nanos) -> StatusView<'_> {
        StatusView {
            settings: self.settings.as_ref(),
            sessions: self.sessions.all(),
            problems: &self.problems,
            cell_bytes: self.size.map(|size| (size.inner_bytes, size.wire_bytes)),
            state_since: self.state_since,
            history: &self.history,
            clock: &self.clock,
            audits: &self.audits,
            uptime: now.saturating_since(self.started),
            now,
        }
    }

    fn is_due(&self, now: Nanos) -> bool {
        self.departures.next().is_some_and(|next| next + self.slack() <= now)
    }

    /// How long a departure may wait so that others are handled with it.
    fn slack(&self) -> Nanos {
        if self.has_many_sessions() { COALESCE_WINDOW } else { Nanos::ZERO }
    }

    /// Maximum packets or cells to read in one turn.
    fn max_batch(&self) -> usize {
        if self.has_many_sessions() { TURN_LIMIT } else { READ_BATCH }
    }

    /// Minimum packets or cells to read in one turn, even if a departure is due.
    fn min_batch(&self) -> usize {
        if self.has_many_sessions() { TURN_LIMIT } else { 0 }
    }

    fn has_many_sessions(&self) -> bool {
        self.sessions.all().len() > MANY_SESSIONS
    }

    /// Whether housekeeping may run now. The caller tries again later if not.
    fn has_gap(&mut self, now: Nanos) -> bool {
        let is_idle = self.departures.next().is_none_or(|next| next >= now + MIN_IDLE_GAP);
        let since = *self.waiting_since.get_or_insert(now);
        let has_gap = is_idle || now.saturating_since(since) > MAX_HOUSEKEEPING_DELAY;
        if has_gap {
            self.waiting_since = None;
        }
        has_gap
    }

    fn tick(&mut self, now: Nanos) {
        if now < self.next_tick {
            return;
        }
        // Ticks lie on a fixed grid, so that their number per day is exact. Missed ticks are not repeated.
        self.next_tick = (self.next_tick + HOUSEKEEPING_PERIOD).max(now);
        self.sessions.all_mut().iter_mut().for_each(|session| session.tick(now));
        let silent = self.sessions.poll_rehandshakes(now);
        if !silent.is_empty() {
            self.rehandshake.extend(silent);
            self.reconciler.trigger_now(now);
        }
        self.advance_advice(now);
        self.history.sample(self.sessions.totals(), self.sessions.delays(), now);
        self.poll_clock(now);
        self.poll_audits(now);
        if self.state(now).is_up() {
            self.endpoint.note_cells(now);
        }
        self.poll_failover(now);
        self.poll_join_key(now);
        #[cfg(feature = "endpoint")]
        self.poll_enrolments(now);
        self.note_clock(timer::wall_clock(), now);
        self.note_state(now);
        if self.openvpn.is_some() && self.has_gap(now) {
            self.poll_openvpn(now);
        }
    }

    /// The state of the daemon: the best state of any session. An absent home does not degrade its endpoint.
    fn state(&self, now: Nanos) -> State {
        if !self.tunnel.is_complete() && self.problems.iter().any(|problem| problem.code.severity() == "error") {
            return State::Blocked;
        }
        let states = || self.sessions.all().iter().map(|session| session.state(now));
        [State::Shaping, State::Paused, State::Degraded]
            .into_iter()
            .find(|best| states().any(|state| state == *best))
            .unwrap_or(State::Starting)
    }

    /// Logs and announces a change of state. Every change passes here.
    fn note_state(&mut self, now: Nanos) {
        let state = self.state(now);
        let Some(before) = self.state_since.note(state, now) else { return };
        let lasted = now.saturating_since(before.since).as_secs_f64();
        info!("state {} -> {} (after {lasted:.0} s)", before.state.name(), state.name());
        self.announce_state(before.state, now);
        self.manager.notify(&format!("STATUS={}", state.name()));
        // Degraded: another program may have removed the peer from WireGuard, and the kernel sends no notification
        // for that.
        // Shaping: the worker threads that encrypt appear with the first cells.
        if matches!(state, State::Degraded | State::Shaping) {
            self.reconciler.note_change(now);
        }
    }

    /// Adds a problem to the list and logs it, unless the list holds it already.
    pub fn note(&mut self, problem: Problem) {
        if !self.problems.contains(&problem) {
            warn!("{}", problem.text);
            self.problems.push(problem);
        }
    }

    /// Adjusts the queueing tree to the rate and law granted to a home.
    fn adjust_tree(&mut self, now: Nanos) {
        let (Some(settings), Some(size)) = (&self.settings, self.size) else { return };
        let limits = shape::limits(settings, size, self.sessions.all());
        if self.limits != Some(limits) {
            self.limits = Some(limits);
            self.reconciler.trigger_now(now);
        }
    }
}

#[derive(PartialEq, Eq)]
enum LoopFlow {
    Continue,
    Stop,
}
