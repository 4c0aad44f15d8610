//! `millpond check`: is the settings file good?

use argh::FromArgs;

use super::exit::Failure;
use super::{CONFIG_PATH, settings};

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
        let state = if settings.enabled { "" } else { " (not enabled)" };
        println!("{}: good{state}", self.config);
        Ok(())
    }
}
