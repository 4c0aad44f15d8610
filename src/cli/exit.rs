//! Exit codes, from sysexits.h.

/// The audit found a fault.
pub const AUDIT_FAULT: u8 = 1;
/// The command line is invalid.
pub const USAGE: u8 = 64;
/// The join text is damaged, expired or for another router.
pub const DATA: u8 = 65;
/// The daemon is not running, or cannot answer.
pub const UNAVAILABLE: u8 = 69;
/// The kernel refused an operation, or lacks a part.
pub const OS_ERROR: u8 = 71;
/// A file could not be read or written.
pub const IO_ERROR: u8 = 74;
/// Permission denied: root is required.
pub const NO_PERMISSION: u8 = 77;
/// The settings are invalid.
pub const CONFIG: u8 = 78;

/// Why a command failed.
#[derive(Debug)]
pub struct Failure {
    /// The exit code.
    pub code: u8,
    /// One line: what was tried, on what, why it failed, and what to do.
    pub text: String,
}

impl Failure {
    /// A failure with this code and text.
    pub fn new(code: u8, text: impl Into<String>) -> Failure {
        Failure { code, text: text.into() }
    }
}
