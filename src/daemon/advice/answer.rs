//! The answer to `advise`.

mod text;

use std::borrow::Cow;

use serde::Serialize;

use super::bursts::BurstPrice;
use super::choice::AdvisedShape;
use crate::daemon::rounded::Rounded;

/// The delays that other rates would cause to this home's packets, and their costs.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[cfg_attr(any(test, feature = "lab"), derive(serde::Deserialize))]
pub struct AdviceAnswer {
    /// How long packets were observed, in seconds.
    pub watched_s: Rounded,
    /// Packets observed.
    pub packets: u32,
    /// Packets missed.
    pub missed_packets: u32,
    /// `none`, `low`, `fair` or `good`.
    pub confidence: Cow<'static, str>,
    /// The confidence as a sentence.
    pub confidence_text: String,
    /// The data cap in GB (10⁹ bytes) a billing period, if set.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cap_gb: Option<u32>,
    /// The price of a GB, in the owner's currency, if set.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub price_per_gb: Option<Rounded>,
    /// The days of a month.
    pub month_days: u64,
    /// The simulated rates, the lowest first.
    pub steps: Vec<StepAdvice>,
    /// The devices.
    pub devices: Vec<DeviceAdvice>,
    /// The levels of the settings.
    pub levels: Vec<LevelAdvice>,
    /// The prices of bursts for several shares of decoys; absent without bursts, or if too little was watched.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub bursts: Vec<BurstPrice>,
}

/// One simulated rate.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
#[cfg_attr(any(test, feature = "lab"), derive(serde::Deserialize))]
pub struct StepAdvice {
    /// The rate on the wire in kbit/s.
    pub kbit: u64,
    /// GB in a month at this rate.
    pub month_gb: Rounded,
    /// Its share of the cap in percent; absent without a cap.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cap_percent: Option<Rounded>,
    /// Its price in a month: of the data above the cap, or of all data without one; absent without a price.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub month_price: Option<Rounded>,
    /// The home's packets from the devices.
    pub upload: StepDelays,
    /// The home's packets to the devices.
    pub download: StepDelays,
}

/// The delays of the home's packets in one direction at one rate, in milliseconds.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
#[cfg_attr(any(test, feature = "lab"), derive(serde::Deserialize))]
pub struct StepDelays {
    /// Mean delay in milliseconds.
    pub delay_mean_ms: Rounded,
    /// Median delay in milliseconds.
    pub delay_median_ms: Rounded,
    /// 99th percentile of the delay in milliseconds.
    pub delay_p99_ms: Rounded,
    /// Longest delay in milliseconds.
    pub delay_max_ms: Rounded,
    /// Share of the packets that would be lost, in percent.
    pub lost_percent: Rounded,
    /// For the text form: whether any packet was delivered, so that there are delays.
    #[serde(skip)]
    pub has_delays: bool,
}

/// One device. Each array has one delay in milliseconds for each step. A rate in kbit/s is the lowest that keeps the
/// device within its tolerance, as that level promises; it is absent if no step does.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[cfg_attr(any(test, feature = "lab"), derive(serde::Deserialize))]
pub struct DeviceAdvice {
    /// Its name in the settings, or `all others`.
    pub name: String,
    /// The place of its section in the settings; 0 is all others.
    pub number: u16,
    /// Its tolerance in milliseconds.
    pub tolerance_ms: u64,
    /// Whether its packets pass outside the tunnel.
    pub watched_only: bool,
    /// Packets from the device.
    pub upload_packets: u32,
    /// Mean delays of those packets.
    pub upload_mean_ms: Vec<u64>,
    /// Median delays of those packets.
    pub upload_median_ms: Vec<u64>,
    /// 99th percentiles of the delays of those packets.
    pub upload_p99_ms: Vec<u64>,
    /// Longest delays of those packets.
    pub upload_max_ms: Vec<u64>,
    /// The lowest upload rate for level saver.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub saver_upload_kbit: Option<u64>,
    /// The lowest upload rate for level balanced.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub balanced_upload_kbit: Option<u64>,
    /// The lowest upload rate for level strict.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub strict_upload_kbit: Option<u64>,
    /// Packets to the device.
    pub download_packets: u32,
    /// Mean delays of those packets.
    pub download_mean_ms: Vec<u64>,
    /// Median delays of those packets.
    pub download_median_ms: Vec<u64>,
    /// 99th percentiles of the delays of those packets.
    pub download_p99_ms: Vec<u64>,
    /// Longest delays of those packets.
    pub download_max_ms: Vec<u64>,
    /// The lowest download rate for level saver.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub saver_download_kbit: Option<u64>,
    /// The lowest download rate for level balanced.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub balanced_download_kbit: Option<u64>,
    /// The lowest download rate for level strict.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub strict_download_kbit: Option<u64>,
}

/// One level. Delays are those of the worse direction in milliseconds, absent without observed packets. The keys that
/// begin with `advised_` are absent without advice.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[cfg_attr(any(test, feature = "lab"), derive(serde::Deserialize))]
pub struct LevelAdvice {
    /// Its name.
    pub level: Cow<'static, str>,
    /// Whether it is in force.
    pub in_force: bool,
    /// Its upload rate in kbit/s.
    pub upload_kbit: Rounded,
    /// Its download rate in kbit/s.
    pub download_kbit: Rounded,
    /// GB in a month, both directions together.
    pub month_gb: Rounded,
    /// Their share of the cap in percent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cap_percent: Option<Rounded>,
    /// Their price.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub month_price: Option<Rounded>,
    /// Mean delay.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub delay_mean_ms: Option<Rounded>,
    /// Median delay.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub delay_median_ms: Option<Rounded>,
    /// 99th percentile of the delay.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub delay_p99_ms: Option<Rounded>,
    /// Longest delay.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub delay_max_ms: Option<Rounded>,
    /// The level's guarantee for the observed devices.
    pub guarantee: Cow<'static, str>,
    /// The advised upload rate in kbit/s.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub advised_upload_kbit: Option<u64>,
    /// The advised download rate in kbit/s.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub advised_download_kbit: Option<u64>,
    /// The advised maximum size of a cell on the wire, in bytes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub advised_cell_bytes: Option<u16>,
    /// GB in a month at the advised rates.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub advised_month_gb: Option<Rounded>,
    /// Their share of the cap in percent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub advised_cap_percent: Option<Rounded>,
    /// Their price.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub advised_month_price: Option<Rounded>,
    /// GB in a month that they save against the level in force; negative if they cost more.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub advised_saves_gb: Option<Rounded>,
}

/// The answer to `advised`. All keys are absent if the level has no advised rates.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[cfg_attr(any(test, feature = "lab"), derive(serde::Deserialize))]
pub struct AdvisedAnswer {
    /// The advised upload rate in kbit/s.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub upload_kbit: Option<u64>,
    /// The advised download rate in kbit/s.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub download_kbit: Option<u64>,
    /// The advised maximum size of a cell on the wire, in bytes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cell_bytes: Option<u16>,
}

impl AdvisedAnswer {
    /// The answer with this shape.
    pub fn new(shape: Option<AdvisedShape>) -> AdvisedAnswer {
        AdvisedAnswer {
            upload_kbit: shape.map(|shape| shape.upload_kbit),
            download_kbit: shape.map(|shape| shape.download_kbit),
            cell_bytes: shape.map(|shape| shape.cell_bytes),
        }
    }
}
