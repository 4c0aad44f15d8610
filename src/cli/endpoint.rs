//! `millpond endpoint`: what the operator of a server does, one file for each command.

mod book;
mod firewall;
mod homes;
mod init;
mod invite;
mod machine;
mod metrics;
mod picture;
mod rotate;
mod settle;

use argh::FromArgs;

use super::exit::Failure;

/// Set up a server for homes, and look after them.
#[derive(FromArgs)]
#[argh(subcommand, name = "endpoint")]
pub struct Endpoint {
    #[argh(subcommand)]
    command: Command,
}

#[derive(FromArgs)]
#[argh(subcommand)]
enum Command {
    Init(init::Init),
    AddHome(homes::AddHome),
    ListHomes(homes::ListHomes),
    RemoveHome(homes::RemoveHome),
    RotateKeys(rotate::RotateKeys),
    SettleHome(settle::SettleHome),
    Metrics(metrics::Metrics),
}

impl Endpoint {
    /// Runs the command.
    pub fn execute(self) -> Result<(), Failure> {
        match self.command {
            Command::Init(command) => command.execute(),
            Command::AddHome(command) => command.execute(),
            Command::ListHomes(command) => command.execute(),
            Command::RemoveHome(command) => command.execute(),
            Command::RotateKeys(command) => command.execute(),
            Command::SettleHome(command) => command.execute(),
            Command::Metrics(command) => command.execute(),
        }
    }
}
