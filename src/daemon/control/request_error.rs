//! Why the daemon refuses a request.

use ubus::wire::{UBUS_STATUS_INVALID_ARGUMENT, UBUS_STATUS_METHOD_NOT_FOUND, UBUS_STATUS_UNKNOWN_ERROR};

/// ubus's status of a connection that failed. Programs tell by it a daemon that ends from one that fails.
const UBUS_STATUS_CONNECTION_FAILED: i32 = 10;

/// Prefix of an answer on the control socket that refuses a request; the reason follows.
pub const REFUSED_PREFIX: &str = "refused: ";

/// Why a request was refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RequestError {
    /// A status code of ubus.
    pub status: i32,
    /// The reason, for people.
    pub text: String,
}

impl RequestError {
    /// The daemon cannot do what was requested.
    pub fn refused(text: impl Into<String>) -> RequestError {
        RequestError { status: UBUS_STATUS_UNKNOWN_ERROR, text: text.into() }
    }

    /// The daemon ends, and answers no more requests.
    pub fn stopping() -> RequestError {
        RequestError { status: UBUS_STATUS_CONNECTION_FAILED, text: "millpond is stopping".into() }
    }

    /// There is no such request.
    pub fn unknown(text: impl Into<String>) -> RequestError {
        RequestError { status: UBUS_STATUS_METHOD_NOT_FOUND, text: text.into() }
    }

    /// An argument is missing or invalid.
    pub fn invalid(text: impl Into<String>) -> RequestError {
        RequestError { status: UBUS_STATUS_INVALID_ARGUMENT, text: text.into() }
    }
}
