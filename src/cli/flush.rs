//! `millpond flush`: removes all state of millpond, the guard included.

use std::path::PathBuf;
use std::time::Duration;

use argh::FromArgs;

use super::control_socket;
use super::exit::{Failure, UNAVAILABLE};
use super::run::failure;
use crate::daemon;
use crate::sys::{guard_file, unix_socket};

/// Maximum time to wait for a running daemon's answer.
const DAEMON_TIMEOUT: Duration = Duration::from_secs(20);

/// Remove everything that millpond created, the guard and its file included. The devices' traffic is then no longer
/// protected.
#[derive(FromArgs)]
#[argh(subcommand, name = "flush", example = "/etc/init.d/millpond stop && {command_name}")]
pub struct FlushCommand {
    /// the daemon's control socket (default /var/run/millpond.sock)
    #[argh(option, default = "control_socket()")]
    socket: PathBuf,
    /// file of the guard that is loaded at boot (default: where the firewall loads it)
    #[argh(option, default = "guard_file::default_path()")]
    guard_file: PathBuf,
}

impl FlushCommand {
    /// Prints the removed items. Refuses while the daemon runs, as it would restore everything.
    pub fn execute(self) -> Result<(), Failure> {
        if unix_socket::ask(&self.socket, "status", DAEMON_TIMEOUT).is_ok() {
            let text = "removing millpond's state: the daemon is running: stop it first: /etc/init.d/millpond stop";
            return Err(Failure::new(UNAVAILABLE, text));
        }
        let ops = daemon::flush(&self.guard_file, &self.socket).map_err(failure)?;
        if ops.is_empty() {
            println!("nothing to remove");
        }
        ops.iter().for_each(|op| println!("{op}"));
        Ok(())
    }
}
