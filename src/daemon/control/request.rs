//! The requests that a running daemon serves, over the control socket or ubus.

use ubus::BlobMsgTable;
use ubus::wire::UBUS_STATUS_UNKNOWN_ERROR;

use crate::daemon::control::answer::{self, Object};
use crate::daemon::control::socket::REFUSED_PREFIX;
use crate::daemon::control::ubus::{Caller, RequestError};
use crate::sys::unix_socket::Client;

/// A request to the daemon.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Request {
    /// Returns the daemon's status.
    Status(Format),
    /// Lists every device that the router knows.
    Devices(Format),
    /// Returns the rates at home and on the wire in the last `seconds`.
    History {
        /// As requested, not yet clamped.
        seconds: u32,
    },
    /// Returns the delays and costs of other rates.
    Advise(Format),
    /// Audits the wire.
    Audit {
        /// Number of packets to capture.
        packets: u32,
        /// Format of the answer.
        format: Format,
        /// Whether to answer only when the audit ends.
        waiting: bool,
    },
    /// Reloads the settings.
    Reload,
    /// Looks up the endpoint again and starts a new handshake.
    Renew,
    /// Returns Prometheus metrics, of all homes or of one.
    #[cfg(feature = "endpoint")]
    Metrics {
        /// The home's address inside the tunnel; `None` for all homes.
        home: Option<std::net::Ipv4Addr>,
    },
}

/// The format of an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// A text for people.
    Text,
    /// A text in JSON.
    Json,
    /// Keys and values: a blobmsg table on ubus, JSON on the control socket.
    Values,
}

/// The client that waits for the answer.
pub enum Requester {
    /// A client of the control socket.
    Socket(Box<Client>),
    /// A caller on ubus.
    Ubus(Caller),
}

/// The answer in the requester's format, or the reason for a refusal.
pub enum Answer {
    /// A text for people, or JSON.
    Text(String),
    /// The contents of a blobmsg table, for ubus only.
    Table(Vec<u8>),
    /// Why the request was refused.
    Refused(RequestError),
}

impl Requester {
    /// An answer of keys and values, in this requester's format.
    pub fn values(&self, format: Format, members: impl FnOnce(&mut Object<'_>)) -> Answer {
        match (format, self) {
            (Format::Values, Requester::Ubus(_)) => Answer::Table(answer::table(members).contents().to_vec()),
            _ => Answer::Text(answer::json(members)),
        }
    }
}

impl Answer {
    /// A refusal; `text` says what failed and why.
    pub fn refused(text: impl Into<String>) -> Answer {
        Answer::Refused(RequestError { status: UBUS_STATUS_UNKNOWN_ERROR, text: text.into() })
    }

    /// The answer as sent on the control socket.
    pub fn into_text(self) -> String {
        match self {
            Answer::Text(text) => text,
            Answer::Refused(error) => format!("{REFUSED_PREFIX}{}\n", error.text),
            // Never built for the control socket.
            Answer::Table(_) => String::new(),
        }
    }

    /// The answer as sent on ubus.
    pub fn into_contents(self) -> Result<Vec<u8>, RequestError> {
        match self {
            Answer::Text(text) => Ok(BlobMsgTable::build(|blob| blob.put_str(Some("text"), &text)).contents().to_vec()),
            Answer::Table(contents) => Ok(contents),
            Answer::Refused(error) => Err(error),
        }
    }
}
