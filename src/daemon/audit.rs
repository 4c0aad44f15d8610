//! The audit of the wire: captures the tunnel's packets where they leave, as the provider sees them, and compares them
//! with the promised size, rate and law.

pub mod answer;
mod audits;
mod capture;
mod confined;
mod quotes;
mod report;
mod strays;

pub use self::audits::{AuditView, Audits};
pub use self::quotes::QuoteFinding;
#[cfg(feature = "lab")]
pub use self::quotes::QuoteMonitor;
use crate::core::Pace;
use crate::core::audit::Finding;
pub use crate::tunnel::CapturePoint;
use crate::units::Nanos;

/// The allowed number of packets of one audit.
pub const AUDIT_PACKETS: std::ops::RangeInclusive<u32> = 100..=100_000;
/// The default number of packets: some tens of seconds at the levels' rates, enough to tell one law from another.
pub const DEFAULT_AUDIT_PACKETS: u32 = 2_000;

/// The task of one audit.
#[derive(Clone, Debug)]
pub struct AuditJob {
    /// Tunnel packets, both ways together.
    pub packets: u32,
    /// Where to capture them.
    pub place: CapturePoint,
    /// Expected bytes of each packet at that point.
    pub bytes: u16,
    /// The pace at which this end sends, and that at which the other should; `None` if homes differ or it is unknown.
    pub paces: [Option<Pace>; 2],
    /// Cells in each train of this end and of the other; 1 if homes differ.
    pub trains: [u8; 2],
    /// Expected packets per second, both ways together.
    pub per_second: f64,
    /// The mark bit of shaped devices' packets.
    pub mark: u32,
    /// Whether to look for packets from the router that quote confined devices.
    pub deep: bool,
}

/// The result of an audit.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct AuditReport {
    /// When it ended, in seconds of Unix time; 0 if the clock was not set.
    pub at_unix: u64,
    /// Duration in seconds.
    pub seconds: u32,
    /// Expected bytes of every packet.
    pub bytes: u16,
    /// Packets that carried cells, both ways together.
    pub packets: u64,
    /// WireGuard's handshake messages, whose sizes differ from a cell's.
    pub handshakes: u64,
    /// Packets and connections of shaped devices outside the tunnel.
    pub strays: u64,
    /// The deviations found, one sentence each, without quotes.
    pub faults: Vec<String>,
    /// The packets from the router that quote confined devices; `None` if the audit did not look for them.
    pub quotes: Option<Vec<QuoteFinding>>,
    /// The findings for sent and received packets.
    pub directions: [Option<Finding>; 2],
    /// Lateness of departures since the daemon started.
    pub lateness: Option<LatenessReport>,
}

/// The lateness of departures since the daemon started.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct LatenessReport {
    /// 99th percentile.
    pub p99: Nanos,
    /// Maximum.
    pub max: Nanos,
    /// The result of [`Engine::min_watch_days`](crate::core::Engine::min_watch_days).
    pub min_watch_days: Option<f64>,
}

/// The names of the sent and received directions, by this end's role.
fn direction_names(is_router: bool) -> [&'static str; 2] {
    if is_router { ["upload", "download"] } else { ["download", "upload"] }
}

#[cfg(test)]
mod tests;
