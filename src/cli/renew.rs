//! `millpond renew`: look for the endpoint again.

use std::path::PathBuf;

use argh::FromArgs;

use super::client::{DaemonAddress, ask_for};
use super::exit::Failure;
use crate::daemon::request::Request;

/// Have the running daemon try at once what waits: look up the endpoint's name, and where no cells come back, begin
/// with a new handshake. For a router whose clock has just been set.
#[derive(FromArgs)]
#[argh(subcommand, name = "renew")]
pub struct Renew {
    /// the daemon's socket (default: ubus, then /var/run/millpond.sock)
    #[argh(option)]
    socket: Option<PathBuf>,
    /// the socket of ubus's broker
    #[argh(option)]
    ubus: Option<PathBuf>,
}

impl Renew {
    /// Prints the daemon's answer, which does not wait for the endpoint's.
    pub fn execute(self) -> Result<(), Failure> {
        print!("{}", ask_for(&DaemonAddress { socket: self.socket, ubus: self.ubus }, Request::Renew)?);
        Ok(())
    }
}
