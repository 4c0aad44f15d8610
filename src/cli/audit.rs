//! `millpond audit`: checks what the provider sees.

use std::path::PathBuf;

use argh::FromArgs;

use super::client::{DaemonAddress, ask_for};
use super::exit::{AUDIT_FAULT, Failure, UNAVAILABLE};
use crate::daemon::answers::AuditedAnswer;
use crate::daemon::request::{AuditOptions, Format, Request};
use crate::daemon::{AUDIT_PACKETS, DEFAULT_AUDIT_PACKETS};

/// Audit the wire: the running daemon captures the tunnel's packets where they leave, and judges them as the provider
/// could.
#[derive(FromArgs)]
#[argh(subcommand, name = "audit", example = "{command_name} --deep --packets 10000")]
pub struct AuditCommand {
    /// print JSON
    #[argh(switch)]
    json: bool,
    /// number of packets to capture, both ways together, 100..=100000 (default 2000)
    #[argh(option, default = "DEFAULT_AUDIT_PACKETS", from_str_fn(packets))]
    packets: u32,
    /// also look for packets from the router that quote a shaped or blocked device
    #[argh(switch)]
    deep: bool,
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
        let options = AuditOptions { packets: self.packets, deep: self.deep };
        let request = Request::Audit { options, format, waiting: true };
        let address = DaemonAddress { socket: self.socket, ubus: self.ubus };
        println!("{}", ask_for(&address, request)?.trim_end());
        match ask_for(&address, Request::Audited)?.trim_end() {
            AuditedAnswer::PASSED => Ok(()),
            AuditedAnswer::NONE => {
                let why = "auditing the wire: the daemon has started again since the report above: repeat the audit";
                Err(Failure::new(UNAVAILABLE, why))
            }
            _ => Err(Failure::new(AUDIT_FAULT, "auditing the wire: found faults: see the report above")),
        }
    }
}

fn packets(text: &str) -> Result<u32, String> {
    let count = text.parse().ok().filter(|count| AUDIT_PACKETS.contains(count));
    count.ok_or_else(|| format!("not a valid number of packets: '{text}' (want 100..=100000)"))
}
