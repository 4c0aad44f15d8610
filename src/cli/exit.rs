//! Exit codes, those of sysexits.h.

/// What was looked at is not as it should be.
pub const WRONG: u8 = 1;
/// The command line was wrong.
pub const USAGE: u8 = 64;
/// What was given is damaged, out of date or for another.
pub const DATA: u8 = 65;
/// Something that is needed is not running.
pub const UNAVAILABLE: u8 = 69;
/// The kernel refused something, or lacks a part.
pub const OS_ERROR: u8 = 71;
/// A file could not be read or written.
pub const IO_ERROR: u8 = 74;
/// Not allowed: root is needed.
pub const NO_PERMISSION: u8 = 77;
/// The settings are wrong.
pub const CONFIG: u8 = 78;

/// Why a command failed: one line, and the exit code.
#[derive(Debug)]
pub struct Failure {
    /// The exit code.
    pub code: u8,
    /// What was tried, on what, why it failed, what to do.
    pub text: String,
}

impl Failure {
    /// A failure of that code.
    pub fn new(code: u8, text: impl Into<String>) -> Failure {
        Failure { code, text: text.into() }
    }
}
