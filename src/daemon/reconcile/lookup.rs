//! The lookup of the endpoint's name, in a forked process.

use std::net::SocketAddr;

use crate::config::model::{HostPort, Settings};
#[cfg(feature = "endpoint")]
use crate::sys::own_lookup::OwnResolver;
use crate::sys::resolve;
use crate::sys::worker::WorkerOutput;

/// Who is asked: the system's resolver, or another one.
#[derive(Clone, Debug, PartialEq)]
pub struct LookupWay(#[cfg(feature = "endpoint")] Option<OwnResolver>);

/// How to look up the endpoint of these settings.
#[cfg_attr(not(feature = "endpoint"), expect(unused_variables, reason = "there is one way only"))]
pub fn way(settings: Option<&Settings>) -> LookupWay {
    LookupWay(
        #[cfg(feature = "endpoint")]
        settings.and_then(OwnResolver::from_settings),
    )
}

/// Looks up `host` in the forked process. The output is one address a line, or `error` and the reason.
#[cfg_attr(not(feature = "endpoint"), expect(unused_variables, reason = "there is one way only"))]
pub fn look_up(way: &LookupWay, host: &HostPort) -> WorkerOutput {
    #[cfg(feature = "endpoint")]
    let result = way.0.as_ref().map_or_else(|| resolve::resolve(host), |resolver| resolver.resolve(host));
    #[cfg(not(feature = "endpoint"))]
    let result = resolve::resolve(host);
    let text = match result {
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
