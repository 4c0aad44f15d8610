//! The object `millpond` on ubus, OpenWrt's message bus.
//!
//! [`Provider`] connects to the broker and publishes the object, again after each restart of the broker. It never
//! blocks: the event loop takes one request at a time and answers it then or later.

pub mod session;

use std::io::{self, ErrorKind};
use std::path::PathBuf;
use std::time::Duration;

pub use session::{Caller, OBJECT};
use ubus::BlobMsgTable;

use self::session::{BusSession, Event};
use crate::daemon::control::request::Request;
use crate::daemon::control::request_error::RequestError;
use crate::daemon::token::Token;
use crate::sys::broker_socket::BrokerSocket;
use crate::sys::epoll::Poll;
use crate::units::Nanos;

/// The socket of OpenWrt's broker, and that of earlier releases.
pub const BROKER_PATHS: [&str; 2] = ["/var/run/ubus/ubus.sock", "/var/run/ubus.sock"];

/// The time between two attempts to connect; it doubles from the minimum to the maximum.
const MIN_RETRY: Nanos = Nanos::from_secs(1);
const MAX_RETRY: Nanos = Nanos::from_secs(15);
/// Maximum time for the broker to publish the object or to read our output before we disconnect.
const BROKER_TIMEOUT: Nanos = Nanos::from_secs(10);
/// How long no call arrives before the daemon leaves the bus. The waiting callers get their answers last, so that none
/// of them calls again in between.
const LEAVE_QUIET: Duration = Duration::from_millis(20);
/// Maximum time for each step of the broker when the daemon leaves the bus.
const LEAVE_TIMEOUT: Duration = Duration::from_secs(1);
/// Maximum reads before and after the removal of the object, so that a flood of calls ends, too.
const MAX_LEAVE_READS: usize = 1000;
/// Minimum time between two requests, so that a flood does not use up a small CPU.
const MIN_REQUEST_INTERVAL: Nanos = Nanos::from_millis(10);
/// Maximum unsent output in bytes.
const MAX_OUTPUT_BYTES: usize = 512 * 1024;
/// Bytes to read at a time.
const READ_BYTES: usize = 1024;

/// The state of the object on the bus.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Presence {
    /// No attempt to connect yet.
    Unknown,
    /// No broker has been found since start.
    Absent,
    /// The object is published.
    Published,
    /// The connection was lost or failed, for this reason.
    Lost(String),
}

/// Publishes the object on ubus and keeps it there.
pub struct Provider {
    paths: Vec<PathBuf>,
    connection: Option<Connection>,
    presence: Presence,
    /// Number of connections so far.
    number: u32,
    /// When to connect next, and the delay after that attempt.
    retry_at: Nanos,
    backoff: Nanos,
    /// No request is read before this time.
    paused_until: Option<Nanos>,
}

struct Connection {
    socket: BrokerSocket,
    session: BusSession,
    /// When the broker last made progress; the time-out counts from here.
    last_progress: Nanos,
}

impl Provider {
    /// A provider that connects to the first broker found at `paths`.
    pub fn new(paths: Vec<PathBuf>, now: Nanos) -> Provider {
        let presence = Presence::Unknown;
        Provider { paths, connection: None, presence, number: 0, retry_at: now, backoff: MIN_RETRY, paused_until: None }
    }

    /// The state of the object.
    pub fn presence(&self) -> &Presence {
        &self.presence
    }

    /// When to call [`Provider::handle_timeout`].
    pub fn next_timeout(&self) -> Option<Nanos> {
        match &self.connection {
            None => Some(self.retry_at),
            Some(connection) => self.paused_until.into_iter().chain(connection.deadline()).min(),
        }
    }

    /// Connects when due, resumes reading after a pause, and disconnects from a broker that does not answer.
    pub fn handle_timeout(&mut self, poll: &Poll, now: Nanos) {
        if self.paused_until.is_some_and(|until| until <= now) {
            self.paused_until = None;
            self.update_interest(poll, now);
        }
        match &self.connection {
            None if self.retry_at <= now => self.connect(poll, now),
            Some(connection) if connection.deadline().is_some_and(|deadline| deadline <= now) => {
                self.disconnect("the broker does not answer".into(), poll, now);
            }
            _ => {}
        }
    }

    /// Handles an event of the socket: sends unsent output, or returns a request that the caller must answer. Reads no
    /// request while output is unsent or during a pause.
    pub fn handle(&mut self, poll: &Poll, now: Nanos) -> Option<(Caller, Result<Request, RequestError>)> {
        let paused = self.paused_until.is_some();
        let connection = self.connection.as_mut()?;
        if !connection.session.output().is_empty() {
            self.flush(poll, now);
            return None;
        }
        // During a pause the only possible event is a hang-up.
        let event = if paused { Err("the broker has hung up".into()) } else { connection.receive() };
        match event {
            Err(why) => {
                self.disconnect(why, poll, now);
                None
            }
            Ok(event) => {
                let call = self.handle_event(event, now);
                self.flush(poll, now);
                call
            }
        }
    }

    /// Answers a request with the contents of a table, now or later. A caller of an earlier connection gets no answer.
    pub fn answer(&mut self, caller: &Caller, answer: Result<&[u8], &RequestError>, poll: &Poll, now: Nanos) {
        if let Some(connection) = &mut self.connection {
            connection.start_output_timeout(now);
            connection.session.answer(caller, answer);
            self.flush(poll, now);
        }
    }

    /// Notifies subscribers of the object of `what`, and listeners of the event `millpond.WHAT`.
    pub fn announce(&mut self, what: &str, data: &BlobMsgTable, poll: &Poll, now: Nanos) {
        if let Some(connection) = &mut self.connection {
            connection.start_output_timeout(now);
            connection.session.announce(what, data);
            self.flush(poll, now);
        }
    }

    /// Refuses the calls that have arrived with `why`, removes the object and closes the connection. Blocks, but not
    /// for long. The broker tells no caller that an object has gone: a call without an answer
    /// waits for its full time-out.
    pub fn leave(self, why: &RequestError) {
        if let Some(connection) = self.connection.filter(|connection| connection.session.is_published()) {
            // Without the broker no caller waits.
            _ = connection.leave(why);
        }
    }

    fn handle_event(&mut self, event: Option<Event>, now: Nanos) -> Option<(Caller, Result<Request, RequestError>)> {
        match event? {
            Event::Published => {
                self.presence = Presence::Published;
                self.backoff = MIN_RETRY;
                None
            }
            Event::Call(caller, call) => {
                self.paused_until = Some(now + MIN_REQUEST_INTERVAL);
                Some((caller, call))
            }
            Event::Removed => None,
        }
    }

    fn connect(&mut self, poll: &Poll, now: Nanos) {
        let mut why = None;
        for path in &self.paths {
            match BrokerSocket::connect(path) {
                Ok(socket) => {
                    if let Err(error) = poll.add(&socket, Token::Bus.into()) {
                        why = Some(error.to_string());
                        break;
                    }
                    self.number = self.number.wrapping_add(1);
                    let session = BusSession::new(self.number);
                    self.connection = Some(Connection { socket, session, last_progress: now });
                    self.paused_until = None;
                    return;
                }
                Err(error) if error.kind() == ErrorKind::NotFound => {}
                Err(error) => why = Some(format!("connecting to {}: {error}", path.display())),
            }
        }
        self.presence = match (why, &self.presence) {
            (Some(why), _) => Presence::Lost(why),
            (None, Presence::Unknown | Presence::Absent) => Presence::Absent,
            (None, _) => Presence::Lost("the broker's socket does not exist any more".into()),
        };
        self.retry_later(now);
    }

    /// Sends as much output as the broker accepts, and watches the socket for more.
    fn flush(&mut self, poll: &Poll, now: Nanos) {
        let Some(Connection { socket, session, last_progress }) = &mut self.connection else { return };
        if !session.output().is_empty() {
            match socket.send(session.output()) {
                Ok(sent) => {
                    session.sent(sent);
                    if sent > 0 {
                        *last_progress = now;
                    }
                }
                Err(error) => return self.disconnect(error.to_string(), poll, now),
            }
            if session.output().len() > MAX_OUTPUT_BYTES {
                return self.disconnect("the broker does not read our answers".into(), poll, now);
            }
        }
        self.update_interest(poll, now);
    }

    /// Sets the epoll events: writable while output is unsent, else readable unless paused.
    fn update_interest(&mut self, poll: &Poll, now: Nanos) {
        let Some(Connection { socket, session, .. }) = &self.connection else { return };
        let has_output = !session.output().is_empty();
        let changed = poll.change(socket, Token::Bus.into(), (!has_output && self.paused_until.is_none(), has_output));
        if let Err(error) = changed {
            self.disconnect(error.to_string(), poll, now);
        }
    }

    fn disconnect(&mut self, why: String, poll: &Poll, now: Nanos) {
        if let Some(connection) = self.connection.take() {
            // Closing alone does not remove it while a worker process has a copy of the descriptor.
            _ = poll.remove(&connection.socket);
        }
        self.presence = Presence::Lost(why);
        self.paused_until = None;
        self.retry_later(now);
    }

    fn retry_later(&mut self, now: Nanos) {
        self.retry_at = now + self.backoff;
        self.backoff = (self.backoff + self.backoff).min(MAX_RETRY);
    }
}

impl Connection {
    /// Reads at most one frame; returns its event.
    fn receive(&mut self) -> Result<Option<Event>, String> {
        let mut buffer = [0; READ_BYTES];
        // The start of the frame, then the rest.
        for _ in 0..2 {
            let wanted = self.session.wanted_bytes().min(READ_BYTES);
            let received = self.socket.receive(&mut buffer[..wanted]).map_err(|error| error.to_string())?;
            let Some(length) = received else { break };
            let event = self.session.receive(&buffer[..length])?;
            if event.is_some() {
                return Ok(event);
            }
        }
        Ok(None)
    }

    fn leave(mut self, why: &RequestError) -> Result<(), String> {
        let text = |error: io::Error| error.to_string();
        // The broker forwards no answer once the object has gone.
        self.socket.block(LEAVE_QUIET).map_err(text)?;
        self.refuse_calls(why)?;
        self.socket.block(LEAVE_TIMEOUT).map_err(text)?;
        self.session.remove_object();
        while !self.session.output().is_empty() {
            match self.socket.send(self.session.output()).map_err(text)? {
                0 => return Err("the broker does not read our answers".into()),
                sent => self.session.sent(sent),
            }
        }
        // The broker discards what it has not read when the connection closes.
        self.refuse_calls(why)
    }

    /// Refuses calls until nothing is received, or until the object is removed.
    fn refuse_calls(&mut self, why: &RequestError) -> Result<(), String> {
        let mut buffer = [0; READ_BYTES];
        for _ in 0..MAX_LEAVE_READS {
            let wanted = self.session.wanted_bytes().min(READ_BYTES);
            let received = self.socket.receive(&mut buffer[..wanted]).map_err(|error| error.to_string())?;
            let Some(length) = received else { return Ok(()) };
            match self.session.receive(&buffer[..length])? {
                Some(Event::Call(caller, _)) => self.session.answer(&caller, Err(why)),
                Some(Event::Removed) => return Ok(()),
                Some(Event::Published) | None => {}
            }
        }
        Ok(())
    }

    /// Starts the time-out for output that is about to be queued.
    fn start_output_timeout(&mut self, now: Nanos) {
        if self.session.output().is_empty() {
            self.last_progress = now;
        }
    }

    /// When to disconnect; `None` if nothing is expected of the broker.
    fn deadline(&self) -> Option<Nanos> {
        let expects_progress = !self.session.is_published() || !self.session.output().is_empty();
        expects_progress.then(|| self.last_progress + BROKER_TIMEOUT)
    }
}
