//! The daemon's log: information on standard output, warnings and errors on standard error. procd and systemd collect
//! both and add the time, so lines have none; procd also gives the two streams different priorities.
//!
//! `SimpleLogger` writes the lines. It knows one stream for all levels, chosen at compile time, and prints with
//! `println!`, which ends the process if the reader has gone. So its line is captured and then written to the stream of
//! its level. A stream that does not take the line is ignored: a restart of the system log does not end the daemon.

use std::io::{Write, stderr, stdout};

use log::{Level, LevelFilter, Log, Metadata, Record};
use simple_logger::SimpleLogger;

use super::stderr::print_line;
use crate::sys::captured_stdout::captured_stdout;

struct DaemonLog(SimpleLogger);

/// Starts to log messages of level "info" and above.
pub fn start() {
    let logger = SimpleLogger::new().with_level(LevelFilter::Info);
    log::set_max_level(logger.max_level());
    // This fails only for a second logger in the process.
    _ = log::set_boxed_logger(Box::new(DaemonLog(logger)));
}

impl Log for DaemonLog {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        self.0.enabled(metadata)
    }

    fn log(&self, record: &Record<'_>) {
        // One write per line, so that lines of the daemon and its processes never mix.
        match captured_stdout(|| self.0.log(record)) {
            Ok(line) if record.level() <= Level::Warn => _ = stderr().write_all(&line),
            Ok(line) => _ = stdout().write_all(&line),
            // Without memory for the capture, the message must still be seen.
            Err(_) => print_line(record.args()),
        }
    }

    fn flush(&self) {}
}
