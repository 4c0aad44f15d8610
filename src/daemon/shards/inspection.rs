//! What status and metrics say of all homes: copied by each thread a few homes at a time, between its cells.

use std::sync::mpsc::Sender;

use crate::core::Stats;
use crate::daemon::dataplane::DataPlane;
use crate::daemon::dataplane::session_report::SessionReport;

/// Homes that are copied in one turn.
const SLICE: usize = 8;

/// The sessions of one thread, or of all.
#[derive(Default)]
pub struct Inspection {
    /// The sessions.
    pub sessions: Vec<SessionReport>,
    /// The sums of the sessions that were removed: statistics, and bytes on the wire of their cells.
    pub removed: (Stats, [u64; 2]),
}

impl Inspection {
    /// Adds what another thread has copied.
    pub fn add(&mut self, part: Inspection) {
        let Inspection { mut sessions, removed: (stats, wire_bytes) } = part;
        self.sessions.append(&mut sessions);
        self.removed.0.add(&stats);
        for (sum, more) in self.removed.1.iter_mut().zip(wire_bytes) {
            *sum += more;
        }
    }
}

/// An inspection that a thread has begun.
pub struct RunningInspection {
    copied: Inspection,
    answer: Sender<Inspection>,
}

impl RunningInspection {
    /// Begins one that ends with a message to `answer`.
    pub fn new(answer: Sender<Inspection>) -> RunningInspection {
        RunningInspection { copied: Inspection::default(), answer }
    }

    /// Copies the next homes. Returns whether it is complete, and its message sent.
    pub fn step(&mut self, plane: &DataPlane) -> bool {
        let sessions = plane.sessions();
        let done = self.copied.sessions.len();
        self.copied
            .sessions
            .extend(sessions.all().iter().skip(done).take(SLICE).map(|session| SessionReport::new(session)));
        if self.copied.sessions.len() < sessions.all().len() {
            return false;
        }
        self.copied.removed = sessions.removed();
        // Without a receiver nobody waits any more.
        _ = self.answer.send(std::mem::take(&mut self.copied));
        true
    }
}
