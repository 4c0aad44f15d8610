//! Describes the advice as an answer.

use super::answer::{AdviceAnswer, DeviceAdvice, LevelAdvice, StepAdvice, StepDelays};
use super::bursts::burst_prices;
use super::choice::{Confidence, DeviceDelays};
use super::{Advice, Direction, RATES_KBIT, SHOWN_EVERY};
use crate::config::model::{Level, Shape};
use crate::core::what_if::Delay;
use crate::daemon::rounded::Rounded;
use crate::units::{BitsPerSec, MONTH_DAYS, Nanos};

/// The monthly cost of a rate.
struct Cost {
    gb: Rounded,
    cap_percent: Option<Rounded>,
    price: Option<Rounded>,
}

impl Advice<'_> {
    /// The advice as an answer.
    pub fn answer(&self) -> AdviceAnswer {
        AdviceAnswer {
            watched_s: Rounded(self.observed_for.as_secs_f64()),
            packets: self.packets(),
            missed_packets: self.advisor.missed,
            confidence: self.confidence().name().into(),
            confidence_text: self.confidence_text(),
            cap_gb: self.settings.data_cap_gb,
            price_per_gb: self.settings.price_cents.map(|cents| Rounded(f64::from(cents) / 100.0)),
            month_days: MONTH_DAYS,
            steps: (0..RATES_KBIT.len())
                .skip(SHOWN_EVERY - 1)
                .step_by(SHOWN_EVERY)
                .map(|step| self.step(step))
                .collect(),
            devices: self.devices.iter().map(device).collect(),
            levels: self.settings.levels.iter().map(|(level, shape)| self.level(*level, shape)).collect(),
            bursts: burst_prices(self),
        }
    }

    fn step(&self, step: usize) -> StepAdvice {
        let kbit = RATES_KBIT[step];
        let Cost { gb, cap_percent, price } = self.cost(BitsPerSec::from_kbit(kbit));
        let delays = |direction: Direction| {
            let delay = &self.home[direction as usize][step];
            StepDelays {
                delay_mean_ms: ms(delay.mean),
                delay_median_ms: ms(delay.median),
                delay_p99_ms: ms(delay.p99),
                delay_max_ms: ms(delay.max),
                lost_percent: Rounded(lost_percent(delay)),
                has_delays: delay.packets > 0,
            }
        };
        let (upload, download) = (delays(Direction::Up), delays(Direction::Down));
        StepAdvice { kbit, month_gb: gb, cap_percent, month_price: price, upload, download }
    }

    fn level(&self, level: Level, shape: &Shape) -> LevelAdvice {
        let cost = self.cost(BitsPerSec(shape.upload.0 + shape.download.0));
        let worse = self.home_delays_at([shape.upload, shape.download], shape.cell_bytes);
        let worse = worse.map(|[up, down]| if up.p99 > down.p99 { up } else { down });
        let advised = self.advised(level);
        let advised_cost = advised.map(|advised| self.cost(BitsPerSec::from_kbit(advised.total_kbit())));
        let in_force = &self.settings.shape;
        let in_force_gb = self.cost(BitsPerSec(in_force.upload.0 + in_force.download.0)).gb.0;
        LevelAdvice {
            level: level.name().into(),
            in_force: level == self.settings.level,
            upload_kbit: Rounded(shape.upload.0 as f64 / 1e3),
            download_kbit: Rounded(shape.download.0 as f64 / 1e3),
            month_gb: cost.gb,
            cap_percent: cost.cap_percent,
            month_price: cost.price,
            delay_mean_ms: worse.map(|delay| ms(delay.mean)),
            delay_median_ms: worse.map(|delay| ms(delay.median)),
            delay_p99_ms: worse.map(|delay| ms(delay.p99)),
            delay_max_ms: worse.map(|delay| ms(delay.max)),
            guarantee: guarantee(level).into(),
            advised_upload_kbit: advised.map(|advised| advised.upload_kbit),
            advised_download_kbit: advised.map(|advised| advised.download_kbit),
            advised_cell_bytes: advised.map(|advised| advised.cell_bytes),
            advised_saves_gb: advised_cost.as_ref().map(|cost| Rounded(in_force_gb - cost.gb.0)),
            advised_month_gb: advised_cost.as_ref().map(|cost| cost.gb),
            advised_cap_percent: advised_cost.as_ref().and_then(|cost| cost.cap_percent),
            advised_month_price: advised_cost.as_ref().and_then(|cost| cost.price),
        }
    }

    fn cost(&self, rate: BitsPerSec) -> Cost {
        let gb = rate.bytes_in_month() as f64 / 1e9;
        let cap = self.settings.month_cap_gb();
        let over_cap = (gb - cap.unwrap_or(0.0)).max(0.0);
        Cost {
            gb: Rounded(gb),
            cap_percent: cap.map(|cap| Rounded(100.0 * gb / cap)),
            price: self.settings.price_cents.map(|cents| Rounded(over_cap * f64::from(cents) / 100.0)),
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

fn device(device: &DeviceDelays<'_>) -> DeviceAdvice {
    let lowest = |direction, level| device.lowest(direction, level, &|_| Nanos::ZERO).map(|step| RATES_KBIT[step]);
    let delays = |direction: Direction, of: fn(&Delay) -> Nanos| {
        let shown = device.delays[direction as usize].iter().skip(SHOWN_EVERY - 1).step_by(SHOWN_EVERY);
        shown.map(|delay| of(delay).0 / 1_000_000).collect()
    };
    let [upload_packets, download_packets] = device.offered;
    DeviceAdvice {
        name: device.name.to_owned(),
        number: device.number.0,
        tolerance_ms: device.tolerance.0 / 1_000_000,
        watched_only: device.watched_only,
        upload_packets,
        upload_mean_ms: delays(Direction::Up, |delay| delay.mean),
        upload_median_ms: delays(Direction::Up, |delay| delay.median),
        upload_p99_ms: delays(Direction::Up, |delay| delay.p99),
        upload_max_ms: delays(Direction::Up, |delay| delay.max),
        saver_upload_kbit: lowest(Direction::Up, Level::Saver),
        balanced_upload_kbit: lowest(Direction::Up, Level::Balanced),
        strict_upload_kbit: lowest(Direction::Up, Level::Strict),
        download_packets,
        download_mean_ms: delays(Direction::Down, |delay| delay.mean),
        download_median_ms: delays(Direction::Down, |delay| delay.median),
        download_p99_ms: delays(Direction::Down, |delay| delay.p99),
        download_max_ms: delays(Direction::Down, |delay| delay.max),
        saver_download_kbit: lowest(Direction::Down, Level::Saver),
        balanced_download_kbit: lowest(Direction::Down, Level::Balanced),
        strict_download_kbit: lowest(Direction::Down, Level::Strict),
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

fn ms(delay: Nanos) -> Rounded {
    Rounded(delay.as_millis_f64())
}

fn lost_percent(delay: &Delay) -> f64 {
    100.0 * f64::from(delay.lost) / f64::from(delay.packets.saturating_add(delay.lost).max(1))
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
