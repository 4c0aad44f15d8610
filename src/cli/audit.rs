//! `millpond audit`: checks what the provider sees.

use std::path::PathBuf;

use argh::FromArgs;

use super::client::{DaemonAddress, ask_for};
use super::exit::{Failure, WRONG};
use crate::daemon::request::{Format, Request};
use crate::daemon::{DEFAULT_PACKETS, PACKETS};

/// Audit the wire: the running daemon captures the tunnel's packets where they leave, and judges them as the provider
/// could.
#[derive(FromArgs)]
#[argh(subcommand, name = "audit")]
pub struct AuditCommand {
    /// print JSON
    #[argh(switch)]
    json: bool,
    /// number of packets to capture, both ways together, 100..=100000 (default 2000)
    #[argh(option, default = "DEFAULT_PACKETS", from_str_fn(packets))]
    packets: u32,
    /// the daemon's control socket (default: try ubus, then /var/run/millpond.sock)
    #[argh(option)]
    socket: Option<PathBuf>,
    /// the ubus broker's socket
    #[argh(option)]
    ubus: Option<PathBuf>,
}

impl AuditCommand {
    /// Prints the report; fails if it names a fault.
    pub fn execute(self) -> Result<(), Failure> {
        let format = if self.json { Format::Json } else { Format::Text };
        let request = Request::Audit { packets: self.packets, format, waiting: true };
        let report = ask_for(&DaemonAddress { socket: self.socket, ubus: self.ubus }, request)?;
        println!("{}", report.trim_end());
        // The text of `AuditReport::text`, or the JSON.
        let is_good = report.starts_with("all well") || report.contains("\"faults\":[]");
        if is_good { Ok(()) } else { Err(Failure::new(WRONG, "auditing the wire: not as promised: see above")) }
    }
}

fn packets(text: &str) -> Result<u32, String> {
    let count = text.parse().ok().filter(|count| PACKETS.contains(count));
    count.ok_or_else(|| format!("not a valid number of packets: '{text}' (want 100..=100000)"))
}
