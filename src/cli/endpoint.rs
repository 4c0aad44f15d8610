//! `millpond endpoint`: what the operator of a server does, one file for each command.

mod config_file;
mod finish_enrolment;
mod firewall;
mod homes;
mod init;
mod invite;
mod metrics;
mod prerequisites;
mod qr;
mod rotate;

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
    FinishEnrolment(finish_enrolment::FinishEnrolment),
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
            Command::FinishEnrolment(command) => command.execute(),
            Command::Metrics(command) => command.execute(),
        }
    }
}
