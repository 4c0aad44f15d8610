//! Why the daemon does not run.

use std::fmt;
use std::io;
use std::path::PathBuf;

use crate::apply::ApplyError;
use crate::plan::DesiredError;
use crate::plan::ownership::TUN;

/// What kept the daemon from starting, or ended it.
#[derive(Debug)]
pub enum Error {
    /// The settings are wrong; each problem has been logged.
    Settings(String),
    /// The settings file cannot be read.
    Unreadable {
        /// Its path.
        path: PathBuf,
        /// Why.
        error: io::Error,
    },
    /// The OpenVPN profile does not do for cells, or cannot be read.
    Profile(String),
    /// The settings are good and cannot be brought into force on this machine.
    Unfit(String),
    /// They ask for something that cannot be, or cannot be yet.
    Desired(DesiredError),
    /// The kernel refused something, and holds what it held before unless the text says otherwise.
    Apply(ApplyError),
    /// A system call failed.
    System {
        /// What was tried, on what.
        action: String,
        /// Why it failed.
        error: io::Error,
    },
    /// The guard stands, and the file from which it is loaded at boot cannot be written.
    GuardFile {
        /// Its path.
        path: PathBuf,
        /// Why.
        error: io::Error,
    },
    /// Not root.
    NotRoot,
    /// `mp0` is there and another process holds it.
    TunTaken,
}

impl Error {
    /// Adds to a failed system call what it was for.
    pub fn system(action: impl Into<String>) -> impl FnOnce(io::Error) -> Error {
        move |error| Error::System { action: action.into(), error }
    }

    /// The package that brings what is missing.
    pub fn package(&self) -> Option<&'static str> {
        match self {
            Error::Apply(error) => error.package(),
            _ => None,
        }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Error::Settings(text) | Error::Profile(text) | Error::Unfit(text) => f.write_str(text),
            Error::Unreadable { path, error } => write!(f, "reading the settings {}: {error}", path.display()),
            Error::Apply(error) => write!(f, "{error}"),
            Error::Desired(error) => write!(f, "{error}"),
            Error::System { action, error } => write!(f, "{action}: {error}"),
            Error::GuardFile { path, error } => write!(f, "writing the guard to {}: {error}", path.display()),
            Error::NotRoot => f.write_str("bringing up the tunnel: not allowed: run as root"),
            Error::TunTaken => write!(f, "taking over {TUN}: another process holds it: is millpond running already?"),
        }
    }
}

impl std::error::Error for Error {}

impl From<ApplyError> for Error {
    fn from(error: ApplyError) -> Error {
        Error::Apply(error)
    }
}

impl From<DesiredError> for Error {
    fn from(error: DesiredError) -> Error {
        Error::Desired(error)
    }
}
