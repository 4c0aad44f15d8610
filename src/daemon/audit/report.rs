//! The formats of an audit report: lines between the audit process and the daemon, and an answer.

use std::fmt::Write;

use super::answer::{AuditAnswer, AuditFinding, QuoteAnswer, SizeCount};
use super::{AuditReport, QuoteFinding};
use crate::core::audit::Finding;
use crate::core::quotes::QuoteKind;
use crate::daemon::rounded::Rounded;
use crate::units::Nanos;

impl AuditReport {
    /// The report as lines, one item each. Quotes and faults come last, so truncation loses only some of them.
    /// Fractions are written as their bits: to parse decimal fractions takes a table of 10 KB.
    pub fn to_text(&self) -> String {
        let AuditReport { at_unix, seconds, bytes, packets, handshakes, strays, directions, .. } = self;
        let mut text = format!("found {at_unix} {seconds} {bytes} {packets} {handshakes} {strays}\n");
        for (index, finding) in directions.iter().enumerate() {
            let Some(finding) = finding else { continue };
            _ = writeln!(
                text,
                "direction {index} {} {} {} {} {} {} {}",
                finding.packets,
                finding.wrong_sizes,
                finding.bits_per_second.to_bits(),
                finding.promised_bits_per_second.to_bits(),
                finding.interval_mean.0,
                finding.interval_max.0,
                finding.fit_p.unwrap_or(f64::NAN).to_bits()
            );
            finding.sizes.iter().for_each(|(bytes, count)| _ = writeln!(text, "size {index} {bytes} {count}"));
        }
        if let Some(quotes) = &self.quotes {
            text.push_str("quotes \n");
            for QuoteFinding { device, kind, service, packets } in quotes {
                // Each finding is one line, whatever the device's name is.
                let device: String = device.chars().filter(|c| !c.is_control()).collect();
                _ = writeln!(text, "quote {}\t{packets}\t{service}\t{device}", kind.name());
            }
        }
        self.faults.iter().for_each(|fault| _ = writeln!(text, "fault {fault}"));
        text
    }

    /// Parses the output of [`AuditReport::to_text`]; `None` if it is malformed.
    pub fn from_text(text: &str) -> Option<AuditReport> {
        let mut report = None;
        for line in text.lines() {
            let (key, value) = line.split_once(' ')?;
            if matches!(key, "fault" | "quote" | "quotes") {
                let AuditReport { faults, quotes, .. }: &mut AuditReport = report.as_mut()?;
                match key {
                    "fault" => faults.push(value.to_owned()),
                    "quote" => quotes.as_mut()?.push(quote(value)?),
                    _ => *quotes = Some(Vec::new()),
                }
                continue;
            }
            let values: Vec<u64> = value.split(' ').filter_map(|word| word.parse().ok()).collect();
            match (key, &values[..]) {
                ("found", [at, seconds, bytes, packets, handshakes, strays]) => {
                    report = Some(AuditReport {
                        at_unix: *at,
                        seconds: *seconds as u32,
                        bytes: *bytes as u16,
                        packets: *packets,
                        handshakes: *handshakes,
                        strays: *strays,
                        ..AuditReport::default()
                    });
                }
                ("direction", [index, packets, wrong, rate, promised, mean, max, p]) => {
                    *report.as_mut()?.directions.get_mut(*index as usize)? = Some(Finding {
                        packets: *packets,
                        wrong_sizes: *wrong,
                        sizes: Vec::new(),
                        bits_per_second: f64::from_bits(*rate),
                        promised_bits_per_second: f64::from_bits(*promised),
                        interval_mean: Nanos(*mean),
                        interval_max: Nanos(*max),
                        fit_p: Some(f64::from_bits(*p)).filter(|p| !p.is_nan()),
                    });
                }
                ("size", [index, bytes, count]) => {
                    let finding = report.as_mut()?.directions.get_mut(*index as usize)?.as_mut()?;
                    finding.sizes.push((*bytes as u16, *count));
                }
                _ => return None,
            }
        }
        report
    }

    /// Whether the audit found no fault and no quote.
    pub fn passed(&self) -> bool {
        self.sentences().next().is_none()
    }

    /// Everything that was found, one sentence each.
    pub fn sentences(&self) -> impl Iterator<Item = String> {
        self.faults.iter().cloned().chain(self.quotes.iter().flatten().map(QuoteFinding::to_string))
    }

    /// The report as an answer. `is_router` decides which direction this end sends.
    pub fn answer(&self, is_router: bool) -> AuditAnswer {
        let us = |late: Nanos| Rounded(late.0 as f64 / 1e3);
        let [sent, received] = &self.directions;
        let sent = sent.as_ref().map(|sent| AuditFinding {
            lateness_p99_us: self.lateness.map(|lateness| us(lateness.p99)),
            lateness_max_us: self.lateness.map(|lateness| us(lateness.max)),
            min_watch_days: self.lateness.and_then(|lateness| lateness.min_watch_days).map(Rounded),
            ..finding(sent)
        });
        let received = received.as_ref().map(finding);
        let (upload, download) = if is_router { (sent, received) } else { (received, sent) };
        AuditAnswer {
            running: None,
            age_s: None,
            at_unix: Some(self.at_unix).filter(|at| *at > 0),
            seconds: self.seconds,
            packets: self.packets,
            wire_bytes: self.bytes,
            strays: self.strays,
            handshakes: self.handshakes,
            faults: self.sentences().collect(),
            quotes: self.quotes.as_ref().map(|quotes| quotes.iter().map(quote_answer).collect()),
            upload,
            download,
            sends_upload: is_router,
        }
    }
}

fn quote(line: &str) -> Option<QuoteFinding> {
    let mut words = line.splitn(4, '\t');
    let mut word = || words.next();
    let (kind, packets) = (QuoteKind::from_name(word()?)?, word()?.parse().ok()?);
    Some(QuoteFinding { kind, packets, service: word()?.to_owned(), device: word()?.to_owned() })
}

fn quote_answer(quote: &QuoteFinding) -> QuoteAnswer {
    let QuoteFinding { device, kind, service, packets } = quote.clone();
    QuoteAnswer { device, kind: kind.name().into(), service, packets }
}

fn finding(finding: &Finding) -> AuditFinding {
    let promised = Some(finding.promised_bits_per_second).filter(|promised| *promised > 0.0);
    AuditFinding {
        packets: finding.packets,
        wrong_size_packets: finding.wrong_sizes,
        sizes: finding.sizes.iter().map(|(bytes, packets)| SizeCount { bytes: *bytes, packets: *packets }).collect(),
        rate_kbit: Rounded(finding.bits_per_second / 1e3),
        promised_kbit: promised.map(|promised| Rounded(promised / 1e3)),
        interval_mean_ms: Rounded(finding.interval_mean.as_millis_f64()),
        interval_max_ms: Rounded(finding.interval_max.as_millis_f64()),
        fit_p: finding.fit_p.map(Rounded),
        lateness_p99_us: None,
        lateness_max_us: None,
        min_watch_days: None,
    }
}
