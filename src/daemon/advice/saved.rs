//! Keeps the observations across restarts, in one small file that is written at most once a day, to spare the flash.

use std::io;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use super::RateAdvisor;
use crate::sys::worker::{Worker, WorkerOutput};
use crate::sys::{atomic_file, plain_file};
use crate::units::Nanos;

/// Minimum time between two writes.
const WRITE_INTERVAL: Nanos = Nanos::from_secs(86_400);
/// What is observed before the first write, in case the owner is still trying settings.
const FIRST_WRITE: Nanos = Nanos::from_secs(3_600);
/// The numbers of eleven devices that are busy at every rate take less.
const MAX_FILE_BYTES: usize = 256 * 1024;

/// The file, and when it is written next.
pub(super) struct ObservationFile {
    path: PathBuf,
    next_write: Nanos,
    /// The process that writes it.
    writer: Option<Worker>,
}

impl ObservationFile {
    /// The file beside the data usage, which is at `usage_file`. Its age counts, so that restarts cause no more writes.
    pub fn beside(usage_file: &Path, now: Nanos) -> ObservationFile {
        let path = usage_file.with_extension("observed");
        let written = std::fs::metadata(&path).and_then(|file| file.modified());
        let wait = match written.map(|at| SystemTime::now().duration_since(at).unwrap_or_default()) {
            Ok(age) => WRITE_INTERVAL.saturating_since(Nanos::from_secs(age.as_secs())),
            Err(_) => FIRST_WRITE,
        };
        ObservationFile { path, next_write: now + wait.max(FIRST_WRITE), writer: None }
    }

    /// Reads the file into an advisor without observations. Returns whether it holds those of the same devices.
    pub fn read_into(&self, advisor: &mut RateAdvisor) -> bool {
        plain_file::read(&self.path.to_string_lossy(), MAX_FILE_BYTES).is_ok_and(|bytes| advisor.restore(&bytes))
    }

    /// Whether a write is due.
    pub fn is_due(&self, now: Nanos) -> bool {
        now >= self.next_write
    }

    /// Writes the file at once.
    pub fn write(&self, advisor: &mut RateAdvisor, now: Nanos) -> io::Result<()> {
        atomic_file::write(&self.path, &advisor.save(now), 0o600)
    }

    /// Starts a process that writes the file.
    pub fn start_write(&mut self, advisor: &mut RateAdvisor, now: Nanos) {
        self.next_write = now + WRITE_INTERVAL;
        self.writer = Worker::start(|| {
            // A failed write is repeated in a day.
            _ = self.write(advisor, now);
            WorkerOutput::default()
        })
        .ok();
    }

    /// Forgets the process that writes, once it has ended.
    pub fn reap(&mut self) {
        self.writer.take_if(|writer| !matches!(writer.report(), Ok(None)));
    }
}
