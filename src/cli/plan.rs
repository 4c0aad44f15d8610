//! `millpond plan`: shows the kernel operations that the settings need.

use argh::FromArgs;

use super::exit::Failure;
use super::run::failure;
use super::{CONFIG_PATH, control_socket, settings};
use crate::daemon;

/// Print the operations that would bring the kernel in line with the settings, without running them.
#[derive(FromArgs)]
#[argh(subcommand, name = "plan", example = "{command_name}")]
pub struct PlanCommand {
    /// settings file (default /etc/config/millpond)
    #[argh(option, default = "CONFIG_PATH.into()")]
    config: String,
}

impl PlanCommand {
    /// Prints one operation per line, as the equivalent command; keys are left out.
    pub fn execute(self) -> Result<(), Failure> {
        let settings = settings::load(&self.config)?;
        let ops = daemon::plan(&settings, &control_socket()).map_err(failure)?;
        if ops.is_empty() {
            println!("nothing to do");
        }
        ops.iter().for_each(|op| println!("{op}"));
        Ok(())
    }
}
