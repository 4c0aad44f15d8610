//! All components of the daemon, and what one of them asks of the others.

use log::warn;

#[cfg(feature = "endpoint")]
use crate::config::model::Home;
use crate::config::model::{Role, Settings};
use crate::core::CellKind;
use crate::daemon::action::Action;
use crate::daemon::advice::{AdviceFeed, Direction, ObservedPacket};
use crate::daemon::audit::answer::AuditStarted;
use crate::daemon::audit::{AuditView, Audits, LatenessReport};
use crate::daemon::config_state::{ConfigState, JobSettings};
use crate::daemon::control::reply::{Answer, Requester};
use crate::daemon::control::request::{AuditOptions, Format, Request};
use crate::daemon::control::{Asked, Control, SlowAnswer, Sources};
use crate::daemon::dataplane::driver::{ArrivalEffect, PassedPacket};
#[cfg(feature = "endpoint")]
use crate::daemon::enrolments::Enrolments;
#[cfg(feature = "endpoint")]
use crate::daemon::error::Error;
use crate::daemon::event_loop::moment::{draw_u16, moment};
use crate::daemon::failover::{Failover, Situation};
use crate::daemon::health::Health;
use crate::daemon::history::History;
use crate::daemon::planes::Planes;
use crate::daemon::problem::Code;
use crate::daemon::reconcile::host::last_handshake_s;
use crate::daemon::reconcile::openvpn::{OPENVPN_PROBLEMS, OpenvpnEvent};
use crate::daemon::reconcile::{DueWork, Reconciler};
use crate::daemon::rounded::Rounded;
use crate::daemon::schedule::LevelClock;
use crate::daemon::state::State;
use crate::daemon::wall_clock;
use crate::plan::ownership::TUN;
use crate::sys::epoll::Poll;
use crate::units::Nanos;

/// Whether the loop goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LoopFlow {
    Continue,
    Stop,
}

/// The components. Only the event loop knows all of them; `COMPONENTS` in tests/layers.rs lists who may use whom.
pub struct Parts {
    pub plane: Planes,
    pub reconciler: Reconciler,
    pub control: Control,
    pub failover: Failover,
    pub schedule: LevelClock,
    pub advice: AdviceFeed,
    pub audits: Audits,
    pub history: History,
    pub config: ConfigState,
    pub health: Health,
    #[cfg(feature = "endpoint")]
    pub enrolments: Enrolments,
    /// Whether the log names the shaping in force.
    pub is_announced: bool,
}

impl Parts {
    /// Reads packets from the devices.
    pub fn handle_packets(&mut self, poll: &Poll, now: Nanos) {
        let Parts { plane, advice, .. } = self;
        let effect = plane.receive_packets(poll, |packet| advice.note(observed(packet)));
        self.handle_effect(effect, now);
    }

    /// Reads cells from the peers, on the socket of that kind.
    pub fn handle_cells(&mut self, kind: CellKind, now: Nanos) {
        let Parts { plane, advice, .. } = self;
        let effect = plane.receive_cells(kind, |packet| advice.note(observed(packet)));
        self.handle_effect(effect, now);
    }

    /// Handles what the threads of an endpoint have reported.
    #[cfg(feature = "endpoint")]
    pub fn handle_shards(&mut self, now: Nanos) -> Result<(), Error> {
        let effect = self.plane.handle_shards(now)?;
        self.handle_effect(effect, now);
        Ok(())
    }

    fn handle_effect(&mut self, effect: ArrivalEffect, now: Nanos) {
        let must_reconcile = match effect {
            ArrivalEffect::Unchanged => false,
            ArrivalEffect::LostTun => {
                warn!("another program has removed {TUN}; recreating it");
                true
            }
            ArrivalEffect::Regranted => {
                self.config.in_force().is_some_and(|settings| self.plane.update_limits(settings, now))
            }
        };
        if must_reconcile {
            self.perform(Action::Reconcile, now);
        }
    }

    /// Runs the once-a-second work of every component.
    pub fn handle_tick(&mut self, poll: &Poll, now: Nanos) {
        let silent = self.plane.handle_tick(now);
        if !silent.is_empty() {
            self.perform(Action::Rehandshake(silent), now);
        }
        // A change of the limits that came too soon after the last one.
        self.handle_effect(ArrivalEffect::Regranted, now);
        self.tick_hold(now);
        if self.plane.local().is_idle(now) {
            self.advice.handle_tick(now);
        }
        let (totals, delays) = self.plane.totals();
        self.history.sample(totals, delays, now);
        #[cfg(feature = "endpoint")]
        self.health.set(Code::Overload, self.plane.overload(now));
        self.tick_schedule(now);
        self.tick_audits(poll, now);
        if self.state(now).is_up() {
            self.reconciler.note_cells(now);
        }
        self.health.set(Code::Trains, self.plane.missing_trains());
        self.health.set(Code::Bursts, self.plane.local().missing_bursts(now));
        self.plane.update_batching();
        self.tick_failover(now);
        #[cfg(feature = "endpoint")]
        self.tick_enrolments(now);
        if self.health.handle_clock(wall_clock::unix_time_s()) {
            self.perform(Action::Renew, now);
        }
        self.note_state(poll, now);
        if self.reconciler.has_openvpn() && self.plane.has_gap(now) {
            let event = self.reconciler.handle_openvpn_tick(poll, now);
            self.handle_openvpn(event);
        }
    }

    /// Asks WireGuard for a new handshake while the cells wait for one. No cell leaves then, so none can be late.
    pub fn tick_hold(&mut self, now: Nanos) {
        if let Some(settings) = self.config.in_force().filter(|_| self.plane.local().holds_cells(now)) {
            self.plane.local_mut().note_handshake(last_handshake_s(settings), now);
        }
    }

    fn tick_schedule(&mut self, now: Nanos) {
        let Parts { schedule, config, plane, .. } = self;
        let totals = self.history.totals();
        let both = config.configured().zip(config.in_force());
        let changed = both.and_then(|(configured, in_force)| {
            schedule.handle_tick(configured, in_force, config.is_changing(), moment(now))
        });
        schedule.count(totals.wire_upload + totals.wire_download);
        let mut actions: Vec<Action> = changed.into_iter().collect();
        if schedule.poll_check(now, || plane.has_gap(now)) {
            let cap_gb = config.in_force().and_then(|settings| settings.data_cap_gb);
            let configured = config.configured();
            let problems =
                configured.map(|configured| schedule.check_usage(configured, cap_gb, wall_clock::unix_time_s()));
            actions.extend(problems.into_iter().flatten());
            schedule.write_usage(now);
        }
        actions.into_iter().for_each(|action| self.perform(action, now));
    }

    fn tick_audits(&mut self, poll: &Poll, now: Nanos) {
        if self.audits.is_overdue(now) {
            return self.handle_audit(poll, now);
        }
        let is_shaping = self.state(now) == State::Shaping;
        let deep = self.is_router();
        let Parts { audits, config, plane, reconciler, .. } = self;
        let days = config.in_force().and_then(|settings| settings.audit_days);
        if audits.poll_schedule(days, is_shaping, || plane.has_gap(now), draw_u16, now) {
            let (size, endpoint) = (plane.size(), reconciler.endpoint_address());
            let view = AuditView { settings: config.in_force(), size, sessions: &plane.reports(), endpoint };
            // `millpond audit` shows why an audit cannot start.
            _ = audits.start(None, deep, view, poll, now);
        }
    }

    fn tick_failover(&mut self, now: Nanos) {
        let Some((configured, in_force)) = self.config.configured().zip(self.config.in_force()) else { return };
        let situation = Situation {
            in_force,
            configured,
            is_up: self.state(now).is_up(),
            has_tunnel: self.plane.has_tunnel(),
            is_unresolved: self.health.has(Code::Name),
            is_changing: self.config.is_changing(),
        };
        let action = self.failover.handle_tick(&situation, now);
        action.into_iter().for_each(|action| self.perform(action, now));
    }

    #[cfg(feature = "endpoint")]
    fn tick_enrolments(&mut self, now: Nanos) {
        let Parts { enrolments, config, plane, .. } = self;
        let Some(settings) = config.in_force().filter(|settings| settings.role == Role::Endpoint) else { return };
        if !config.is_changing() && enrolments.poll_idle(now) {
            let key_updates = plane.poll_key_updates();
            let key_of = |home: &Home| key_updates.iter().find(|(peer, _)| *peer == home.address);
            let homes = settings.homes.iter().map(|home| (home, key_of(home).map(|(_, key)| key.clone())));
            enrolments.handle_tick(homes, wall_clock::unix_time_s(), now);
        }
    }

    /// Starts the reconcile job or name lookup that is due, in a gap between cells.
    pub fn handle_reconciler_timeout(&mut self, poll: &Poll, now: Nanos) {
        let Some(due) = self.reconciler.due(self.config.in_force().is_some(), now) else { return };
        if !self.plane.has_gap(now) {
            return;
        }
        let action = match due {
            DueWork::Job => self.start_job(poll, now),
            DueWork::Lookup => self.reconciler.start_lookup(poll, now),
            DueWork::Overdue => {
                self.handle_job(poll, now);
                self.handle_lookup(poll, now);
                None
            }
        };
        action.into_iter().for_each(|action| self.perform(action, now));
    }

    fn start_job(&mut self, poll: &Poll, now: Nanos) -> Option<Action> {
        let before = self.config.in_force().and_then(|settings| settings.tunnel.clone());
        let JobSettings { settings, guarded } = self.config.start_job(!self.reconciler.waits_for_address())?;
        // A new peer or address means new keys, and perhaps another size of cells.
        if before != settings.tunnel || self.reconciler.flushes_wireguard() {
            self.plane.local_mut().pause_cells(now);
        }
        let (granted, has_tun) = (self.plane.granted(), self.plane.has_tun());
        self.reconciler.start_job(settings, guarded, granted, has_tun, poll, now)
    }

    /// Runs the control component if its time has come, in a gap between cells.
    pub fn handle_control_timeout(&mut self, poll: &Poll, now: Nanos) {
        let is_due = |at: Option<Nanos>| at.is_some_and(|at| at <= now);
        let bus_is_due = is_due(self.control.next_bus_timeout());
        if !(bus_is_due || is_due(self.control.next_slow_answer_timeout())) || !self.plane.has_gap(now) {
            return;
        }
        if bus_is_due {
            self.control.handle_bus_timeout(poll, now);
            self.note_presence(now);
        } else {
            let Parts { control, plane, schedule, advice, audits, history, config, health, .. } = self;
            let sources = Sources { plane, schedule, advice, audits, history, config, health, now };
            control.handle_slow_answer_timeout(|topic, format| sources.list(topic, format), poll, now);
        }
    }

    /// Answers a request, or starts the work for its answer.
    pub fn serve(&mut self, asked: Option<Asked>, poll: &Poll, now: Nanos) -> LoopFlow {
        let Some((request, requester)) = asked else { return LoopFlow::Continue };
        match request {
            Request::Reload => return self.reload(Some(requester), poll, now),
            Request::Devices(format) => {
                self.control.queue_slow_answer(SlowAnswer::Devices, format, requester, poll, now)
            }
            Request::Advise(format) => self.control.queue_slow_answer(SlowAnswer::Advice, format, requester, poll, now),
            Request::Advised { level } => {
                let format = requester.fact_format();
                self.control.queue_slow_answer(SlowAnswer::Advised(level), format, requester, poll, now);
            }
            Request::Audit { options, format, waiting } => {
                self.serve_audit(options, format, waiting, requester, poll, now);
            }
            Request::Renew => {
                self.perform(Action::Renew, now);
                self.control.answer(requester, Answer::Text("looking up the endpoint again\n".into()), poll, now);
            }
            #[cfg(feature = "endpoint")]
            Request::Lateness { from, home } => {
                let answer = self.plane.read_lateness(from, home, now).map_or_else(Answer::refused, Answer::Text);
                self.control.answer(requester, answer, poll, now);
            }
            request => {
                let answer = self.sources(now).answer(request, &requester);
                self.control.answer(requester, answer, poll, now);
            }
        }
        LoopFlow::Continue
    }

    /// Starts an audit for a requester, or joins the running one. A requester that does not wait is answered at once.
    fn serve_audit(
        &mut self,
        options: AuditOptions,
        format: Format,
        waiting: bool,
        requester: Requester,
        poll: &Poll,
        now: Nanos,
    ) {
        let Parts { audits, config, plane, reconciler, control, .. } = self;
        let (size, endpoint) = (plane.size(), reconciler.endpoint_address());
        let view = AuditView { settings: config.in_force(), size, sessions: &plane.reports(), endpoint };
        let answer = match audits.start(Some(options.packets), options.deep, view, poll, now) {
            Err(why) => Answer::refused(why),
            Ok(_) if waiting => return control.await_audit(format, requester, poll, now),
            Ok(expected) => {
                let expected_s = Rounded(expected.as_secs_f64());
                requester.values(format, &AuditStarted { running: true, packets: options.packets, expected_s })
            }
        };
        control.answer(requester, answer, poll, now);
    }

    /// Notes whether the ubus object is published.
    pub fn note_presence(&mut self, now: Nanos) {
        let action = self.control.poll_presence();
        action.into_iter().for_each(|action| self.perform(action, now));
    }

    /// Handles the output of the running audit.
    pub fn handle_audit(&mut self, poll: &Poll, now: Nanos) {
        let lateness = self.plane.reports().first().map(|session| {
            let (lateness, min_watch_days) = (&session.stats.lateness, session.min_watch_days);
            LatenessReport { p99: lateness.percentile(99.0), max: lateness.max(), min_watch_days }
        });
        let Some(report) = self.audits.handle_output(lateness, poll, now) else { return };
        if let Ok(report) = &report {
            let found = |what: Vec<String>| {
                (!what.is_empty()).then(|| format!("the last audit of the wire found: {}", what.join("; ")))
            };
            self.health.set(Code::Audit, found(report.faults.clone()));
            // An audit that does not look for quotes clears nothing.
            if let Some(quotes) = &report.quotes {
                self.health.set(Code::RouterQuotes, found(quotes.iter().map(ToString::to_string).collect()));
            }
        }
        self.control.answer_audit(&report, self.is_router(), poll, now);
    }

    /// Handles an event of the openvpn process.
    pub fn handle_openvpn(&mut self, event: Option<OpenvpnEvent>) {
        match event {
            None => {}
            Some(OpenvpnEvent::Up) => _ = self.health.remove(|code| OPENVPN_PROBLEMS.contains(&code)),
            Some(OpenvpnEvent::Failed(problem)) => self.health.note(problem),
        }
    }

    /// Carries out what a component asks of the others.
    pub fn perform(&mut self, action: Action, now: Nanos) {
        match action {
            Action::Reconcile => self.reconciler.trigger_now(now),
            Action::ReconcileSoon => self.reconciler.note_change(now),
            Action::Rehandshake(peers) => self.reconciler.rehandshake(peers, now),
            Action::Renew => {
                self.reconciler.renew(now);
                self.reconciler.rehandshake(self.plane.silent(now), now);
            }
            Action::ChangeSettings(configured) => self.change_settings(*configured, true, now),
            Action::ChangeLevel(settings) => self.change_level(*settings, now),
            Action::Note(problem) => self.health.note(problem),
            Action::SetProblem(code, text) => self.health.set(code, text),
        }
    }

    /// Everything that answers are made from.
    pub fn sources(&self, now: Nanos) -> Sources<'_> {
        let Parts { plane, schedule, advice, audits, history, config, health, .. } = self;
        Sources { plane, schedule, advice, audits, history, config, health, now }
    }

    /// The state of the daemon.
    pub fn state(&self, now: Nanos) -> State {
        self.health.state(self.plane.has_tunnel(), self.plane.state(now))
    }

    /// Logs and announces a change of state. Every change passes here.
    pub fn note_state(&mut self, poll: &Poll, now: Nanos) {
        let state = self.state(now);
        let Some(before) = self.health.note_state(state, now) else { return };
        self.control.announce_state(state, before, self.health.problems(), poll, now);
        // Degraded: another program may have removed the peer from WireGuard, and the kernel sends no notification
        // for that.
        // Shaping: the worker threads that encrypt appear with the first cells.
        if matches!(state, State::Degraded | State::Shaping) {
            self.perform(Action::ReconcileSoon, now);
        }
    }

    fn is_router(&self) -> bool {
        self.config.in_force().is_none_or(|settings: &Settings| settings.role == Role::Router)
    }
}

fn observed(packet: PassedPacket) -> ObservedPacket {
    let PassedPacket { at, bytes, device, is_upload } = packet;
    let direction = if is_upload { Direction::Up } else { Direction::Down };
    ObservedPacket { at, bytes: bytes as u16, device, direction }
}
