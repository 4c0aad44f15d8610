//! The event loop: waits for the kernel and for the timers, and calls the component that an event is for.
//!
//! With few sessions the loop does nothing else between building a cell and sending it. So the lateness of a departure
//! does not depend on what the devices or the peer just sent.

#[cfg(feature = "lab")]
mod bare;
mod moment;
mod parts;
mod settings_flow;
mod timers;
#[cfg(feature = "lab")]
mod virtual_time;

use log::{info, warn};

#[cfg(feature = "lab")]
pub use self::bare::BareDaemon;
use self::moment::{draw_u16, moment};
use self::parts::{LoopFlow, Parts};
use self::timers::{LoopTimer, TimerTable};
#[cfg(feature = "lab")]
pub use self::virtual_time::{Clocks, RandomSources, VirtualDaemon, VirtualStep, VirtualUsage};
use super::action::Action;
use super::advice::AdviceFeed;
use super::audit::Audits;
use super::config_state::ConfigState;
use super::control::Control;
#[cfg(feature = "endpoint")]
use super::enrolments::Enrolments;
use super::error::Error;
use super::failover::Failover;
use super::health::Health;
use super::history::History;
use super::options::Options;
use super::planes::Planes;
use super::problem::{Code, Problem};
use super::reconcile::host::Host;
use super::reconcile::saved_sysctls::SavedSysctls;
use super::reconcile::{Paths, Reconciler};
use super::schedule::LevelClock;
use super::schedule::calendar::LocalZone;
use super::schedule::data_usage::DataUsage;
use super::token::Token;
use crate::config::model::Settings;
use crate::sys::epoll::{MAX_EVENTS, Poll};
use crate::sys::sd_notify::Manager;
use crate::sys::signal::{SignalRequest, Signals};
use crate::sys::timer;
use crate::units::Nanos;

/// Housekeeping period.
const HOUSEKEEPING_PERIOD: Nanos = Nanos::from_secs(1);

/// A running daemon.
pub struct EventLoop {
    options: Options,
    poll: Poll,
    timer: timer::Timer,
    signals: Signals,
    timers: TimerTable,
    next_tick: Nanos,
    parts: Parts,
}

impl EventLoop {
    /// Opens everything the loop polls. The first reconcile job brings up the tunnel, or waits for valid settings.
    pub fn start(options: &Options, settings: Result<Settings, Error>) -> Result<EventLoop, Error> {
        let poll = Poll::new().map_err(Error::system("creating an epoll instance"))?;
        let timer = timer::Timer::new().map_err(Error::system("creating a timer"))?;
        let signals = Signals::open().map_err(Error::system("opening a signalfd"))?;
        poll.add(&timer, Token::Timer.into())
            .and_then(|()| poll.add(&signals, Token::Signals.into()))
            .map_err(Error::system("adding timer and signals to the epoll instance"))?;
        let now = timer::now();
        let (control, socket_error) = Control::listen(&options.socket, options.brokers.clone(), &poll, now)?;
        let mut schedule =
            LevelClock::new(LocalZone::of_host(), DataUsage::open(&options.usage_file, now), moment(now));
        let (mut health, mut config) = (Health::new(Manager::find(), now), ConfigState::new(options.config.clone()));
        let mut settings_error = None;
        match settings {
            Ok(configured) => config.set(schedule.in_force(&configured, moment(now)), Some(configured)),
            Err(error) => settings_error = Some(Problem::new(Code::Settings, error.to_string())),
        }
        let paths = Paths { guard_file: options.guard_file.clone(), socket: options.socket.clone() };
        let reconciler = Reconciler::start(paths, config.in_force(), &poll, now)?;
        // The corrected file needs only a reload, so the daemon is ready without settings, too.
        if settings_error.is_some() {
            health.manager().notify_ready();
        }
        let socket_error = socket_error.map(|error| Problem::new(Code::Socket, error.to_string()));
        settings_error.into_iter().chain(socket_error).for_each(|problem| health.note(problem));
        let parts = Parts {
            plane: Planes::new(),
            reconciler,
            control,
            failover: Failover::new(now, draw_u16),
            schedule,
            advice: AdviceFeed::new(&options.usage_file, now),
            audits: Audits::new(draw_u16(), now),
            history: History::new(now),
            config,
            health,
            #[cfg(feature = "endpoint")]
            enrolments: Enrolments::new(options.config.clone(), options.socket.clone()),
            is_announced: false,
        };
        let timers = TimerTable::default();
        Ok(EventLoop { options: options.clone(), poll, timer, signals, timers, next_tick: now, parts })
    }

    /// Runs until SIGTERM or SIGINT, until a reload finds `enabled 0`, or until a system call of the loop fails.
    pub fn run(&mut self) -> Result<(), Error> {
        loop {
            self.parts.plane.run_departures()?;
            if let Some(kind) = self.parts.plane.unhandled_cells() {
                self.parts.handle_cells(kind, timer::now());
            }
            if self.handle_timers(timer::now()) == LoopFlow::Stop {
                return Ok(());
            }
            let wake_at = self.next_timeout(timer::now());
            self.timer.set(wake_at).map_err(Error::system("setting the timer"))?;
            let mut numbers = [None; MAX_EVENTS];
            let ready = self.poll.wait().map_err(Error::system("waiting for events"))?;
            numbers.iter_mut().zip(ready).for_each(|(slot, number)| *slot = Some(number));
            for token in numbers.into_iter().flatten().filter_map(Token::from_number) {
                if self.handle(token)? == LoopFlow::Stop {
                    return Ok(());
                }
            }
        }
    }

    /// Removes everything of millpond's from the kernel except the guard, and restores the saved sysctls.
    pub fn stop(self) -> Result<(), Error> {
        let EventLoop { options, parts, poll, .. } = self;
        let Parts { reconciler, plane, control, mut schedule, mut advice, mut health, .. } = parts;
        control.leave(&poll, timer::now());
        if let Err(error) = schedule.close().and(advice.close(timer::now())) {
            warn!(
                "writing the data usage to {}: {error}: what was counted since the last write is lost",
                options.usage_file.display()
            );
        }
        health.manager().notify("STOPPING=1");
        // Running jobs and openvpn end first. The TUN interface goes last: mp0 lives as long as its descriptor, and the
        // routes and rules that use it must go before.
        let saved_sysctls = reconciler.stop();
        let mut host = Host::open(None)?;
        let applied = host.tear_down(saved_sysctls)?;
        SavedSysctls::forget(&options.socket);
        drop(plane);
        applied.ops.iter().for_each(|op| info!("{op}"));
        info!("stopped");
        Ok(())
    }

    /// Records a problem from the start of the daemon.
    pub fn note(&mut self, problem: Problem) {
        self.parts.health.note(problem);
    }

    /// Runs every component whose time has come.
    fn handle_timers(&mut self, now: Nanos) -> LoopFlow {
        let EventLoop { parts, poll, .. } = self;
        if now >= self.next_tick {
            // Ticks lie on a fixed grid, so that their number per day is exact. Missed ticks are not repeated.
            self.next_tick = (self.next_tick + HOUSEKEEPING_PERIOD).max(now);
            parts.handle_tick(poll, now);
        }
        parts.handle_reconciler_timeout(poll, now);
        parts.handle_control_timeout(poll, now);
        parts.advice.run(parts.plane.local().next_timeout(), now);
        if parts.config.poll_reload() { parts.reload(None, poll, now) } else { LoopFlow::Continue }
    }

    /// When the loop must wake next.
    fn next_timeout(&mut self, now: Nanos) -> Nanos {
        let EventLoop { parts, timers, .. } = self;
        let plane = parts.plane.local();
        timers.set(LoopTimer::Departure, plane.next_timeout().map(|next| next + plane.slack()));
        timers.set(LoopTimer::Tick, Some(self.next_tick));
        timers.set(LoopTimer::Job, parts.reconciler.next_job());
        timers.set(LoopTimer::Lookup, parts.reconciler.next_lookup(now));
        timers.set(LoopTimer::Bus, parts.control.next_bus_timeout());
        timers.set(LoopTimer::SlowAnswer, parts.control.next_slow_answer_timeout());
        timers.next_timeout(now).unwrap_or(self.next_tick)
    }

    fn handle(&mut self, token: Token) -> Result<LoopFlow, Error> {
        let now = timer::now();
        let EventLoop { parts, poll, .. } = self;
        match token {
            Token::Timer => self.timer.acknowledge().map_err(Error::system("reading the timer"))?,
            Token::Packets => parts.handle_packets(poll, now),
            Token::Cells(kind) => parts.handle_cells(kind, now),
            Token::Signals => return self.handle_signal(now),
            Token::Kernel if parts.plane.local().is_due(now) => {}
            Token::Kernel => parts.reconciler.handle_kernel_events(now),
            #[cfg(feature = "endpoint")]
            Token::Shards => parts.handle_shards(now)?,
            #[cfg(not(feature = "endpoint"))]
            Token::Shards => {}
            // The events are level-triggered: those that must wait for a gap are reported again.
            _ if !parts.plane.has_gap(now) => {}
            Token::Openvpn => {
                let event = parts.reconciler.handle_openvpn_output(poll, now);
                parts.handle_openvpn(event);
            }
            Token::ReconcileJob => parts.handle_job(poll, now),
            Token::Lookup => parts.handle_lookup(poll, now),
            Token::SlowAnswer => parts.control.handle_slow_answer(poll, now),
            Token::PassiveMonitor => parts.advice.handle_packets(poll),
            Token::Audit => parts.handle_audit(poll, now),
            Token::ControlSocket => parts.control.handle_connection(poll),
            Token::Bus => {
                let asked = parts.control.handle_bus(poll, now);
                parts.note_presence(now);
                return Ok(parts.serve(asked, poll, now));
            }
            Token::Client(client) => {
                let asked = parts.control.handle_client(client, poll, now);
                return Ok(parts.serve(asked, poll, now));
            }
        }
        Ok(LoopFlow::Continue)
    }

    fn handle_signal(&mut self, now: Nanos) -> Result<LoopFlow, Error> {
        match self.signals.next().map_err(Error::system("reading signals"))? {
            Some(SignalRequest::Stop) => return Ok(LoopFlow::Stop),
            Some(SignalRequest::Reload) => return Ok(self.parts.reload(None, &self.poll, now)),
            Some(SignalRequest::Renew) => self.parts.perform(Action::Renew, now),
            None => {}
        }
        Ok(LoopFlow::Continue)
    }
}
