//! What may be asked of a running daemon, whichever way the question comes.

use ubus::BlobMsgTable;
use ubus::wire::UBUS_STATUS_UNKNOWN_ERROR;

use super::answer::{self, Object};
use super::control::REFUSED;
use super::ubus::{Caller, Refusal};
use crate::sys::unix_socket::Client;

/// A question or an order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Request {
    /// What the daemon does.
    Status(Form),
    /// Every device that the router knows.
    Devices(Form),
    /// What has happened at home and on the wire in the last `seconds`.
    History {
        /// As asked for, not clamped yet.
        seconds: u32,
    },
    /// What other rates would do and cost.
    Advise(Form),
    /// To check the wire.
    Audit {
        /// How many packets.
        packets: u32,
        /// What the answer looks like.
        form: Form,
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
pub enum Form {
    /// One text, for people.
    Text,
    /// One text, in JSON.
    Json,
    /// Keys and values, which the control socket has as JSON.
    Values,
}

/// Who waits for the answer.
pub enum Asker {
    /// A client of the control socket.
    Socket(Box<Client>),
    /// A caller on ubus.
    Ubus(Caller),
}

/// What was asked for, in the asker's form, or why not.
pub enum Answer {
    /// A text for people, or JSON.
    Text(String),
    /// The contents of a blobmsg table, for ubus alone.
    Table(Vec<u8>),
    /// Why not.
    Refused(Refusal),
}

impl Asker {
    /// An answer for programs, in this asker's form.
    pub fn values(&self, form: Form, members: impl FnOnce(&mut Object<'_>)) -> Answer {
        match (form, self) {
            (Form::Values, Asker::Ubus(_)) => Answer::Table(answer::table(members).contents().to_vec()),
            _ => Answer::Text(answer::json(members)),
        }
    }
}

impl Answer {
    /// What could not be done, and why.
    pub fn refused(text: impl Into<String>) -> Answer {
        Answer::Refused(Refusal { status: UBUS_STATUS_UNKNOWN_ERROR, text: text.into() })
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
    pub fn into_contents(self) -> Result<Vec<u8>, Refusal> {
        match self {
            Answer::Text(text) => Ok(BlobMsgTable::build(|blob| blob.put_str(Some("text"), &text)).contents().to_vec()),
            Answer::Table(contents) => Ok(contents),
            Answer::Refused(refusal) => Err(refusal),
        }
    }
}
