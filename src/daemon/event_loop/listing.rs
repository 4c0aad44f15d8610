//! The loop's part of the list of devices. Asking the kernel for its neighbours takes long: a forked process does that,
//! and writes the whole answer.

use std::fs::File;
use std::io::{self, Read, Seek, Write};

use super::super::devices;
use super::super::request::{Answer, Asker, Form};
use super::{EventLoop, LISTING};
use crate::sys::memory_file;
use crate::sys::worker::{Report, Worker};
use crate::units::Nanos;

/// Those who ask beyond this are sent away.
const MOST_ASKERS: usize = 4;
/// From one list to the next.
const PAUSE: Nanos = Nanos::from_secs(1);
/// What takes longer hangs, and is killed.
const LIMIT: Nanos = Nanos::from_secs(10);

/// Who waits for a list, and who makes it.
#[derive(Default)]
pub struct Listing {
    askers: Vec<(Form, Asker)>,
    running: Option<Running>,
    /// No list is begun before.
    next: Nanos,
}

struct Running {
    worker: Worker,
    until: Nanos,
    form: Form,
}

impl Listing {
    /// When the loop must wake for this.
    pub fn due(&self) -> Option<Nanos> {
        match &self.running {
            Some(running) => Some(running.until),
            None => (!self.askers.is_empty()).then_some(self.next),
        }
    }
}

impl EventLoop {
    /// Notes one who wants the list.
    pub(super) fn ask_for_devices(&mut self, form: Form, asker: Asker, now: Nanos) {
        if self.listing.askers.len() >= MOST_ASKERS {
            return self.answer(asker, Answer::refused("too many ask for the devices at once: try again"), now);
        }
        self.listing.askers.push((form, asker));
    }

    /// Begins a list, or ends one that hangs.
    pub(super) fn begin_listing(&mut self, now: Nanos) {
        if self.listing.running.is_some() {
            return self.take_listing(now);
        }
        let Some((form, _)) = self.listing.askers.first() else { return };
        let form = *form;
        self.listing.next = now + PAUSE;
        let begun = Worker::start(|| self.list(form)).and_then(|worker| {
            self.poll.add(&worker, LISTING)?;
            Ok(Running { worker, until: now + LIMIT, form })
        });
        match begun {
            Ok(running) => self.listing.running = Some(running),
            Err(error) => self.finish(form, &Err(error), now),
        }
    }

    /// Takes the list, once it is there.
    pub(super) fn take_listing(&mut self, now: Nanos) {
        let Some(running) = &mut self.listing.running else { return };
        let bytes = match running.worker.report() {
            Ok(None) if now < running.until => return,
            Ok(None) => Err(io::ErrorKind::TimedOut.into()),
            Ok(Some(Report { fd: Some(fd), .. })) => read(File::from(fd)),
            Ok(Some(Report { text, fd: None })) => Err(io::Error::other(text)),
            Err(error) => Err(error),
        };
        let form = running.form;
        _ = self.poll.remove(&running.worker);
        self.listing.running = None;
        self.finish(form, &bytes, now);
    }

    /// Answers all who wait for a list of this form.
    fn finish(&mut self, wanted: Form, bytes: &io::Result<Vec<u8>>, now: Nanos) {
        let askers = std::mem::take(&mut self.listing.askers);
        let (served, waiting) = askers.into_iter().partition(|(form, _)| *form == wanted);
        self.listing.askers = waiting;
        for (_, asker) in served {
            let answer = match (bytes, wanted) {
                (Ok(bytes), Form::Values) => Answer::Table(bytes.clone()),
                (Ok(bytes), _) => Answer::Text(String::from_utf8_lossy(bytes).into_owned()),
                (Err(error), _) => Answer::refused(format!("listing the devices: {error}")),
            };
            self.answer(asker, answer, now);
        }
    }

    /// In the forked process: the whole answer, in a file of its own.
    fn list(&self, form: Form) -> Report {
        let stats = self.lines.all().first().map(|line| line.engine().stats());
        let written = devices::list(self.settings.as_ref(), stats, &self.flows).and_then(|list| {
            let bytes = match form {
                Form::Text => list.text().into_bytes(),
                Form::Json => list.json().into_bytes(),
                Form::Values => list.table(),
            };
            let mut file = memory_file::create()?;
            file.write_all(&bytes)?;
            file.rewind()?;
            Ok(file)
        });
        match written {
            Ok(file) => Report { text: String::new(), fd: Some(file.into()) },
            Err(error) => Report { text: error.to_string(), fd: None },
        }
    }
}

fn read(mut file: File) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    file.read_to_end(&mut bytes)?;
    Ok(bytes)
}
