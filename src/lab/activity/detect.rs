//! Detects onsets of activity: moments when a device's rate rises above its background.

use serde::Serialize;

use crate::lab::trace::{PacketRecord, Trace};
use crate::units::Nanos;

/// Detects when a device's traffic rises above its background.
///
/// The background is learned from the trace: it is the quantile `background` of the bytes in a sliding window. A window
/// is active if it holds more than `factor` times the background, and more than `floor_bytes` above it. An onset is the
/// start of activity after at least `rest` without any.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Detector {
    /// Length of a sample.
    pub sample: Nanos,
    /// Samples in the sliding window.
    pub window_samples: usize,
    /// Quantile of the windows' bytes that counts as background, 0..1.
    pub background: f64,
    /// Multiple of the background above which a window is active.
    pub factor: f64,
    /// Minimum excess over the background for activity, in bytes per window.
    pub floor_bytes: f64,
    /// Minimum time without activity before another onset.
    pub rest: Nanos,
}

impl Default for Detector {
    fn default() -> Detector {
        Detector {
            sample: Nanos::from_millis(500),
            window_samples: 4,
            background: 0.80,
            factor: 1.5,
            floor_bytes: 400.0,
            rest: Nanos::from_secs(15),
        }
    }
}

/// One period of activity.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Onset {
    /// Time of its first packet, in seconds from the start of the trace.
    pub start_s: f64,
    /// End of its last active window, in seconds from the start of the trace.
    pub end_s: f64,
    /// Bytes of the busiest window.
    pub peak_bytes: f64,
}

/// The bytes of a link over time, in samples of equal length. Samples without packets take no memory, so a recording of
/// any length takes no more than its packets.
#[derive(Clone, Debug, PartialEq)]
pub struct SampledTraffic {
    /// Length of a sample.
    pub sample: Nanos,
    /// Time of the last packet.
    pub length: Nanos,
    /// The samples with packets, in order of time.
    pub samples: Vec<TrafficSample>,
}

/// The packets of one sample.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct TrafficSample {
    /// Index of the sample: its start as a multiple of the sample's length.
    pub index: u64,
    /// Time of its first packet, which is more precise than its start.
    pub first: Nanos,
    /// Bytes up and down.
    pub bytes: [f64; 2],
}

impl SampledTraffic {
    /// Traffic without packets.
    pub fn new(sample: Nanos) -> SampledTraffic {
        SampledTraffic { sample, length: Nanos::ZERO, samples: Vec::new() }
    }

    /// The traffic of a trace.
    pub fn of(trace: &Trace, sample: Nanos) -> SampledTraffic {
        let mut traffic = SampledTraffic::new(sample);
        for packet in &trace.packets {
            traffic.add(packet);
        }
        traffic
    }

    /// Adds a packet, which must not lie in a sample before that of the packet added last.
    pub fn add(&mut self, packet: &PacketRecord) {
        let index = packet.time.0 / self.sample.0;
        if self.samples.last().is_none_or(|last| last.index < index) {
            self.samples.push(TrafficSample { index, first: packet.time, bytes: [0.0; 2] });
        }
        if let Some(last) = self.samples.last_mut() {
            last.bytes[packet.direction as usize] += f64::from(packet.bytes);
            last.first = last.first.min(packet.time);
        }
        self.length = self.length.max(packet.time);
    }
}

impl Detector {
    /// Returns the onsets in a trace, in order of time.
    pub fn onsets(&self, trace: &Trace) -> Vec<Onset> {
        self.onsets_in(&SampledTraffic::of(trace, self.sample))
    }

    /// Returns the onsets in traffic with samples of this detector's length, in order of time.
    pub fn onsets_in(&self, traffic: &SampledTraffic) -> Vec<Onset> {
        let windows = self.windows(traffic);
        let threshold = self.threshold(&windows, traffic.length.0 / self.sample.0 + 1);
        let mut onsets: Vec<Onset> = Vec::new();
        for window in windows.iter().filter(|window| window.bytes > threshold) {
            // The window looks back, so its newest sample alone may have made it active.
            let end_s = Nanos((window.newest + 1) * self.sample.0).as_secs_f64();
            match onsets.last_mut() {
                Some(last) if end_s - last.end_s <= self.rest.as_secs_f64() => {
                    last.end_s = end_s;
                    last.peak_bytes = last.peak_bytes.max(window.bytes);
                }
                _ => onsets.push(Onset { start_s: window.first.as_secs_f64(), end_s, peak_bytes: window.bytes }),
            }
        }
        onsets
    }

    /// Returns the sliding windows that contain packets, in order of time.
    fn windows(&self, traffic: &SampledTraffic) -> Vec<ActivityWindow> {
        let (samples, width) = (&traffic.samples, self.window_samples as u64);
        let last = traffic.length.0 / self.sample.0;
        let mut windows: Vec<ActivityWindow> = Vec::new();
        let mut oldest = 0;
        for (at, sample) in samples.iter().enumerate() {
            // Each window up to the next sample, or until the samples so far have left it.
            let next = samples.get(at + 1).map_or(last + 1, |next| next.index);
            for newest in sample.index..next.min(sample.index + width) {
                while samples[oldest].index + width <= newest {
                    oldest += 1;
                }
                let bytes = samples[oldest..=at].iter().map(|sample| sample.bytes[0] + sample.bytes[1]).sum();
                // A window whose newest sample is empty starts with the first packet after it.
                let first = match samples.get(at + 1) {
                    _ if newest == sample.index => sample.first,
                    Some(next) => next.first,
                    None => Nanos(newest * self.sample.0),
                };
                windows.push(ActivityWindow { newest, first, bytes });
            }
        }
        windows
    }

    /// Returns the bytes per window above which a device is active. `all` is the number of windows, with or without
    /// packets.
    fn threshold(&self, windows: &[ActivityWindow], all: u64) -> f64 {
        let mut bytes: Vec<f64> = windows.iter().map(|window| window.bytes).collect();
        bytes.sort_unstable_by(f64::total_cmp);
        let rank = (self.background * all.saturating_sub(1) as f64).round() as u64;
        let empty = all.saturating_sub(windows.len() as u64);
        let background = rank.checked_sub(empty).and_then(|rank| bytes.get(rank as usize)).copied().unwrap_or(0.0);
        (background * self.factor).max(background + self.floor_bytes)
    }
}

/// A sliding window that contains packets.
struct ActivityWindow {
    /// Index of its newest sample.
    newest: u64,
    /// Time of the first packet in the newest sample or later.
    first: Nanos,
    /// Bytes in the window, both directions together.
    bytes: f64,
}
