//! `millpond status`: shows the daemon's status.

#[cfg(feature = "endpoint")]
mod watch;

use std::path::PathBuf;

use argh::FromArgs;

use super::client::{DaemonAddress, DaemonAnswer, ask};
use super::exit::{Failure, UNAVAILABLE};
use super::{CONFIG_PATH, service};
use crate::daemon::request::{Format, Request};

/// Show the status of the running daemon: state, rates, sessions and problems.
#[derive(FromArgs)]
#[argh(subcommand, name = "status", example = "{command_name} --json")]
pub struct StatusCommand {
    /// print JSON
    #[argh(switch)]
    json: bool,
    /// show a page that renews itself every second, with the rates on the wire and those of the devices
    #[cfg(feature = "endpoint")]
    #[argh(switch)]
    watch: bool,
    /// the daemon's control socket (default: try ubus, then /var/run/millpond.sock)
    #[argh(option)]
    socket: Option<PathBuf>,
    /// the ubus broker's socket
    #[argh(option)]
    ubus: Option<PathBuf>,
    /// settings file, to say why no daemon runs (default /etc/config/millpond)
    #[argh(option)]
    config: Option<PathBuf>,
}

impl StatusCommand {
    /// Prints the daemon's answer. Without a daemon the error says whether millpond is off, and what to do.
    pub fn execute(self) -> Result<(), Failure> {
        let format = if self.json { Format::Json } else { Format::Text };
        // A daemon at another address may have other settings.
        let is_default = self.socket.is_none() && self.ubus.is_none();
        let config = self.config.or(is_default.then(|| CONFIG_PATH.into()));
        #[cfg(feature = "endpoint")]
        if self.watch {
            return watch::run(&DaemonAddress {
                socket: self.socket.or_else(|| Some(super::control_socket())),
                ubus: None,
            });
        }
        match ask(&DaemonAddress { socket: self.socket, ubus: self.ubus }, Request::Status(format)) {
            Ok(DaemonAnswer::Given(answer)) => {
                print!("{answer}");
                Ok(())
            }
            Ok(DaemonAnswer::Refused(why)) => Err(Failure::new(UNAVAILABLE, format!("asking the daemon: {why}"))),
            Err(failure) => {
                let why = config.as_deref().and_then(service::why_off);
                Err(why.map_or(failure, |why| Failure::new(UNAVAILABLE, why)))
            }
        }
    }
}
