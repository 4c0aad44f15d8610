//! The loop: packets in, cells out at their moments, cells in, packets out.
//!
//! Between the building of a cell and its departure nothing else is done, so that how late it leaves does not depend
//! on what the devices or the peer just sent (design: "Timing").

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
use super::control::ControlServer;
use super::data_usage::DataUsage;
use super::departure_queue::DepartureQueue;
use super::error::Error;
use super::flows::Flows;
use super::history::History;
use super::host::Host;
use super::liveness::{State, StateSince};
use super::openvpn::Openvpn;
use super::problem::{Code, Problem};
use super::reconcile::endpoint::Endpoint;
use super::reconcile::{Reconciler, Tokens};
use super::saved_sysctls::SavedSysctls;
use super::session::Action;
use super::sessions::Sessions;
use super::status::StatusView;
use super::ubus::{Presence, Provider};
use super::{Options, shape};
use crate::config::model::Settings;
use crate::core::CellKind;
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

const TIMER: u64 = 0;
const PACKETS: u64 = 1;
const DATA_CELLS: u64 = 2;
const SIGNALS: u64 = 3;
const RECONCILER: Tokens = Tokens { monitor: 4, work: 5, lookup: 6 };
const UBUS: u64 = 7;
const LISTING: u64 = 8;
const COVER_CELLS: u64 = 9;
const CONTROL: u64 = 10;
const OPENVPN: u64 = 32;
const PASSIVE_MONITOR: u64 = 33;
const AUDIT: u64 = 34;

/// Packets and cells that are taken in a row before the time is looked at again.
const READ_BATCH: usize = 8;

/// Of many sessions so many acts, and then so many packets and cells, follow each other before it is the others' turn, so
/// that a machine that cannot keep up keeps up with neither rather than with one of them.
const TURN_LIMIT: usize = 32;

/// A home's only session is awaited awake for so long, which takes less than one percent of a processor at the default
/// rates. With more sessions some other cell is always about to leave, and the processor seldom sleeps deeply.
const SPIN_WINDOW: Nanos = Nanos::from_micros(200);

/// With more sessions than this some cell always stands ready: one that is not due yet does not keep the rest waiting.
const MANY_SESSIONS: usize = 8;

/// Of many sessions those that act within so much of each other do so together. Random intervals hide a lateness of that
/// order, which depends on no one's traffic.
const COALESCE_WINDOW: Nanos = Nanos::from_micros(100);

/// Housekeeping period.
const HOUSEKEEPING_PERIOD: Nanos = Nanos::from_secs(1);

/// What is no cell's business waits until the next one is at least so far away: writing a status or forking takes less.
const MIN_IDLE_GAP: Nanos = Nanos::from_millis(2);
/// Where cells are never so far apart, it waits no longer than this.
const MAX_HOUSEKEEPING_DELAY: Nanos = Nanos::from_millis(500);

const _: () = assert!(TUN_MTU as usize == MAX_PACKET_BYTES, "the engine takes whatever the TUN interface gives");

/// A running daemon.
pub struct EventLoop {
    options: Options,
    /// In force; `None` until there are valid ones.
    settings: Option<Settings>,
    /// The settings in force with what a broken file confines besides: for the guard alone.
    confined: Option<Settings>,
    size: Option<CellSize>,
    poll: Poll,
    timer: Timer,
    signals: Signals,
    control: ControlServer,
    ubus: Provider,
    /// What was last said about it.
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
    /// What the queueing tree was last told.
    limits: Option<ShaperLimits>,
    /// Settings that wait to come into force.
    reload: Option<Reload>,
    /// Whether they have changed again meanwhile.
    read_again: bool,
    /// Addresses of the peers with whom WireGuard is to begin anew.
    renew: Vec<Ipv4Addr>,
    /// Whether the log says what is being done.
    announced: bool,
    manager: Manager,
    /// What is to be given back at the end.
    saved_sysctls: SavedSysctls,
    problems: Vec<Problem>,
    state_since: StateSince,
    started: Nanos,
    next_tick: Nanos,
    /// Since when something has waited for a gap between cells.
    waiting: Option<Nanos>,
    buffer: Box<[u8; MAX_PACKET_BYTES]>,
}

impl EventLoop {
    /// Makes ready to bring everything up. Where there are no valid settings yet, that waits for them.
    pub fn start(options: &Options, settings: Result<Settings, Error>) -> Result<EventLoop, Error> {
        let poll = Poll::new().map_err(Error::system("making an epoll set"))?;
        let timer = Timer::new().map_err(Error::system("making a timer"))?;
        let signals = Signals::open().map_err(Error::system("taking signals"))?;
        poll.add(&timer, TIMER)
            .and_then(|()| poll.add(&signals, SIGNALS))
            .map_err(Error::system("filling the epoll set"))?;
        let (control, unreachable) = ControlServer::listen(&options.socket, &poll, CONTROL)?;
        let now = timer::now();
        let (settings, wrong) = match settings {
            Ok(settings) => (Some(settings), None),
            Err(error) => (None, Some(Problem::new(Code::Settings, error.to_string()))),
        };
        let mut clock = LevelClock::new(DataUsage::open(&options.usage_file, now), now);
        let settings = settings.map(|written| {
            let settings = clock.in_force(&written);
            clock.adopt(written);
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
            read_again: false,
            renew: Vec::new(),
            announced: false,
            manager: Manager::find(),
            saved_sysctls: SavedSysctls::read(&options.socket),
            problems: Vec::new(),
            state_since: StateSince::new(now),
            started: now,
            next_tick: now,
            waiting: None,
            buffer: Box::new([0; MAX_PACKET_BYTES]),
        };
        if wrong.is_some() {
            event_loop.manager.tell_ready();
        }
        let unreachable = unreachable.map(|error| Problem::new(Code::Socket, error.to_string()));
        wrong.into_iter().chain(unreachable).for_each(|problem| event_loop.note(problem));
        Ok(event_loop)
    }

    /// Runs until SIGTERM or SIGINT, or until something fails that cannot be mended here.
    pub fn run(&mut self) -> Result<(), Error> {
        loop {
            self.run_departures()?;
            let now = timer::now();
            self.tick(now);
            self.poll_reconciler(now);
            self.poll_ubus(now);
            self.work_on_advice();
            if self.reload.is_none() && std::mem::take(&mut self.read_again) && self.reload(None, now) == LoopFlow::Stop
            {
                return Ok(());
            }
            self.timer.set(self.wake(timer::now())).map_err(Error::system("setting the timer"))?;
            let mut tokens = [None; 16];
            let ready = self.poll.wait().map_err(Error::system("waiting for events"))?;
            tokens.iter_mut().zip(ready).for_each(|(place, token)| *place = Some(token));
            for token in tokens.into_iter().flatten() {
                if self.handle(token)? == LoopFlow::Stop {
                    return Ok(());
                }
            }
        }
    }

    /// Removes all that is ours from the kernel but the guard.
    pub fn stop(self) -> Result<(), Error> {
        let EventLoop { reconciler, tunnel, openvpn, saved_sysctls, options, manager, mut clock, .. } = self;
        if let Err(error) = clock.close() {
            warn!("keeping the count of data: {error}");
        }
        manager.tell("STOPPING=1");
        // Whatever is at work ends before, and mp0 lives as long as its descriptor: routes and rules go first.
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

    /// Remembers what the system did not permit.
    pub fn note_refused(&mut self, refused: &Refused) {
        self.note(Problem::new(Code::Realtime, refused.to_string()));
    }

    /// Builds and sends what is due. While a cell of a few sessions' stands ready this does not return.
    fn run_departures(&mut self) -> Result<(), Error> {
        let awake = if self.sessions.all().len() == 1 { SPIN_WINDOW } else { Nanos::ZERO };
        let many = self.has_many();
        let (mut ready, mut acts) = (0usize, 0);
        while let Some(next) = self.departures.next() {
            acts += 1;
            if many && acts > 2 * TURN_LIMIT || (many || ready == 0) && next > timer::now() {
                break;
            }
            let Some((when, index)) = self.departures.pop() else { break };
            timer::wait_until(when, awake).map_err(Error::system("waiting for a departure"))?;
            let session = self.sessions.session_mut(index);
            let peer = SocketAddrV4::new(session.peer(), CELL_PORT);
            match session.act(timer::now()) {
                Action::Built => ready += 1,
                Action::Rested => {}
                Action::Send { scheduled, kind, cell } => {
                    // A cell that the kernel does not take is lost, as any cell may be: the schedule goes on.
                    if let Some(sockets) = self.tunnel.sockets() {
                        _ = sockets.of(kind).send(cell, peer);
                    }
                    session.handle_departure(scheduled, timer::now());
                    ready = ready.saturating_sub(1);
                }
            }
            if let Some(next) = session.next() {
                self.departures.add(next, index);
            }
        }
        Ok(())
    }

    /// When there is something to do again. What is late already waits for a gap, which comes with a departure.
    fn wake(&self, now: Nanos) -> Nanos {
        let reconciler = [self.reconciler.due(), self.lookup_due(now), self.ubus.due(), self.listing.due()];
        let reconciler = reconciler.into_iter().flatten().filter(|due| *due > now);
        let next = self.departures.next().map(|next| next + self.slack());
        next.into_iter().chain(reconciler).fold(self.next_tick, Nanos::min)
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
            // Level-triggered: what waits for a gap comes again.
            _ if !self.has_gap(now) => {}
            OPENVPN => self.handle_openvpn_output(),
            token if token == RECONCILER.work => self.handle_reconcile_report(now),
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

    /// How long an act may wait for others.
    fn slack(&self) -> Nanos {
        if self.has_many() { COALESCE_WINDOW } else { Nanos::ZERO }
    }

    /// Packets or cells that are taken in a row at most.
    fn batch(&self) -> usize {
        if self.has_many() { TURN_LIMIT } else { READ_BATCH }
    }

    /// And at least, whatever is due.
    fn least(&self) -> usize {
        if self.has_many() { TURN_LIMIT } else { 0 }
    }

    fn has_many(&self) -> bool {
        self.sessions.all().len() > MANY_SESSIONS
    }

    /// Whether there is time now for what is no cell's business, which otherwise waits.
    fn has_gap(&mut self, now: Nanos) -> bool {
        let gap = self.departures.next().is_none_or(|next| next >= now + MIN_IDLE_GAP);
        let since = *self.waiting.get_or_insert(now);
        let has = gap || now.saturating_since(since) > MAX_HOUSEKEEPING_DELAY;
        if has {
            self.waiting = None;
        }
        has
    }

    fn tick(&mut self, now: Nanos) {
        if now < self.next_tick {
            return;
        }
        // On a grid, so that a day has as many as it should; what was slept through is not made up for.
        self.next_tick = (self.next_tick + HOUSEKEEPING_PERIOD).max(now);
        self.sessions.all_mut().iter_mut().for_each(|session| session.tick(now));
        let lost = self.sessions.poll_lost(now);
        if !lost.is_empty() {
            self.renew.extend(lost);
            self.reconciler.trigger_now(now);
        }
        self.advance_advice(now);
        self.history.sample(self.sessions.totals(), self.sessions.delays(), now);
        self.follow_clock(now);
        self.poll_audits(now);
        if self.state(now).is_up() {
            self.endpoint.note_heard(now);
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

    /// One word for the whole: the best state of any session. A home that is away is no fault of its endpoint's.
    fn state(&self, now: Nanos) -> State {
        if !self.tunnel.is_complete() && self.problems.iter().any(|problem| problem.code.severity() == "error") {
            return State::Blocked;
        }
        let states = || self.sessions.all().iter().map(|session| session.state(now));
        [State::Shaping, State::Paused, State::Degraded]
            .into_iter()
            .find(|wanted| states().any(|state| state == *wanted))
            .unwrap_or(State::Starting)
    }

    /// The one place that every change of state passes.
    fn note_state(&mut self, now: Nanos) {
        let state = self.state(now);
        let Some(before) = self.state_since.note(state, now) else { return };
        let lasted = now.saturating_since(before.since).as_secs_f64();
        info!("{} after {lasted:.0} s {}", state.name(), before.state.name());
        self.announce_state(before.state, now);
        self.manager.tell(&format!("STATUS={}", state.name()));
        // Of a peer that somebody took out of WireGuard the kernel does not tell; and with the first cells come the
        // workers that encrypt them.
        if matches!(state, State::Degraded | State::Shaping) {
            self.reconciler.note_change(now);
        }
    }

    /// Remembers a problem, and logs it the first time.
    pub fn note(&mut self, problem: Problem) {
        if !self.problems.contains(&problem) {
            warn!("{}", problem.text);
            self.problems.push(problem);
        }
    }

    /// Fits the queueing tree to what a home has been granted.
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
