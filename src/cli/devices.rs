//! `millpond devices`: who is at home, and what becomes of each?

use std::path::PathBuf;

use argh::FromArgs;

use super::client::{DaemonAddress, ask_for};
use super::exit::Failure;
use crate::daemon::request::{Format, Request};

/// Ask the running daemon for every device that the router knows.
#[derive(FromArgs)]
#[argh(subcommand, name = "devices")]
pub struct Devices {
    /// answer in JSON
    #[argh(switch)]
    json: bool,
    /// the daemon's socket (default: ubus, then /var/run/millpond.sock)
    #[argh(option)]
    socket: Option<PathBuf>,
    /// the socket of ubus's broker
    #[argh(option)]
    ubus: Option<PathBuf>,
}

impl Devices {
    /// Prints the daemon's answer.
    pub fn execute(self) -> Result<(), Failure> {
        let format = if self.json { Format::Json } else { Format::Text };
        let answer = ask_for(&DaemonAddress { socket: self.socket, ubus: self.ubus }, Request::Devices(format))?;
        print!("{answer}");
        Ok(())
    }
}
