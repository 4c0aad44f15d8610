//! `millpond renew`: look for the endpoint again.

use std::path::PathBuf;

use argh::FromArgs;

use super::SOCKET_PATH;
use super::exit::Failure;
use super::status::ask;

/// Have the running daemon try at once what waits: look up the endpoint's name, and where no cells come back, begin
/// with a new handshake. For a router whose clock has just been set.
#[derive(FromArgs)]
#[argh(subcommand, name = "renew")]
pub struct Renew {
    /// the daemon's socket (default /var/run/millpond.sock)
    #[argh(option, default = "PathBuf::from(SOCKET_PATH)")]
    socket: PathBuf,
}

impl Renew {
    /// Prints the daemon's answer, which does not wait for the endpoint's.
    pub fn execute(self) -> Result<(), Failure> {
        print!("{}", ask(&self.socket, "renew")?);
        Ok(())
    }
}
