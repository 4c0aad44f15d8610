//! Errors of packing.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

pub type Result<T> = std::result::Result<T, Error>;

/// An error, with the operation and its object.
#[derive(Debug)]
pub enum Error {
    /// An operation on a file failed.
    Io { doing: &'static str, path: PathBuf, source: io::Error },
    /// The packer cannot use a file of the project.
    Content { path: PathBuf, problem: String },
    /// A target that is not in cross/targets.
    UnknownTarget(String),
    /// OpenSSL could not be started, or failed.
    OpenSsl { doing: &'static str, cause: String },
}

impl Error {
    /// Returns a closure for `map_err` on file operations.
    pub fn io<'a>(doing: &'static str, path: &'a Path) -> impl FnOnce(io::Error) -> Error + 'a {
        move |source| Error::Io { doing, path: path.to_owned(), source }
    }

    /// A problem with the file at `path`.
    pub fn content(path: &Path, problem: impl Into<String>) -> Error {
        Error::Content { path: path.to_owned(), problem: problem.into() }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Error::Io { doing, path, source } => write!(f, "{doing} {}: {source}", path.display()),
            Error::Content { path, problem } => write!(f, "{}: {problem}", path.display()),
            Error::UnknownTarget(name) => write!(f, "{name} is not in cross/targets; use a target listed there"),
            Error::OpenSsl { doing, cause } => write!(f, "{doing} with openssl failed: {cause}"),
        }
    }
}
