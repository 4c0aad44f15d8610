//! Errors of the laboratory's commands, mostly about files.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

/// An error of a laboratory command, with the attempted operation and its object.
#[derive(Debug)]
pub enum Error {
    /// An operation on a file failed.
    Io {
        /// The operation, such as "reading".
        doing: &'static str,
        /// The file.
        path: PathBuf,
        /// The system's reason.
        source: io::Error,
    },
    /// A capture is truncated or corrupt. The packets before `offset` are valid.
    Damaged {
        /// The capture.
        path: PathBuf,
        /// Offset of the unreadable record in the file, in bytes.
        offset: u64,
        /// Description of the damage.
        cause: String,
    },
    /// A file has the expected kind, but invalid content.
    Content {
        /// The file.
        path: PathBuf,
        /// One-based line number; 0 if the error does not belong to a line.
        line: usize,
        /// Description of the error, and of the expected content.
        problem: String,
    },
    /// The request is invalid.
    Request(String),
}

impl Error {
    /// Returns a function for `map_err` on a file operation.
    pub fn io<'a>(doing: &'static str, path: &'a Path) -> impl FnOnce(io::Error) -> Error + 'a {
        move |source| Error::Io { doing, path: path.to_owned(), source }
    }

    /// Returns an error about the content of `path` at the one-based `line` (0: the whole file).
    pub fn content(path: &Path, line: usize, problem: impl Into<String>) -> Error {
        Error::Content { path: path.to_owned(), line, problem: problem.into() }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Error::Io { doing, path, source } => write!(f, "{doing} {}: {source}", path.display()),
            Error::Damaged { path, offset, cause } => {
                write!(f, "reading capture {}: at byte {offset}: {cause}", path.display())
            }
            Error::Content { path, line: 0, problem } => write!(f, "reading {}: {problem}", path.display()),
            Error::Content { path, line, problem } => write!(f, "reading {} line {line}: {problem}", path.display()),
            Error::Request(problem) => f.write_str(problem),
        }
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Error::Io { source, .. } => Some(source),
            _ => None,
        }
    }
}
