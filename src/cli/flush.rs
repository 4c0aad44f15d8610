//! `millpond flush`: leave nothing of millpond behind, the guard included.

use std::path::PathBuf;
use std::time::Duration;

use argh::FromArgs;

use super::SOCKET_PATH;
use super::exit::{Failure, UNAVAILABLE};
use super::run::failure;
use crate::daemon;
use crate::sys::{guard_file, unix_socket};

/// A daemon that does not answer for so long is not there.
const DAEMON_TIMEOUT: Duration = Duration::from_secs(20);

/// Remove everything that millpond made, the guard and its file included: devices then go out as without millpond.
#[derive(FromArgs)]
#[argh(subcommand, name = "flush")]
pub struct Flush {
    /// the daemon's socket (default /var/run/millpond.sock)
    #[argh(option, default = "PathBuf::from(SOCKET_PATH)")]
    socket: PathBuf,
    /// the rules that are loaded at boot (default: where the firewall looks for them)
    #[argh(option, default = "guard_file::default_path()")]
    guard_file: PathBuf,
}

impl Flush {
    /// Prints what was removed. Refuses while a daemon runs: it would put everything back.
    pub fn execute(self) -> Result<(), Failure> {
        if unix_socket::ask(&self.socket, "status", DAEMON_TIMEOUT).is_ok() {
            let text = "removing what millpond made: the daemon is running: stop it first: /etc/init.d/millpond stop";
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
