//! Features of a device's traffic in windows of time.

use crate::lab::trace::{Direction, PacketRecord, Trace};
use crate::units::Nanos;

/// Packets with a larger gap than this belong to different bursts.
const BURST_GAP: Nanos = Nanos::from_secs(1);

/// The windows of `width` of a trace that contain packets, each with its start. The first window begins with the trace;
/// an incomplete last window is left out.
pub fn windows(trace: &Trace, width: Nanos) -> impl Iterator<Item = (Nanos, &[PacketRecord])> {
    let whole = trace.length().0 / width.0;
    let index = move |packet: &PacketRecord| packet.time.0 / width.0;
    let together = trace.packets.chunk_by(move |a, b| index(a) == index(b));
    together
        .map(move |packets| (index(&packets[0]), packets))
        .filter(move |(index, _)| *index < whole)
        .map(move |(index, packets)| (Nanos(index * width.0), packets))
}

/// The paper's two features: mean and standard deviation of the bytes per sample, both directions together.
pub fn rates(packets: &[PacketRecord], start: Nanos, width: Nanos, sample: Nanos) -> Vec<f32> {
    let bytes = per_sample(packets, start, width, sample);
    let (mean, sd) = mean_and_sd(&bytes);
    vec![mean as f32, sd as f32]
}

/// The features of a stronger adversary: sizes, intervals, directions and bursts.
pub fn features(packets: &[PacketRecord], start: Nanos, width: Nanos) -> Vec<f32> {
    let mut row = Vec::with_capacity(48);
    for direction in Direction::ALL {
        let mut sizes: Vec<f64> = packets
            .iter()
            .filter(|packet| packet.direction == direction)
            .map(|packet| f64::from(packet.bytes))
            .collect();
        let (mean, sd) = mean_and_sd(&sizes);
        let part = |low: f64, high: f64| {
            sizes.iter().filter(|&&size| size >= low && size < high).count() as f64 / sizes.len().max(1) as f64
        };
        let parts = [part(0.0, 80.0), part(80.0, 160.0), part(160.0, 500.0), part(500.0, 1200.0), part(1200.0, 1e9)];
        row.extend([(sizes.len() as f64).ln_1p(), sizes.iter().sum::<f64>().ln_1p(), mean, sd]);
        row.extend(parts);
        sizes.sort_unstable_by(f64::total_cmp);
        row.extend([0.1, 0.5, 0.9, 1.0].map(|part| quantile(&sizes, part)));
        row.extend(commonest(&sizes));
    }
    let mut intervals: Vec<f64> =
        packets.windows(2).map(|pair| (pair[1].time.saturating_since(pair[0].time).as_millis_f64()).ln_1p()).collect();
    let (mean, sd) = mean_and_sd(&intervals);
    intervals.sort_unstable_by(f64::total_cmp);
    row.extend([mean, sd]);
    row.extend([0.1, 0.25, 0.5, 0.75, 0.9, 1.0].map(|part| quantile(&intervals, part)));
    row.extend(bursts(packets));
    let turns = packets.windows(2).filter(|pair| pair[0].direction != pair[1].direction).count();
    row.push(turns as f64 / packets.len().max(1) as f64);
    for sample in [Nanos::from_secs(1), Nanos::from_secs(10)] {
        let bytes = per_sample(packets, start, width, sample);
        let (mean, sd) = mean_and_sd(&bytes);
        let busy = bytes.iter().filter(|&&bytes| bytes > 0.0).count();
        row.extend([sd.ln_1p(), sd / (mean + 1.0), busy as f64 / bytes.len().max(1) as f64]);
    }
    row.into_iter().map(|value| value as f32).collect()
}

fn per_sample(packets: &[PacketRecord], start: Nanos, width: Nanos, sample: Nanos) -> Vec<f64> {
    let mut bytes = vec![0.0; (width.0 / sample.0) as usize];
    for packet in packets {
        if let Some(slot) = bytes.get_mut((packet.time.saturating_since(start).0 / sample.0) as usize) {
            *slot += f64::from(packet.bytes);
        }
    }
    bytes
}

/// Number of bursts, logarithm of their mean and maximum bytes, mean number of packets, and mean length in seconds.
fn bursts(packets: &[PacketRecord]) -> [f64; 5] {
    let mut bytes = Vec::new();
    let mut packet_count = 0.0;
    let mut seconds = 0.0;
    for burst in packets.chunk_by(|a, b| b.time.saturating_since(a.time) <= BURST_GAP) {
        bytes.push(burst.iter().map(|packet| f64::from(packet.bytes)).sum::<f64>());
        packet_count += burst.len() as f64;
        seconds += burst[burst.len() - 1].time.saturating_since(burst[0].time).as_secs_f64();
    }
    let count = bytes.len().max(1) as f64;
    let max = bytes.iter().copied().fold(0.0, f64::max);
    [
        bytes.len() as f64,
        (bytes.iter().sum::<f64>() / count).ln_1p(),
        max.ln_1p(),
        packet_count / count,
        seconds / count,
    ]
}

/// The most frequent value of a sorted sample, its share, and the number of different values.
fn commonest(sorted: &[f64]) -> [f64; 3] {
    let mut best = (0.0, 0);
    let mut distinct = 0;
    for run in sorted.chunk_by(|a, b| a == b) {
        distinct += 1;
        if run.len() > best.1 {
            best = (run[0], run.len());
        }
    }
    [best.0, best.1 as f64 / sorted.len().max(1) as f64, f64::from(distinct)]
}

fn quantile(sorted: &[f64], part: f64) -> f64 {
    let last = sorted.len().saturating_sub(1);
    sorted.get((part * last as f64).round() as usize).copied().unwrap_or(0.0)
}

fn mean_and_sd(values: &[f64]) -> (f64, f64) {
    let count = values.len().max(1) as f64;
    let mean = values.iter().sum::<f64>() / count;
    let variance = values.iter().map(|value| (value - mean).powi(2)).sum::<f64>() / count;
    (mean, variance.sqrt())
}
