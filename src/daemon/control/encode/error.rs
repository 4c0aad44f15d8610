//! Why an answer cannot be written.

use std::fmt;

/// Why an answer cannot be written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EncodeError(String);

impl EncodeError {
    /// An answer that cannot be written for this reason.
    pub fn new(cause: impl fmt::Display) -> EncodeError {
        EncodeError(cause.to_string())
    }

    /// A part of an answer for which blobmsg has no form.
    pub fn unsupported(kind: &str) -> EncodeError {
        EncodeError(format!("blobmsg has no form for {kind}"))
    }
}

impl fmt::Display for EncodeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "writing the answer: {}", self.0)
    }
}

impl std::error::Error for EncodeError {}

impl serde::ser::Error for EncodeError {
    fn custom<T: fmt::Display>(text: T) -> EncodeError {
        EncodeError(text.to_string())
    }
}
