//! What others ask of the running daemon: by a signal, over the control socket, or on ubus.

use log::{error, info};

use super::super::error::Error;
#[cfg(feature = "endpoint")]
use super::super::metrics::Gauges;
use super::super::problem::{Code, Problem};
use super::super::reconcile::endpoint::Endpoint;
use super::super::request::{Answer, Format, Request, Requester};
use super::super::session::Session;
use super::super::{SettingsFile, guard_provisionally, read_settings};
use super::device_list::Topic;
use super::endpoint_failover::retain_server;
use super::join_key::{JoinKeyRollover, retain_key};
use super::{EventLoop, LoopFlow};
use crate::config::model::Settings;
use crate::sys::signal;
use crate::sys::timer;
#[cfg(feature = "endpoint")]
use crate::sys::usage;
use crate::units::Nanos;

/// Settings that wait to come into force, and who waits to hear of it.
pub struct Reload {
    pub settings: Settings,
    /// The same as written; `None` where the clock has changed the level.
    pub written: Option<Settings>,
    /// Where they lead to another endpoint than those before.
    pub endpoint: Option<Endpoint>,
    /// Whether a process is at work on them.
    pub begun: bool,
    /// Whether nobody has asked for it but the clock, or a server's silence.
    is_own: bool,
    requester: Option<Requester>,
}

impl Reload {
    /// Settings with the level that the clock asks for.
    pub fn by_clock(settings: Settings) -> Reload {
        Reload { settings, written: None, endpoint: None, begun: false, is_own: true, requester: None }
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
            Some(request) => self.serve(request, requester, now),
            None => {
                let have = "status, devices, advise (each also with json), audit PACKETS, audit json PACKETS, history SECONDS, reload, renew";
                self.answer(requester, Answer::refused(format!("unknown request (have {have})")), now);
                LoopFlow::Continue
            }
        }
    }

    /// Does what is asked, or begins to.
    pub(super) fn serve(&mut self, request: Request, requester: Requester, now: Nanos) -> LoopFlow {
        let answer = match request {
            Request::Status(Format::Text) => Answer::Text(self.view(now).text()),
            Request::Status(format) => requester.values(format, |top| self.view(now).put(top)),
            Request::History { seconds } => requester.values(Format::Values, |top| self.history.put(seconds, top)),
            Request::Devices(format) => {
                self.ask_for(Topic::Devices, format, requester, now);
                return LoopFlow::Continue;
            }
            Request::Advise(format) => {
                self.ask_for(Topic::Advice, format, requester, now);
                return LoopFlow::Continue;
            }
            Request::Audit { packets, format, waiting } => {
                self.ask_for_audit(packets, format, waiting, requester, now);
                return LoopFlow::Continue;
            }
            Request::Reload => return self.reload(Some(requester), now),
            #[cfg(feature = "endpoint")]
            Request::Metrics { home } => self.metrics(home, now),
            Request::Renew => {
                self.renew(now);
                Answer::Text("looking for the endpoint again\n".into())
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

    /// Hands an answer over. One who has gone needs none.
    pub(super) fn answer(&mut self, requester: Requester, answer: Answer, now: Nanos) {
        match requester {
            Requester::Socket(client) => _ = client.answer(&answer.into_text()),
            Requester::Ubus(caller) => {
                let answer = answer.into_contents();
                self.ubus.answer(&caller, answer.as_deref(), &self.poll, now);
            }
        }
    }

    /// Tells whoever waits how a reload ended.
    pub(super) fn finish_reload(&mut self, reload: Reload, done: &Result<(), Problem>, now: Nanos) {
        match done {
            Ok(()) => {
                self.announce();
                self.answer_all(reload.requester, || Answer::Text("the settings are in force\n".into()), now);
            }
            Err(problem) if reload.is_own => {
                self.note(problem.clone());
                self.reconciler.trigger_now(now);
            }
            Err(problem) => {
                self.refuse(reload.requester, &problem.text, now);
                // The kernel may hold a part of theirs.
                self.reconciler.trigger_now(now);
            }
        }
    }

    /// Begins to bring changed settings into force in place. Where that fails, those before stay in force.
    pub(super) fn reload(&mut self, requester: Option<Requester>, now: Nanos) -> LoopFlow {
        if self.reload.is_some() {
            self.read_again |= requester.is_none();
            self.answer_all(requester, || Answer::refused("another reload is under way: try again"), now);
            return LoopFlow::Continue;
        }
        self.problems.retain(|problem| problem.code != Code::Settings);
        let SettingsFile { settings, understood } = read_settings(&self.options.config);
        let settings = match settings {
            Ok(settings) => settings,
            Err(error) => {
                self.refuse(requester, &error.to_string(), now);
                // A device that the broken file confines is confined from now on.
                let confined = match (&self.settings, understood) {
                    (Some(own), Some(understood)) => Some(own.confined_by(&understood)),
                    // Nothing is in force, so that there is no cell for this to hold up.
                    (None, Some(understood)) if understood.enabled => {
                        if let Err(error) = guard_provisionally(&understood, &self.options) {
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
            info!("not enabled any more: ending");
            self.answer_all(requester, || Answer::Text("not enabled: the daemon ends\n".into()), now);
            return LoopFlow::Stop;
        }
        let mut written = settings;
        retain_server(&mut written, self.settings.as_ref());
        if retain_key(&mut written, self.settings.as_ref()) {
            self.join_key = JoinKeyRollover::new(now);
        }
        self.change_to(written, requester, false, now);
        LoopFlow::Continue
    }

    /// Begins to bring settings into force. `is_own`: where nobody has asked for it.
    pub(super) fn change_to(&mut self, written: Settings, requester: Option<Requester>, is_own: bool, now: Nanos) {
        let settings = self.clock.in_force(&written);
        let endpoint = (!self.endpoint.is_of(&settings)).then(|| Endpoint::new(Some(&settings), now));
        if self.tunnel.is_complete() {
            self.reload = Some(Reload { settings, written: Some(written), endpoint, begun: false, is_own, requester });
        } else {
            // Nothing stands that could stay as it is: from now on these are tried.
            self.clock.adopt(written);
            self.settings = Some(settings);
            self.endpoint = endpoint.unwrap_or_else(|| Endpoint::new(self.settings.as_ref(), now));
            self.problems.retain(|problem| matches!(problem.code, Code::Realtime | Code::Clock | Code::Socket));
            self.answer_all(requester, || Answer::Text("the settings are taken; nothing stands yet\n".into()), now);
        }
        self.reconciler.trigger_now(now);
    }

    /// Tries at once what waits, and has a tunnel that carries nothing begin anew.
    pub(super) fn renew(&mut self, now: Nanos) {
        self.endpoint.trigger_now(now);
        self.reconciler.trigger_now(now);
        let silent = self.sessions.all().iter().filter(|session| !session.state(now).is_up());
        self.renew.extend(silent.map(Session::peer));
    }

    fn refuse(&mut self, requester: Option<Requester>, why: &str, now: Nanos) {
        error!("reload failed, the settings before stay in force: {why}");
        self.note(Problem::new(Code::Settings, format!("the changed settings are not in force: {why}")));
        self.answer_all(requester, || Answer::refused(why), now);
    }

    fn answer_all(&mut self, requesters: impl IntoIterator<Item = Requester>, what: impl Fn() -> Answer, now: Nanos) {
        requesters.into_iter().for_each(|requester| self.answer(requester, what(), now));
    }

    /// Says what is done from now on, the first time that anything is.
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
                "shaping towards {endpoint}: {} {} up, {} down, cells of {wire_bytes} bytes",
                shape.law, shape.upload, shape.download
            ),
            None => info!("serving {} homes", self.sessions.all().len()),
        }
    }
}
