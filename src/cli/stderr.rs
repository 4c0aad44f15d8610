//! Messages on stderr, where procd and systemd collect them and add the time.

use std::fmt::Display;
use std::io::{Write, stderr};

use log::{LevelFilter, Log, Metadata, Record};

/// Writes a line. Unlike `eprintln!` it ignores a closed stderr, so a restart of the system log does not end the
/// daemon.
pub fn print_line(line: impl Display) {
    // One write per line, so that lines of the daemon and its processes never mix.
    _ = stderr().write_all(format!("{line}\n").as_bytes());
}

struct Stderr;

/// Starts to log messages of level "info" and above to stderr.
pub fn start_log() {
    // This fails only for a second logger in the process.
    _ = log::set_logger(&Stderr);
    log::set_max_level(LevelFilter::Info);
}

impl Log for Stderr {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.level() <= LevelFilter::Info
    }

    fn log(&self, record: &Record<'_>) {
        if self.enabled(record.metadata()) {
            print_line(format_args!("{:<5} [{}] {}", record.level(), record.target(), record.args()));
        }
    }

    fn flush(&self) {}
}
