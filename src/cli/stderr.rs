//! Messages of the commands on standard error.

use std::fmt::Display;
use std::io::{Write, stderr};

/// Writes a line. Unlike `eprintln!` it ignores a closed stream.
pub fn print_line(line: impl Display) {
    // One write, so that lines of several processes never mix.
    _ = stderr().write_all(format!("{line}\n").as_bytes());
}
