//! The figures of the page.

use super::svg::{Axis, Plot, Scale, number};
use super::{Comparison, View};

const WIDE: f64 = 960.0;
const HALF: f64 = 470.0;
const SIZE_BIN_BYTES: usize = 32;
const MOST_BYTES: usize = 1600;
const BINS_PER_DECADE: f64 = 5.0;

/// One row of what the home did or the provider saw, over time.
pub(super) fn over_time(series: &[Vec<f64>; 2], seconds: usize, most_bits: f64, title: &str) -> String {
    let x = Axis::exactly("seconds", seconds as f64);
    let y = Axis::up_to("kbit/s", most_bits / 1e3);
    let mut plot = Plot::new(WIDE, 190.0, x, y);
    for (class, bits) in ["down", "up"].into_iter().zip([&series[1], &series[0]]) {
        let points: Vec<_> =
            bits.iter().take(seconds).enumerate().map(|(at, bits)| (at as f64 + 0.5, bits / 1e3)).collect();
        plot.line(class, &points);
    }
    plot.finish(title)
}

/// The largest rate in any of the three rows, so that they share a scale.
pub(super) fn most_bits(comparison: &Comparison) -> f64 {
    let Comparison { plain, shaped } = comparison;
    let all = [&shaped.home, &plain.provider, &shaped.provider];
    all.into_iter().flatten().flatten().copied().fold(1.0, f64::max)
}

/// Shares of packet sizes.
pub(super) fn sizes(view: &View, class: &str) -> String {
    let mut counts = vec![0usize; MOST_BYTES / SIZE_BIN_BYTES];
    for (bytes, count) in &view.sizes {
        counts[(bytes / SIZE_BIN_BYTES).min(MOST_BYTES / SIZE_BIN_BYTES - 1)] += count;
    }
    let bins = counts.iter().enumerate().map(|(index, count)| {
        let (from, to) = (index * SIZE_BIN_BYTES, (index + 1) * SIZE_BIN_BYTES);
        (from as f64, to as f64, *count, format!("{from} to {} bytes", to - 1))
    });
    shares(Axis::up_to("bytes on the wire", MOST_BYTES as f64), bins.collect(), class, "Share of packet sizes")
}

/// Shares of intervals, on a logarithmic scale.
pub(super) fn intervals(view: &View, class: &str) -> String {
    let (least, most) = (0.01, 10_000.0);
    let decades = f64::log10(most / least);
    let mut counts = vec![0usize; (decades * BINS_PER_DECADE).round() as usize];
    for interval in &view.intervals_ms {
        let bin = (interval.max(least) / least).log10() * BINS_PER_DECADE;
        let last = counts.len() - 1;
        counts[(bin as usize).min(last)] += 1;
    }
    let edge = |index: usize| least * 10f64.powf(index as f64 / BINS_PER_DECADE);
    let bins = counts.iter().enumerate().map(|(index, count)| {
        let (from, to) = (edge(index), edge(index + 1));
        (from, to, *count, format!("{} to {} ms", number(from), number(to)))
    });
    shares(Axis::decades("milliseconds to the next packet", least, most), bins.collect(), class, "Share of intervals")
}

/// From, to, count and description of a bin.
type Bin = (f64, f64, usize, String);

fn shares(x: Axis, bins: Vec<Bin>, class: &str, title: &str) -> String {
    let total = bins.iter().map(|(_, _, count, _)| count).sum::<usize>().max(1) as f64;
    let y = Axis::up_to("share, %", 100.0);
    let mut plot = Plot::new(HALF, 230.0, x, y);
    for (from, to, count, name) in bins.into_iter().filter(|(_, _, count, _)| *count > 0) {
        let percent = 100.0 * count as f64 / total;
        plot.bar(class, from, to, percent, &format!("{name}: {count} packets, {percent:.1} %"));
    }
    plot.finish(title)
}

/// Mean and 99th percentile of each device's delay, plain above shaped.
pub(super) fn delays(comparison: &Comparison) -> String {
    let Comparison { plain, shaped } = comparison;
    let rows = shaped.devices.len().max(1);
    let all = || plain.devices.iter().chain(&shaped.devices).filter(|device| device.delay_ms.count > 0);
    let least = all().map(|device| device.delay_ms.mean).fold(1.0, f64::min).max(0.001);
    let most = all().map(|device| device.delay_ms.p99).fold(10.0, f64::max);
    let x = Axis::decades("milliseconds, mean (dot) to 99th percentile (bar)", least, most);
    let y = Axis { label: "", scale: Scale::Linear(0.0, 1.0), ticks: Vec::new() };
    let mut plot = Plot::new(WIDE, 70.0 + 40.0 * rows as f64, x, y);
    for (row, device) in shaped.devices.iter().enumerate() {
        let name = super::page::escape(&device.name);
        plot.row_name((row as f64, rows), &name);
        let before = plain.devices.iter().find(|other| other.name == device.name);
        let pairs = [("plain", "plain VPN", before, -0.18), ("shaped", "millpond", Some(device), 0.18)];
        for (class, what, device, offset) in pairs {
            let Some(delay) = device.map(|device| device.delay_ms).filter(|delay| delay.count > 0) else { continue };
            let title = format!("{name}, {what}: mean {:.1} ms, 99th percentile {:.1} ms", delay.mean, delay.p99);
            plot.span(class, (row as f64 + offset, rows), (delay.mean, delay.p99), &title);
        }
    }
    plot.finish("Delay per device")
}
