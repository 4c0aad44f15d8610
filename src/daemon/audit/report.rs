//! The formats of an audit report: lines between the audit process and the daemon, JSON or blobmsg, and text.

use std::fmt::Write;

use super::{AuditReport, direction_names};
use crate::core::audit::Finding;
use crate::daemon::control::answer::Object;
use crate::units::Nanos;

impl AuditReport {
    /// The report as lines, one item each. Faults come last, so truncation loses only faults.
    pub fn to_text(&self) -> String {
        let AuditReport { at_unix, seconds, bytes, packets, handshakes, strays, faults, directions, lateness: _ } =
            self;
        let mut text = format!("found {at_unix} {seconds} {bytes} {packets} {handshakes} {strays}\n");
        for (index, finding) in directions.iter().enumerate() {
            let Some(finding) = finding else { continue };
            _ = writeln!(
                text,
                "direction {index} {} {} {} {} {} {} {}",
                finding.packets,
                finding.wrong_sizes,
                finding.bits_per_second,
                finding.promised_bits_per_second,
                finding.interval_mean.0,
                finding.interval_max.0,
                finding.fit_p.unwrap_or(f64::NAN)
            );
            finding.sizes.iter().for_each(|(bytes, count)| _ = writeln!(text, "size {index} {bytes} {count}"));
        }
        faults.iter().for_each(|fault| _ = writeln!(text, "fault {fault}"));
        text
    }

    /// Parses the output of [`AuditReport::to_text`]; `None` if it is malformed.
    pub fn from_text(text: &str) -> Option<AuditReport> {
        let mut report = None;
        for line in text.lines() {
            let (key, value) = line.split_once(' ')?;
            if key == "fault" {
                let report: &mut AuditReport = report.as_mut()?;
                report.faults.push(value.to_owned());
                continue;
            }
            let values: Vec<f64> = value.split(' ').filter_map(|word| word.parse().ok()).collect();
            match (key, &values[..]) {
                ("found", [at, seconds, bytes, packets, handshakes, strays]) => {
                    report = Some(AuditReport {
                        at_unix: *at as u64,
                        seconds: *seconds as u32,
                        bytes: *bytes as u16,
                        packets: *packets as u64,
                        handshakes: *handshakes as u64,
                        strays: *strays as u64,
                        ..AuditReport::default()
                    });
                }
                ("direction", [index, packets, wrong, rate, promised, mean, max, p]) => {
                    *report.as_mut()?.directions.get_mut(*index as usize)? = Some(Finding {
                        packets: *packets as u64,
                        wrong_sizes: *wrong as u64,
                        sizes: Vec::new(),
                        bits_per_second: *rate,
                        promised_bits_per_second: *promised,
                        interval_mean: Nanos(*mean as u64),
                        interval_max: Nanos(*max as u64),
                        fit_p: Some(*p).filter(|p| !p.is_nan()),
                    });
                }
                ("size", [index, bytes, count]) => {
                    let finding = report.as_mut()?.directions.get_mut(*index as usize)?.as_mut()?;
                    finding.sizes.push((*bytes as u16, *count as u64));
                }
                _ => return None,
            }
        }
        report
    }

    /// Whether the audit found no fault.
    pub fn passed(&self) -> bool {
        self.faults.is_empty()
    }

    /// Writes the report as keys and values.
    pub fn put(&self, object: &mut Object<'_>, is_router: bool) {
        if self.at_unix > 0 {
            object.number("at_unix", self.at_unix);
        }
        object.number("seconds", self.seconds.into());
        object.number("packets", self.packets);
        object.number("wire_bytes", self.bytes.into());
        object.number("strays", self.strays);
        object.number("handshakes", self.handshakes);
        object.texts("faults", &self.faults);
        for ((finding, name), is_sent) in self.directions.iter().zip(direction_names(is_router)).zip([true, false]) {
            let Some(finding) = finding else { continue };
            object.object(name, |object| {
                put_finding(object, finding);
                if let Some([p99, max]) = self.lateness.filter(|_| is_sent) {
                    object.decimal("lateness_p99_us", p99.0 as f64 / 1e3);
                    object.decimal("lateness_max_us", max.0 as f64 / 1e3);
                }
            });
        }
    }

    /// The report as a text.
    pub fn text(&self, is_router: bool) -> String {
        let mut out = match self.passed() {
            true => format!(
                "no faults: {} packets in {} s, all of {} bytes, nothing outside the tunnel",
                self.packets, self.seconds, self.bytes
            ),
            false => format!("faults found: {} packets in {} s", self.packets, self.seconds),
        };
        _ = writeln!(out, " ({} tunnel handshakes)", self.handshakes);
        self.faults.iter().for_each(|fault| _ = writeln!(out, "  {fault}"));
        for (finding, name) in self.directions.iter().zip(direction_names(is_router)) {
            let Some(finding) = finding else { continue };
            _ = write!(
                out,
                "{name}: {} packets, {:.1} kbit/s, interval {:.1} ms mean, {:.1} ms max",
                finding.packets,
                finding.bits_per_second / 1e3,
                finding.interval_mean.as_millis_f64(),
                finding.interval_max.as_millis_f64()
            );
            if let Some(p) = finding.fit_p {
                _ = write!(out, ", fit to the law p = {p:.3}");
            }
            let sizes: Vec<_> =
                finding.sizes.iter().map(|(bytes, count)| format!("{count} of {bytes} bytes")).collect();
            _ = writeln!(out, "; {}", sizes.join(", "));
        }
        if let Some([p99, max]) = self.lateness {
            let us = |late: Nanos| late.0 as f64 / 1e3;
            _ = writeln!(out, "lateness of departures: {:.0} us p99, {:.0} us max", us(p99), us(max));
        }
        out
    }
}

fn put_finding(object: &mut Object<'_>, finding: &Finding) {
    object.number("packets", finding.packets);
    object.number("wrong_size_packets", finding.wrong_sizes);
    object.array("sizes", &finding.sizes, |object, (bytes, count)| {
        object.number("bytes", (*bytes).into());
        object.number("packets", *count);
    });
    object.decimal("rate_kbit", finding.bits_per_second / 1e3);
    if finding.promised_bits_per_second > 0.0 {
        object.decimal("promised_kbit", finding.promised_bits_per_second / 1e3);
    }
    object.decimal("interval_mean_ms", finding.interval_mean.as_millis_f64());
    object.decimal("interval_max_ms", finding.interval_max.as_millis_f64());
    finding.fit_p.iter().for_each(|p| object.decimal("fit_p", *p));
}
