//! What bursts promise and cost in this home, as answers and in words. No number is rounded in favour of millpond.

use std::fmt;

use serde::Serialize;

use super::{Advice, Direction, RATES_KBIT, RateAdvisor};
use crate::core::burst::odds::BurstOdds;
use crate::core::burst::{BurstParams, BurstRules};
use crate::daemon::rounded::Rounded;
use crate::units::decimals::with_decimals;
use crate::units::{BitsPerSec, Chance, Nanos};

/// The shares of decoys that get a price, in millionths: one in so many quiet slots becomes a burst.
const DECOYS: [u32; 5] = [3_000, 10_000, 30_000, 60_000, 100_000];

/// What an observer learns from bursts. The keys from `bursts_a_day` on are absent while too little was watched.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
#[cfg_attr(any(test, feature = "lab"), derive(serde::Deserialize))]
pub struct BurstAnswer {
    /// Whether one is on.
    pub bursting: bool,
    /// Upload rate in bursts, in kbit/s.
    pub upload_kbit: Rounded,
    /// Download rate in bursts that the endpoint grants, in kbit/s.
    pub download_kbit: Rounded,
    /// Length of a slot in seconds.
    pub slot_s: Rounded,
    /// The probability `linger` in force.
    pub linger_p: Rounded,
    /// How long the devices' need was watched, in days.
    pub watched_days: Rounded,
    /// Bursts that the provider sees on an ordinary day.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bursts_a_day: Option<u64>,
    /// Those of them that are decoys.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub decoys_a_day: Option<u64>,
    /// How sure anyone can be, in percent, that something happened when a burst begins.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub burst_percent: Option<Rounded>,
    /// The same after a burst that lasts as long as the events seen here.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub event_percent: Option<Rounded>,
    /// Mean length of those events in seconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub event_s: Option<Rounded>,
    /// How sure anyone can be, in percent, that nothing happened in a slot that is no burst.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub quiet_percent: Option<Rounded>,
}

/// The price of one share of decoys.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
#[cfg_attr(any(test, feature = "lab"), derive(serde::Deserialize))]
pub struct BurstPrice {
    /// The probability `decoy`.
    pub decoy_p: Rounded,
    /// GB in a month.
    pub month_gb: Rounded,
    /// GB in a month of the flat line on which the listed devices wait no longer; absent if none is fast enough.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub flat_month_gb: Option<Rounded>,
    /// As in the status.
    pub burst_percent: Rounded,
    /// As in the status.
    pub event_percent: Rounded,
}

impl RateAdvisor {
    /// What bursts with these parameters show.
    pub fn bursts(&self, params: &BurstParams, rates: [BitsPerSec; 2], bursting: bool) -> BurstAnswer {
        let BurstParams { rules, .. } = params;
        // An event that was not seen yet may come.
        let most = self.needs.pattern(1).map(|need| BurstOdds::new(rules, &need));
        let least = self.needs.pattern(0).map(|need| BurstOdds::new(rules, &need));
        let [upload_kbit, download_kbit] = rates.map(|rate| Rounded(rate.0 as f64 / 1e3));
        let decoys = least.map(|odds| odds.decoys_a_day as u64);
        BurstAnswer {
            bursting,
            upload_kbit,
            download_kbit,
            slot_s: Rounded(rules.slot.as_secs_f64()),
            linger_p: Rounded(rules.linger.fraction()),
            watched_days: Rounded(self.needs.watched().as_secs_f64() / 86_400.0),
            bursts_a_day: decoys.zip(most).map(|(decoys, most)| decoys + most.real_a_day.ceil() as u64),
            decoys_a_day: decoys,
            burst_percent: most.map(|odds| percent(odds.at_begin)),
            event_percent: most.map(|odds| percent(odds.after_event)),
            event_s: most.map(|_| Rounded(self.needs.event_slots() * rules.slot.as_secs_f64())),
            quiet_percent: least.map(|odds| percent(odds.quiet)),
        }
    }
}

/// The price of bursts for several shares of decoys; empty without bursts, or if too little was watched.
pub(super) fn burst_prices(advice: &Advice<'_>) -> Vec<BurstPrice> {
    let needs = &advice.advisor.needs;
    let (Some(burst), Some(need)) = (advice.settings.line.burst, needs.pattern(1)) else { return Vec::new() };
    let base = &advice.settings.shape;
    let gb = |[up, down]: [BitsPerSec; 2]| BitsPerSec(up.0 + down.0).bytes_in_month() as f64 / 1e9;
    let [quiet_gb, burst_gb] = [gb([base.upload, base.download]), gb([burst.upload, burst.download])];
    let flat = flat_upload(advice, burst.devices, Nanos(2 * burst.slot.0));
    let flat_gb = flat.map(|upload| Rounded(gb([upload.max(base.upload), base.download])));
    let linger = burst.linger.or(needs.linger()).unwrap_or(crate::config::model::Burst::LINGER);
    let price = |decoy| {
        let decoy = Chance(decoy).min(burst.begin);
        let rules = BurstRules { begin: burst.begin, decoy, keep: burst.keep, linger, slot: burst.slot };
        let odds = BurstOdds::new(&rules, &need);
        BurstPrice {
            decoy_p: Rounded(decoy.fraction()),
            month_gb: Rounded(quiet_gb + odds.bursting * (burst_gb - quiet_gb)),
            flat_month_gb: flat_gb,
            burst_percent: percent(odds.at_begin),
            event_percent: percent(odds.after_event),
        }
    };
    DECOYS.into_iter().map(price).collect()
}

/// The lowest upload rate at which the listed devices' packets wait no longer than `wait`, 99 of 100.
fn flat_upload(advice: &Advice<'_>, listed: u64, wait: Nanos) -> Option<BitsPerSec> {
    let delays = || advice.devices.iter().filter(|device| device.number.is_in(listed));
    // Others than these have no delays of their own.
    delays().next()?;
    let is_met = |step: &usize| delays().all(|device| device.delays[Direction::Up as usize][*step].p99 <= wait);
    let lowest = (0..RATES_KBIT.len()).rev().take_while(is_met).last();
    lowest.map(|step| BitsPerSec::from_kbit(RATES_KBIT[step]))
}

impl fmt::Display for BurstPrice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [decoy, gb, burst, event] =
            [(self.decoy_p, 3), (self.month_gb, 0), (self.burst_percent, 1), (self.event_percent, 1)]
                .map(|(number, places)| with_decimals(number.0, places));
        let flat = self.flat_month_gb.map_or("-".to_owned(), |gb| with_decimals(gb.0, 0));
        write!(f, "  decoy {decoy}: {gb} GB a month, {flat} on a flat line with the same delay; ")?;
        write!(f, "no surer than {burst} % from a burst, {event} % after one as long as an event")
    }
}

impl fmt::Display for BurstAnswer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("bounded promise, because bursts are on: ")?;
        let (Some(bursts), Some(decoys), Some(burst), Some(event), Some(event_s), Some(quiet)) = (
            self.bursts_a_day,
            self.decoys_a_day,
            self.burst_percent,
            self.event_percent,
            self.event_s,
            self.quiet_percent,
        ) else {
            return writeln!(f, "how often the devices need one is not known yet, as they were watched for too short");
        };
        writeln!(
            f,
            "of the {bursts} bursts that your provider sees on an ordinary day {decoys} are decoys; from a burst it \
             cannot be surer than {} % that something happened, after one as long as the events here ({} s) not surer \
             than {} %, from a quiet slot not surer than {} % that nothing did",
            with_decimals(burst.0, 1),
            with_decimals(event_s.0.ceil(), 0),
            with_decimals(event.0, 1),
            with_decimals(quiet.0, 3)
        )
    }
}

/// A share in percent, rounded up to the next thousandth.
fn percent(share: f64) -> Rounded {
    Rounded((share * 100_000.0).ceil().min(100_000.0) / 1_000.0)
}
