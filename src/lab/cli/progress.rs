//! A progress bar for long commands, if stderr is a terminal.

use std::cell::Cell;
use std::io::{IsTerminal, Write, stderr};

const WIDTH: usize = 30;

/// A progress bar that redraws itself in place. It is invisible unless stderr is a terminal.
pub(super) struct Progress {
    what: &'static str,
    visible: bool,
    drawn: Cell<Option<usize>>,
}

impl Progress {
    /// Creates a bar labelled `what`.
    pub(super) fn new(what: &'static str) -> Progress {
        Progress { what, visible: stderr().is_terminal(), drawn: Cell::new(None) }
    }

    /// Redraws the bar if its percentage has changed.
    pub(super) fn show(&self, done: usize, of: usize) {
        let percent = done * 100 / of.max(1);
        if !self.visible || self.drawn.replace(Some(percent)) == Some(percent) {
            return;
        }
        let full = (percent * WIDTH / 100).min(WIDTH);
        eprint!("\r{} [{}{}] {percent:>3} %", self.what, "#".repeat(full), " ".repeat(WIDTH - full));
        let _ = stderr().flush();
    }

    /// Ends the line if the bar was drawn.
    pub(super) fn finish(&self) {
        if self.drawn.get().is_some() {
            eprintln!();
        }
    }
}
