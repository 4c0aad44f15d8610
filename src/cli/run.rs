//! `millpond run`: the daemon.

use std::path::PathBuf;

use argh::FromArgs;

use super::exit::{CONFIG, Failure, IO_ERROR, NO_PERMISSION, OS_ERROR};
use super::{CONFIG_PATH, SOCKET_PATH, stderr};
use crate::daemon::ubus::BROKER_PATHS;
use crate::daemon::{self, Error, Options};
use crate::sys::guard_file;

/// Where the count of data is kept, among what a system upgrade keeps.
const USAGE_PATH: &str = "/etc/millpond/usage";

/// Shape the chosen devices' traffic, as router or endpoint, until a signal comes.
#[derive(FromArgs)]
#[argh(subcommand, name = "run")]
pub struct Run {
    /// settings file (default /etc/config/millpond)
    #[argh(option, default = "CONFIG_PATH.into()")]
    config: String,
    /// where to listen for the other commands (default /var/run/millpond.sock)
    #[argh(option, default = "SOCKET_PATH.into()")]
    socket: String,
    /// where the broker of ubus listens (default /var/run/ubus/ubus.sock, then /var/run/ubus.sock)
    #[argh(option)]
    ubus: Option<String>,
    /// where to keep the rules that are loaded at boot (default: where the firewall looks for them)
    #[argh(option, default = "guard_file::default_path()")]
    guard_file: PathBuf,
    /// where to keep the count of the billing period's data (default /etc/millpond/usage)
    #[argh(option, default = "USAGE_PATH.into()")]
    usage_file: PathBuf,
}

impl Run {
    /// Runs the daemon; its messages go to stderr, where procd and systemd collect them.
    pub fn execute(self) -> Result<(), Failure> {
        stderr::start_log();
        let brokers = match self.ubus {
            Some(path) => vec![path.into()],
            None => BROKER_PATHS.map(Into::into).to_vec(),
        };
        let options = Options {
            config: self.config.into(),
            socket: self.socket.into(),
            brokers,
            guard_file: self.guard_file,
            usage_file: self.usage_file,
        };
        daemon::run(&options).map_err(failure)
    }
}

/// The exit code that belongs to an error of the daemon.
pub fn failure(error: Error) -> Failure {
    let code = match &error {
        Error::Settings(_) | Error::Profile(_) => CONFIG,
        Error::NotRoot => NO_PERMISSION,
        Error::Unreadable { .. } | Error::GuardFile { .. } => IO_ERROR,
        Error::Unfit(_) | Error::Desired(_) | Error::Apply(_) | Error::TunTaken | Error::System { .. } => OS_ERROR,
    };
    Failure::new(code, error.to_string())
}
