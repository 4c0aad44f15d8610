//! Numbers for a monitoring system, in Prometheus's text format 0.0.4: totals over all homes, or those of one home that
//! was asked for. Nothing tells where anybody's packets went.

use std::fmt::{Display, Write};
use std::net::Ipv4Addr;

use super::liveness::State;
use super::problem::Problem;
use super::sessions::Sessions;
use crate::config::model::Settings;
use crate::core::Histogram;
use crate::sys::usage::ResourceUsage;
use crate::units::Nanos;

/// What a provider calls a month.
const MONTH: Nanos = Nanos::from_secs(30 * 86_400);

/// All that the numbers are made of.
pub struct Gauges<'a> {
    /// The settings in force, once there are any.
    pub settings: Option<&'a Settings>,
    /// The homes.
    pub sessions: &'a Sessions,
    /// What the operator should know.
    pub problems: &'a [Problem],
    /// What the daemon takes, where the kernel tells.
    pub usage: Option<ResourceUsage>,
    /// How long the daemon has run.
    pub uptime: Nanos,
}

impl Gauges<'_> {
    /// The numbers of all homes together, or of the one with that address inside the tunnel; `None` if there is none.
    pub fn text(&self, home: Option<Ipv4Addr>) -> Option<String> {
        let chosen = match home {
            Some(address) => {
                let index = self.sessions.of_peer(address)?;
                &self.sessions.all()[index..=index]
            }
            None => self.sessions.all(),
        };
        let mut text = Text::default();
        let count = |wanted: State| chosen.iter().filter(|session| session.state_since().state == wanted).count();
        let states = [State::Starting, State::Shaping, State::Degraded];
        let states = states.map(|state| (format!("state=\"{}\"", state.name()), count(state)));
        text.family("millpond_homes", "gauge", "Homes by state.", &states);

        let (stats, wire) = match (home, chosen) {
            (Some(_), [session]) => (session.engine().stats().clone(), session.wire_bytes()),
            _ => self.sessions.sums(),
        };
        let sent = [("kind=\"data\"", stats.cells_data), ("kind=\"cover\"", stats.cells_cover)];
        text.family("millpond_cells_sent_total", "counter", "Cells sent, with and without packets inside.", &sent);
        for (name, help, value) in [
            ("millpond_cells_received_total", "Cells from homes.", stats.cells_received),
            ("millpond_cells_lost_total", "Numbers missing among the cells from homes.", stats.cells_lost),
            ("millpond_slots_missed_total", "Departures that were not kept.", stats.slots_missed),
            ("millpond_packets_to_homes_total", "Packets taken for homes.", stats.packets_in),
            ("millpond_packets_from_homes_total", "Packets out of homes' cells.", stats.packets_out),
            ("millpond_bytes_to_homes_total", "Bytes of packets taken for homes.", stats.bytes_in),
            ("millpond_bytes_from_homes_total", "Bytes of packets out of homes' cells.", stats.bytes_out),
        ] {
            text.family(name, "counter", help, &[("", value)]);
        }
        let drops = stats.drops.by_cause().map(|(cause, count)| (format!("cause=\"{cause}\""), count));
        text.family("millpond_drops_total", "counter", "Packets and cells thrown away, by cause.", &drops);
        text.summary("millpond_lateness_seconds", "From the drawn to the actual departure of a cell.", &stats.lateness);
        text.summary(
            "millpond_delay_seconds",
            "From a packet's arrival to the departure of its last cell.",
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
            "Bytes on the wire that 30 days come to at this pace.",
            &[("", month)],
        );
        if home.is_none() {
            self.of_the_whole(&mut text);
        }
        Some(text.0)
    }

    fn of_the_whole(&self, text: &mut Text) {
        let quota = self.settings.and_then(|settings| settings.data_cap_gb).map(|gb| u64::from(gb) * 1_000_000_000);
        if let Some(quota) = quota {
            let help = "The server's allowance: main.data_cap.";
            text.family("millpond_month_quota_bytes", "gauge", help, &[("", quota)]);
        }
        let severity = |name| self.problems.iter().filter(|problem| problem.code.severity() == name).count();
        let problems = [("severity=\"error\"", severity("error")), ("severity=\"warning\"", severity("warning"))];
        text.family("millpond_problems", "gauge", "What 'millpond status' names as wrong.", &problems);
        if let Some(usage) = self.usage {
            let seconds = usage.processor.as_secs_f64();
            text.family("process_cpu_seconds_total", "counter", "Processor time taken.", &[("", seconds)]);
            let bytes = usage.resident_bytes;
            text.family("process_resident_memory_bytes", "gauge", "Memory in use.", &[("", bytes)]);
        }
        text.family("millpond_uptime_seconds", "gauge", "Age of the daemon.", &[("", self.uptime.as_secs_f64())]);
    }

    /// Cells flow evenly, so that what has passed since the start tells the month.
    fn month_bytes(&self, wire: [u64; 2]) -> u64 {
        let bytes = u128::from(wire[0]) + u128::from(wire[1]);
        let months = bytes * u128::from(MONTH.0) / u128::from(self.uptime.0.max(1));
        u64::try_from(months).unwrap_or(u64::MAX)
    }
}

/// The format.
#[derive(Default)]
struct Text(String);

impl Text {
    /// One metric with its values; the first of each pair is its labels.
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
