//! `millpond endpoint health`: the health check of containers and clusters.

use std::path::PathBuf;

use argh::FromArgs;

use crate::cli::client::{DaemonAddress, ask_for};
use crate::cli::control_socket;
use crate::cli::exit::{Failure, UNAVAILABLE};
use crate::daemon::request::Request;

/// The daemon's state without a tunnel: a problem says why.
const BLOCKED: &str = "blocked";

/// Check that the daemon answers and can serve homes, for the health checks of containers. It fails in the state
/// 'blocked'. An endpoint that waits for its homes is healthy.
#[derive(FromArgs)]
#[argh(subcommand, name = "health", example = "{command_name} || echo 'see: millpond status'")]
pub struct HealthCommand {
    /// the daemon's control socket (default /var/run/millpond.sock)
    #[argh(option, default = "control_socket()")]
    socket: PathBuf,
}

impl HealthCommand {
    /// Prints the state.
    pub fn execute(self) -> Result<(), Failure> {
        let state = ask_for(&DaemonAddress { socket: Some(self.socket), ubus: None }, Request::State)?;
        let state = state.trim_end();
        if state == BLOCKED {
            return Err(Failure::new(UNAVAILABLE, "the endpoint is blocked: 'millpond status' says why"));
        }
        println!("{state}");
        Ok(())
    }
}
