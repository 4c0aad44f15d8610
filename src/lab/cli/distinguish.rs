//! `millpond-lab distinguish`: do the tunnel's packets differ between two conditions?

use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use argh::FromArgs;

use crate::lab::distinguish::tunnel::{self, TunnelAddresses, TunnelCapture};
use crate::lab::distinguish::{self, Condition, DistinguishOptions, compare, read_events};
use crate::lab::error::Error;
use crate::law::MAX_TRAIN;

/// Tests whether two captures of the tunnel, taken on the provider's side under different conditions, can be told
/// apart. With --events, compares the times of events in one capture with the rest. Exit code 1 if they can be told
/// apart.
#[derive(FromArgs)]
#[argh(subcommand, name = "distinguish")]
pub(super) struct DistinguishCommand {
    /// two captures (pcap, pcapng), or one with --events
    #[argh(positional)]
    captures: Vec<PathBuf>,
    /// file of events in the capture: lines `start_s` or `start_s,end_s`, in seconds from its first tunnel packet
    #[argh(option)]
    events: Option<PathBuf>,
    /// seconds after an event that still count as its time (default: 5)
    #[argh(option, default = "5.0")]
    reach: f64,
    /// WAN address of the home's router (default: detected in the capture)
    #[argh(option)]
    router: Option<IpAddr>,
    /// address of the tunnel's endpoint (default: detected in the capture)
    #[argh(option)]
    endpoint: Option<IpAddr>,
    /// cells that leave together, 1 to 64: one number, or `UP,DOWN` (default: 1)
    #[argh(option, default = "[1; 2]", from_str_fn(trains))]
    train: [u8; 2],
    /// accepted probability of a false alarm over all tests together (default: 0.01)
    #[argh(option, default = "DistinguishOptions::default().alpha")]
    alpha: f64,
    /// skip the random forest
    #[argh(switch)]
    no_forest: bool,
    /// print JSON
    #[argh(switch)]
    json: bool,
    /// folder for an SVG figure
    #[argh(option)]
    svg: Option<PathBuf>,
    /// seed of the forest and of the shuffles (default: 1)
    #[argh(option, default = "1")]
    seed: u64,
}

fn trains(text: &str) -> Result<[u8; 2], String> {
    let (up, down) = text.split_once(',').unwrap_or((text, text));
    let train = |text: &str| text.trim().parse().ok().filter(|cells| (1..=MAX_TRAIN).contains(cells));
    let both = train(up).zip(train(down)).map(|(up, down)| [up, down]);
    both.ok_or_else(|| format!("`{text}` is not a number of cells from 1 to {MAX_TRAIN}, or two such as `4,8`"))
}

impl DistinguishCommand {
    pub(super) fn run(self) -> Result<ExitCode, Error> {
        if !(self.alpha > 0.0 && self.alpha < 1.0) {
            return Err(Error::Request(format!("distinguish: --alpha: must be between 0 and 1, got {}", self.alpha)));
        }
        if !(self.reach >= 0.0 && self.reach < 1e9) {
            return Err(Error::Request(format!(
                "distinguish: --reach: must be a number of seconds from 0 to 1e9, got {}",
                self.reach
            )));
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
                    // Without a handshake, the choice of the router's address is a guess: use one guess for both
                    // captures.
                    b = self.read(second, Some(a.addresses))?;
                } else if a.addresses != b.addresses {
                    eprintln!(
                        "millpond-lab: the tunnel's addresses differ: {} and {} in the first capture, {} and {} in \
                         the second",
                        a.addresses.router, a.addresses.endpoint, b.addresses.router, b.addresses.endpoint
                    );
                }
                let names = [first, second].map(|path| path.display().to_string());
                let [a, b] = [&a, &b].map(|tunnel| Condition::whole(tunnel).by_train(self.train));
                compare([&names[0], &names[1]], &a, &b, options)?
            }
            ([capture], Some(events)) => {
                let tunnel = self.read(capture, None)?;
                let first_ns = tunnel.cells.first().map_or(0, |cell| cell.time_ns);
                let (quiet, eventful) = Condition::split(&tunnel, &read_events(events, first_ns, self.reach)?);
                let [quiet, eventful] = [quiet, eventful].map(|condition| condition.by_train(self.train));
                compare(["quiet times", "times of events"], &quiet, &eventful, options)?
            }
            _ => {
                return Err(Error::Request(
                    "distinguish: give two captures, or one capture and --events; see --help".to_owned(),
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
                return Err(Error::Request("distinguish: give both --router and --endpoint, or neither".to_owned()));
            }
        };
        let tunnel = tunnel::read(path, addresses)?;
        if let Some(damage) = &tunnel.damage {
            eprintln!("millpond-lab: {damage}");
        }
        Ok(tunnel)
    }
}
