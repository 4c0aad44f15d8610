//! A record of single departures' lateness, on request: in order, in nanoseconds, for `millpond-lab bound`. Histograms
//! have neither the order nor the resolution.

use std::collections::VecDeque;
use std::fmt::Write;
use std::net::Ipv4Addr;

use super::session::Session;
use crate::core::Pace;
use crate::units::Nanos;

/// Maximum number of recorded values; older ones are lost. 64 KiB, and 8 s of the fastest trains.
const MAX_RECORDED: usize = 16_384;
/// Maximum number of values in one answer: at most 44 KB, which fits into the socket's buffer.
const MAX_ANSWERED: usize = 4_096;
/// A record that nobody reads for this long ends, and its memory is free again.
const UNREAD_TIMEOUT: Nanos = Nanos::from_secs(10);
/// Ends the record when it is read from here.
const END: u32 = u32::MAX;

/// The running record, if any.
#[derive(Default)]
pub struct LatenessRecorder {
    running: Option<Box<RunningRecord>>,
}

struct RunningRecord {
    peer: Ipv4Addr,
    pace: Pace,
    /// Missed slots of the session at the start.
    missed_before: u64,
    missed: u64,
    /// The number of the oldest value; the first has number 1.
    oldest: u64,
    /// Lateness in nanoseconds.
    values: VecDeque<u32>,
    read_at: Nanos,
    has_changed: bool,
}

impl LatenessRecorder {
    /// Records the lateness of a cell that has left at `now`.
    pub fn note(&mut self, session: &Session, scheduled: Nanos, now: Nanos) {
        let Some(record) = &mut self.running else { return };
        if record.peer != session.peer() {
            return;
        }
        if now.saturating_since(record.read_at) > UNREAD_TIMEOUT {
            self.running = None;
            return;
        }
        record.has_changed |= record.pace != session.engine().pace();
        record.missed = session.engine().stats().slots_missed.saturating_sub(record.missed_before);
        if record.values.len() == MAX_RECORDED {
            record.values.pop_front();
            record.oldest += 1;
        }
        record.values.push_back(u32::try_from(now.saturating_since(scheduled).0).unwrap_or(u32::MAX));
    }

    /// Starts a record of the session's departures if `from` is 0, and ends it if `from` is 2^32 - 1. Returns the law,
    /// its spread in percent, the mean interval in nanoseconds, the slots missed so far and the number of the value
    /// after the last one returned; then, in a second line, the values from number `from` on, at most 4096.
    ///
    /// # Errors
    /// Why there are no values, in one line.
    pub fn read(&mut self, from: u32, session: &Session, now: Nanos) -> Result<String, String> {
        match from {
            0 => self.start(session, now)?,
            END => {
                self.running = None;
                return Ok(String::new());
            }
            _ => {}
        }
        let Some(record) = self.running.as_mut().filter(|record| record.peer == session.peer()) else {
            return Err("no lateness is being recorded: `lateness 0` starts a record".to_owned());
        };
        if record.has_changed {
            self.running = None;
            return Err("the rate or the law has changed during the record: repeat it".to_owned());
        }
        record.read_at = now;
        let from = u64::from(from.max(1));
        if from < record.oldest {
            return Err(format!("{} values are lost: read the record more often", record.oldest - from));
        }
        let skipped = (from - record.oldest) as usize;
        if skipped > record.values.len() {
            return Err(format!("value {from} is not recorded yet"));
        }
        let values = record.values.iter().skip(skipped).take(MAX_ANSWERED);
        let next = from + values.len() as u64;
        let Pace { law, mean, spread_percent } = record.pace;
        let mut text = format!("{law} {spread_percent} {} {} {next}\n", mean.0, record.missed);
        values.for_each(|value| _ = write!(text, "{value} "));
        text.push('\n');
        Ok(text)
    }

    fn start(&mut self, session: &Session, now: Nanos) -> Result<(), String> {
        if session.next_timeout().is_none() {
            return Err("no cells are sent to this peer: see millpond status".to_owned());
        }
        let is_read = |record: &RunningRecord| now.saturating_since(record.read_at) <= UNREAD_TIMEOUT;
        if self.running.as_deref().is_some_and(is_read) {
            return Err("a record is running: it ends ten seconds after it was last read".to_owned());
        }
        self.running = Some(Box::new(RunningRecord {
            peer: session.peer(),
            pace: session.engine().pace(),
            missed_before: session.engine().stats().slots_missed,
            missed: 0,
            oldest: 1,
            values: VecDeque::with_capacity(MAX_RECORDED),
            read_at: now,
            has_changed: false,
        }));
        Ok(())
    }
}
