//! `millpond router`: commands for a Debian machine that is the home's router.

mod init;
mod surroundings;

use argh::FromArgs;

use super::exit::Failure;

/// Set up a Debian machine, such as an access point, as the home's router.
#[derive(FromArgs)]
#[argh(subcommand, name = "router", example = "{command_name} init --lan wlan0")]
pub struct RouterCommand {
    #[argh(subcommand)]
    command: Command,
}

#[derive(FromArgs)]
#[argh(subcommand)]
enum Command {
    Init(init::RouterInitCommand),
}

impl RouterCommand {
    /// Runs the command.
    pub fn execute(self) -> Result<(), Failure> {
        let Command::Init(command) = self.command;
        command.execute()
    }
}
