//! `millpond devices`: lists the devices and their policies.

use std::path::PathBuf;

use argh::FromArgs;

use super::client::{DaemonAddress, ask_for};
use super::exit::Failure;
use crate::daemon::request::{Format, Request};

/// List every device that the router knows, with policy, addresses and traffic.
#[derive(FromArgs)]
#[argh(subcommand, name = "devices", example = "{command_name}")]
pub struct DevicesCommand {
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

impl DevicesCommand {
    /// Prints the daemon's answer.
    pub fn execute(self) -> Result<(), Failure> {
        let format = if self.json { Format::Json } else { Format::Text };
        let answer = ask_for(&DaemonAddress { socket: self.socket, ubus: self.ubus }, Request::Devices(format))?;
        print!("{answer}");
        Ok(())
    }
}
