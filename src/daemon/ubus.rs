//! The object `millpond` on ubus, OpenWrt's message bus.
//!
//! [`Provider`] connects to the broker, publishes the object, and does so again whenever the broker has been restarted. It
//! never waits: requests are taken one at a time, whenever its driver finds the time, and answered then or later.

mod call;
mod session;

use std::io::ErrorKind;
use std::path::PathBuf;

pub use call::RequestError;
pub use session::{Caller, OBJECT};
use ubus::BlobMsgTable;

use self::session::{BusSession, Event};
use super::request::Request;
use crate::sys::broker_socket::BrokerSocket;
use crate::sys::epoll::Poll;
use crate::units::Nanos;

/// Where OpenWrt's broker listens, and where it once did.
pub const BROKER_PATHS: [&str; 2] = ["/var/run/ubus/ubus.sock", "/var/run/ubus.sock"];

/// From one attempt to connect to the next.
const MIN_RETRY: Nanos = Nanos::from_secs(1);
const MAX_RETRY: Nanos = Nanos::from_secs(15);
/// A broker that neither greets nor takes our answers for so long is no use.
const BROKER_TIMEOUT: Nanos = Nanos::from_secs(10);
/// From one request to the next: a flood of them must not eat a small processor.
const MIN_REQUEST_INTERVAL: Nanos = Nanos::from_millis(10);
/// Answers that wait to be sent, in bytes.
const OUTPUT_BYTES: usize = 512 * 1024;
/// Read at a time.
const INPUT_BYTES: usize = 1024;

/// How things stand with the broker.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Presence {
    /// Not known yet.
    Unknown,
    /// There is none here, and never was.
    Absent,
    /// The object is there for all to see.
    Published,
    /// There was or should be one, but: this.
    Lost(String),
}

/// Keeps the object on ubus.
pub struct Provider {
    paths: Vec<PathBuf>,
    token: u64,
    connection: Option<Connection>,
    presence: Presence,
    /// Connections so far.
    number: u32,
    /// When to connect again, and how long to wait after that.
    retry: Nanos,
    backoff: Nanos,
    /// No request is taken before.
    pause: Option<Nanos>,
}

struct Connection {
    socket: BrokerSocket,
    session: BusSession,
    /// When something was last as it should be.
    good: Nanos,
}

impl Provider {
    /// A provider that tries the brokers at `paths`, the first that is there. Its socket has `token` in the epoll set.
    pub fn new(paths: Vec<PathBuf>, token: u64, now: Nanos) -> Provider {
        let presence = Presence::Unknown;
        Provider { paths, token, connection: None, presence, number: 0, retry: now, backoff: MIN_RETRY, pause: None }
    }

    /// How things stand.
    pub fn presence(&self) -> &Presence {
        &self.presence
    }

    /// When [`Provider::turn`] wants to be called.
    pub fn due(&self) -> Option<Nanos> {
        match &self.connection {
            None => Some(self.retry),
            Some(connection) => self.pause.into_iter().chain(connection.deadline()).min(),
        }
    }

    /// Does what is due: connects, goes on after a pause, gives up on a broker that does not answer.
    pub fn turn(&mut self, poll: &Poll, now: Nanos) {
        if self.pause.is_some_and(|pause| pause <= now) {
            self.pause = None;
            self.watch(poll, now);
        }
        match &self.connection {
            None if self.retry <= now => self.connect(poll, now),
            Some(connection) if connection.deadline().is_some_and(|deadline| deadline <= now) => {
                self.disconnect("it does not answer".into(), poll, now);
            }
            _ => {}
        }
    }

    /// Handles an event of the socket's: sends what waits, or gives a request, which then is to be answered. While
    /// answers wait, or in a pause, no request is taken.
    pub fn handle(&mut self, poll: &Poll, now: Nanos) -> Option<(Caller, Result<Request, RequestError>)> {
        let paused = self.pause.is_some();
        let connection = self.connection.as_mut()?;
        if !connection.session.output().is_empty() {
            self.flush(poll, now);
            return None;
        }
        // In a pause only a broker that hangs up is heard of.
        let event = if paused { Err("the broker has hung up".into()) } else { connection.receive() };
        match event {
            Err(why) => {
                self.disconnect(why, poll, now);
                None
            }
            Ok(event) => {
                let call = self.take(event, now);
                self.flush(poll, now);
                call
            }
        }
    }

    /// Answers a request with a table's contents, now or much later. A caller from before the broker was restarted needs no answer.
    pub fn answer(&mut self, caller: &Caller, answer: Result<&[u8], &RequestError>, poll: &Poll, now: Nanos) {
        if let Some(connection) = &mut self.connection {
            connection.owe(now);
            connection.session.answer(caller, answer);
            self.flush(poll, now);
        }
    }

    /// Tells subscribers of the object `what` happened, and listeners of the event `millpond.WHAT`.
    pub fn announce(&mut self, what: &str, data: &BlobMsgTable, poll: &Poll, now: Nanos) {
        if let Some(connection) = &mut self.connection {
            connection.owe(now);
            connection.session.announce(what, data);
            self.flush(poll, now);
        }
    }

    fn take(&mut self, event: Option<Event>, now: Nanos) -> Option<(Caller, Result<Request, RequestError>)> {
        match event? {
            Event::Published => {
                self.presence = Presence::Published;
                self.backoff = MIN_RETRY;
                None
            }
            Event::Call(caller, call) => {
                self.pause = Some(now + MIN_REQUEST_INTERVAL);
                Some((caller, call))
            }
        }
    }

    fn connect(&mut self, poll: &Poll, now: Nanos) {
        let mut why = None;
        for path in &self.paths {
            match BrokerSocket::connect(path) {
                Ok(socket) => {
                    if let Err(error) = poll.add(&socket, self.token) {
                        why = Some(error.to_string());
                        break;
                    }
                    self.number = self.number.wrapping_add(1);
                    let session = BusSession::new(self.number);
                    self.connection = Some(Connection { socket, session, good: now });
                    self.pause = None;
                    return;
                }
                Err(error) if error.kind() == ErrorKind::NotFound => {}
                Err(error) => why = Some(format!("connecting to {}: {error}", path.display())),
            }
        }
        self.presence = match (why, &self.presence) {
            (Some(why), _) => Presence::Lost(why),
            (None, Presence::Unknown | Presence::Absent) => Presence::Absent,
            (None, _) => Presence::Lost("the broker's socket is gone".into()),
        };
        self.retry_later(now);
    }

    /// Sends what the broker takes, and has the epoll set tell when it takes more.
    fn flush(&mut self, poll: &Poll, now: Nanos) {
        let Some(Connection { socket, session, good }) = &mut self.connection else { return };
        let waits = session.output().len();
        if waits > 0 {
            match socket.send(session.output()) {
                Ok(sent) => {
                    session.sent(sent);
                    if sent > 0 {
                        *good = now;
                    }
                }
                Err(error) => return self.disconnect(error.to_string(), poll, now),
            }
            if session.output().len() > OUTPUT_BYTES {
                return self.disconnect("it does not take our answers".into(), poll, now);
            }
        }
        self.watch(poll, now);
    }

    fn watch(&mut self, poll: &Poll, now: Nanos) {
        let Some(Connection { socket, session, .. }) = &self.connection else { return };
        let sends = !session.output().is_empty();
        let watched = poll.change(socket, self.token, (!sends && self.pause.is_none(), sends));
        if let Err(error) = watched {
            self.disconnect(error.to_string(), poll, now);
        }
    }

    fn disconnect(&mut self, why: String, poll: &Poll, now: Nanos) {
        if let Some(connection) = self.connection.take() {
            // Closing does not do it while a process at work has a copy of the descriptor.
            _ = poll.remove(&connection.socket);
        }
        self.presence = Presence::Lost(why);
        self.pause = None;
        self.retry_later(now);
    }

    fn retry_later(&mut self, now: Nanos) {
        self.retry = now + self.backoff;
        self.backoff = (self.backoff + self.backoff).min(MAX_RETRY);
    }
}

impl Connection {
    /// Reads until a frame is whole.
    fn receive(&mut self) -> Result<Option<Event>, String> {
        let mut buffer = [0; INPUT_BYTES];
        // Its start, then the rest of it.
        for _ in 0..2 {
            let wanted = self.session.wanted().min(INPUT_BYTES);
            let received = self.socket.receive(&mut buffer[..wanted]).map_err(|error| error.to_string())?;
            let Some(length) = received else { break };
            let event = self.session.receive(&buffer[..length])?;
            if event.is_some() {
                return Ok(event);
            }
        }
        Ok(None)
    }

    /// Notes that something is about to be sent.
    fn owe(&mut self, now: Nanos) {
        if self.session.output().is_empty() {
            self.good = now;
        }
    }

    /// When to give up; `None` while nothing is owed.
    fn deadline(&self) -> Option<Nanos> {
        let owed = !self.session.is_published() || !self.session.output().is_empty();
        owed.then(|| self.good + BROKER_TIMEOUT)
    }
}
