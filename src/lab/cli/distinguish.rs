//! `millpond-lab distinguish`: does the tunnel give anything away?

use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use argh::FromArgs;

use crate::lab::distinguish::tunnel::{self, TunnelAddresses, TunnelCapture};
use crate::lab::distinguish::{self, Condition, DistinguishOptions, compare, read_events};
use crate::lab::error::Error;

/// Tells how well two captures of the tunnel, taken by the provider under different conditions, can be told apart; or,
/// with --events, the times of events in one capture from the rest. Exit code 1 if they are told apart.
#[derive(FromArgs)]
#[argh(subcommand, name = "distinguish")]
pub(super) struct DistinguishCommand {
    /// two captures (pcap, pcapng), or one with --events
    #[argh(positional)]
    captures: Vec<PathBuf>,
    /// events in the one capture: lines `start_s` or `start_s,end_s`, in seconds from its first tunnel packet
    #[argh(option)]
    events: Option<PathBuf>,
    /// how long after an event it may still show, in seconds (default: 5)
    #[argh(option, default = "5.0")]
    reach: f64,
    /// address of the home on the Internet (default: found in the capture)
    #[argh(option)]
    router: Option<IpAddr>,
    /// address of the tunnel's other end (default: found in the capture)
    #[argh(option)]
    endpoint: Option<IpAddr>,
    /// accepted probability of a false alarm over all tests together (default: 0.01)
    #[argh(option, default = "DistinguishOptions::default().alpha")]
    alpha: f64,
    /// leave the random forest out
    #[argh(switch)]
    no_forest: bool,
    /// print JSON
    #[argh(switch)]
    json: bool,
    /// folder for a figure as SVG
    #[argh(option)]
    svg: Option<PathBuf>,
    /// seed of the forest and of the shuffles
    #[argh(option, default = "1")]
    seed: u64,
}

impl DistinguishCommand {
    pub(super) fn run(self) -> Result<ExitCode, Error> {
        if !(self.alpha > 0.0 && self.alpha < 1.0) {
            return Err(Error::Request(format!("distinguish: --alpha: {} is not between 0 and 1", self.alpha)));
        }
        if !(self.reach >= 0.0 && self.reach < 1e9) {
            return Err(Error::Request(format!("distinguish: --reach: {} is not a number of seconds", self.reach)));
        }
        let options = DistinguishOptions {
            alpha: self.alpha,
            forest: !self.no_forest,
            seed: self.seed,
            ..DistinguishOptions::default()
        };
        let report = match (self.captures.as_slice(), &self.events) {
            ([first, second], None) => {
                let (a, mut b) = (self.read(first, None)?, self.read(second, None)?);
                if b.addresses == a.addresses.swapped() {
                    // Without a handshake in a capture, which end is the home's is a guess: one guess serves both.
                    b = self.read(second, Some(a.addresses))?;
                } else if a.addresses != b.addresses {
                    eprintln!(
                        "millpond-lab: the tunnel's addresses differ: {} and {} in the first capture, {} and {} in the second",
                        a.addresses.router, a.addresses.endpoint, b.addresses.router, b.addresses.endpoint
                    );
                }
                let names = [first, second].map(|path| path.display().to_string());
                compare([&names[0], &names[1]], &Condition::whole(&a), &Condition::whole(&b), options)?
            }
            ([capture], Some(events)) => {
                let tunnel = self.read(capture, None)?;
                let first_ns = tunnel.cells.first().map_or(0, |cell| cell.time_ns);
                let (quiet, eventful) = Condition::apart(&tunnel, &read_events(events, first_ns, self.reach)?);
                compare(["quiet times", "times of events"], &quiet, &eventful, options)?
            }
            _ => {
                return Err(Error::Request(
                    "distinguish: give two captures, or one and --events; see --help".to_owned(),
                ));
            }
        };
        if self.json {
            println!("{}", serde_json::to_string_pretty(&report).unwrap_or_default());
        } else {
            distinguish::print(&report);
        }
        if let Some(folder) = &self.svg {
            eprintln!("figure: {}", distinguish::draw(&report, folder)?.display());
        }
        Ok(if report.told_apart { ExitCode::FAILURE } else { ExitCode::SUCCESS })
    }

    fn read(&self, path: &Path, addresses: Option<TunnelAddresses>) -> Result<TunnelCapture, Error> {
        let addresses = match (self.router, self.endpoint) {
            (Some(router), Some(endpoint)) => Some(TunnelAddresses { router, endpoint }),
            (None, None) => addresses,
            _ => {
                return Err(Error::Request("distinguish: --router and --endpoint go together".to_owned()));
            }
        };
        let tunnel = tunnel::read(path, addresses)?;
        if let Some(damage) = &tunnel.damage {
            eprintln!("millpond-lab: {damage}");
        }
        Ok(tunnel)
    }
}
