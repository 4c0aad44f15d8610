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
#[cfg(feature = "endpoint")]
mod claims;
mod clock;
mod kernel;
mod keys;
mod listing;
mod requests;
mod servers;

use std::net::{Ipv4Addr, SocketAddrV4};

use log::{info, warn};

use self::advice::Watching;
pub use self::audit::Audits;
#[cfg(feature = "lab")]
pub use self::bare::BareEndpoint;
pub use self::calendar::Clock;
#[cfg(feature = "endpoint")]
use self::claims::Claims;
use self::kernel::Tunnel;
use self::keys::Keys;
use self::listing::Listing;
use self::requests::Reload;
use self::servers::Turn;
use super::agenda::Agenda;
use super::control::Control;
use super::error::Error;
use super::flows::Flows;
use super::former::Former;
use super::history::History;
use super::ledger::Ledger;
use super::line::Act;
use super::lines::Lines;
use super::machine::Machine;
use super::openvpn::Openvpn;
use super::problem::{Code, Problem};
use super::status::View;
use super::ubus::{Presence, Provider};
use super::upkeep::endpoint::Endpoint;
use super::upkeep::{Tokens, Upkeep};
use super::watch::{Standing, State};
use super::{Options, shape};
use crate::config::model::Settings;
use crate::core::CellKind;
use crate::plan::ownership::{CELL_PORT, TUN_MTU};
use crate::plan::tree::Guard;
use crate::sys::epoll::Poll;
use crate::sys::notify::Manager;
use crate::sys::realtime::Refused;
use crate::sys::signal::Signals;
use crate::sys::timer::{self, Timer};
use crate::units::Nanos;
use crate::wire::MAX_PACKET_BYTES;
use crate::wire::size::CellSize;

const TIMER: u64 = 0;
const PACKETS: u64 = 1;
const DATA_CELLS: u64 = 2;
const SIGNALS: u64 = 3;
const UPKEEP: Tokens = Tokens { monitor: 4, work: 5, lookup: 6 };
const UBUS: u64 = 7;
const LISTING: u64 = 8;
const COVER_CELLS: u64 = 9;
const CONTROL: u64 = 10;
const OPENVPN: u64 = 32;
const BYSTANDER: u64 = 33;
const AUDIT: u64 = 34;

/// Packets and cells that are taken in a row before the time is looked at again.
const BATCH: usize = 8;

/// Of many lines so many acts, and then so many packets and cells, follow each other before it is the others' turn, so
/// that a machine that cannot keep up keeps up with neither rather than with one of them.
const ROUND: usize = 32;

/// A home's only line is awaited awake for so long, which takes less than one percent of a processor at the default
/// rates. With more lines some other cell is always about to leave, and the processor seldom sleeps deeply.
const AWAKE: Nanos = Nanos::from_micros(200);

/// With more lines than this some cell always stands ready: one that is not due yet does not keep the rest waiting.
const FEW: usize = 8;

/// Of many lines those that act within so much of each other do so together. Random intervals hide a lateness of that
/// order, which depends on no one's traffic.
const TOGETHER: Nanos = Nanos::from_micros(100);

/// Housekeeping period.
const TICK: Nanos = Nanos::from_secs(1);

/// What is no cell's business waits until the next one is at least so far away: writing a status or forking takes less.
const GAP: Nanos = Nanos::from_millis(2);
/// Where cells are never so far apart, it waits no longer than this.
const PATIENCE: Nanos = Nanos::from_millis(500);

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
    control: Control,
    ubus: Provider,
    /// What was last said about it.
    presence: Presence,
    listing: Listing,
    upkeep: Upkeep,
    endpoint: Endpoint,
    turn: Turn,
    keys: Keys,
    #[cfg(feature = "endpoint")]
    claims: Claims,
    tunnel: Tunnel,
    lines: Lines,
    flows: Flows,
    watching: Watching,
    history: History,
    clock: Clock,
    audits: Audits,
    agenda: Agenda,
    openvpn: Option<Openvpn>,
    /// What the queueing tree was last told.
    guard: Option<Guard>,
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
    former: Former,
    problems: Vec<Problem>,
    standing: Standing,
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
        let (control, unreachable) = Control::listen(&options.socket, &poll, CONTROL)?;
        let now = timer::now();
        let (settings, wrong) = match settings {
            Ok(settings) => (Some(settings), None),
            Err(error) => (None, Some(Problem::new(Code::Settings, error.to_string()))),
        };
        let mut clock = Clock::new(Ledger::open(&options.usage_file, now), now);
        let settings = settings.map(|written| {
            let settings = clock.in_force(&written);
            clock.adopt(written);
            settings
        });
        let mut event_loop = EventLoop {
            options: options.clone(),
            upkeep: Upkeep::start(&poll, UPKEEP, now)?,
            endpoint: Endpoint::new(settings.as_ref(), now),
            turn: Turn::new(now),
            keys: Keys::new(now),
            #[cfg(feature = "endpoint")]
            claims: Claims::default(),
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
            tunnel: Tunnel::default(),
            lines: Lines::none(),
            flows: Flows::default(),
            watching: Watching::default(),
            history: History::new(now),
            clock,
            audits: Audits::new(now),
            agenda: Agenda::default(),
            openvpn: None,
            guard: None,
            reload: None,
            read_again: false,
            renew: Vec::new(),
            announced: false,
            manager: Manager::find(),
            former: Former::read(&options.socket),
            problems: Vec::new(),
            standing: Standing::new(now),
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
            self.keep_moments()?;
            let now = timer::now();
            self.tick(now);
            self.look_after_kernel(now);
            self.look_after_bus(now);
            self.work_on_advice();
            if self.reload.is_none() && std::mem::take(&mut self.read_again) && self.reload(None, now) == Flow::Stop {
                return Ok(());
            }
            self.timer.set(self.wake(timer::now())).map_err(Error::system("setting the timer"))?;
            let mut tokens = [None; 16];
            let ready = self.poll.wait().map_err(Error::system("waiting for events"))?;
            tokens.iter_mut().zip(ready).for_each(|(place, token)| *place = Some(token));
            for token in tokens.into_iter().flatten() {
                if self.handle(token)? == Flow::Stop {
                    return Ok(());
                }
            }
        }
    }

    /// Removes all that is ours from the kernel but the guard.
    pub fn stop(self) -> Result<(), Error> {
        let EventLoop { upkeep, tunnel, openvpn, former, options, manager, mut clock, .. } = self;
        if let Err(error) = clock.close() {
            warn!("keeping the count of data: {error}");
        }
        manager.tell("STOPPING=1");
        // Whatever is at work ends before, and mp0 lives as long as its descriptor: routes and rules go first.
        drop(upkeep);
        drop(openvpn);
        let mut machine = Machine::open()?;
        let applied = machine.take_down(former)?;
        Former::forget(&options.socket);
        drop(tunnel);
        applied.ops.iter().for_each(|op| info!("{op}"));
        info!("stopped");
        Ok(())
    }

    /// Remembers what the system did not permit.
    pub fn note_refused(&mut self, refused: &Refused) {
        self.note(Problem::new(Code::Realtime, refused.to_string()));
    }

    /// Builds and sends what is due. While a cell of a few lines' stands ready this does not return.
    fn keep_moments(&mut self) -> Result<(), Error> {
        let awake = if self.lines.all().len() == 1 { AWAKE } else { Nanos::ZERO };
        let many = self.has_many();
        let (mut ready, mut acts) = (0usize, 0);
        while let Some(next) = self.agenda.next() {
            acts += 1;
            if many && acts > 2 * ROUND || (many || ready == 0) && next > timer::now() {
                break;
            }
            let Some((when, index)) = self.agenda.pop() else { break };
            timer::wait_until(when, awake).map_err(Error::system("waiting for a departure"))?;
            let line = self.lines.line_mut(index);
            let peer = SocketAddrV4::new(line.peer(), CELL_PORT);
            match line.act(timer::now()) {
                Act::Built => ready += 1,
                Act::Rested => {}
                Act::Send { scheduled, kind, cell } => {
                    // A cell that the kernel does not take is lost, as any cell may be: the schedule goes on.
                    if let Some(sockets) = self.tunnel.sockets() {
                        _ = sockets.of(kind).send(cell, peer);
                    }
                    line.handle_departure(scheduled, timer::now());
                    ready = ready.saturating_sub(1);
                }
            }
            if let Some(next) = line.next() {
                self.agenda.add(next, index);
            }
        }
        Ok(())
    }

    /// When there is something to do again. What is late already waits for a gap, which comes with a departure.
    fn wake(&self, now: Nanos) -> Nanos {
        let upkeep = [self.upkeep.due(), self.lookup_due(now), self.ubus.due(), self.listing.due()];
        let upkeep = upkeep.into_iter().flatten().filter(|due| *due > now);
        let next = self.agenda.next().map(|next| next + self.slack());
        next.into_iter().chain(upkeep).fold(self.next_tick, Nanos::min)
    }

    fn handle(&mut self, token: u64) -> Result<Flow, Error> {
        let now = timer::now();
        match token {
            TIMER => self.timer.acknowledge().map_err(Error::system("reading the timer"))?,
            PACKETS => self.take_packets(),
            DATA_CELLS => self.take_cells(CellKind::Data),
            COVER_CELLS => self.take_cells(CellKind::Cover),
            SIGNALS => return self.take_signal(),
            token if token == UPKEEP.monitor => self.take_changes(now),
            // Level-triggered: what waits for a gap comes again.
            _ if !self.has_gap(now) => {}
            OPENVPN => self.take_openvpn_output(),
            token if token == UPKEEP.work => self.take_outcome(now),
            token if token == UPKEEP.lookup => self.take_addresses(now),
            LISTING => self.take_listing(now),
            BYSTANDER => self.take_passed(),
            AUDIT => self.take_audit(now),
            UBUS => return Ok(self.take_call(now)),
            _ => return Ok(self.take_request(token, now)),
        }
        Ok(Flow::Continue)
    }

    fn view(&self, now: Nanos) -> View<'_> {
        View {
            settings: self.settings.as_ref(),
            lines: self.lines.all(),
            problems: &self.problems,
            cell_bytes: self.size.map(|size| (size.inner_bytes, size.wire_bytes)),
            standing: self.standing,
            history: &self.history,
            clock: &self.clock,
            audits: &self.audits,
            uptime: now.saturating_since(self.started),
            now,
        }
    }

    fn is_due(&self, now: Nanos) -> bool {
        self.agenda.next().is_some_and(|next| next + self.slack() <= now)
    }

    /// How long an act may wait for others.
    fn slack(&self) -> Nanos {
        if self.has_many() { TOGETHER } else { Nanos::ZERO }
    }

    /// Packets or cells that are taken in a row at most.
    fn batch(&self) -> usize {
        if self.has_many() { ROUND } else { BATCH }
    }

    /// And at least, whatever is due.
    fn least(&self) -> usize {
        if self.has_many() { ROUND } else { 0 }
    }

    fn has_many(&self) -> bool {
        self.lines.all().len() > FEW
    }

    /// Whether there is time now for what is no cell's business, which otherwise waits.
    fn has_gap(&mut self, now: Nanos) -> bool {
        let gap = self.agenda.next().is_none_or(|next| next >= now + GAP);
        let since = *self.waiting.get_or_insert(now);
        let has = gap || now.saturating_since(since) > PATIENCE;
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
        self.next_tick = (self.next_tick + TICK).max(now);
        self.lines.all_mut().iter_mut().for_each(|line| line.tick(now));
        let lost = self.lines.take_lost(now);
        if !lost.is_empty() {
            self.renew.extend(lost);
            self.upkeep.hurry(now);
        }
        self.advance_advice(now);
        self.history.sample(self.lines.totals(), self.lines.delays(), now);
        self.follow_clock(now);
        self.look_after_audits(now);
        if self.state(now).is_sound() {
            self.endpoint.note_heard(now);
        }
        self.look_after_servers(now);
        self.look_after_keys(now);
        #[cfg(feature = "endpoint")]
        self.look_after_claims(now);
        self.note_clock(timer::wall_clock(), now);
        self.note_state(now);
        if self.openvpn.is_some() && self.has_gap(now) {
            self.look_after_openvpn(now);
        }
    }

    /// One word for the whole: the best state of any line. A home that is away is no fault of its endpoint's.
    fn state(&self, now: Nanos) -> State {
        if !self.tunnel.is_complete() && self.problems.iter().any(|problem| problem.code.severity() == "error") {
            return State::Blocked;
        }
        let states = || self.lines.all().iter().map(|line| line.state(now));
        [State::Shaping, State::Paused, State::Degraded]
            .into_iter()
            .find(|wanted| states().any(|state| state == *wanted))
            .unwrap_or(State::Starting)
    }

    /// The one place that every change of state passes.
    fn note_state(&mut self, now: Nanos) {
        let state = self.state(now);
        let Some(before) = self.standing.note(state, now) else { return };
        let lasted = now.saturating_since(before.since).as_secs_f64();
        info!("{} after {lasted:.0} s {}", state.name(), before.state.name());
        self.announce_state(before.state, now);
        self.manager.tell(&format!("STATUS={}", state.name()));
        // Of a peer that somebody took out of WireGuard the kernel does not tell; and with the first cells come the
        // workers that encrypt them.
        if matches!(state, State::Degraded | State::Shaping) {
            self.upkeep.note_change(now);
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
        let guard = shape::guard(settings, size, self.lines.all());
        if self.guard != Some(guard) {
            self.guard = Some(guard);
            self.upkeep.hurry(now);
        }
    }
}

#[derive(PartialEq, Eq)]
enum Flow {
    Continue,
    Stop,
}
