//! The check of the wire: what the provider sees of this line, captured where it leaves, against what was promised.

mod capture;
mod report;
mod strays;

use std::net::IpAddr;

pub use self::capture::{check, expected, limit};
use crate::core::Pace;
use crate::core::audit::Finding;
use crate::units::Nanos;

/// The least and the most packets of one check, and how many it is if nobody says.
pub const PACKETS: std::ops::RangeInclusive<u32> = 100..=100_000;
/// At the rates of the levels, some tens of seconds; enough to tell a law from another.
pub const DEFAULT_PACKETS: u32 = 2_000;

/// What is to be checked.
#[derive(Clone, Debug)]
pub struct AuditJob {
    /// Tunnel packets, both ways together.
    pub packets: u32,
    /// Where they are to be seen.
    pub place: CapturePoint,
    /// Bytes of each there.
    pub bytes: u16,
    /// How this end sends, and how the other should; `None` where homes differ, or do not say.
    pub paces: [Option<Pace>; 2],
    /// Packets that should pass in a second, both ways.
    pub per_second: f64,
    /// The bit of the mark that shaped devices' packets bear.
    pub mark: u32,
}

/// Where the tunnel's packets can be told from others.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CapturePoint {
    /// Outside: WireGuard's, to and from an address, or any, and a UDP port.
    Wire {
        /// The other end.
        peer: Option<IpAddr>,
        /// Its port, or this end's where the peer is any.
        port: u16,
    },
    /// Inside, on the tunnel interface: for tunnels whose packets outside are not known.
    Interface(String),
}

/// What was found.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct AuditReport {
    /// When, in seconds after 1970; 0 while the clock is not set.
    pub at_unix: u64,
    /// How long it took.
    pub seconds: u32,
    /// Bytes that every packet should have.
    pub bytes: u16,
    /// Packets that carried cells, both ways.
    pub packets: u64,
    /// WireGuard's handshakes, which have sizes of their own.
    pub handshakes: u64,
    /// Packets and connections of shaped devices beside the tunnel.
    pub strays: u64,
    /// What is wrong, one sentence for each.
    pub faults: Vec<String>,
    /// As this end sends, and as packets come in.
    pub directions: [Option<Finding>; 2],
    /// How late cells left so far: 99 in 100 less than the first, none more than the second.
    pub lateness: Option<[Nanos; 2]>,
}

/// The names of the directions, by this end's role as `is_router`.
fn names(is_router: bool) -> [&'static str; 2] {
    if is_router { ["upload", "download"] } else { ["download", "upload"] }
}

#[cfg(test)]
mod tests;
