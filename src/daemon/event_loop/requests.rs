//! What others ask of the running daemon: by a signal or over the control socket.

use log::{error, info};

use super::super::control::{REFUSED, Request};
use super::super::error::Error;
use super::super::problem::{Code, Problem};
use super::super::read_settings;
use super::super::upkeep::endpoint::Endpoint;
use super::{EventLoop, Flow};
use crate::config::model::Settings;
use crate::sys::signal;
use crate::sys::timer;
use crate::sys::unix_socket::Client;
use crate::units::Nanos;

/// Settings that wait to come into force, and who waits to hear of it.
pub struct Reload {
    pub settings: Settings,
    /// Where they lead to another endpoint than those before.
    pub endpoint: Option<Endpoint>,
    /// Whether a process is at work on them.
    pub begun: bool,
    client: Option<Client>,
}

impl EventLoop {
    pub(super) fn take_signal(&mut self) -> Result<Flow, Error> {
        match self.signals.next().map_err(Error::system("reading signals"))? {
            Some(signal::Request::Stop) => Ok(Flow::Stop),
            Some(signal::Request::Reload) => Ok(self.reload(None, timer::now())),
            Some(signal::Request::Renew) => {
                self.renew(timer::now());
                Ok(Flow::Continue)
            }
            None => Ok(Flow::Continue),
        }
    }

    pub(super) fn take_request(&mut self, token: u64, now: Nanos) -> Flow {
        let Some((request, client)) = self.control.handle(token, &self.poll) else { return Flow::Continue };
        match request {
            Request::Status => answer(client, &self.view(now).text()),
            Request::StatusJson => answer(client, &self.view(now).json()),
            Request::Reload => return self.reload(Some(client), now),
            Request::Renew => {
                self.renew(now);
                answer(client, "looking for the endpoint again\n");
            }
            Request::Unknown => {
                answer(client, &format!("{REFUSED}unknown request: want status, status json, reload or renew\n"));
            }
        }
        Flow::Continue
    }

    /// Tells whoever waits how a reload ended.
    pub(super) fn finish_reload(&mut self, reload: Reload, done: &Result<(), Problem>, now: Nanos) {
        match done {
            Ok(()) => {
                self.announce();
                reload.client.into_iter().for_each(|client| answer(client, "the settings are in force\n"));
            }
            Err(problem) => {
                self.refuse(reload.client, &problem.text);
                // The kernel may hold a part of theirs.
                self.upkeep.hurry(now);
            }
        }
    }

    /// Begins to bring changed settings into force in place. Where that fails, those before stay in force.
    pub(super) fn reload(&mut self, client: Option<Client>, now: Nanos) -> Flow {
        if self.reload.is_some() {
            self.read_again |= client.is_none();
            let busy = format!("{REFUSED}another reload is under way: try again\n");
            client.into_iter().for_each(|client| answer(client, &busy));
            return Flow::Continue;
        }
        self.problems.retain(|problem| problem.code != Code::Settings);
        let settings = match read_settings(&self.options.config) {
            Ok(settings) => settings,
            Err(error) => {
                self.refuse(client, &error.to_string());
                return Flow::Continue;
            }
        };
        if !settings.enabled {
            info!("not enabled any more: ending");
            client.into_iter().for_each(|client| answer(client, "not enabled: the daemon ends\n"));
            return Flow::Stop;
        }
        let endpoint = (!self.endpoint.is_of(&settings)).then(|| Endpoint::new(Some(&settings), now));
        if self.tunnel.is_complete() {
            self.reload = Some(Reload { settings, endpoint, begun: false, client });
        } else {
            // Nothing stands that could stay as it is: from now on these are tried.
            self.settings = Some(settings);
            self.endpoint = endpoint.unwrap_or_else(|| Endpoint::new(self.settings.as_ref(), now));
            self.problems.retain(|problem| problem.code == Code::Realtime);
            client.into_iter().for_each(|client| answer(client, "the settings are taken; nothing stands yet\n"));
        }
        self.upkeep.hurry(now);
        Flow::Continue
    }

    /// Tries at once what waits, and has a tunnel that carries nothing begin anew.
    fn renew(&mut self, now: Nanos) {
        self.endpoint.hurry(now);
        self.upkeep.hurry(now);
        self.renew = self.state(now) != super::State::Shaping;
    }

    fn refuse(&mut self, client: Option<Client>, why: &str) {
        error!("reload failed, the settings before stay in force: {why}");
        self.note(Problem::new(Code::Settings, format!("the changed settings are not in force: {why}")));
        client.into_iter().for_each(|client| answer(client, &format!("{REFUSED}{why}\n")));
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
            None => info!("serving {} homes", self.lines.all().len()),
        }
    }
}

/// A client that has gone needs no answer.
fn answer(client: Client, text: &str) {
    _ = client.answer(text);
}
