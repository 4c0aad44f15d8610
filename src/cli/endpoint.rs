//! `millpond endpoint`: commands for the operator of a server, one file per command.

pub(super) mod config_file;
pub mod container;
mod finish_enrolment;
pub mod firewall;
mod health;
mod homes;
mod init;
mod invite;
mod metrics;
pub(super) mod prerequisites;
mod qr;
mod rotate;

use argh::FromArgs;

use super::exit::Failure;

/// Set up a server as an endpoint, and manage its homes.
#[derive(FromArgs)]
#[argh(subcommand, name = "endpoint", example = "{command_name} add-home 'maple street'")]
pub struct EndpointCommand {
    #[argh(subcommand)]
    command: Command,
}

#[derive(FromArgs)]
#[argh(subcommand)]
enum Command {
    Init(init::InitCommand),
    AddHome(homes::AddHomeCommand),
    ListHomes(homes::ListHomesCommand),
    RemoveHome(homes::RemoveHomeCommand),
    RotateKeys(rotate::RotateKeysCommand),
    FinishEnrolment(finish_enrolment::FinishEnrolmentCommand),
    Metrics(metrics::MetricsCommand),
    Health(health::HealthCommand),
}

impl EndpointCommand {
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
            Command::Health(command) => command.execute(),
        }
    }
}
