//! The figures of one run that the report shows.

use std::collections::BTreeMap;
use std::path::Path;

use crate::lab::error::Error;
use crate::lab::flat_line::{Recording, WanCapture};
use crate::lab::stats::Summary;
use crate::lab::trace::Direction;

/// The home's and the provider's side of one run.
pub struct RunView {
    /// Name of the law, or `plain`.
    pub law: String,
    /// The devices, sorted by name.
    pub devices: Vec<DeviceTraffic>,
    /// IP bits that the devices sent (up) and were sent (down) in each second of the window.
    pub home: [Vec<f64>; 2],
    /// Bits on the wire that the provider saw in each second, up and down.
    pub provider: [Vec<f64>; 2],
    /// Statistics of the provider's view, up and down.
    pub lines: [DirectionStats; 2],
    /// Correlation of the provider's and the home's rate per second, -1..=1.
    pub correlation: f64,
    /// Number of tunnel data packets of each size in bytes, both directions together.
    pub sizes: BTreeMap<usize, usize>,
    /// Intervals in milliseconds between consecutive data packets of a direction, for both directions.
    pub intervals_ms: Vec<f64>,
}

/// The traffic of one device in both directions.
pub struct DeviceTraffic {
    /// Name of the device.
    pub name: String,
    /// Packets from the device (up) and to the device (down).
    pub packets: [usize; 2],
    /// IP bytes of these packets.
    pub bytes: [u64; 2],
    /// Packets of these that never arrived.
    pub lost: usize,
    /// Delay of the other packets, in milliseconds.
    pub delay_ms: Summary,
}

/// Statistics of one direction.
pub struct DirectionStats {
    /// Number of data packets.
    pub packets: usize,
    /// Number of different packet sizes.
    pub sizes: usize,
    /// Number of handshakes.
    pub handshakes: usize,
    /// Number of packets outside the tunnel.
    pub strays: usize,
    /// Bits per second over the window.
    pub bits: Summary,
    /// Intervals between data packets in milliseconds.
    pub interval_ms: Summary,
}

impl RunView {
    /// Reads a run directory.
    pub fn read(folder: &Path) -> Result<RunView, Error> {
        let recording = Recording::read(folder)?;
        let capture = WanCapture::read(&folder.join("wan.pcap"), &recording.settings)?;
        Ok(RunView::new(&recording, &capture))
    }

    /// Computes the figures of a run.
    pub fn new(recording: &Recording, capture: &WanCapture) -> RunView {
        let seconds = (recording.seconds() as usize).max(1);
        let start_ns = recording.settings.start_ns;
        let home = Direction::ALL.map(|direction| {
            let packets = recording.packets.iter().filter(|packet| packet.direction == direction);
            by_second(seconds, start_ns, packets.map(|packet| (packet.sent_ns, f64::from(packet.bytes) * 8.0)))
        });
        let provider = Direction::ALL.map(|direction| {
            let cells = capture.line(direction).cells.iter();
            by_second(seconds, start_ns, cells.map(|(time_ns, bytes)| (*time_ns, *bytes as f64 * 8.0)))
        });
        let lines = Direction::ALL.map(|direction| {
            let line = capture.line(direction);
            DirectionStats {
                packets: line.cells.len(),
                sizes: line.sizes().len(),
                handshakes: line.handshakes,
                strays: line.strays.len(),
                bits: Summary::of(&mut provider[direction as usize].clone()),
                interval_ms: Summary::of(&mut line.intervals_ms()),
            }
        });
        let mut sizes = BTreeMap::new();
        for (bytes, count) in Direction::ALL.into_iter().flat_map(|direction| capture.line(direction).sizes()) {
            *sizes.entry(bytes).or_default() += count;
        }
        RunView {
            law: recording.law_name.clone(),
            devices: devices(recording),
            correlation: correlation(&sum(&home), &sum(&provider)),
            home,
            provider,
            lines,
            sizes,
            intervals_ms: Direction::ALL.iter().flat_map(|direction| capture.line(*direction).intervals_ms()).collect(),
        }
    }

    /// The correlation of two independent rates lies within plus or minus this in 19 of 20 runs of the same length.
    pub fn chance(&self) -> f64 {
        (2.0 / (self.seconds() as f64).sqrt()).min(1.0)
    }

    /// Length of the window in whole seconds.
    pub fn seconds(&self) -> usize {
        self.provider[0].len()
    }
}

fn devices(recording: &Recording) -> Vec<DeviceTraffic> {
    let mut devices: BTreeMap<&str, (DeviceTraffic, Vec<f64>)> = BTreeMap::new();
    for packet in &recording.packets {
        let (device, delays) = devices.entry(&packet.device).or_insert_with(|| {
            let name = packet.device.clone();
            let delay_ms = Summary::default();
            (DeviceTraffic { name, packets: [0; 2], bytes: [0; 2], lost: 0, delay_ms }, Vec::new())
        });
        device.packets[packet.direction as usize] += 1;
        device.bytes[packet.direction as usize] += u64::from(packet.bytes);
        match packet.delay_ms() {
            Some(delay_ms) => delays.push(delay_ms),
            None => device.lost += 1,
        }
    }
    let finish = |(device, mut delays): (DeviceTraffic, Vec<f64>)| {
        let delay_ms = Summary::of(&mut delays);
        DeviceTraffic { delay_ms, ..device }
    };
    devices.into_values().map(finish).collect()
}

fn by_second(seconds: usize, start_ns: u64, amounts: impl Iterator<Item = (u64, f64)>) -> Vec<f64> {
    let mut bins = vec![0.0; seconds];
    for (time_ns, amount) in amounts {
        let second = time_ns.saturating_sub(start_ns) / 1_000_000_000;
        if let Some(bin) = bins.get_mut(second as usize) {
            *bin += amount;
        }
    }
    bins
}

fn sum(both: &[Vec<f64>; 2]) -> Vec<f64> {
    both[0].iter().zip(&both[1]).map(|(up, down)| up + down).collect()
}

/// Pearson's correlation coefficient; 0 if one of the two does not vary.
fn correlation(a: &[f64], b: &[f64]) -> f64 {
    let count = a.len() as f64;
    let (mean_a, mean_b) = (a.iter().sum::<f64>() / count, b.iter().sum::<f64>() / count);
    let product: f64 = a.iter().zip(b).map(|(a, b)| (a - mean_a) * (b - mean_b)).sum();
    let square = |values: &[f64], mean: f64| values.iter().map(|value| (value - mean).powi(2)).sum::<f64>();
    let scale = (square(a, mean_a) * square(b, mean_b)).sqrt();
    if scale > 0.0 { product / scale } else { 0.0 }
}
