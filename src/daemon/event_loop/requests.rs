//! Requests to the running daemon: signals, the control socket, and ubus.

use log::{error, info};

use crate::config::model::Settings;
use crate::daemon::SettingsFile;
#[cfg(feature = "endpoint")]
use crate::daemon::control::metrics::Gauges;
use crate::daemon::control::reply::{Answer, Requester};
use crate::daemon::control::request::{Format, Request};
use crate::daemon::dataplane::session::Session;
use crate::daemon::error::Error;
use crate::daemon::event_loop::device_list::Topic;
use crate::daemon::event_loop::endpoint_failover::retain_server;
use crate::daemon::event_loop::join_key::{JoinKeyRollover, retain_key};
use crate::daemon::event_loop::{EventLoop, LoopFlow};
use crate::daemon::install_provisional_guard;
use crate::daemon::problem::{Code, Problem};
use crate::daemon::read_settings;
use crate::daemon::reconcile::endpoint::Endpoint;
use crate::sys::signal;
use crate::sys::timer;
#[cfg(feature = "endpoint")]
use crate::sys::usage;
use crate::units::Nanos;

/// New settings that are not in force yet, and the requester that waits for the result.
pub struct Reload {
    pub settings: Settings,
    /// The same settings as configured; `None` if only the schedule changed the level.
    pub configured: Option<Settings>,
    /// The new endpoint, if it differs from the previous one.
    pub endpoint: Option<Endpoint>,
    /// Whether a reconcile job is applying the settings.
    pub is_started: bool,
    /// Whether the daemon itself caused the change: by the schedule, or after a server's silence.
    is_automatic: bool,
    requester: Option<Requester>,
}

impl Reload {
    /// A change to the scheduled level.
    pub fn by_clock(settings: Settings) -> Reload {
        Reload { settings, configured: None, endpoint: None, is_started: false, is_automatic: true, requester: None }
    }
}

impl EventLoop {
    pub(super) fn handle_signal(&mut self) -> Result<LoopFlow, Error> {
        match self.signals.next().map_err(Error::system("reading signals"))? {
            Some(signal::SignalRequest::Stop) => Ok(LoopFlow::Stop),
            Some(signal::SignalRequest::Reload) => Ok(self.reload(None, timer::now())),
            Some(signal::SignalRequest::Renew) => {
                self.renew(timer::now());
                Ok(LoopFlow::Continue)
            }
            None => Ok(LoopFlow::Continue),
        }
    }

    pub(super) fn handle_client(&mut self, token: u64, now: Nanos) -> LoopFlow {
        let Some((request, client)) = self.control.handle(token, &self.poll) else { return LoopFlow::Continue };
        let requester = Requester::Socket(Box::new(client));
        match request {
            Ok(request) => self.serve(request, requester, now),
            Err(refusal) => {
                self.answer(requester, Answer::Refused(refusal), now);
                LoopFlow::Continue
            }
        }
    }

    /// Answers a request, or starts the work for its answer.
    pub(super) fn serve(&mut self, request: Request, requester: Requester, now: Nanos) -> LoopFlow {
        let answer = match request {
            Request::Status(Format::Text) => Answer::Text(self.view(now).text()),
            Request::Status(format) => requester.values(format, |top| self.view(now).put(top)),
            Request::State => requester.fact("state", self.state_since.state.name()),
            Request::History { seconds } => requester.values(Format::Values, |top| self.history.put(seconds, top)),
            Request::Devices(format) => {
                self.handle_list_request(Topic::Devices, format, requester, now);
                return LoopFlow::Continue;
            }
            Request::Advise(format) => {
                self.handle_list_request(Topic::Advice, format, requester, now);
                return LoopFlow::Continue;
            }
            Request::Audit { packets, format, waiting } => {
                self.handle_audit_request(packets, format, waiting, requester, now);
                return LoopFlow::Continue;
            }
            Request::Reload => return self.reload(Some(requester), now),
            #[cfg(feature = "endpoint")]
            Request::Metrics { home } => self.metrics(home, now),
            Request::Renew => {
                self.renew(now);
                Answer::Text("looking up the endpoint again\n".into())
            }
        };
        self.answer(requester, answer, now);
        LoopFlow::Continue
    }

    #[cfg(feature = "endpoint")]
    fn metrics(&self, home: Option<std::net::Ipv4Addr>, now: Nanos) -> Answer {
        let gauges = Gauges {
            settings: self.settings.as_ref(),
            sessions: &self.sessions,
            problems: &self.problems,
            usage: usage::usage().ok(),
            uptime: now.saturating_since(self.started),
        };
        gauges.text(home).map_or_else(|| Answer::refused("no home has that address"), Answer::Text)
    }

    /// Sends an answer. A requester that has gone away is ignored.
    pub(super) fn answer(&mut self, requester: Requester, answer: Answer, now: Nanos) {
        match requester {
            Requester::Socket(client) => _ = client.answer(&answer.into_text()),
            Requester::Ubus(caller) => {
                let answer = answer.into_contents();
                self.ubus.answer(&caller, answer.as_deref(), &self.poll, now);
            }
        }
    }

    /// Reports the result of a reload to its requester.
    pub(super) fn finish_reload(&mut self, reload: Reload, result: &Result<(), Problem>, now: Nanos) {
        match result {
            Ok(()) => {
                self.announce();
                self.answer_all(reload.requester, || Answer::Text("the settings are in force\n".into()), now);
            }
            Err(problem) if reload.is_automatic => {
                self.note(problem.clone());
                self.reconciler.trigger_now(now);
            }
            Err(problem) => {
                self.refuse(reload.requester, &problem.text, now);
                // The kernel may hold a part of the new settings. The job restores the previous ones.
                self.reconciler.trigger_now(now);
            }
        }
    }

    /// Starts to apply changed settings in place. If that fails, the previous settings stay in force.
    pub(super) fn reload(&mut self, requester: Option<Requester>, now: Nanos) -> LoopFlow {
        if self.reload.is_some() {
            self.reload_again |= requester.is_none();
            self.answer_all(requester, || Answer::refused("another reload is in progress: try again"), now);
            return LoopFlow::Continue;
        }
        self.problems.retain(|problem| problem.code != Code::Settings);
        let SettingsFile { settings, understood } = read_settings(&self.options.config);
        let settings = match settings {
            Ok(settings) => settings,
            Err(error) => {
                self.refuse(requester, &error.to_string(), now);
                // Devices that the broken file confines are confined from now on.
                let confined = match (&self.settings, understood) {
                    (Some(settings), Some(understood)) => Some(settings.confined_by(&understood)),
                    // Without settings in force there are no cells that this blocking call could delay.
                    (None, Some(understood)) if understood.enabled => {
                        if let Err(error) = install_provisional_guard(&understood, &self.options) {
                            self.note(Problem::of_guard(&error));
                        }
                        None
                    }
                    _ => None,
                };
                self.confined = confined.or(self.confined.take());
                self.reconciler.trigger_now(now);
                return LoopFlow::Continue;
            }
        };
        self.confined = None;
        if !settings.enabled {
            info!("disabled in the settings; stopping");
            self.answer_all(requester, || Answer::Text("millpond is disabled: the daemon stops\n".into()), now);
            return LoopFlow::Stop;
        }
        let mut configured = settings;
        retain_server(&mut configured, self.settings.as_ref());
        if retain_key(&mut configured, self.settings.as_ref()) {
            self.join_key = JoinKeyRollover::new(now);
        }
        self.change_settings(configured, requester, false, now);
        LoopFlow::Continue
    }

    /// Starts to apply settings. `is_automatic` says that the daemon itself caused the change.
    pub(super) fn change_settings(
        &mut self,
        configured: Settings,
        requester: Option<Requester>,
        is_automatic: bool,
        now: Nanos,
    ) {
        let settings = self.clock.in_force(&configured);
        let endpoint = (!self.endpoint.matches(&settings)).then(|| Endpoint::new(Some(&settings), now));
        if self.tunnel.is_complete() {
            let configured = Some(configured);
            self.reload = Some(Reload { settings, configured, endpoint, is_started: false, is_automatic, requester });
        } else {
            // There is no tunnel to keep in case of a failure, so the new settings replace the old ones at once.
            self.clock.adopt(configured);
            self.settings = Some(settings);
            self.endpoint = endpoint.unwrap_or_else(|| Endpoint::new(self.settings.as_ref(), now));
            self.problems.retain(|problem| matches!(problem.code, Code::Realtime | Code::Clock | Code::Socket));
            self.answer_all(
                requester,
                || Answer::Text("the settings are accepted; the tunnel is not up yet\n".into()),
                now,
            );
        }
        self.reconciler.trigger_now(now);
    }

    /// Makes pending lookups and reconcile jobs due at once, and starts a new handshake with every silent peer.
    pub(super) fn renew(&mut self, now: Nanos) {
        self.endpoint.trigger_now(now);
        self.reconciler.trigger_now(now);
        let silent = self.sessions.all().iter().filter(|session| !session.state(now).is_up());
        self.rehandshake.extend(silent.map(Session::peer));
    }

    fn refuse(&mut self, requester: Option<Requester>, why: &str, now: Nanos) {
        error!("reload failed: {why}; the previous settings stay in force");
        self.note(Problem::new(Code::Settings, format!("the changed settings are not in force: {why}")));
        self.answer_all(requester, || Answer::refused(why), now);
    }

    fn answer_all(&mut self, requesters: impl IntoIterator<Item = Requester>, answer: impl Fn() -> Answer, now: Nanos) {
        requesters.into_iter().for_each(|requester| self.answer(requester, answer(), now));
    }

    /// Logs the shaping in force, if that has not been logged yet.
    pub(super) fn announce_once(&mut self) {
        if !std::mem::replace(&mut self.announced, true) {
            self.announce();
        }
    }

    fn announce(&self) {
        let (Some(settings), Some(size)) = (&self.settings, self.size) else { return };
        let (shape, wire_bytes) = (&settings.shape, size.wire_bytes);
        match self.endpoint.address() {
            Some(endpoint) => info!(
                "shaping towards {endpoint}: law {}, {} up, {} down, cells of {wire_bytes} bytes",
                shape.law, shape.upload, shape.download
            ),
            None => info!("serving {} homes", self.sessions.all().len()),
        }
    }
}
