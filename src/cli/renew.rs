//! `millpond renew`: retries the connection to the endpoint at once.

use std::path::PathBuf;

use argh::FromArgs;

use super::client::{DaemonAddress, ask_for};
use super::exit::Failure;
use crate::daemon::request::Request;

/// Retry the connection to the endpoint at once: look up its name and, if no cells arrive, start a new handshake. For
/// example after the router's clock was set.
#[derive(FromArgs)]
#[argh(subcommand, name = "renew", example = "{command_name}")]
pub struct RenewCommand {
    /// the daemon's control socket (default: try ubus, then /var/run/millpond.sock)
    #[argh(option)]
    socket: Option<PathBuf>,
    /// the ubus broker's socket
    #[argh(option)]
    ubus: Option<PathBuf>,
}

impl RenewCommand {
    /// Prints the daemon's answer, which does not wait for the endpoint.
    pub fn execute(self) -> Result<(), Failure> {
        print!("{}", ask_for(&DaemonAddress { socket: self.socket, ubus: self.ubus }, Request::Renew)?);
        Ok(())
    }
}
