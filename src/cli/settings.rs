//! Reads a settings file for a command.

use super::exit::{CONFIG, Failure, IO_ERROR};
use crate::config::model::Settings;
use crate::config::{Severity, parse_with};
use crate::sys::key_file;

/// The file's settings. Warnings go to stderr, and so does every error before the failure that counts them.
pub fn load(path: &str) -> Result<Settings, Failure> {
    let text = std::fs::read(path).map_err(|e| Failure::new(IO_ERROR, format!("reading the settings {path}: {e}")))?;
    let parsed = parse_with(&text, &key_file::read);
    for problem in &parsed.problems {
        eprintln!("{}", problem.at(path));
    }
    let errors = parsed.problems.iter().filter(|problem| problem.severity == Severity::Error).count();
    parsed
        .settings
        .ok_or_else(|| Failure::new(CONFIG, format!("checking the settings {path}: {errors} errors, see above")))
}
