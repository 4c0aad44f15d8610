//! The requests that a running daemon serves. [`REQUESTS`] is their only grammar: [`mod@line`] reads and writes
//! them as lines of the control socket, [`call`] as calls on ubus.

pub mod call;
pub mod line;

use std::net::Ipv4Addr;

use crate::config::model::Level;
use crate::daemon::advice::ADVISED;
use crate::daemon::audit::DEFAULT_AUDIT_PACKETS;

/// A request to the daemon.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Request {
    /// Returns the daemon's status.
    Status(Format),
    /// Returns the name of the daemon's state only.
    State,
    /// SlowAnswers every device that the router knows.
    Devices(Format),
    /// Returns the rates at home and on the wire in the last `seconds`.
    History {
        /// As requested, not yet clamped.
        seconds: u32,
    },
    /// Returns the delays and costs of other rates.
    Advise(Format),
    /// Returns the rates advised for a level only.
    Advised {
        /// One of [`ADVISED`].
        level: Level,
    },
    /// Audits the wire.
    Audit {
        /// What to audit.
        options: AuditOptions,
        /// Format of the answer.
        format: Format,
        /// Whether to answer only when the audit ends.
        waiting: bool,
    },
    /// Returns only whether the last audit passed.
    Audited,
    /// Reloads the settings.
    Reload,
    /// Looks up the endpoint again and starts a new handshake.
    Renew,
    /// Returns Prometheus metrics, of all homes or of one.
    #[cfg(feature = "endpoint")]
    Metrics {
        /// The home's address inside the tunnel; `None` for all homes.
        home: Option<Ipv4Addr>,
    },
    /// Reads the record of single departures' lateness, or starts or ends one.
    #[cfg(feature = "endpoint")]
    Lateness {
        /// The number of the first value to read; 0 starts a record, 2^32 - 1 ends it.
        from: u32,
        /// The peer's address inside the tunnel; `None` for the only peer.
        home: Option<Ipv4Addr>,
    },
}

/// What an audit captures and looks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AuditOptions {
    /// Number of packets to capture, not yet clamped.
    pub packets: u32,
    /// Whether to look for packets from the router that quote confined devices, too.
    pub deep: bool,
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

/// The grammar of one request.
#[derive(Debug)]
pub struct RequestSpec {
    /// The first word of a line, and the method on ubus.
    pub name: &'static str,
    /// The arguments, in the order of the method's signature.
    pub arguments: &'static [ArgumentSpec],
    /// Whether the object on ubus has it as a method. The control socket serves every request.
    pub is_method: bool,
    /// The answer, in a few words.
    pub answer: &'static str,
}

/// One argument of a request. The variant of `default` is its kind.
#[derive(Debug)]
pub struct ArgumentSpec {
    /// The name on ubus. Lines have no names.
    pub name: &'static str,
    /// Its place in a line, as the documentation and errors show it; empty if a line cannot set it.
    pub word: &'static str,
    /// The value in a call without it.
    pub default: ArgumentValue,
    /// The value in a line without it; `None` if every line needs it.
    pub line_default: Option<ArgumentValue>,
    /// The meaning and the range.
    pub meaning: &'static str,
}

/// The value of an argument.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ArgumentValue {
    /// The format of the answer. In a line it comes first.
    Format(Format),
    /// A whole number.
    Number(u32),
    /// Yes or no. In a line its name stands for yes, unless a line cannot set it.
    Flag(bool),
    /// A level that gets advice: one of [`ADVISED`].
    Level(Level),
    /// The address of a home inside the tunnel; `None` for all homes.
    Home(Option<Ipv4Addr>),
}

const FORMAT: ArgumentSpec = ArgumentSpec {
    name: "form",
    word: "[json]",
    default: ArgumentValue::Format(Format::Values),
    line_default: Some(ArgumentValue::Format(Format::Text)),
    meaning: "`values` (keys and values), `text` or `json`",
};
const SECONDS: ArgumentSpec = ArgumentSpec {
    name: "seconds",
    word: "SECONDS",
    default: ArgumentValue::Number(300),
    line_default: None,
    meaning: "how far back, clamped to 60..=86400",
};
const LEVEL: ArgumentSpec = ArgumentSpec {
    name: "level",
    word: "LEVEL",
    default: ArgumentValue::Level(Level::Balanced),
    line_default: None,
    meaning: "`saver`, `balanced` or `strict`",
};
const PACKETS: ArgumentSpec = ArgumentSpec {
    name: "packets",
    word: "PACKETS",
    default: ArgumentValue::Number(DEFAULT_AUDIT_PACKETS),
    line_default: None,
    meaning: "how many packets to capture, clamped to 100..=100000",
};
const WAIT: ArgumentSpec = ArgumentSpec {
    name: "wait",
    word: "",
    default: ArgumentValue::Flag(false),
    line_default: Some(ArgumentValue::Flag(true)),
    meaning: "whether to answer at the end of the audit instead of at once",
};
const DEEP: ArgumentSpec = ArgumentSpec {
    name: "deep",
    word: "[deep]",
    default: ArgumentValue::Flag(false),
    line_default: Some(ArgumentValue::Flag(false)),
    meaning: "whether to look for packets from the router that quote confined devices, too",
};
#[cfg(feature = "endpoint")]
const HOME: ArgumentSpec = ArgumentSpec {
    name: "home",
    word: "[ADDRESS]",
    default: ArgumentValue::Home(None),
    line_default: Some(ArgumentValue::Home(None)),
    meaning: "a home's address inside the tunnel",
};
#[cfg(feature = "endpoint")]
const FROM: ArgumentSpec = ArgumentSpec {
    name: "from",
    word: "FROM",
    default: ArgumentValue::Number(0),
    line_default: None,
    meaning: "the number of the first value to read; 0 starts a record, 4294967295 ends it",
};

/// Every request.
pub const REQUESTS: &[RequestSpec] = &[
    method("status", &[FORMAT], "what the daemon does, and every problem"),
    method("state", &[], "the name of the daemon's state"),
    method("devices", &[FORMAT], "every device that the router knows"),
    method("history", &[SECONDS], "what the devices did, and what the wire showed"),
    method("advise", &[FORMAT], "what other rates would do and cost"),
    method("advised", &[LEVEL], "the rates advised for a level"),
    method("audit", &[PACKETS, WAIT, FORMAT, DEEP], "starts an audit of the wire"),
    method("audited", &[], "whether the last audit passed"),
    method("reload", &[], "reloads the settings"),
    method("renew", &[], "looks up the endpoint again, and starts a new handshake"),
    // The command that asks for them runs on the endpoint, which has no ubus.
    #[cfg(feature = "endpoint")]
    RequestSpec { is_method: false, ..method("metrics", &[HOME], "numbers in Prometheus's text format") },
    // For measurements; `millpond lateness` reads it.
    #[cfg(feature = "endpoint")]
    RequestSpec { is_method: false, ..method("lateness", &[FROM, HOME], "the lateness of single departures") },
];

const fn method(name: &'static str, arguments: &'static [ArgumentSpec], answer: &'static str) -> RequestSpec {
    RequestSpec { name, arguments, is_method: true, answer }
}

impl Request {
    /// The name, and the arguments in the order of its [`RequestSpec`].
    pub fn parts(self) -> (&'static str, Vec<ArgumentValue>) {
        use ArgumentValue::{Flag, Format, Number};
        match self {
            Request::Status(format) => ("status", vec![Format(format)]),
            Request::State => ("state", vec![]),
            Request::Devices(format) => ("devices", vec![Format(format)]),
            Request::History { seconds } => ("history", vec![Number(seconds)]),
            Request::Advise(format) => ("advise", vec![Format(format)]),
            Request::Advised { level } => ("advised", vec![ArgumentValue::Level(level)]),
            Request::Audit { options: AuditOptions { packets, deep }, format, waiting } => {
                ("audit", vec![Number(packets), Flag(waiting), Format(format), Flag(deep)])
            }
            Request::Audited => ("audited", vec![]),
            Request::Reload => ("reload", vec![]),
            Request::Renew => ("renew", vec![]),
            #[cfg(feature = "endpoint")]
            Request::Metrics { home } => ("metrics", vec![ArgumentValue::Home(home)]),
            #[cfg(feature = "endpoint")]
            Request::Lateness { from, home } => ("lateness", vec![Number(from), ArgumentValue::Home(home)]),
        }
    }

    /// The opposite of [`Request::parts`]; `None` if the arguments are not those of the request.
    pub fn from_parts(name: &str, arguments: &[ArgumentValue]) -> Option<Request> {
        use ArgumentValue::{Flag, Format, Number};
        Some(match (name, arguments) {
            ("status", [Format(format)]) => Request::Status(*format),
            ("state", []) => Request::State,
            ("devices", [Format(format)]) => Request::Devices(*format),
            ("history", [Number(seconds)]) => Request::History { seconds: *seconds },
            ("advise", [Format(format)]) => Request::Advise(*format),
            ("advised", [ArgumentValue::Level(level)]) => Request::Advised { level: *level },
            ("audit", [Number(packets), Flag(waiting), Format(format), Flag(deep)]) => {
                let options = AuditOptions { packets: *packets, deep: *deep };
                Request::Audit { options, format: *format, waiting: *waiting }
            }
            ("audited", []) => Request::Audited,
            ("reload", []) => Request::Reload,
            ("renew", []) => Request::Renew,
            #[cfg(feature = "endpoint")]
            ("metrics", [ArgumentValue::Home(home)]) => Request::Metrics { home: *home },
            #[cfg(feature = "endpoint")]
            ("lateness", [Number(from), ArgumentValue::Home(home)]) => Request::Lateness { from: *from, home: *home },
            _ => return None,
        })
    }
}

/// The grammar of the request with that name.
pub fn spec(name: &str) -> Option<&'static RequestSpec> {
    REQUESTS.iter().find(|spec| spec.name == name)
}

/// The level with that name; `None` if it gets no advice.
pub fn advised_level(name: &str) -> Option<Level> {
    ADVISED.into_iter().find(|level| level.name() == name)
}

#[cfg(test)]
mod tests;
