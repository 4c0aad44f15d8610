//! Counts the bytes on the wire in the billing period, across restarts.

use std::borrow::Cow;
use std::io;
use std::path::{Path, PathBuf};

use serde::Serialize;

use crate::config::model::{CapPeriod, Settings};
use crate::daemon::rounded::Rounded;
use crate::daemon::schedule::calendar::BillingPeriod;
use crate::sys::atomic_file;
use crate::units::Nanos;
use crate::units::decimals::with_decimals;

/// Minimum time between two writes, to spare the flash. A power cut loses at most the count of this time.
const WRITE_INTERVAL: Nanos = Nanos::from_secs(3_600);

/// The owner is warned from this share of the cap on, in percent, regardless of the forecast.
const WARNING_PERCENT: u64 = 90;

const GB: u64 = 1_000_000_000;

/// The bytes counted in the current period, and the file that keeps them.
pub struct DataUsage {
    path: PathBuf,
    /// Start of the count, in seconds of Unix time; `None` until the clock is set.
    since: Option<i64>,
    bytes: u64,
    /// The daemon's byte counter when it was last read.
    last_total: u64,
    /// The bytes last written to the file.
    written: Option<u64>,
    next_write: Nanos,
}

/// The usage of a billing period.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Usage {
    /// Bytes so far.
    pub used: u64,
    /// Bytes expected from now to the end of the period.
    pub expected: u64,
    /// Start of the count, in seconds of Unix time.
    pub since: i64,
    /// The billing period.
    pub period: BillingPeriod,
}

/// The part of the status on the billing period.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[cfg_attr(any(test, feature = "lab"), derive(serde::Deserialize))]
pub struct UsageAnswer {
    /// Bytes on the wire in this period.
    pub used_bytes: u64,
    /// Bytes expected for the whole period.
    pub forecast_bytes: u64,
    /// Start of the count, in seconds of Unix time.
    pub since_unix: u64,
    /// End of the period, in seconds of Unix time.
    pub until_unix: u64,
    /// The length of the period: `day`, `week` or `month`.
    pub cap_period: Cow<'static, str>,
    /// The data cap in bytes; this and the next two are absent without a cap.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cap_bytes: Option<u64>,
    /// Used share of the cap in percent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub share_percent: Option<Rounded>,
    /// Expected share of the cap in percent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub forecast_percent: Option<Rounded>,
    /// The price of a GB (10⁹ bytes), in the owner's currency; this and the next are absent without a price.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub price_per_gb: Option<Rounded>,
    /// The expected price of the data beyond the cap, or of all data without one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub forecast_price: Option<Rounded>,
}

impl DataUsage {
    /// Continues the count in the file at `path`. A missing or malformed file starts at zero.
    pub fn open(path: &Path, now: Nanos) -> DataUsage {
        let text = std::fs::read_to_string(path).unwrap_or_default();
        let number = |key: &str| {
            let line = text.lines().find_map(|line| line.strip_prefix(key));
            line.and_then(|value| value.trim().parse::<u64>().ok())
        };
        let (since, bytes) = (number("since "), number("bytes "));
        let since = since.filter(|_| bytes.is_some()).and_then(|since| i64::try_from(since).ok());
        DataUsage {
            path: path.to_owned(),
            since,
            bytes: bytes.filter(|_| since.is_some()).unwrap_or(0),
            last_total: 0,
            written: bytes,
            next_write: now + WRITE_INTERVAL,
        }
    }

    /// Adds the growth of `total`, the daemon's counter of bytes on the wire.
    pub fn count(&mut self, total: u64) {
        self.bytes = self.bytes.saturating_add(total.saturating_sub(self.last_total));
        self.last_total = total;
    }

    /// Resets the count at the start of a new period. A start in the future came from a wrong clock: the count stays.
    pub fn update_period(&mut self, period: BillingPeriod, unix_s: i64) {
        match self.since {
            None => self.since = Some(unix_s),
            Some(since) if since < period.start => (self.since, self.bytes) = (Some(period.start), 0),
            Some(since) if since >= period.end => self.since = Some(period.start),
            Some(_) => {}
        }
    }

    /// Bytes so far.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Start of the count, in seconds of Unix time; `None` until the clock is set.
    pub fn since(&self) -> Option<i64> {
        self.since
    }

    /// Bytes to the end of the period, at the average rate since the start of the count.
    pub fn extrapolate(&self, period: BillingPeriod, unix_s: i64) -> u64 {
        let since = self.since.unwrap_or(unix_s);
        let (elapsed, remaining) = ((unix_s - since).max(60), (period.end - unix_s).max(0));
        (self.bytes as f64 / elapsed as f64 * remaining as f64) as u64
    }

    /// Whether a write is due. A due write is then recorded as done.
    pub fn poll_due(&mut self, now: Nanos) -> bool {
        let due = now >= self.next_write && self.written != Some(self.bytes);
        if due {
            self.next_write = now + WRITE_INTERVAL;
            self.written = Some(self.bytes);
        }
        due
    }

    /// Writes the file, if anything has been counted.
    pub fn write(&self) -> io::Result<()> {
        match (self.since, self.bytes) {
            (None, _) | (_, 0) => Ok(()),
            (Some(since), bytes) => {
                atomic_file::write(&self.path, format!("since {since}\nbytes {bytes}\n").as_bytes(), 0o600)
            }
        }
    }
}

impl Usage {
    /// Bytes expected for the whole period.
    pub fn forecast(&self) -> u64 {
        self.used.saturating_add(self.expected)
    }

    /// The usage as an answer.
    pub fn answer(&self, settings: &Settings) -> UsageAnswer {
        let cap = settings.data_cap_gb.map(|gb| u64::from(gb) * GB);
        let over_cap = self.forecast().saturating_sub(cap.unwrap_or(0));
        let price = settings.price_cents.map(|cents| f64::from(cents) / 100.0);
        UsageAnswer {
            used_bytes: self.used,
            forecast_bytes: self.forecast(),
            since_unix: self.since.max(0) as u64,
            until_unix: self.period.end.max(0) as u64,
            cap_period: settings.billing.period.name().into(),
            cap_bytes: cap,
            share_percent: cap.map(|cap| percent(self.used, cap)),
            forecast_percent: cap.map(|cap| percent(self.forecast(), cap)),
            price_per_gb: price.map(Rounded),
            forecast_price: price.map(|price| Rounded(over_cap as f64 / GB as f64 * price)),
        }
    }

    /// A warning for the owner that a cap of `cap_gb` GB is exceeded, nearly reached, or forecast to be exceeded.
    pub fn warning(&self, cap_gb: u32, length: CapPeriod) -> Option<String> {
        let cap = u64::from(cap_gb) * GB;
        let cap_gb = format!("main.data_cap {cap_gb} GB a {}", length.name());
        let used = with_decimals(self.used as f64 / GB as f64, 1);
        let forecast = with_decimals(self.forecast() as f64 / GB as f64, 0);
        if self.used >= cap {
            return Some(format!("{cap_gb} is exceeded: {used} GB used in this billing period"));
        }
        let is_near = self.used >= cap / 100 * WARNING_PERCENT;
        (is_near || self.forecast() > cap)
            .then(|| format!("{used} GB of {cap_gb} used; forecast for the billing period: {forecast} GB"))
    }
}

fn percent(part: u64, whole: u64) -> Rounded {
    Rounded(100.0 * part as f64 / whole.max(1) as f64)
}

#[cfg(test)]
mod tests {
    use super::*;

    const JUNE: BillingPeriod = BillingPeriod { start: 1_780_272_000, end: 1_782_864_000 };
    const JULY: BillingPeriod = BillingPeriod { start: 1_782_864_000, end: 1_785_542_400 };

    fn path(name: &str) -> PathBuf {
        std::env::temp_dir().join(format!("millpond-data-usage-{name}-{}", std::process::id()))
    }

    #[test]
    fn the_count_survives_a_restart_and_is_reset_with_the_period() {
        let path = path("goes-on");
        let mut data_usage = DataUsage::open(&path, Nanos::ZERO);
        data_usage.count(500);
        data_usage.write().unwrap();
        assert!(!path.exists(), "the period is unknown until the clock is set");
        data_usage.update_period(JUNE, JUNE.start + 1_000);
        data_usage.count(2_000);
        data_usage.write().unwrap();
        let mut data_usage = DataUsage::open(&path, Nanos::ZERO);
        data_usage.count(300);
        data_usage.update_period(JUNE, JUNE.start + 2_000);
        assert_eq!((data_usage.bytes(), data_usage.since()), (2_300, Some(JUNE.start + 1_000)));
        data_usage.update_period(JULY, JULY.start + 5);
        data_usage.count(350);
        assert_eq!((data_usage.bytes(), data_usage.since()), (50, Some(JULY.start)));
        data_usage.update_period(JUNE, JUNE.start + 2_000);
        assert_eq!(
            (data_usage.bytes(), data_usage.since()),
            (50, Some(JUNE.start)),
            "the clock was wrong, the count is right"
        );
        std::fs::write(&path, "since yesterday\nbytes 7\n").unwrap();
        assert_eq!(DataUsage::open(&path, Nanos::ZERO).bytes(), 0);
        std::fs::remove_file(path).unwrap();
    }

    #[test]
    fn flash_is_written_at_most_once_an_hour() {
        let mut data_usage = DataUsage::open(&path("hourly"), Nanos::ZERO);
        let mut written = 0;
        for second in 0..10 * 3_600 {
            data_usage.count(second * 60_000);
            written += u32::from(data_usage.poll_due(Nanos::from_secs(second)));
        }
        assert_eq!(written, 9);
        data_usage.poll_due(Nanos::from_secs(20 * 3_600));
        assert!(!data_usage.poll_due(Nanos::from_secs(30 * 3_600)), "an unchanged count is not written again");
    }

    #[test]
    fn the_owner_is_warned_before_the_cap_is_reached() {
        let usage =
            |used, expected| Usage { used: used * GB, expected: expected * GB, since: JUNE.start, period: JUNE };
        let usage = |used, expected| usage(used, expected).warning(100, CapPeriod::Month);
        assert_eq!(usage(50, 49), None);
        assert!(usage(10, 145).unwrap().contains("billing period: 155 GB"));
        assert!(usage(91, 1).is_some());
        assert!(usage(100, 1).unwrap().contains("exceeded"));
    }
}
