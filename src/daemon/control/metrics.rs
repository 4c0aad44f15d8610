//! Metrics in Prometheus's text format 0.0.4: totals of all homes, or the numbers of one home on request. They reveal
//! no packet's destination.

use std::fmt::{Display, Write};
use std::net::Ipv4Addr;

use crate::config::model::Settings;
use crate::core::Histogram;
use crate::daemon::dataplane::sessions::Sessions;
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
    pub sessions: &'a Sessions,
    /// The current problems.
    pub problems: &'a [Problem],
    /// The daemon's CPU time and memory, if the kernel reports them.
    pub usage: Option<ResourceUsage>,
    /// How long the daemon has run.
    pub uptime: Nanos,
}

impl Gauges<'_> {
    /// The metrics of all homes together, or of the home with that address inside the tunnel; `None` if there is no
    /// such home.
    pub fn text(&self, home: Option<Ipv4Addr>) -> Option<String> {
        let selected = match home {
            Some(address) => {
                let index = self.sessions.of_peer(address)?;
                &self.sessions.all()[index..=index]
            }
            None => self.sessions.all(),
        };
        let mut text = TextFormat::default();
        let count = |wanted: State| selected.iter().filter(|session| session.state_since().state == wanted).count();
        let states = [State::Starting, State::Shaping, State::Degraded];
        let states = states.map(|state| (format!("state=\"{}\"", state.name()), count(state)));
        text.family("millpond_homes", "gauge", "Homes by state.", &states);

        let (stats, wire) = match (home, selected) {
            (Some(_), [session]) => (session.engine().stats().clone(), session.wire_bytes()),
            _ => self.sessions.sums(),
        };
        let sent = [("kind=\"data\"", stats.cells_data), ("kind=\"cover\"", stats.cells_cover)];
        text.family("millpond_cells_sent_total", "counter", "Cells sent, with and without packets inside.", &sent);
        for (name, help, value) in [
            ("millpond_cells_received_total", "Cells received from homes.", stats.cells_received),
            (
                "millpond_cells_lost_total",
                "Cells from homes that did not arrive, by sequence number.",
                stats.cells_lost,
            ),
            ("millpond_slots_missed_total", "Scheduled departures that were missed.", stats.slots_missed),
            ("millpond_packets_to_homes_total", "Packets accepted for homes.", stats.packets_in),
            ("millpond_packets_from_homes_total", "Packets extracted from homes' cells.", stats.packets_out),
            ("millpond_bytes_to_homes_total", "Bytes of packets accepted for homes.", stats.bytes_in),
            ("millpond_bytes_from_homes_total", "Bytes of packets extracted from homes' cells.", stats.bytes_out),
        ] {
            text.family(name, "counter", help, &[("", value)]);
        }
        let drops = stats.drops.by_cause().map(|(cause, count)| (format!("cause=\"{cause}\""), count));
        text.family("millpond_drops_total", "counter", "Packets and cells dropped, by cause.", &drops);
        text.summary(
            "millpond_lateness_seconds",
            "Time from the scheduled to the actual departure of a cell.",
            &stats.lateness,
        );
        text.summary(
            "millpond_delay_seconds",
            "Time from a packet's arrival to the departure of its last cell.",
            &stats.delay,
        );

        let directions = [("direction=\"to_homes\"", wire[0]), ("direction=\"from_homes\"", wire[1])];
        text.family(
            "millpond_wire_bytes_total",
            "counter",
            "Bytes of cells on the wire, all headers included.",
            &directions,
        );
        let month = self.month_bytes(wire);
        text.family(
            "millpond_month_bytes",
            "gauge",
            "Bytes on the wire in 30 days at the average rate so far.",
            &[("", month)],
        );
        if home.is_none() {
            self.put_server_metrics(&mut text);
        }
        Some(text.0)
    }

    fn put_server_metrics(&self, text: &mut TextFormat) {
        let quota = self.settings.and_then(|settings| settings.data_cap_gb).map(|gb| u64::from(gb) * 1_000_000_000);
        if let Some(quota) = quota {
            let help = "The server's monthly data quota, main.data_cap.";
            text.family("millpond_month_quota_bytes", "gauge", help, &[("", quota)]);
        }
        let severity = |name| self.problems.iter().filter(|problem| problem.code.severity() == name).count();
        let problems = [("severity=\"error\"", severity("error")), ("severity=\"warning\"", severity("warning"))];
        text.family("millpond_problems", "gauge", "Problems that 'millpond status' reports.", &problems);
        if let Some(usage) = self.usage {
            let seconds = usage.processor.as_secs_f64();
            text.family("process_cpu_seconds_total", "counter", "CPU time used.", &[("", seconds)]);
            let bytes = usage.resident_bytes;
            text.family("process_resident_memory_bytes", "gauge", "Memory in use.", &[("", bytes)]);
        }
        text.family(
            "millpond_uptime_seconds",
            "gauge",
            "Time since the daemon started.",
            &[("", self.uptime.as_secs_f64())],
        );
    }

    /// Extrapolates the bytes since the start to a month; cells flow evenly.
    fn month_bytes(&self, wire: [u64; 2]) -> u64 {
        let bytes = u128::from(wire[0]) + u128::from(wire[1]);
        let months = bytes * u128::from(MONTH.0) / u128::from(self.uptime.0.max(1));
        u64::try_from(months).unwrap_or(u64::MAX)
    }
}

/// Writes the text format.
#[derive(Default)]
struct TextFormat(String);

impl TextFormat {
    /// Writes one metric with its values; the first item of each pair holds the labels.
    fn family<L: Display, V: Display>(&mut self, name: &str, kind: &str, help: &str, values: &[(L, V)]) {
        _ = writeln!(self.0, "# HELP {name} {help}\n# TYPE {name} {kind}");
        for (labels, value) in values {
            let labels = labels.to_string();
            _ = match labels.is_empty() {
                true => writeln!(self.0, "{name} {value}"),
                false => writeln!(self.0, "{name}{{{labels}}} {value}"),
            };
        }
    }

    fn summary(&mut self, name: &str, help: &str, histogram: &Histogram) {
        let at = |percent: f64| histogram.percentile(percent).as_secs_f64();
        let quantiles = [("quantile=\"0.5\"", at(50.0)), ("quantile=\"0.99\"", at(99.0))];
        self.family(name, "summary", help, &quantiles);
        let (sum, count) = (Nanos(histogram.sum()).as_secs_f64(), histogram.count());
        _ = writeln!(self.0, "{name}_sum {sum}\n{name}_count {count}");
    }
}
