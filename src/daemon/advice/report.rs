//! The advice as JSON or blobmsg, and as text.

use std::fmt::Write;

use super::choice::{ADVISED, Confidence};
use super::{Advice, Direction, RATES_KBIT};
use crate::config::model::Level;
use crate::core::what_if::Delay;
use crate::daemon::control::answer::Object;
use crate::units::{BitsPerSec, MONTH_DAYS, Nanos};

/// The monthly cost of a rate.
struct Cost {
    gb: f64,
    cap_percent: Option<f64>,
    /// Price of the data above the cap, or of all data without a cap.
    price: Option<f64>,
}

impl Advice<'_> {
    /// Writes the advice as keys and values; every number's key names its unit.
    pub fn put(&self, top: &mut Object<'_>) {
        top.decimal("watched_s", self.observed_for.as_secs_f64());
        top.number("packets", self.packets().into());
        top.number("missed_packets", self.advisor.missed.into());
        top.text("confidence", self.confidence().name());
        top.text("confidence_text", &self.confidence_text());
        self.settings.data_cap_gb.iter().for_each(|gb| top.number("cap_gb", (*gb).into()));
        self.settings.price_cents.iter().for_each(|cents| top.decimal("price_per_gb", f64::from(*cents) / 100.0));
        top.number("month_days", MONTH_DAYS);
        top.array("steps", 0..RATES_KBIT.len(), |object, step| {
            let kbit = RATES_KBIT[step];
            object.number("kbit", kbit);
            put_cost(object, "", &self.cost(BitsPerSec::from_kbit(kbit)));
            for direction in Direction::ALL {
                let delay = &self.home[direction as usize][step];
                object.object(direction.name(), |object| {
                    put_delay(object, delay);
                    object.decimal("lost_percent", lost_percent(delay));
                });
            }
        });
        top.array("devices", &self.devices, |object, device| {
            object.text("name", device.name);
            object.number("number", device.number.into());
            object.number("tolerance_ms", ms(device.tolerance));
            object.flag("watched_only", device.watched_only);
            for direction in Direction::ALL {
                let name = direction.name();
                object.number(&format!("{name}_packets"), device.offered[direction as usize].into());
                for (key, of) in STATISTICS {
                    let delays = &device.delays[direction as usize];
                    object.numbers(&format!("{name}_{key}_ms"), delays.iter().map(|delay| ms(of(delay))));
                }
                for level in ADVISED {
                    if let Some(step) = device.lowest(direction, level) {
                        object.number(&format!("{}_{name}_kbit", level.name()), RATES_KBIT[step]);
                    }
                }
            }
        });
        top.array("levels", &self.settings.levels, |object, (level, shape)| {
            object.text("level", level.name());
            object.flag("in_force", *level == self.settings.level);
            object.decimal("upload_kbit", shape.upload.0 as f64 / 1e3);
            object.decimal("download_kbit", shape.download.0 as f64 / 1e3);
            put_cost(object, "", &self.cost(BitsPerSec(shape.upload.0 + shape.download.0)));
            if let Some([up, down]) = self.home_delays_at([shape.upload, shape.download]) {
                let worse = if up.p99 > down.p99 { up } else { down };
                put_delay(object, worse);
            }
            object.text("guarantee", guarantee(*level));
            if let Some([upload, download]) = self.advised(*level) {
                object.number("advised_upload_kbit", upload);
                object.number("advised_download_kbit", download);
                put_cost(object, "advised_", &self.cost(BitsPerSec::from_kbit(upload + download)));
            }
        });
    }

    /// The advice as a text.
    pub fn text(&self) -> String {
        let mut out = format!("{}\n", self.confidence_text());
        let or_dash = |known: bool, text: String| if known { text } else { "-".to_owned() };
        _ = writeln!(
            out,
            "\n{:>8} {:>9} {:>7}   {:^32}   {:^32}",
            "", "GB a", "of the", "up: delay in ms, lost", "down: delay in ms, lost"
        );
        _ = writeln!(
            out,
            "{:>8} {:>9} {:>7}   {:>8} {:>8} {:>8} {:>5}   {:>8} {:>8} {:>8} {:>5}",
            "kbit/s", "month", "cap", "mean", "p99", "max", "%", "mean", "p99", "max", "%"
        );
        for (step, kbit) in RATES_KBIT.into_iter().enumerate() {
            let cost = self.cost(BitsPerSec::from_kbit(kbit));
            let share = cost.cap_percent.map_or("-".to_owned(), |share| format!("{share:.1}%"));
            _ = write!(out, "{kbit:>8} {:>9.1} {share:>7}", cost.gb);
            for delays in &self.home {
                let delay = &delays[step];
                let known = delay.packets > 0;
                let reading = |of: Nanos| or_dash(known, format!("{:.0}", of.as_millis_f64()));
                let lost = or_dash(known || delay.lost > 0, format!("{:.1}", lost_percent(delay)));
                let [mean, p99, max] = [delay.mean, delay.p99, delay.max].map(reading);
                _ = write!(out, "   {mean:>8} {p99:>8} {max:>8} {lost:>5}");
            }
            out.push('\n');
        }
        _ = writeln!(out, "\nlowest rates that keep each device within its tolerance, up/down in kbit/s:");
        for device in &self.devices {
            _ = write!(out, "  {}, {:.1} s", device.name, device.tolerance.as_secs_f64());
            for level in ADVISED {
                let rate = |direction| {
                    device.lowest(direction, level).map_or("none".to_owned(), |step| RATES_KBIT[step].to_string())
                };
                let known = device.offered != [0; 2];
                let rates = or_dash(known, format!("{}/{}", rate(Direction::Up), rate(Direction::Down)));
                _ = write!(out, "; {} {rates}", level.name());
            }
            out.push('\n');
        }
        _ = writeln!(out, "\nlevels:");
        for (level, shape) in &self.settings.levels {
            let now = self.cost(BitsPerSec(shape.upload.0 + shape.download.0));
            let mark = if *level == self.settings.level { '*' } else { ' ' };
            let (up, down) = (shape.upload.0 / 1000, shape.download.0 / 1000);
            _ = write!(out, "{mark} {:9} {up}/{down} kbit/s, {now}", level.name());
            if let Some([up, down]) = self.advised(*level) {
                _ = write!(out, "; advised {up}/{down}, {}", self.cost(BitsPerSec::from_kbit(up + down)));
            }
            _ = writeln!(out, "\n            {}", guarantee(*level));
        }
        out.push_str("Rates change only on your command: millpond advise --set LEVEL\n");
        out
    }

    fn cost(&self, rate: BitsPerSec) -> Cost {
        let gb = rate.bytes_in_month() as f64 / 1e9;
        let cap = self.settings.data_cap_gb.map(f64::from);
        let over_cap = (gb - cap.unwrap_or(0.0)).max(0.0);
        Cost {
            gb,
            cap_percent: cap.map(|cap| 100.0 * gb / cap),
            price: self.settings.price_cents.map(|cents| over_cap * f64::from(cents) / 100.0),
        }
    }

    fn confidence_text(&self) -> String {
        let (packets, missed) = (self.packets(), self.advisor.missed);
        let observed_for = match self.observed_for.0 / 1_000_000_000 {
            seconds @ 0..600 => format!("{seconds} s"),
            seconds @ 600..36_000 => format!("{} min", seconds / 60),
            seconds @ 36_000..259_200 => format!("{} h", seconds / 3600),
            seconds => format!("{} days", seconds / 86_400),
        };
        let why = match self.confidence() {
            Confidence::None => "no packets observed, so only the costs below are valid",
            Confidence::Low => "low confidence, as longer delays may still occur; watch for at least a day",
            Confidence::Fair => "fair confidence, as perhaps not every day of the week was seen",
            Confidence::Good => "good confidence, as whole weeks were seen",
        };
        let missed = if missed > 0 { format!(" ({missed} missed)") } else { String::new() };
        format!("observed for {observed_for}, {packets} packets{missed}: {why}")
    }
}

impl Confidence {
    /// The name in reports.
    pub fn name(self) -> &'static str {
        match self {
            Confidence::None => "none",
            Confidence::Low => "low",
            Confidence::Fair => "fair",
            Confidence::Good => "good",
        }
    }
}

impl Direction {
    fn name(self) -> &'static str {
        match self {
            Direction::Up => "upload",
            Direction::Down => "download",
        }
    }
}

impl std::fmt::Display for Cost {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:.0} GB a month", self.gb)?;
        self.cap_percent.map_or(Ok(()), |share| write!(f, ", {share:.0} % of the cap"))?;
        self.price.map_or(Ok(()), |price| write!(f, ", costs {price:.2}"))
    }
}

type Statistic = fn(&Delay) -> Nanos;
const STATISTICS: [(&str, Statistic); 4] =
    [("mean", |d| d.mean), ("median", |d| d.median), ("p99", |d| d.p99), ("max", |d| d.max)];

fn put_delay(object: &mut Object<'_>, delay: &Delay) {
    for (key, of) in STATISTICS {
        object.decimal(&format!("delay_{key}_ms"), of(delay).as_millis_f64());
    }
}

fn put_cost(object: &mut Object<'_>, prefix: &str, cost: &Cost) {
    object.decimal(&format!("{prefix}month_gb"), cost.gb);
    cost.cap_percent.iter().for_each(|share| object.decimal(&format!("{prefix}cap_percent"), *share));
    cost.price.iter().for_each(|price| object.decimal(&format!("{prefix}month_price"), *price));
}

fn lost_percent(delay: &Delay) -> f64 {
    100.0 * f64::from(delay.lost) / f64::from(delay.packets.saturating_add(delay.lost).max(1))
}

fn ms(delay: Nanos) -> u64 {
    delay.0 / 1_000_000
}

/// What a level guarantees for the observed devices.
fn guarantee(level: Level) -> &'static str {
    match level {
        Level::Off => "no guarantee",
        Level::Saver => "each device's packets wait less than its tolerance on average",
        Level::Balanced => "99 of 100 packets of each device wait less than its tolerance",
        Level::Strict => "every observed packet waits less than its device's tolerance; law gamma, spread 33 %",
        Level::Custom => "rates set by you",
    }
}
