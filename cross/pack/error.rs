//! What can go wrong while packing.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

pub type Result<T> = std::result::Result<T, Error>;

/// A failure, with what was tried and on what.
#[derive(Debug)]
pub enum Error {
    /// The system refused an operation on a file.
    Io { doing: &'static str, path: PathBuf, source: io::Error },
    /// A file of the project is not as the packer needs it.
    Content { path: PathBuf, problem: String },
    /// A target that cross/targets does not have.
    UnknownTarget(String),
    /// OpenSSL could not be run, or failed.
    OpenSsl { doing: &'static str, cause: String },
}

impl Error {
    /// For `map_err` on file operations.
    pub fn io<'a>(doing: &'static str, path: &'a Path) -> impl FnOnce(io::Error) -> Error + 'a {
        move |source| Error::Io { doing, path: path.to_owned(), source }
    }

    /// A problem with what is in `path`.
    pub fn content(path: &Path, problem: impl Into<String>) -> Error {
        Error::Content { path: path.to_owned(), problem: problem.into() }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Error::Io { doing, path, source } => write!(f, "{doing} {}: {source}", path.display()),
            Error::Content { path, problem } => write!(f, "{}: {problem}", path.display()),
            Error::UnknownTarget(name) => write!(f, "{name} is not in cross/targets; give one of those that are"),
            Error::OpenSsl { doing, cause } => write!(f, "{doing} with openssl: {cause}"),
        }
    }
}
