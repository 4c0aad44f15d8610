//! Loads a settings file for a command.

use super::exit::{CONFIG, Failure, IO_ERROR};
use super::stderr::print_line;
use crate::config::model::Settings;
use crate::config::{Severity, parse_with};
use crate::sys::key_file;
use crate::sys::openvpn_profile::{self, ProfileError};
use crate::tunnel;
use crate::units::counted;

/// Loads the settings. Prints all warnings and errors on stderr; the returned failure counts the errors.
pub fn load(path: &str) -> Result<Settings, Failure> {
    let text = std::fs::read(path).map_err(|e| Failure::new(IO_ERROR, format!("reading the settings {path}: {e}")))?;
    let parsed = parse_with(&text, &key_file::read);
    for problem in &parsed.problems {
        print_line(problem.at(path));
    }
    let errors = parsed.problems.iter().filter(|problem| problem.severity == Severity::Error).count();
    let settings = parsed
        .settings
        .ok_or_else(|| Failure::new(CONFIG, format!("checking the settings {path}: {}, see above", count(errors))))?;
    check_profile(&settings)?;
    Ok(settings)
}

/// Checks the OpenVPN profile that the settings name, in the same way.
fn check_profile(settings: &Settings) -> Result<(), Failure> {
    let tunnel = tunnel::properties(settings).filter(|_| settings.enabled);
    let Some(profile) = tunnel.and_then(|tunnel| tunnel.profile) else { return Ok(()) };
    openvpn_profile::load(profile, settings.role).map(drop).map_err(|error| match error {
        ProfileError::Unreadable(why) => Failure::new(IO_ERROR, format!("reading tunnel.profile {profile}: {why}")),
        ProfileError::Invalid(problems) => {
            problems.iter().for_each(|problem| print_line(problem.at(profile)));
            Failure::new(CONFIG, format!("checking tunnel.profile {profile}: {}, see above", count(problems.len())))
        }
    })
}

fn count(errors: usize) -> String {
    counted(errors, "error", "errors")
}
