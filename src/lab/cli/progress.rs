//! How far a long command is, on a terminal's stderr.

use std::cell::Cell;
use std::io::{IsTerminal, Write, stderr};

const WIDTH: usize = 30;

/// A bar that is drawn over itself; nothing where stderr is no terminal.
pub(super) struct Progress {
    what: &'static str,
    visible: bool,
    drawn: Cell<Option<usize>>,
}

impl Progress {
    /// A bar for what is being done.
    pub(super) fn new(what: &'static str) -> Progress {
        Progress { what, visible: stderr().is_terminal(), drawn: Cell::new(None) }
    }

    /// Draws the bar if it has grown.
    pub(super) fn show(&self, done: usize, of: usize) {
        let percent = done * 100 / of.max(1);
        if !self.visible || self.drawn.replace(Some(percent)) == Some(percent) {
            return;
        }
        let full = (percent * WIDTH / 100).min(WIDTH);
        eprint!("\r{} [{}{}] {percent:>3} %", self.what, "#".repeat(full), " ".repeat(WIDTH - full));
        let _ = stderr().flush();
    }

    /// Goes to the next line if anything was drawn.
    pub(super) fn finish(&self) {
        if self.drawn.get().is_some() {
            eprintln!();
        }
    }
}
