//! The figures of the HTML page.

use super::svg::{Axis, Scale, SvgFigure, escape, number};
use super::{RunView, VpnComparison};

const WIDE: f64 = 960.0;
const HALF: f64 = 470.0;
const SIZE_BIN_BYTES: usize = 32;
const MAX_BYTES: usize = 1600;
const BINS_PER_DECADE: f64 = 5.0;

/// A figure of the home's or the provider's rate over time.
pub(super) fn over_time(series: &[Vec<f64>; 2], seconds: usize, max_bits: f64, title: &str) -> String {
    let x = Axis::exactly("seconds", seconds as f64);
    let y = Axis::up_to("kbit/s", max_bits / 1e3);
    let mut plot = SvgFigure::new(WIDE, 190.0, x, y);
    for (class, bits) in ["down", "up"].into_iter().zip([&series[1], &series[0]]) {
        let points: Vec<_> =
            bits.iter().take(seconds).enumerate().map(|(at, bits)| (at as f64 + 0.5, bits / 1e3)).collect();
        plot.line(class, &points);
    }
    plot.finish(title)
}

/// The maximum rate of the three figures over time, so that they share a scale.
pub(super) fn max_bits(comparison: &VpnComparison) -> f64 {
    let VpnComparison { plain, shaped } = comparison;
    let all = [&shaped.home, &plain.provider, &shaped.provider];
    all.into_iter().flatten().flatten().copied().fold(1.0, f64::max)
}

/// Histograms of packet sizes, plain and shaped on the same scale.
pub(super) fn sizes(comparison: &VpnComparison) -> [String; 2] {
    let last = MAX_BYTES / SIZE_BIN_BYTES - 1;
    let bins = |view: &RunView| {
        let mut counts = vec![0usize; last + 1];
        for (bytes, count) in &view.sizes {
            counts[(bytes / SIZE_BIN_BYTES).min(last)] += count;
        }
        let describe = |(index, count): (usize, usize)| {
            let (from, to) = (index * SIZE_BIN_BYTES, (index + 1) * SIZE_BIN_BYTES);
            HistogramBin { from: from as f64, to: to as f64, count, name: format!("{from} to {} bytes", to - 1) }
        };
        counts.into_iter().enumerate().map(describe).collect()
    };
    shares(&Axis::exactly("bytes on the wire", MAX_BYTES as f64), comparison, &bins, "Share of packet sizes")
}

/// Histograms of intervals on a logarithmic axis, plain and shaped on the same scale.
pub(super) fn intervals(comparison: &VpnComparison) -> [String; 2] {
    let (min, max) = (0.01, 10_000.0);
    let last = (f64::log10(max / min) * BINS_PER_DECADE).round() as usize - 1;
    let edge = |index: usize| min * 10f64.powf(index as f64 / BINS_PER_DECADE);
    let bins = |view: &RunView| {
        let mut counts = vec![0usize; last + 1];
        for interval in &view.intervals_ms {
            let bin = (interval.max(min) / min).log10() * BINS_PER_DECADE;
            counts[(bin as usize).min(last)] += 1;
        }
        let describe = |(index, count): (usize, usize)| {
            let (from, to) = (edge(index), edge(index + 1));
            HistogramBin { from, to, count, name: format!("{} to {} ms", number(from), number(to)) }
        };
        counts.into_iter().enumerate().map(describe).collect()
    };
    shares(&Axis::decades("milliseconds to the next packet", min, max), comparison, &bins, "Share of intervals")
}

struct HistogramBin {
    from: f64,
    to: f64,
    count: usize,
    name: String,
}

fn shares(
    x: &Axis,
    comparison: &VpnComparison,
    bins: &dyn Fn(&RunView) -> Vec<HistogramBin>,
    title: &str,
) -> [String; 2] {
    let percent = |bins: &[HistogramBin], count: usize| {
        100.0 * count as f64 / bins.iter().map(|bin| bin.count).sum::<usize>().max(1) as f64
    };
    let both = [(&comparison.plain, "plain"), (&comparison.shaped, "shaped")].map(|(view, class)| (bins(view), class));
    let tallest = |bins: &[HistogramBin]| percent(bins, bins.iter().map(|bin| bin.count).max().unwrap_or(0));
    let max = both.iter().map(|(bins, _)| tallest(bins)).fold(1.0, f64::max);
    both.map(|(bins, class)| {
        let mut plot = SvgFigure::new(HALF, 230.0, x.clone(), Axis::up_to("share, %", max));
        for bin in bins.iter().filter(|bin| bin.count > 0) {
            let percent = percent(&bins, bin.count);
            let title = format!("{}: {} packets, {percent:.1} %", bin.name, bin.count);
            plot.bar(class, bin.from, bin.to, percent, &title);
        }
        plot.finish(title)
    })
}

/// Mean and 99th percentile of each device's delay, with plain above shaped.
pub(super) fn delays(comparison: &VpnComparison) -> String {
    let VpnComparison { plain, shaped } = comparison;
    let rows = shaped.devices.len().max(1);
    let all = || plain.devices.iter().chain(&shaped.devices).filter(|device| device.delay_ms.count > 0);
    let min = all().map(|device| device.delay_ms.mean).fold(1.0, f64::min).max(0.001);
    let max = all().map(|device| device.delay_ms.p99).fold(10.0, f64::max);
    let x = Axis::decades("milliseconds, mean (dot) to 99th percentile (bar)", min, max);
    let y = Axis { label: "", scale: Scale::Linear(0.0, 1.0), ticks: Vec::new() };
    let mut plot = SvgFigure::new(WIDE, 70.0 + 40.0 * rows as f64, x, y);
    for (row, device) in shaped.devices.iter().enumerate() {
        let name = escape(&device.name);
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
