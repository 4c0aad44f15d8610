//! What a process saw, kept in memory while it matters and written once at the end.

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
    pages: Mutex<Pages>,
}

#[derive(Default)]
struct Pages {
    text: String,
    next: BTreeMap<(String, Direction), u32>,
}

impl Journal {
    /// A message of the named device is about to leave, in a packet of `bytes`.
    pub fn sent(&self, name: &str, direction: Direction, seq: u32, bytes: usize) {
        let now = now_ns();
        let mut pages = self.pages();
        let _ = writeln!(pages.text, "sent,{name},{},{seq},{bytes},{now}", direction.name());
    }

    /// A message of the named device has arrived intact; one that comes behind a later one is a fault.
    pub fn received(&self, name: &str, direction: Direction, seq: u32, bytes: usize) {
        let now = now_ns();
        let mut pages = self.pages();
        let next = pages.next.entry((name.to_string(), direction)).or_default();
        let late = seq < *next;
        *next = (*next).max(seq.saturating_add(1));
        let _ = writeln!(pages.text, "received,{name},{},{seq},{bytes},{now}", direction.name());
        if late {
            let _ = writeln!(pages.text, "fault,{name} {} {seq}: came after a later one, or twice", direction.name());
        }
    }

    /// Something is wrong.
    pub fn fault(&self, text: &str) {
        let mut pages = self.pages();
        let _ = writeln!(pages.text, "fault,{text}");
    }

    /// Writes everything to `path`.
    pub fn write(&self, path: &Path) -> Result<(), String> {
        fs::write(path, &self.pages().text).map_err(|err| format!("writing journal {}: {err}", path.display()))
    }

    fn pages(&self) -> std::sync::MutexGuard<'_, Pages> {
        self.pages.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
