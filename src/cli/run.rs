//! `millpond run`: the daemon.

use std::path::PathBuf;

use argh::FromArgs;

use super::exit::{CONFIG, Failure, IO_ERROR, NO_PERMISSION, OS_ERROR};
use super::{CONFIG_PATH, SOCKET_PATH, daemon_log};
use crate::daemon::ubus::BROKER_PATHS;
use crate::daemon::{self, Error, Options};
use crate::sys::guard_file;

/// The file with the data usage; a system upgrade keeps this folder.
const USAGE_PATH: &str = "/etc/millpond/usage";

/// Run the daemon: shape the chosen devices' traffic, as router or endpoint, until SIGTERM or SIGINT.
#[derive(FromArgs)]
#[argh(subcommand, name = "run", example = "{command_name} --config /etc/config/millpond")]
pub struct RunCommand {
    /// settings file (default /etc/config/millpond)
    #[argh(option, default = "CONFIG_PATH.into()")]
    config: String,
    /// the control socket to create (default /var/run/millpond.sock)
    #[argh(option, default = "SOCKET_PATH.into()")]
    socket: String,
    /// the ubus broker's socket (default /var/run/ubus/ubus.sock, then /var/run/ubus.sock)
    #[argh(option)]
    ubus: Option<String>,
    /// file for the guard that is loaded at boot (default: where the firewall loads it)
    #[argh(option, default = "guard_file::default_path()")]
    guard_file: PathBuf,
    /// file for the data usage of the billing period (default /etc/millpond/usage)
    #[argh(option, default = "USAGE_PATH.into()")]
    usage_file: PathBuf,
}

impl RunCommand {
    /// Runs the daemon. procd and systemd collect its log from standard output and standard error.
    pub fn execute(self) -> Result<(), Failure> {
        daemon_log::start();
        #[cfg(feature = "endpoint")]
        super::endpoint::container::check(self.guard_file.parent().unwrap_or(&self.guard_file))?;
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

/// Converts an error of the daemon to a failure with its exit code.
pub fn failure(error: Error) -> Failure {
    let code = match &error {
        Error::Settings(_) | Error::Profile(_) => CONFIG,
        Error::NotRoot => NO_PERMISSION,
        Error::Unreadable { .. } | Error::GuardFile { .. } => IO_ERROR,
        Error::Unfit(_)
        | Error::Desired(_)
        | Error::MinimalGuard(_)
        | Error::NoGuard
        | Error::Apply(_)
        | Error::TunTaken
        | Error::System { .. } => OS_ERROR,
    };
    Failure::new(code, error.to_string())
}
