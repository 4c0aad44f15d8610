//! One run, reduced to what is shown of it.

use std::collections::BTreeMap;
use std::path::Path;

use crate::lab::error::Error;
use crate::lab::flat_line::{Recording, WanCapture};
use crate::lab::stats::Summary;
use crate::lab::trace::Direction;

/// One run: the home's side and the provider's.
pub struct RunView {
    /// Name of the law, or `plain`.
    pub law: String,
    /// In order of name.
    pub devices: Vec<DeviceTraffic>,
    /// What the devices sent (up) and were sent (down): bits of IP packets in each second of the window.
    pub home: [Vec<f64>; 2],
    /// What the provider saw: bits on the wire in each second.
    pub provider: [Vec<f64>; 2],
    /// What the provider saw, in numbers.
    pub lines: [DirectionStats; 2],
    /// How closely the provider's line follows the home's, second by second.
    pub correlation: f64,
    /// Bytes of each tunnel data packet, and how many there were, both ways.
    pub sizes: BTreeMap<usize, usize>,
    /// Milliseconds between neighbours of one direction, both directions.
    pub intervals_ms: Vec<f64>,
}

/// One device, both ways.
pub struct DeviceTraffic {
    /// Its name.
    pub name: String,
    /// Packets sent (up) and sent to it (down).
    pub packets: [usize; 2],
    /// Their IP bytes.
    pub bytes: [u64; 2],
    /// Of all packets, those that never arrived.
    pub lost: usize,
    /// Delay of those that did, in milliseconds.
    pub delay_ms: Summary,
}

/// One direction of the line in numbers.
pub struct DirectionStats {
    /// Data packets.
    pub packets: usize,
    /// Different sizes among them.
    pub sizes: usize,
    /// Handshakes beside them.
    pub handshakes: usize,
    /// Packets outside the tunnel.
    pub strays: usize,
    /// Bits in each second of the window.
    pub bits: Summary,
    /// Between data packets, milliseconds.
    pub interval_ms: Summary,
}

impl RunView {
    /// Reads a run directory.
    pub fn read(folder: &Path) -> Result<RunView, Error> {
        let recording = Recording::read(folder)?;
        let observed = WanCapture::read(&folder.join("wan.pcap"), &recording.settings)?;
        Ok(RunView::new(&recording, &observed))
    }

    /// Reduces a run.
    pub fn new(recording: &Recording, observed: &WanCapture) -> RunView {
        let seconds = (recording.seconds() as usize).max(1);
        let start_ns = recording.settings.start_ns;
        let home = Direction::ALL.map(|direction| {
            let packets = recording.packets.iter().filter(|packet| packet.direction == direction);
            by_second(seconds, start_ns, packets.map(|packet| (packet.sent_ns, f64::from(packet.bytes) * 8.0)))
        });
        let provider = Direction::ALL.map(|direction| {
            let cells = observed.line(direction).cells.iter();
            by_second(seconds, start_ns, cells.map(|(time_ns, bytes)| (*time_ns, *bytes as f64 * 8.0)))
        });
        let lines = Direction::ALL.map(|direction| {
            let line = observed.line(direction);
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
        for (bytes, count) in Direction::ALL.into_iter().flat_map(|direction| observed.line(direction).sizes()) {
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
            intervals_ms: Direction::ALL.iter().flat_map(|way| observed.line(*way).intervals_ms()).collect(),
        }
    }

    /// Within this the correlation of two unrelated lines lies in 19 of 20 runs of the same length.
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

/// Pearson's coefficient; 0 where one of the two does not vary at all.
fn correlation(a: &[f64], b: &[f64]) -> f64 {
    let count = a.len() as f64;
    let (mean_a, mean_b) = (a.iter().sum::<f64>() / count, b.iter().sum::<f64>() / count);
    let product: f64 = a.iter().zip(b).map(|(a, b)| (a - mean_a) * (b - mean_b)).sum();
    let square = |values: &[f64], mean: f64| values.iter().map(|value| (value - mean).powi(2)).sum::<f64>();
    let scale = (square(a, mean_a) * square(b, mean_b)).sqrt();
    if scale > 0.0 { product / scale } else { 0.0 }
}
