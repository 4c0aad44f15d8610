//! What can go wrong on the host's side: files, mostly.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

/// A failure of a laboratory command, with what was tried and on what.
#[derive(Debug)]
pub enum Error {
    /// The system refused an operation on a file.
    Io {
        /// What was tried, as in "reading".
        doing: &'static str,
        /// The file.
        path: PathBuf,
        /// The system's reason.
        source: io::Error,
    },
    /// A capture ends or breaks off in the middle. The packets before `offset` are sound.
    Damaged {
        /// The capture.
        path: PathBuf,
        /// Bytes from the start of the file to the record that cannot be read.
        offset: u64,
        /// What is wrong there.
        cause: String,
    },
    /// A file of the right kind whose content does not fit.
    Content {
        /// The file.
        path: PathBuf,
        /// One-based line, 0 where lines mean nothing.
        line: usize,
        /// What is wrong, and what would be right.
        problem: String,
    },
    /// The request itself cannot be met.
    Request(String),
}

impl Error {
    /// For `map_err` on file operations.
    pub fn io<'a>(doing: &'static str, path: &'a Path) -> impl FnOnce(io::Error) -> Error + 'a {
        move |source| Error::Io { doing, path: path.to_owned(), source }
    }

    /// A problem with the content of `path` at the one-based `line` (0: the whole file).
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
