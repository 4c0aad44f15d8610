//! `millpond status`: what is the daemon doing?

use std::path::{Path, PathBuf};

use argh::FromArgs;

use super::SOCKET_PATH;
use super::exit::{Failure, UNAVAILABLE};
use crate::sys::unix_socket;

/// Ask the running daemon what it does.
#[derive(FromArgs)]
#[argh(subcommand, name = "status")]
pub struct Status {
    /// answer in JSON
    #[argh(switch)]
    json: bool,
    /// the daemon's socket (default /var/run/millpond.sock)
    #[argh(option, default = "PathBuf::from(SOCKET_PATH)")]
    socket: PathBuf,
}

impl Status {
    /// Prints the daemon's answer.
    pub fn execute(self) -> Result<(), Failure> {
        let request = if self.json { "status json" } else { "status" };
        print!("{}", ask(&self.socket, request)?);
        Ok(())
    }
}

/// The running daemon's answer to a request.
pub fn ask(socket: &Path, request: &str) -> Result<String, Failure> {
    unix_socket::ask(socket, request).map_err(|e| {
        let hint = "is the service running? try: /etc/init.d/millpond start";
        Failure::new(UNAVAILABLE, format!("asking the daemon at {}: {e}: {hint}", socket.display()))
    })
}
