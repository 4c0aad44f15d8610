//! `millpond reload`: applies changed settings.

use std::path::PathBuf;

use argh::FromArgs;

use super::client::{DaemonAddress, DaemonAnswer, ask};
use super::exit::{CONFIG, Failure};
use crate::daemon::request::Request;

/// Reload the settings of the running daemon, without interrupting the session.
#[derive(FromArgs)]
#[argh(subcommand, name = "reload", example = "{command_name}")]
pub struct ReloadCommand {
    /// the daemon's control socket (default: try ubus, then /var/run/millpond.sock)
    #[argh(option)]
    socket: Option<PathBuf>,
    /// the ubus broker's socket
    #[argh(option)]
    ubus: Option<PathBuf>,
}

impl ReloadCommand {
    /// Prints the settings now in force, or fails with the reason why the previous ones stay.
    pub fn execute(self) -> Result<(), Failure> {
        match ask(&DaemonAddress { socket: self.socket, ubus: self.ubus }, Request::Reload)? {
            DaemonAnswer::Given(answer) => print!("{answer}"),
            DaemonAnswer::Refused(why) => {
                return Err(Failure::new(CONFIG, format!("reloading: the previous settings stay in force: {why}")));
            }
        }
        Ok(())
    }
}
