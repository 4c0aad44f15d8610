//! Answers that take long to make: the list of devices, the advice, and the rates advised for a level. A forked process
//! writes the whole answer.

use std::fs::File;
use std::io::{self, Read, Seek, Write};

use super::reply::{Answer, Requester};
use super::request::Format;
use crate::config::model::Level;
use crate::daemon::token::Token;
use crate::daemon::worker::{RunningWorker, poll_worker, stop_worker};
use crate::sys::epoll::Poll;
use crate::sys::memfd;
use crate::sys::worker::WorkerOutput;
use crate::units::Nanos;

/// Maximum queued requesters; further ones are refused.
const MAX_REQUESTERS: usize = 4;
/// Minimum time between the starts of two processes.
const MIN_INTERVAL: Nanos = Nanos::from_secs(1);
/// A process that takes longer hangs and is killed.
const SLOW_ANSWER_TIMEOUT: Nanos = Nanos::from_secs(10);

/// The topic of an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SlowAnswer {
    /// Every device known to the router.
    Devices,
    /// The effect and the price of other rates.
    Advice,
    /// The rates advised for a level only.
    Advised(Level),
}

/// An answer and who gets it.
pub type Addressed = (Requester, Answer);

/// The queued requesters, and the process that makes the first one's answer.
pub struct SlowAnswers {
    requesters: Vec<(SlowAnswer, Format, Requester)>,
    running: Option<RunningWorker>,
    /// What the running process makes.
    kind: (SlowAnswer, Format),
    /// The earliest time for the next process.
    next: Nanos,
}

impl SlowAnswer {
    /// The action, for errors.
    fn action(self) -> &'static str {
        match self {
            SlowAnswer::Devices => "listing the devices",
            SlowAnswer::Advice | SlowAnswer::Advised(_) => "computing the advice",
        }
    }
}

impl Default for SlowAnswers {
    fn default() -> SlowAnswers {
        let kind = (SlowAnswer::Devices, Format::Values);
        SlowAnswers { requesters: Vec::new(), running: None, kind, next: Nanos::ZERO }
    }
}

impl SlowAnswers {
    /// When to call [`SlowAnswers::handle_timeout`]; `None` without requesters.
    pub fn next_timeout(&self) -> Option<Nanos> {
        match &self.running {
            Some(running) => Some(running.deadline()),
            None => (!self.requesters.is_empty()).then_some(self.next),
        }
    }

    /// Queues a request for an answer. Returns the refusal if too many requesters wait.
    pub fn push(&mut self, topic: SlowAnswer, format: Format, requester: Requester) -> Option<Addressed> {
        if self.requesters.len() >= MAX_REQUESTERS {
            return Some((requester, Answer::refused("too many requests at once: try again")));
        }
        self.requesters.push((topic, format, requester));
        None
    }

    /// Starts the process for the first requester, or ends one that hangs. `make` makes the whole answer, in the forked
    /// process. Returns the answers that are known at once.
    pub fn handle_timeout(
        &mut self,
        make: impl FnOnce(SlowAnswer, Format) -> io::Result<Vec<u8>>,
        poll: &Poll,
        now: Nanos,
    ) -> Vec<Addressed> {
        if self.running.is_some() {
            return self.handle_output(poll, now);
        }
        let Some((topic, format, _)) = self.requesters.first() else { return Vec::new() };
        let (topic, format) = (*topic, *format);
        self.next = now + MIN_INTERVAL;
        let started =
            RunningWorker::start(poll, Token::SlowAnswer, now, SLOW_ANSWER_TIMEOUT, || output(make(topic, format)));
        match started {
            Ok(running) => {
                (self.running, self.kind) = (Some(running), (topic, format));
                Vec::new()
            }
            Err(error) => self.finish((topic, format), &Err(error)),
        }
    }

    /// Handles the output of the running process, once it is complete. Returns the answers to all requesters of that
    /// topic and format.
    pub fn handle_output(&mut self, poll: &Poll, now: Nanos) -> Vec<Addressed> {
        let Some(output) = poll_worker(&mut self.running, poll, now) else { return Vec::new() };
        let bytes = output.and_then(|output| match output {
            WorkerOutput { fd: Some(fd), .. } => read(File::from(fd)),
            WorkerOutput { text, fd: None } => Err(io::Error::other(text)),
        });
        self.finish(self.kind, &bytes)
    }

    /// Ends the running process. Returns the requesters that wait.
    pub fn stop(&mut self, poll: &Poll) -> Vec<Requester> {
        stop_worker(&mut self.running, poll);
        std::mem::take(&mut self.requesters).into_iter().map(|(_, _, requester)| requester).collect()
    }

    fn finish(&mut self, kind: (SlowAnswer, Format), bytes: &io::Result<Vec<u8>>) -> Vec<Addressed> {
        let requesters = std::mem::take(&mut self.requesters);
        let (served, waiting) = requesters.into_iter().partition(|(topic, format, _)| (*topic, *format) == kind);
        self.requesters = waiting;
        let answer = |topic: SlowAnswer, format| match (bytes, format) {
            (Ok(bytes), Format::Values) => Answer::Table(bytes.clone()),
            (Ok(bytes), _) => Answer::Text(String::from_utf8_lossy(bytes).into_owned()),
            (Err(error), _) => Answer::refused(format!("{}: {error}", topic.action())),
        };
        served.into_iter().map(|(topic, format, requester)| (requester, answer(topic, format))).collect()
    }
}

/// The output of the forked process: the answer in a memfd, or the error as text.
fn output(answer: io::Result<Vec<u8>>) -> WorkerOutput {
    let written = answer.and_then(|bytes| {
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

fn read(mut file: File) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    file.read_to_end(&mut bytes)?;
    Ok(bytes)
}

#[cfg(test)]
mod tests;
