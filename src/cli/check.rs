//! `millpond check`: is the settings file good?

use argh::FromArgs;

use super::exit::{CONFIG, Failure};
use super::stderr::complain;
use super::{CONFIG_PATH, settings};
use crate::daemon;

/// Read the settings and report every error at once.
#[derive(FromArgs)]
#[argh(subcommand, name = "check")]
pub struct Check {
    /// settings file (default /etc/config/millpond)
    #[argh(option, default = "CONFIG_PATH.into()")]
    config: String,
}

impl Check {
    /// Says so where all is well.
    pub fn execute(self) -> Result<(), Failure> {
        let settings = settings::load(&self.config)?;
        // Where the machine cannot be looked at, the file's own word is all that can be said.
        let preflight_issues = daemon::preflight_issues(&settings).unwrap_or_default();
        for issue in &preflight_issues {
            let severity = if issue.kind.is_error() { "" } else { "warning: " };
            complain(format_args!("{}: {severity}{}: {}", self.config, issue.text, issue.kind.fix()));
        }
        let errors = preflight_issues.iter().filter(|issue| issue.kind.is_error()).count();
        if errors > 0 {
            let text = format!("checking the settings {}: {errors} errors on this machine, see above", self.config);
            return Err(Failure::new(CONFIG, text));
        }
        let state = if settings.enabled { "" } else { " (not enabled)" };
        println!("{}: good{state}", self.config);
        Ok(())
    }
}
