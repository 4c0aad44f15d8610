//! Messages of the commands on standard error.

use std::fmt::Display;
use std::io::{Write, stderr};

use crate::config::printable::printable;

/// Writes a line, which may quote arguments and file names. Unlike `eprintln!` it ignores a closed stream.
pub fn print_line(line: impl Display) {
    // One write, so that lines of several processes never mix.
    _ = stderr().write_all(format!("{}\n", printable(&line.to_string())).as_bytes());
}
