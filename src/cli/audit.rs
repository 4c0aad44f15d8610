//! `millpond audit`: what does the provider see?

use std::path::PathBuf;

use argh::FromArgs;

use super::client::{DaemonAddress, ask_for};
use super::exit::{Failure, WRONG};
use crate::daemon::request::{Format, Request};
use crate::daemon::{DEFAULT_PACKETS, PACKETS};

/// Have the running daemon capture the tunnel's packets where they leave, and judge them as the provider could.
#[derive(FromArgs)]
#[argh(subcommand, name = "audit")]
pub struct Audit {
    /// answer in JSON
    #[argh(switch)]
    json: bool,
    /// how many packets, both ways together, 100..=100000 (default 2000)
    #[argh(option, default = "DEFAULT_PACKETS", from_str_fn(packets))]
    packets: u32,
    /// the daemon's socket (default: ubus, then /var/run/millpond.sock)
    #[argh(option)]
    socket: Option<PathBuf>,
    /// the socket of ubus's broker
    #[argh(option)]
    ubus: Option<PathBuf>,
}

impl Audit {
    /// Prints what was found.
    pub fn execute(self) -> Result<(), Failure> {
        let format = if self.json { Format::Json } else { Format::Text };
        let request = Request::Audit { packets: self.packets, format, waiting: true };
        let found = ask_for(&DaemonAddress { socket: self.socket, ubus: self.ubus }, request)?;
        println!("{}", found.trim_end());
        // As the daemon words it on either channel.
        let is_good = found.starts_with("all well") || found.contains("\"faults\":[]");
        if is_good { Ok(()) } else { Err(Failure::new(WRONG, "auditing the wire: not as promised: see above")) }
    }
}

fn packets(text: &str) -> Result<u32, String> {
    let count = text.parse().ok().filter(|count| PACKETS.contains(count));
    count.ok_or_else(|| format!("no number of packets: '{text}' (want 100..=100000)"))
}
