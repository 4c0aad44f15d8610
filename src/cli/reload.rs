//! `millpond reload`: bring changed settings into force.

use std::path::PathBuf;

use argh::FromArgs;

use super::client::{Answer, DaemonAddress, ask};
use super::exit::{CONFIG, Failure};
use crate::daemon::request::Request;

/// Have the running daemon read its settings again, in place.
#[derive(FromArgs)]
#[argh(subcommand, name = "reload")]
pub struct Reload {
    /// the daemon's socket (default: ubus, then /var/run/millpond.sock)
    #[argh(option)]
    socket: Option<PathBuf>,
    /// the socket of ubus's broker
    #[argh(option)]
    ubus: Option<PathBuf>,
}

impl Reload {
    /// Says that the settings are in force, or why those before still are.
    pub fn execute(self) -> Result<(), Failure> {
        match ask(&DaemonAddress { socket: self.socket, ubus: self.ubus }, Request::Reload)? {
            Answer::Given(answer) => print!("{answer}"),
            Answer::Refused(why) => {
                return Err(Failure::new(CONFIG, format!("reloading: the settings before stay in force: {why}")));
            }
        }
        Ok(())
    }
}
