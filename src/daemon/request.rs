//! What may be asked of a running daemon, whichever way the question comes.

use ubus::BlobMsgTable;
use ubus::wire::UBUS_STATUS_UNKNOWN_ERROR;

use super::answer::{self, Object};
use super::control::REFUSED;
use super::ubus::{Caller, RequestError};
use crate::sys::unix_socket::Client;

/// A question or an order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Request {
    /// What the daemon does.
    Status(Format),
    /// Every device that the router knows.
    Devices(Format),
    /// What has happened at home and on the wire in the last `seconds`.
    History {
        /// As asked for, not clamped yet.
        seconds: u32,
    },
    /// What other rates would do and cost.
    Advise(Format),
    /// To check the wire.
    Audit {
        /// How many packets.
        packets: u32,
        /// What the answer looks like.
        format: Format,
        /// Whether to answer only when it is over.
        waiting: bool,
    },
    /// To read the settings again.
    Reload,
    /// To look for the endpoint again.
    Renew,
    /// Numbers for a monitoring system, of all homes or of the one at that address.
    #[cfg(feature = "endpoint")]
    Metrics {
        /// Inside the tunnel.
        home: Option<std::net::Ipv4Addr>,
    },
}

/// What the answer looks like.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// One text, for people.
    Text,
    /// One text, in JSON.
    Json,
    /// Keys and values, which the control socket has as JSON.
    Values,
}

/// Who waits for the answer.
pub enum Requester {
    /// A client of the control socket.
    Socket(Box<Client>),
    /// A caller on ubus.
    Ubus(Caller),
}

/// What was asked for, in the requester's format, or why not.
pub enum Answer {
    /// A text for people, or JSON.
    Text(String),
    /// The contents of a blobmsg table, for ubus alone.
    Table(Vec<u8>),
    /// Why not.
    Refused(RequestError),
}

impl Requester {
    /// An answer for programs, in this requester's format.
    pub fn values(&self, format: Format, members: impl FnOnce(&mut Object<'_>)) -> Answer {
        match (format, self) {
            (Format::Values, Requester::Ubus(_)) => Answer::Table(answer::table(members).contents().to_vec()),
            _ => Answer::Text(answer::json(members)),
        }
    }
}

impl Answer {
    /// What could not be done, and why.
    pub fn refused(text: impl Into<String>) -> Answer {
        Answer::Refused(RequestError { status: UBUS_STATUS_UNKNOWN_ERROR, text: text.into() })
    }

    /// As a client of the control socket gets it.
    pub fn into_text(self) -> String {
        match self {
            Answer::Text(text) => text,
            Answer::Refused(refusal) => format!("{REFUSED}{}\n", refusal.text),
            // Nobody makes one for the socket.
            Answer::Table(_) => String::new(),
        }
    }

    /// As a caller on ubus gets it.
    pub fn into_contents(self) -> Result<Vec<u8>, RequestError> {
        match self {
            Answer::Text(text) => Ok(BlobMsgTable::build(|blob| blob.put_str(Some("text"), &text)).contents().to_vec()),
            Answer::Table(contents) => Ok(contents),
            Answer::Refused(refusal) => Err(refusal),
        }
    }
}
