//! Metrics: totals of all homes, or the numbers of one home on request. They reveal no
//! packet's destination.

mod text;

use std::net::Ipv4Addr;

use crate::config::model::Settings;
use crate::core::{Histogram, Stats};
use crate::daemon::dataplane::session_report::SessionReport;
use crate::daemon::problem::Problem;
use crate::daemon::state::State;
use crate::sys::usage::ResourceUsage;
use crate::units::Nanos;

/// The month of a provider's data quota.
const MONTH: Nanos = Nanos::from_secs(30 * 86_400);

/// The sources of the metrics.
pub struct Gauges<'a> {
    /// The settings in force, if any.
    pub settings: Option<&'a Settings>,
    /// The homes.
    pub sessions: &'a [SessionReport],
    /// The sums of the homes that were removed: statistics, and bytes on the wire of their cells, sent and received.
    pub removed: &'a (Stats, [u64; 2]),
    /// The current problems.
    pub problems: &'a [Problem],
    /// The daemon's CPU time and memory, if the kernel reports them.
    pub usage: Option<ResourceUsage>,
    /// How long the daemon has run.
    pub uptime: Nanos,
}

/// The numbers of all homes together, or of one home.
#[derive(Clone, Debug, PartialEq)]
pub struct Metrics {
    /// Number of homes by state.
    pub homes: [(&'static str, usize); 3],
    /// Cells sent with packets inside.
    pub cells_data: u64,
    /// Cells sent without packets inside.
    pub cells_cover: u64,
    /// Cells received from homes.
    pub cells_received: u64,
    /// Cells from homes that did not arrive.
    pub cells_lost: u64,
    /// Scheduled departures that were missed.
    pub slots_missed: u64,
    /// Packets accepted for homes.
    pub packets_to_homes: u64,
    /// Packets extracted from homes' cells.
    pub packets_from_homes: u64,
    /// Bytes of the packets accepted for homes.
    pub bytes_to_homes: u64,
    /// Bytes of the packets extracted from homes' cells.
    pub bytes_from_homes: u64,
    /// Packets and cells dropped, by cause.
    pub drops: [(&'static str, u64); 11],
    /// From the scheduled to the actual departure of a cell.
    pub lateness: DurationSummary,
    /// From a packet's arrival to the departure of its last cell.
    pub delay: DurationSummary,
    /// Bytes of cells on the wire to homes and from homes, all headers included.
    pub wire_bytes: [u64; 2],
    /// Bytes on the wire in 30 days at the average rate so far.
    pub month_bytes: u64,
    /// The server's own numbers; `None` if the metrics are those of one home.
    pub server: Option<ServerMetrics>,
}

/// The numbers of the server.
#[derive(Clone, Debug, PartialEq)]
pub struct ServerMetrics {
    /// The monthly data quota in bytes, if one is set.
    pub month_quota_bytes: Option<u64>,
    /// Number of problems by severity.
    pub problems: [(&'static str, usize); 2],
    /// The daemon's CPU time and memory, if the kernel reports them.
    pub usage: Option<ResourceUsage>,
    /// How long the daemon has run.
    pub uptime: Nanos,
}

/// Durations.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct DurationSummary {
    /// The median.
    pub p50: Nanos,
    /// The 99th percentile.
    pub p99: Nanos,
    /// The sum.
    pub sum: Nanos,
    /// The number of durations.
    pub count: u64,
}

impl Gauges<'_> {
    /// The metrics of all homes together, or of the home with that address inside the tunnel; `None` if there is no
    /// such home.
    pub fn collect(&self, home: Option<Ipv4Addr>) -> Option<Metrics> {
        let selected = match home {
            Some(address) => std::slice::from_ref(self.sessions.iter().find(|session| session.peer == address)?),
            None => self.sessions,
        };
        let (mut stats, mut wire_bytes) = if home.is_none() { self.removed.clone() } else { Default::default() };
        for session in selected {
            stats.add(&session.stats);
            wire_bytes = [wire_bytes[0] + session.wire_bytes[0], wire_bytes[1] + session.wire_bytes[1]];
        }
        let count = |wanted: State| selected.iter().filter(|session| session.state_since.state == wanted).count();
        Some(Metrics {
            homes: [State::Starting, State::Shaping, State::Degraded].map(|state| (state.name(), count(state))),
            cells_data: stats.cells_data,
            cells_cover: stats.cells_cover,
            cells_received: stats.cells_received,
            cells_lost: stats.cells_lost,
            slots_missed: stats.slots_missed,
            packets_to_homes: stats.packets_in,
            packets_from_homes: stats.packets_out,
            bytes_to_homes: stats.bytes_in,
            bytes_from_homes: stats.bytes_out,
            drops: stats.drops.by_cause(),
            lateness: summary(&stats.lateness),
            delay: summary(&stats.delay),
            wire_bytes,
            month_bytes: self.month_bytes(wire_bytes),
            server: home.is_none().then(|| self.server()),
        })
    }

    fn server(&self) -> ServerMetrics {
        let quota = self.settings.and_then(|settings| settings.data_cap_gb);
        let severity = |name| self.problems.iter().filter(|problem| problem.code.severity() == name).count();
        ServerMetrics {
            month_quota_bytes: quota.map(|gb| u64::from(gb) * 1_000_000_000),
            problems: ["error", "warning"].map(|name| (name, severity(name))),
            usage: self.usage,
            uptime: self.uptime,
        }
    }

    /// Extrapolates the bytes since the start to a month; cells flow evenly.
    fn month_bytes(&self, wire: [u64; 2]) -> u64 {
        let bytes = u128::from(wire[0]) + u128::from(wire[1]);
        let months = bytes * u128::from(MONTH.0) / u128::from(self.uptime.0.max(1));
        u64::try_from(months).unwrap_or(u64::MAX)
    }
}

fn summary(histogram: &Histogram) -> DurationSummary {
    DurationSummary {
        p50: histogram.percentile(50.0),
        p99: histogram.percentile(99.0),
        sum: Nanos(histogram.sum()),
        count: histogram.count(),
    }
}
