//! The answers to `audit`, and the part of the status on audits.

use std::borrow::Cow;
use std::fmt;

use serde::Serialize;

use crate::daemon::rounded::Rounded;
use crate::units::decimals::with_decimals;

/// The answer to a request that does not wait for the audit.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
#[cfg_attr(any(test, feature = "lab"), derive(serde::Deserialize))]
pub struct AuditStarted {
    /// Always true.
    pub running: bool,
    /// The requested number of packets.
    pub packets: u32,
    /// Expected duration in seconds.
    pub expected_s: Rounded,
}

/// The part of the status on audits.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[cfg_attr(any(test, feature = "lab"), derive(serde::Deserialize))]
#[serde(untagged)]
pub enum StatusAudit {
    /// The last audit.
    Last(Box<AuditAnswer>),
    /// The first audit is running.
    First {
        /// Always true.
        running: bool,
    },
}

/// The answer to `audited`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[cfg_attr(any(test, feature = "lab"), derive(serde::Deserialize))]
pub struct AuditedAnswer {
    /// `passed` or `faults`; `none` before the first report.
    pub audited: Cow<'static, str>,
}

/// The result of an audit.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[cfg_attr(any(test, feature = "lab"), derive(serde::Deserialize))]
pub struct AuditAnswer {
    /// In the status only: whether another audit is running.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub running: Option<bool>,
    /// In the status only: the age of the result in seconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub age_s: Option<Rounded>,
    /// When the audit ended, in seconds of Unix time; absent if the clock was not set.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub at_unix: Option<u64>,
    /// Duration in seconds.
    pub seconds: u32,
    /// Packets that carried cells, both ways together.
    pub packets: u64,
    /// Expected bytes of every packet.
    pub wire_bytes: u16,
    /// Packets and connections of shaped devices outside the tunnel.
    pub strays: u64,
    /// WireGuard's handshake messages.
    pub handshakes: u64,
    /// The deviations found, one sentence each.
    pub faults: Vec<String>,
    /// Packets from the router that quote confined devices; absent if the audit did not look for them.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub quotes: Option<Vec<QuoteAnswer>>,
    /// The findings from home to endpoint; absent without packets.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub upload: Option<AuditFinding>,
    /// The findings from endpoint to home; absent without packets.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub download: Option<AuditFinding>,
    /// For the text form: whether this end sends the upload.
    #[serde(skip)]
    pub sends_upload: bool,
}

/// Packets from the router outside the tunnel that quote a confined device in one way.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[cfg_attr(any(test, feature = "lab"), derive(serde::Deserialize))]
pub struct QuoteAnswer {
    /// The device's name in the settings, or `a device of network NAME`.
    pub device: String,
    /// What the packets repeat: a name of [`QuoteKind`](crate::core::quotes::QuoteKind).
    pub kind: Cow<'static, str>,
    /// Protocol and destination port.
    pub service: String,
    /// Number of packets.
    pub packets: u64,
}

/// The findings in one direction. The lateness is present in the direction that this end sends.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[cfg_attr(any(test, feature = "lab"), derive(serde::Deserialize))]
pub struct AuditFinding {
    /// Packets captured.
    pub packets: u64,
    /// Packets of another than the promised size.
    pub wrong_size_packets: u64,
    /// The most frequent sizes, at most eight.
    pub sizes: Vec<SizeCount>,
    /// Rate on the wire in kbit/s.
    pub rate_kbit: Rounded,
    /// The promised rate in kbit/s; absent if it is not known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub promised_kbit: Option<Rounded>,
    /// Mean interval in milliseconds.
    pub interval_mean_ms: Rounded,
    /// Longest interval in milliseconds.
    pub interval_max_ms: Rounded,
    /// Probability that the law makes intervals that fit as badly.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fit_p: Option<Rounded>,
    /// 99th percentile of the lateness of departures, in microseconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub lateness_p99_us: Option<Rounded>,
    /// Longest lateness of a departure, in microseconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub lateness_max_us: Option<Rounded>,
    /// For the text form: least number of days for which anyone must watch to tell a busy home from an idle one. The
    /// status has it for each peer.
    #[serde(skip)]
    pub min_watch_days: Option<Rounded>,
}

/// What the lateness of departures means for the home, as a line of text; empty if that is not known.
pub struct WatchDays(pub Option<Rounded>);

/// The number of packets of one size.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[cfg_attr(any(test, feature = "lab"), derive(serde::Deserialize))]
pub struct SizeCount {
    /// The size in bytes.
    pub bytes: u16,
    /// Packets of that size.
    pub packets: u64,
}

impl AuditAnswer {
    /// The answer as a part of the status.
    pub fn in_status(self, running: bool, age_s: Rounded) -> AuditAnswer {
        AuditAnswer { running: Some(running), age_s: Some(age_s), ..self }
    }
}

impl AuditedAnswer {
    /// The answer after an audit without faults.
    pub const PASSED: &'static str = "passed";
    /// There is no report yet.
    pub const NONE: &'static str = "none";

    /// `passed` says whether the last audit found no fault; `None` if there was no audit.
    pub fn new(passed: Option<bool>) -> AuditedAnswer {
        let audited = match passed {
            Some(true) => Self::PASSED,
            Some(false) => "faults",
            None => Self::NONE,
        };
        AuditedAnswer { audited: audited.into() }
    }
}

impl fmt::Display for AuditedAnswer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}", self.audited)
    }
}

impl fmt::Display for AuditAnswer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let AuditAnswer { packets, seconds, wire_bytes, handshakes, .. } = self;
        if self.faults.is_empty() {
            let text = "nothing outside the tunnel";
            write!(f, "no faults: {packets} packets in {seconds} s, all of {wire_bytes} bytes, {text}")?;
        } else {
            write!(f, "faults found: {packets} packets in {seconds} s")?;
        }
        writeln!(f, " ({handshakes} tunnel handshakes)")?;
        self.faults.iter().try_for_each(|fault| writeln!(f, "  {fault}"))?;
        let mut directions = [("upload", &self.upload), ("download", &self.download)];
        if !self.sends_upload {
            directions.reverse();
        }
        for (name, finding) in directions {
            finding.iter().try_for_each(|finding| writeln!(f, "{name}: {finding}"))?;
        }
        for finding in [&self.upload, &self.download].into_iter().flatten() {
            if let (Some(p99), Some(max)) = (finding.lateness_p99_us, finding.lateness_max_us) {
                let [p99, max] = [p99, max].map(|us| with_decimals(us.0, 0));
                write!(f, "lateness of departures: {p99} us p99, {max} us max\n{}", WatchDays(finding.min_watch_days))?;
            }
        }
        Ok(())
    }
}

impl fmt::Display for WatchDays {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Some(Rounded(days)) = self.0 else { return Ok(()) };
        // "At least" must not be rounded up.
        let hours = (days * 24.0) as u64;
        let (count, unit) = if hours < 48 { (hours, "hours") } else { (hours / 24, "days") };
        writeln!(
            f,
            "at this lateness it takes at least {count} {unit} of watching to tell a busy home from an idle one"
        )
    }
}

impl fmt::Display for AuditFinding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [rate, mean, max] =
            [self.rate_kbit, self.interval_mean_ms, self.interval_max_ms].map(|number| with_decimals(number.0, 1));
        write!(f, "{} packets, {rate} kbit/s, interval {mean} ms mean, {max} ms max", self.packets)?;
        self.fit_p.iter().try_for_each(|p| write!(f, ", fit to the law p = {}", with_decimals(p.0, 3)))?;
        f.write_str("; ")?;
        for (index, SizeCount { bytes, packets }) in self.sizes.iter().enumerate() {
            write!(f, "{}{packets} of {bytes} bytes", if index > 0 { ", " } else { "" })?;
        }
        Ok(())
    }
}
