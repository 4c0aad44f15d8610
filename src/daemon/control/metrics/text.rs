//! Writes metrics in Prometheus's text format 0.0.4.

use std::fmt::{self, Display};

use super::{DurationSummary, Metrics, ServerMetrics};
use crate::units::Seconds;

impl Display for Metrics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let states = self.homes.map(|(state, count)| (format!("state=\"{state}\""), count));
        family(f, "millpond_homes", "gauge", "Homes by state.", &states)?;
        let sent = [("kind=\"data\"", self.cells_data), ("kind=\"cover\"", self.cells_cover)];
        family(f, "millpond_cells_sent_total", "counter", "Cells sent, with and without packets inside.", &sent)?;
        for (name, help, value) in [
            ("millpond_cells_received_total", "Cells received from homes.", self.cells_received),
            ("millpond_cells_lost_total", "Cells from homes that did not arrive, by sequence number.", self.cells_lost),
            ("millpond_slots_missed_total", "Scheduled departures that were missed.", self.slots_missed),
            ("millpond_packets_to_homes_total", "Packets accepted for homes.", self.packets_to_homes),
            ("millpond_packets_from_homes_total", "Packets extracted from homes' cells.", self.packets_from_homes),
            ("millpond_bytes_to_homes_total", "Bytes of packets accepted for homes.", self.bytes_to_homes),
            ("millpond_bytes_from_homes_total", "Bytes of packets extracted from homes' cells.", self.bytes_from_homes),
        ] {
            family(f, name, "counter", help, &[("", value)])?;
        }
        let drops = self.drops.map(|(cause, count)| (format!("cause=\"{cause}\""), count));
        family(f, "millpond_drops_total", "counter", "Packets and cells dropped, by cause.", &drops)?;
        let help = "Time from the scheduled to the actual departure of a cell.";
        summary(f, "millpond_lateness_seconds", help, &self.lateness)?;
        let help = "Time from a packet's arrival to the departure of its last cell.";
        summary(f, "millpond_delay_seconds", help, &self.delay)?;
        let [to_homes, from_homes] = self.wire_bytes;
        let directions = [("direction=\"to_homes\"", to_homes), ("direction=\"from_homes\"", from_homes)];
        let help = "Bytes of cells on the wire, all headers included.";
        family(f, "millpond_wire_bytes_total", "counter", help, &directions)?;
        let help = "Bytes on the wire in 30 days at the average rate so far.";
        family(f, "millpond_month_bytes", "gauge", help, &[("", self.month_bytes)])?;
        self.server.iter().try_for_each(|server| server.fmt(f))
    }
}

impl Display for ServerMetrics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(quota) = self.month_quota_bytes {
            let help = "The server's data quota for a billing period, main.data_cap.";
            family(f, "millpond_month_quota_bytes", "gauge", help, &[("", quota)])?;
        }
        let problems = self.problems.map(|(severity, count)| (format!("severity=\"{severity}\""), count));
        family(f, "millpond_problems", "gauge", "Problems that 'millpond status' reports.", &problems)?;
        if let Some(usage) = self.usage {
            let seconds = Seconds(usage.processor);
            family(f, "process_cpu_seconds_total", "counter", "CPU time used.", &[("", seconds)])?;
            let bytes = usage.resident_bytes;
            family(f, "process_resident_memory_bytes", "gauge", "Memory in use.", &[("", bytes)])?;
        }
        family(f, "millpond_uptime_seconds", "gauge", "Time since the daemon started.", &[("", Seconds(self.uptime))])
    }
}

/// Writes one metric with its values; the first item of each pair holds the labels.
fn family<L: Display, V: Display>(
    f: &mut fmt::Formatter<'_>,
    name: &str,
    kind: &str,
    help: &str,
    values: &[(L, V)],
) -> fmt::Result {
    writeln!(f, "# HELP {name} {help}\n# TYPE {name} {kind}")?;
    for (labels, value) in values {
        let labels = labels.to_string();
        match labels.is_empty() {
            true => writeln!(f, "{name} {value}")?,
            false => writeln!(f, "{name}{{{labels}}} {value}")?,
        }
    }
    Ok(())
}

fn summary(f: &mut fmt::Formatter<'_>, name: &str, help: &str, summary: &DurationSummary) -> fmt::Result {
    let quantiles = [("quantile=\"0.5\"", Seconds(summary.p50)), ("quantile=\"0.99\"", Seconds(summary.p99))];
    family(f, name, "summary", help, &quantiles)?;
    writeln!(f, "{name}_sum {}\n{name}_count {}", Seconds(summary.sum), summary.count)
}
