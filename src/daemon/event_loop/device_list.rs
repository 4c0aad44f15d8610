//! Answers that take long to make: the list of devices and the advice. A forked process writes the whole answer.

use std::fs::File;
use std::io::{self, Read, Seek, Write};

use crate::daemon::advice::Advice;
use crate::daemon::control::answer;
use crate::daemon::control::answer::Object;
use crate::daemon::control::reply::{Answer, Requester};
use crate::daemon::control::request::Format;
use crate::daemon::devices;
use crate::daemon::event_loop::{EventLoop, LISTING};
use crate::sys::memfd;
use crate::sys::timer;
use crate::sys::worker::{Worker, WorkerOutput};
use crate::units::Nanos;

/// Maximum queued requesters; further ones are refused.
const MAX_REQUESTERS: usize = 4;
/// Minimum time between the starts of two list processes.
const MIN_LIST_INTERVAL: Nanos = Nanos::from_secs(1);
/// A list process that takes longer hangs and is killed.
const LIST_TIMEOUT: Nanos = Nanos::from_secs(10);

/// The topic of an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Topic {
    /// Every device known to the router.
    Devices,
    /// The effect and the price of other rates.
    Advice,
}

/// The queued requesters, and the process that makes the first one's answer.
#[derive(Default)]
pub struct Listing {
    requesters: Vec<(Topic, Format, Requester)>,
    running: Option<RunningList>,
    /// The earliest time for the next process.
    next: Nanos,
}

struct RunningList {
    worker: Worker,
    deadline: Nanos,
    topic: Topic,
    format: Format,
}

impl Topic {
    /// The action, for errors.
    fn action(self) -> &'static str {
        match self {
            Topic::Devices => "listing the devices",
            Topic::Advice => "computing the advice",
        }
    }
}

impl Listing {
    /// When the loop must wake to start or end a process; `None` without requesters.
    pub fn due(&self) -> Option<Nanos> {
        match &self.running {
            Some(running) => Some(running.deadline),
            None => (!self.requesters.is_empty()).then_some(self.next),
        }
    }
}

impl EventLoop {
    /// Queues a request for the list of devices or the advice.
    pub(super) fn handle_list_request(&mut self, topic: Topic, format: Format, requester: Requester, now: Nanos) {
        if self.listing.requesters.len() >= MAX_REQUESTERS {
            return self.answer(requester, Answer::refused("too many requests at once: try again"), now);
        }
        self.listing.requesters.push((topic, format, requester));
    }

    /// Starts the process for the first requester, or ends one that hangs.
    pub(super) fn start_listing(&mut self, now: Nanos) {
        if self.listing.running.is_some() {
            return self.handle_device_list(now);
        }
        let Some((topic, format, _)) = self.listing.requesters.first() else { return };
        let (topic, format) = (*topic, *format);
        self.listing.next = now + MIN_LIST_INTERVAL;
        let started = Worker::start(|| self.list(topic, format)).and_then(|worker| {
            self.poll.add(&worker, LISTING)?;
            Ok(RunningList { worker, deadline: now + LIST_TIMEOUT, topic, format })
        });
        match started {
            Ok(running) => self.listing.running = Some(running),
            Err(error) => self.finish_listing((topic, format), &Err(error), now),
        }
    }

    /// Handles the answer of the running process, once it is complete.
    pub(super) fn handle_device_list(&mut self, now: Nanos) {
        let Some(running) = &mut self.listing.running else { return };
        let bytes = match running.worker.report() {
            Ok(None) if now < running.deadline => return,
            Ok(None) => Err(io::ErrorKind::TimedOut.into()),
            Ok(Some(WorkerOutput { fd: Some(fd), .. })) => read(File::from(fd)),
            Ok(Some(WorkerOutput { text, fd: None })) => Err(io::Error::other(text)),
            Err(error) => Err(error),
        };
        let kind = (running.topic, running.format);
        _ = self.poll.remove(&running.worker);
        self.listing.running = None;
        self.finish_listing(kind, &bytes, now);
    }

    /// Answers all requesters of that topic and format.
    fn finish_listing(&mut self, kind: (Topic, Format), bytes: &io::Result<Vec<u8>>, now: Nanos) {
        let requesters = std::mem::take(&mut self.listing.requesters);
        let (served, waiting) = requesters.into_iter().partition(|(topic, format, _)| (*topic, *format) == kind);
        self.listing.requesters = waiting;
        for (topic, format, requester) in served {
            let answer = match (bytes, format) {
                (Ok(bytes), Format::Values) => Answer::Table(bytes.clone()),
                (Ok(bytes), _) => Answer::Text(String::from_utf8_lossy(bytes).into_owned()),
                (Err(error), _) => Answer::refused(format!("{}: {error}", topic.action())),
            };
            self.answer(requester, answer, now);
        }
    }

    /// Makes the whole answer, in a memfd. Runs in the forked process.
    fn list(&self, topic: Topic, format: Format) -> WorkerOutput {
        let written = match topic {
            Topic::Devices => self.devices(format),
            Topic::Advice => self.advice(format),
        };
        let written = written.and_then(|bytes| {
            let mut file = memfd::create()?;
            file.write_all(&bytes)?;
            file.rewind()?;
            Ok(file)
        });
        match written {
            Ok(file) => WorkerOutput { text: String::new(), fd: Some(file.into()) },
            Err(error) => WorkerOutput { text: error.to_string(), fd: None },
        }
    }

    fn devices(&self, format: Format) -> io::Result<Vec<u8>> {
        let stats = self.sessions.all().first().map(|session| session.engine().stats());
        let list = devices::list(self.settings.as_ref(), stats, &self.flows)?;
        Ok(encode(format, || list.text(), |top| list.put(top)))
    }

    fn advice(&self, format: Format) -> io::Result<Vec<u8>> {
        let Some((settings, advisor)) = self.settings.as_ref().zip(self.advice.advisor()) else {
            return Err(io::Error::other("no traffic observed: that needs a router whose tunnel is up (try --watch)"));
        };
        let advice = Advice::new(settings, advisor, timer::now());
        Ok(encode(format, || advice.text(), |top| advice.put(top)))
    }
}

fn encode(format: Format, text: impl FnOnce() -> String, members: impl FnOnce(&mut Object<'_>)) -> Vec<u8> {
    match format {
        Format::Text => text().into_bytes(),
        Format::Json => (answer::json(members) + "\n").into_bytes(),
        Format::Values => answer::table(members).contents().to_vec(),
    }
}

fn read(mut file: File) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    file.read_to_end(&mut bytes)?;
    Ok(bytes)
}
