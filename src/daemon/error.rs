//! The errors of the daemon.

use std::fmt;
use std::io;
use std::path::PathBuf;

use crate::apply::ApplyError;
use crate::plan::DesiredError;
use crate::plan::ownership::TUN;
use crate::tunnel::TunnelError;

/// An error that keeps the daemon from starting, ends it, or keeps settings from being applied.
#[derive(Debug)]
pub enum Error {
    /// The settings are wrong; each problem has been logged.
    Settings(String),
    /// The settings file cannot be read.
    Unreadable {
        /// Its path.
        path: PathBuf,
        /// The cause.
        error: io::Error,
    },
    /// The OpenVPN profile cannot carry cells, or cannot be read.
    Profile(String),
    /// The settings are valid but cannot be applied on this host.
    Unfit(String),
    /// The settings ask for a state that is impossible, or not possible yet.
    Desired(DesiredError),
    /// The kernel refused an operation. Its state was rolled back unless the text says otherwise.
    Apply(ApplyError),
    /// A system call failed.
    System {
        /// The attempted action and its object.
        action: String,
        /// The cause.
        error: io::Error,
    },
    /// The kernel refused the guard. A minimal one is loaded.
    MinimalGuard(ApplyError),
    /// The guard is loaded, but the file from which it is loaded at boot cannot be written.
    GuardFile {
        /// Its path.
        path: PathBuf,
        /// The cause.
        error: io::Error,
    },
    /// The tunnel does not start, because there is no guard.
    NoGuard,
    /// The process does not run as root.
    NotRoot,
    /// Another process holds `mp0`.
    TunTaken,
}

impl Error {
    /// Adds the attempted action to a failed system call.
    pub fn system(action: impl Into<String>) -> impl FnOnce(io::Error) -> Error {
        move |error| Error::System { action: action.into(), error }
    }

    /// The package that provides the missing part, if the error names one.
    pub fn package(&self) -> Option<&'static str> {
        match self {
            Error::Apply(error) | Error::MinimalGuard(error) => error.package(),
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
            Error::MinimalGuard(error) => write!(f, "{error}; a minimal guard is loaded instead"),
            Error::NoGuard => f.write_str("bringing up the tunnel: not without a guard; see why it does not load"),
            Error::NotRoot => f.write_str("bringing up the tunnel: not allowed: run as root"),
            Error::TunTaken => write!(f, "attaching to {TUN}: another process holds it: stop the other daemon first"),
        }
    }
}

impl std::error::Error for Error {}

impl From<ApplyError> for Error {
    fn from(error: ApplyError) -> Error {
        Error::Apply(error)
    }
}

impl From<TunnelError> for Error {
    fn from(error: TunnelError) -> Error {
        Error::Desired(error.into())
    }
}

impl From<DesiredError> for Error {
    fn from(error: DesiredError) -> Error {
        Error::Desired(error)
    }
}
