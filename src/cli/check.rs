//! `millpond check`: checks the settings file.

use argh::FromArgs;

use super::exit::{CONFIG, Failure};
use super::stderr::print_line;
use super::{CONFIG_PATH, settings};
use crate::daemon;
use crate::units::counted;

/// Check the settings file and report all errors.
#[derive(FromArgs)]
#[argh(subcommand, name = "check", example = "{command_name} --config /tmp/millpond.new")]
pub struct CheckCommand {
    /// settings file (default /etc/config/millpond)
    #[argh(option, default = "CONFIG_PATH.into()")]
    config: String,
}

impl CheckCommand {
    /// Prints one line if there are no errors.
    pub fn execute(self) -> Result<(), Failure> {
        let settings = settings::load(&self.config)?;
        // If the host cannot be inspected, only the file is checked.
        let preflight_issues = daemon::preflight_issues(&settings).unwrap_or_default();
        for issue in &preflight_issues {
            let severity = if issue.kind.is_error() { "" } else { "warning: " };
            print_line(format_args!("{}: {severity}{}: {}", self.config, issue.text, issue.kind.fix()));
        }
        let errors = preflight_issues.iter().filter(|issue| issue.kind.is_error()).count();
        if errors > 0 {
            let errors = counted(errors, "error", "errors");
            let text = format!("checking the settings {}: {errors} on this host, see above", self.config);
            return Err(Failure::new(CONFIG, text));
        }
        let state = if settings.enabled { "" } else { " (not enabled)" };
        println!("{}: no errors{state}", self.config);
        Ok(())
    }
}
