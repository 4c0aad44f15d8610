//! `millpond status`: what is the daemon doing?

use std::path::PathBuf;

use argh::FromArgs;

use super::client::{DaemonAddress, ask_for};
use super::exit::Failure;
use crate::daemon::request::{Format, Request};

/// Ask the running daemon what it does.
#[derive(FromArgs)]
#[argh(subcommand, name = "status")]
pub struct Status {
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

impl Status {
    /// Prints the daemon's answer.
    pub fn execute(self) -> Result<(), Failure> {
        let format = if self.json { Format::Json } else { Format::Text };
        let answer = ask_for(&DaemonAddress { socket: self.socket, ubus: self.ubus }, Request::Status(format))?;
        print!("{answer}");
        Ok(())
    }
}
