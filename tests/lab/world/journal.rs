//! The journal of a replaying process, kept in memory during the replay and written once at the end.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::fs;
use std::path::Path;
use std::sync::{Mutex, PoisonError};

use crate::clock::now_ns;
use crate::message::Direction;

/// Shared by all threads of a process.
#[derive(Default)]
pub struct Journal {
    entries: Mutex<Entries>,
}

#[derive(Default)]
struct Entries {
    text: String,
    /// The next expected sequence number of each device and direction.
    next: BTreeMap<(String, Direction), u32>,
}

impl Journal {
    /// Records that a message of the named device is about to leave, in a packet of `bytes`.
    pub fn sent(&self, name: &str, direction: Direction, seq: u32, bytes: usize) {
        let now = now_ns();
        let mut entries = self.entries();
        let _ = writeln!(entries.text, "sent,{name},{},{seq},{bytes},{now}", direction.name());
    }

    /// Records that a message of the named device has arrived intact. If it arrives after a later one, it is also a
    /// fault.
    pub fn received(&self, name: &str, direction: Direction, seq: u32, bytes: usize) {
        let now = now_ns();
        let mut entries = self.entries();
        let next = entries.next.entry((name.to_string(), direction)).or_default();
        let late = seq < *next;
        *next = (*next).max(seq.saturating_add(1));
        let _ = writeln!(entries.text, "received,{name},{},{seq},{bytes},{now}", direction.name());
        if late {
            let _ = writeln!(entries.text, "fault,{name} {} {seq}: arrived out of order or twice", direction.name());
        }
    }

    /// Records a fault.
    pub fn fault(&self, text: &str) {
        let mut entries = self.entries();
        let _ = writeln!(entries.text, "fault,{text}");
    }

    /// Writes the journal to `path`.
    pub fn write(&self, path: &Path) -> Result<(), String> {
        fs::write(path, &self.entries().text).map_err(|err| format!("writing journal {}: {err}", path.display()))
    }

    fn entries(&self) -> std::sync::MutexGuard<'_, Entries> {
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
