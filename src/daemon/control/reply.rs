//! The clients that wait for answers, and the answers in their formats.

use std::fmt;

use serde::Serialize;
use ubus::BlobMsgTable;

use crate::daemon::control::encode;
use crate::daemon::control::request::Format;
use crate::daemon::control::request_error::{REFUSED_PREFIX, RequestError};
use crate::daemon::control::ubus::Caller;
use crate::sys::unix_socket::Client;

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
    pub fn values(&self, format: Format, answer: &impl Serialize) -> Answer {
        let encoded = match (format, self) {
            (Format::Values, Requester::Ubus(_)) => {
                encode::to_table(answer).map(|table| Answer::Table(table.contents().to_vec()))
            }
            _ => encode::to_json(answer).map(Answer::Text),
        };
        encoded.unwrap_or_else(|error| Answer::refused(error.to_string()))
    }

    /// An answer of one fact: a line on the control socket, keys and values on ubus.
    pub fn fact(&self, answer: &(impl Serialize + fmt::Display)) -> Answer {
        match self.fact_format() {
            Format::Text => Answer::Text(answer.to_string()),
            format => self.values(format, answer),
        }
    }

    /// The format of an answer of one fact. No request for a fact chooses it.
    pub fn fact_format(&self) -> Format {
        match self {
            Requester::Socket(_) => Format::Text,
            Requester::Ubus(_) => Format::Values,
        }
    }
}

impl Answer {
    /// A refusal; `text` says what failed and why.
    pub fn refused(text: impl Into<String>) -> Answer {
        Answer::Refused(RequestError::refused(text))
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
