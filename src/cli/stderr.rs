//! Messages on stderr, where people, procd and systemd collect them and stamp the time.

use std::fmt::Display;
use std::io::{Write, stderr};

use log::{LevelFilter, Log, Metadata, Record};

/// Writes a line. Unlike `eprintln!` this goes on when nobody reads any more: a system log that restarts must not end the
/// daemon.
pub fn complain(line: impl Display) {
    // One write for a line, so that lines of the daemon and of its processes never mix.
    _ = stderr().write_all(format!("{line}\n").as_bytes());
}

struct Stderr;

/// Sends what is logged from now on, of level "info" and up, to stderr.
pub fn start_log() {
    // Only a second logger in one process could fail here.
    _ = log::set_logger(&Stderr);
    log::set_max_level(LevelFilter::Info);
}

impl Log for Stderr {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.level() <= LevelFilter::Info
    }

    fn log(&self, record: &Record<'_>) {
        if self.enabled(record.metadata()) {
            complain(format_args!("{:<5} [{}] {}", record.level(), record.target(), record.args()));
        }
    }

    fn flush(&self) {}
}
