//! `millpond status`: what is the daemon doing?

use std::path::PathBuf;

use argh::FromArgs;

use super::ask::{Ways, ask_for};
use super::exit::Failure;
use crate::daemon::request::{Form, Request};

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
        let form = if self.json { Form::Json } else { Form::Text };
        let answer = ask_for(&Ways { socket: self.socket, ubus: self.ubus }, Request::Status(form))?;
        print!("{answer}");
        Ok(())
    }
}
