//! Requests from people and programs, over the control socket and ubus, and the answers.

pub mod encode;
#[cfg(feature = "endpoint")]
mod metrics;
pub mod reply;
pub mod request;
pub mod request_error;
mod slow_answers;
mod socket;
mod sources;
pub mod status;
pub mod ubus;

use std::io;
use std::path::{Path, PathBuf};

use log::{info, warn};

use self::reply::{Answer, Requester};
use self::request::{Format, Request};
use self::request_error::RequestError;
pub use self::slow_answers::SlowAnswer;
use self::slow_answers::{Addressed, SlowAnswers};
use self::socket::ControlServer;
pub use self::sources::Sources;
use self::status::StateEvent;
use self::ubus::{Presence, Provider};
use crate::daemon::action::Action;
use crate::daemon::audit::AuditReport;
use crate::daemon::error::Error;
use crate::daemon::problem::{Code, Problem};
use crate::daemon::state::State;
use crate::sys::epoll::Poll;
use crate::units::Nanos;

/// Maximum requesters that wait for an audit; further ones are refused.
const MAX_AUDIT_REQUESTERS: usize = 4;

/// Both ways to ask the daemon, and the requesters that wait for an answer.
pub struct Control {
    socket: ControlServer,
    bus: Provider,
    /// The ubus presence that was last logged.
    presence: Presence,
    slow_answers: SlowAnswers,
    audit: Vec<(Format, Requester)>,
    reload: Option<Requester>,
}

/// A request, and who waits for its answer.
pub type Asked = (Request, Requester);

impl Control {
    /// Listens at `socket`, and connects to the ubus brokers at `brokers`, the likeliest first. If the socket cannot be
    /// created, also returns the error, since shaping does not need it.
    ///
    /// # Errors
    /// Another daemon listens at `socket`.
    pub fn listen(
        socket: &Path,
        brokers: Vec<PathBuf>,
        poll: &Poll,
        now: Nanos,
    ) -> Result<(Control, Option<Error>), Error> {
        let (socket, error) = ControlServer::listen(socket, poll)?;
        let control = Control {
            socket,
            bus: Provider::new(brokers, now),
            presence: Presence::Unknown,
            slow_answers: SlowAnswers::default(),
            audit: Vec::new(),
            reload: None,
        };
        Ok((control, error))
    }

    /// When to call [`Control::handle_bus_timeout`].
    pub fn next_bus_timeout(&self) -> Option<Nanos> {
        self.bus.next_timeout()
    }

    /// When to call [`Control::handle_slow_answer_timeout`].
    pub fn next_slow_answer_timeout(&self) -> Option<Nanos> {
        self.slow_answers.next_timeout()
    }

    /// Accepts a client of the control socket.
    pub fn handle_connection(&mut self, poll: &Poll) {
        self.socket.accept(poll);
    }

    /// Reads from a client of the control socket. Returns its request once it is complete.
    pub fn handle_client(&mut self, client: u8, poll: &Poll, now: Nanos) -> Option<Asked> {
        let (request, client) = self.socket.read_request(client, poll)?;
        let requester = Requester::Socket(Box::new(client));
        match request {
            Ok(request) => Some((request, requester)),
            Err(refusal) => {
                self.answer(requester, Answer::Refused(refusal), poll, now);
                None
            }
        }
    }

    /// Handles an event of the connection to the broker. Returns a call, if a complete one has arrived.
    pub fn handle_bus(&mut self, poll: &Poll, now: Nanos) -> Option<Asked> {
        match self.bus.handle(poll, now)? {
            (caller, Ok(request)) => Some((request, Requester::Ubus(caller))),
            (caller, Err(refusal)) => {
                self.answer(Requester::Ubus(caller), Answer::Refused(refusal), poll, now);
                None
            }
        }
    }

    /// Connects to the broker, goes on after a pause, or ends a connection that hangs.
    pub fn handle_bus_timeout(&mut self, poll: &Poll, now: Nanos) {
        self.bus.handle_timeout(poll, now);
    }

    /// Logs once when ubus appears or disappears, and returns the problem to set or remove. A host without ubus has no
    /// problem.
    pub fn poll_presence(&mut self) -> Option<Action> {
        let presence = self.bus.presence();
        if *presence == self.presence {
            return None;
        }
        self.presence = presence.clone();
        match &self.presence {
            Presence::Unknown | Presence::Lost(_) => {}
            Presence::Absent => info!("no ubus broker found; answering on the control socket only"),
            Presence::Published => info!("registered the ubus object millpond"),
        }
        // Reconnecting never stops and may fail in several ways. Only the first failure is logged.
        let lost = match &self.presence {
            Presence::Lost(why) => Some(format!("ubus: {why}")),
            _ => None,
        };
        Some(Action::SetProblem(Code::Ubus, lost))
    }

    /// Sends an answer. A requester that has gone away is ignored.
    pub fn answer(&mut self, requester: Requester, answer: Answer, poll: &Poll, now: Nanos) {
        match requester {
            Requester::Socket(client) => _ = client.answer(&answer.into_text()),
            Requester::Ubus(caller) => {
                let answer = answer.into_contents();
                self.bus.answer(&caller, answer.as_deref(), poll, now);
            }
        }
    }

    /// Queues a request for an answer that a forked process makes.
    pub fn queue_slow_answer(
        &mut self,
        topic: SlowAnswer,
        format: Format,
        requester: Requester,
        poll: &Poll,
        now: Nanos,
    ) {
        let refused = self.slow_answers.push(topic, format, requester);
        self.answer_each(refused, poll, now);
    }

    /// Starts the process that makes a queued answer, or ends one that hangs. `make` makes the answer in that process.
    pub fn handle_slow_answer_timeout(
        &mut self,
        make: impl FnOnce(SlowAnswer, Format) -> io::Result<Vec<u8>>,
        poll: &Poll,
        now: Nanos,
    ) {
        let answers = self.slow_answers.handle_timeout(make, poll, now);
        self.answer_each(answers, poll, now);
    }

    /// Handles the output of the process that makes an answer.
    pub fn handle_slow_answer(&mut self, poll: &Poll, now: Nanos) {
        let answers = self.slow_answers.handle_output(poll, now);
        self.answer_each(answers, poll, now);
    }

    /// Keeps a requester until the running audit ends, or refuses it if too many wait.
    pub fn await_audit(&mut self, format: Format, requester: Requester, poll: &Poll, now: Nanos) {
        if self.audit.len() < MAX_AUDIT_REQUESTERS {
            return self.audit.push((format, requester));
        }
        self.answer(requester, Answer::refused("too many requesters wait for the audit: try again"), poll, now);
    }

    /// Answers all who wait for the audit: with its report, or with why there is none.
    pub fn answer_audit(&mut self, report: &Result<AuditReport, String>, is_router: bool, poll: &Poll, now: Nanos) {
        for (format, requester) in std::mem::take(&mut self.audit) {
            let answer = match (report, format) {
                (Ok(report), Format::Text) => Answer::Text(report.answer(is_router).to_string()),
                (Ok(report), _) => requester.values(format, &report.answer(is_router)),
                (Err(why), _) => Answer::refused(format!("auditing the wire: {why}")),
            };
            self.answer(requester, answer, poll, now);
        }
    }

    /// Keeps the requester of a reload until the reload ends.
    pub fn await_reload(&mut self, requester: Option<Requester>) {
        self.reload = requester;
    }

    /// Answers the requester of the reload, if there is one.
    pub fn answer_reload(&mut self, answer: Answer, poll: &Poll, now: Nanos) {
        if let Some(requester) = self.reload.take() {
            self.answer(requester, answer, poll, now);
        }
    }

    /// Sends the ubus event of a changed state.
    pub fn announce_state(&mut self, state: State, before: State, problems: &[Problem], poll: &Poll, now: Nanos) {
        let event = StateEvent {
            state: state.name().into(),
            before: before.name().into(),
            problems: problems.iter().map(|problem| problem.code.name().into()).collect(),
        };
        match encode::to_table(&event) {
            Ok(event) => self.bus.announce("state", &event, poll, now),
            Err(error) => warn!("announcing the state on ubus: {error}"),
        }
    }

    /// Refuses all requests that wait, and leaves the bus and the control socket. For the end of the daemon: its
    /// teardown takes seconds, in which nobody would be answered.
    pub fn leave(mut self, poll: &Poll, now: Nanos) {
        let slow = self.slow_answers.stop(poll);
        let audit = std::mem::take(&mut self.audit).into_iter().map(|(_, requester)| requester);
        for requester in slow.into_iter().chain(audit).chain(self.reload.take()) {
            self.answer(requester, Answer::Refused(RequestError::stopping()), poll, now);
        }
        self.bus.leave(&RequestError::stopping());
    }

    fn answer_each(&mut self, answers: impl IntoIterator<Item = Addressed>, poll: &Poll, now: Nanos) {
        answers.into_iter().for_each(|(requester, answer)| self.answer(requester, answer, poll, now));
    }
}
