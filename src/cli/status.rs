//! `millpond status`: shows the daemon's status.

use std::path::PathBuf;

use argh::FromArgs;

use super::client::{DaemonAddress, ask_for};
use super::exit::Failure;
use crate::daemon::request::{Format, Request};

/// Show the status of the running daemon: state, rates, sessions and problems.
#[derive(FromArgs)]
#[argh(subcommand, name = "status")]
pub struct StatusCommand {
    /// print JSON
    #[argh(switch)]
    json: bool,
    /// the daemon's control socket (default: try ubus, then /var/run/millpond.sock)
    #[argh(option)]
    socket: Option<PathBuf>,
    /// the ubus broker's socket
    #[argh(option)]
    ubus: Option<PathBuf>,
}

impl StatusCommand {
    /// Prints the daemon's answer.
    pub fn execute(self) -> Result<(), Failure> {
        let format = if self.json { Format::Json } else { Format::Text };
        let answer = ask_for(&DaemonAddress { socket: self.socket, ubus: self.ubus }, Request::Status(format))?;
        print!("{answer}");
        Ok(())
    }
}
