//! The loop's part of answers that take long to make, the list of devices and the advice: a forked process writes the
//! whole answer.

use std::fs::File;
use std::io::{self, Read, Seek, Write};

use super::super::advice::Advice;
use super::super::answer::Object;
use super::super::request::{Answer, Format, Requester};
use super::super::{answer, devices};
use super::{EventLoop, LISTING};
use crate::sys::memfd;
use crate::sys::timer;
use crate::sys::worker::{Worker, WorkerOutput};
use crate::units::Nanos;

/// Those who ask beyond this are sent away.
const MAX_REQUESTERS: usize = 4;
/// From one list to the next.
const MIN_LIST_INTERVAL: Nanos = Nanos::from_secs(1);
/// What takes longer hangs, and is killed.
const LIST_TIMEOUT: Nanos = Nanos::from_secs(10);

/// What the answer is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Topic {
    /// Every device that the router knows.
    Devices,
    /// What other rates would do and cost.
    Advice,
}

/// Who waits for an answer, and who makes it.
#[derive(Default)]
pub struct Listing {
    requesters: Vec<(Topic, Format, Requester)>,
    running: Option<RunningList>,
    /// No answer is begun before.
    next: Nanos,
}

struct RunningList {
    worker: Worker,
    until: Nanos,
    topic: Topic,
    format: Format,
}

impl Topic {
    /// What is being done.
    fn doing(self) -> &'static str {
        match self {
            Topic::Devices => "listing the devices",
            Topic::Advice => "weighing the rates",
        }
    }
}

impl Listing {
    /// When the loop must wake for this.
    pub fn due(&self) -> Option<Nanos> {
        match &self.running {
            Some(running) => Some(running.until),
            None => (!self.requesters.is_empty()).then_some(self.next),
        }
    }
}

impl EventLoop {
    /// Notes one who wants such an answer.
    pub(super) fn ask_for(&mut self, topic: Topic, format: Format, requester: Requester, now: Nanos) {
        if self.listing.requesters.len() >= MAX_REQUESTERS {
            return self.answer(requester, Answer::refused("too many ask at once: try again"), now);
        }
        self.listing.requesters.push((topic, format, requester));
    }

    /// Begins an answer, or ends one that hangs.
    pub(super) fn begin_listing(&mut self, now: Nanos) {
        if self.listing.running.is_some() {
            return self.handle_device_list(now);
        }
        let Some((topic, format, _)) = self.listing.requesters.first() else { return };
        let (topic, format) = (*topic, *format);
        self.listing.next = now + MIN_LIST_INTERVAL;
        let begun = Worker::start(|| self.list(topic, format)).and_then(|worker| {
            self.poll.add(&worker, LISTING)?;
            Ok(RunningList { worker, until: now + LIST_TIMEOUT, topic, format })
        });
        match begun {
            Ok(running) => self.listing.running = Some(running),
            Err(error) => self.finish((topic, format), &Err(error), now),
        }
    }

    /// Takes the answer, once it is there.
    pub(super) fn handle_device_list(&mut self, now: Nanos) {
        let Some(running) = &mut self.listing.running else { return };
        let bytes = match running.worker.report() {
            Ok(None) if now < running.until => return,
            Ok(None) => Err(io::ErrorKind::TimedOut.into()),
            Ok(Some(WorkerOutput { fd: Some(fd), .. })) => read(File::from(fd)),
            Ok(Some(WorkerOutput { text, fd: None })) => Err(io::Error::other(text)),
            Err(error) => Err(error),
        };
        let made = (running.topic, running.format);
        _ = self.poll.remove(&running.worker);
        self.listing.running = None;
        self.finish(made, &bytes, now);
    }

    /// Answers all who wait for this.
    fn finish(&mut self, made: (Topic, Format), bytes: &io::Result<Vec<u8>>, now: Nanos) {
        let requesters = std::mem::take(&mut self.listing.requesters);
        let (served, waiting) = requesters.into_iter().partition(|(topic, format, _)| (*topic, *format) == made);
        self.listing.requesters = waiting;
        for (topic, format, requester) in served {
            let answer = match (bytes, format) {
                (Ok(bytes), Format::Values) => Answer::Table(bytes.clone()),
                (Ok(bytes), _) => Answer::Text(String::from_utf8_lossy(bytes).into_owned()),
                (Err(error), _) => Answer::refused(format!("{}: {error}", topic.doing())),
            };
            self.answer(requester, answer, now);
        }
    }

    /// In the forked process: the whole answer, in a file of its own.
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
        Ok(in_form(format, || list.text(), |top| list.put(top)))
    }

    fn advice(&self, format: Format) -> io::Result<Vec<u8>> {
        let watched = self.settings.as_ref().zip(self.advice.watch());
        let Some((settings, watch)) = watched else {
            return Err(io::Error::other("only a router whose tunnel has stood once watches (try --watch)"));
        };
        let advice = Advice::new(settings, watch, timer::now());
        Ok(in_form(format, || advice.text(), |top| advice.put(top)))
    }
}

fn in_form(format: Format, text: impl FnOnce() -> String, members: impl FnOnce(&mut Object<'_>)) -> Vec<u8> {
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
