//! The lookup of the endpoint's name, in a forked process.

use std::net::SocketAddr;

use crate::config::model::HostPort;
use crate::sys::resolve;
use crate::sys::worker::WorkerOutput;

/// Looks up `host` in the forked process. The output is one address a line, or `error` and the reason.
pub fn look_up(host: &HostPort) -> WorkerOutput {
    let text = match resolve::resolve(host) {
        Ok(addresses) => addresses.iter().map(|address| format!("{address}\n")).collect(),
        Err(error) => format!("error {error}"),
    };
    WorkerOutput { text, fd: None }
}

/// Parses the output of [`look_up`].
pub fn parse_addresses(text: &str) -> Result<Vec<SocketAddr>, String> {
    match text.strip_prefix("error ") {
        Some(why) => Err(why.to_owned()),
        None => Ok(text.lines().filter_map(|line| line.parse().ok()).collect()),
    }
}
