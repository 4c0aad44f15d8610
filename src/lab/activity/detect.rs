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

impl Detector {
    /// Returns the onsets in a trace, in order of time.
    pub fn onsets(&self, trace: &Trace) -> Vec<Onset> {
        let bytes = self.rate(trace);
        let threshold = self.threshold(&bytes);
        let mut onsets: Vec<Onset> = Vec::new();
        for at in 0..bytes.len() {
            let active = self.windowed(&bytes, at);
            if active <= threshold {
                continue;
            }
            // The window looks back, so its newest sample alone may have made it active.
            let end_s = self.seconds(at + 1);
            match onsets.last_mut() {
                Some(last) if end_s - last.end_s <= self.rest.as_secs_f64() => {
                    last.end_s = end_s;
                    last.peak_bytes = last.peak_bytes.max(active);
                }
                _ => onsets.push(Onset { start_s: self.first_packet(trace, at), end_s, peak_bytes: active }),
            }
        }
        onsets
    }

    /// Returns the bytes in each sample of the trace, both directions together.
    pub fn rate(&self, trace: &Trace) -> Vec<f64> {
        let mut bytes = vec![0.0; (trace.length().0 / self.sample.0) as usize + 1];
        for event in &trace.packets {
            bytes[(event.time.0 / self.sample.0) as usize] += f64::from(event.bytes);
        }
        bytes
    }

    /// Returns the bytes per window above which a device is active.
    fn threshold(&self, bytes: &[f64]) -> f64 {
        let mut windows: Vec<f64> = (0..bytes.len()).map(|at| self.windowed(bytes, at)).collect();
        windows.sort_unstable_by(f64::total_cmp);
        let rank = (self.background * windows.len().saturating_sub(1) as f64).round() as usize;
        let background = windows.get(rank).copied().unwrap_or(0.0);
        (background * self.factor).max(background + self.floor_bytes)
    }

    fn windowed(&self, bytes: &[f64], at: usize) -> f64 {
        bytes[(at + 1).saturating_sub(self.window_samples)..=at].iter().sum()
    }

    /// Returns the time of the sample's first packet, which is more precise than the sample's start.
    fn first_packet(&self, trace: &Trace, sample: usize) -> f64 {
        let start = Nanos(sample as u64 * self.sample.0);
        let index = trace.packets.partition_point(|event: &PacketRecord| event.time < start);
        trace.packets.get(index).map_or(start, |event| event.time).as_secs_f64()
    }

    fn seconds(&self, samples: usize) -> f64 {
        Nanos(samples as u64 * self.sample.0).as_secs_f64()
    }
}
