//! The delays at one step, by device, in 1 KB.

use crate::units::Nanos;

/// Devices that are told apart, and one place for all others.
pub(super) const SLOTS: usize = 12;

const BUCKETS: usize = 34;
/// Upper bounds of the buckets but for the last, in microseconds: from 1 ms to 10 s in equal ratios. Readings between
/// bounds are interpolated.
const BOUNDS_US: [u32; BUCKETS - 1] = [
    1_000, 1_334, 1_778, 2_371, 3_162, 4_217, 5_623, 7_499, 10_000, 13_335, 17_783, 23_714, 31_623, 42_170, 56_234,
    74_989, 100_000, 133_352, 177_828, 237_137, 316_228, 421_697, 562_341, 749_894, 1_000_000, 1_333_521, 1_778_279,
    2_371_374, 3_162_278, 4_216_965, 5_623_413, 7_498_942, 10_000_000,
];

/// The delays of every device, and of the home.
pub struct Delays([Counts; SLOTS]);

/// What is known of some packets' delays, from arrival to the departure of the cell with their last byte.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Delay {
    /// Packets that have left.
    pub packets: u32,
    /// Packets that waited too long or found no room, and one that is leaving.
    pub lost: u32,
    /// Exact mean.
    pub mean: Nanos,
    /// Half of them took less: interpolated between bounds a third apart.
    pub median: Nanos,
    /// All but a hundredth of them took less; the same.
    pub p99: Nanos,
    /// Exact longest.
    pub max: Nanos,
}

#[derive(Clone, Copy)]
struct Counts {
    sum_us: u64,
    packets: u32,
    /// Taken out of the queue, to leave or not.
    removed: u32,
    max_us: u32,
    /// Halved together when one is full: the shape of the distribution stays.
    buckets: [u16; BUCKETS],
}

impl Delays {
    pub(super) fn new() -> Delays {
        Delays([Counts { sum_us: 0, packets: 0, removed: 0, max_us: 0, buckets: [0; BUCKETS] }; SLOTS])
    }

    /// Of the device with that number, 1..=[`super::TRACKED`]; of all others together for any other number.
    pub fn device(&self, number: u8) -> Delay {
        let slot = if usize::from(number) < SLOTS { number } else { 0 };
        summary(&self.0[usize::from(slot)..=usize::from(slot)])
    }

    /// Of all packets.
    pub fn home(&self) -> Delay {
        summary(&self.0)
    }

    pub(super) fn note_removed(&mut self, slot: u8) {
        let removed = &mut self.0[usize::from(slot)].removed;
        *removed = removed.saturating_add(1);
    }

    pub(super) fn record(&mut self, slot: u8, delay: Nanos) {
        let counts = &mut self.0[usize::from(slot)];
        let us = u32::try_from(delay.0 / 1_000).unwrap_or(u32::MAX);
        counts.sum_us += u64::from(us);
        counts.packets = counts.packets.saturating_add(1);
        counts.max_us = counts.max_us.max(us);
        let bucket = BOUNDS_US.partition_point(|bound| *bound <= us);
        if counts.buckets[bucket] == u16::MAX {
            counts.buckets.iter_mut().for_each(|count| *count /= 2);
        }
        counts.buckets[bucket] += 1;
    }
}

/// Several devices' delays as one. Their buckets are weighed by how many packets they stand for.
fn summary(parts: &[Counts]) -> Delay {
    let packets: u64 = parts.iter().map(|part| u64::from(part.packets)).sum();
    let sum_us: u64 = parts.iter().map(|part| part.sum_us).sum();
    let max_us = parts.iter().map(|part| part.max_us).max().unwrap_or(0);
    let mut buckets = [0.0; BUCKETS];
    for part in parts {
        let counted: u32 = part.buckets.iter().map(|count| u32::from(*count)).sum();
        let weight = f64::from(part.packets) / f64::from(counted.max(1));
        for (sum, count) in buckets.iter_mut().zip(part.buckets) {
            *sum += f64::from(count) * weight;
        }
    }
    let percentile = |part| from_us(percentile_us(&buckets, packets as f64 * part, f64::from(max_us)));
    let removed: u64 = parts.iter().map(|part| u64::from(part.removed)).sum();
    Delay {
        packets: u32::try_from(packets).unwrap_or(u32::MAX),
        lost: u32::try_from(removed.saturating_sub(packets)).unwrap_or(u32::MAX),
        mean: Nanos(sum_us * 1_000 / packets.max(1)),
        median: percentile(0.5),
        p99: percentile(0.99),
        max: Nanos(u64::from(max_us) * 1_000),
    }
}

/// The delay below which `wanted` packets lie. Within a bucket the density is taken to change evenly between what it
/// is on average with the neighbour on either side.
fn percentile_us(buckets: &[f64; BUCKETS], wanted: f64, max_us: f64) -> f64 {
    let bounds = |bucket: usize| {
        let low = bucket.checked_sub(1).map_or(0.0, |below| f64::from(BOUNDS_US[below]));
        (low, BOUNDS_US.get(bucket).map_or(max_us, |bound| f64::from(*bound)).clamp(low, max_us.max(low)))
    };
    let density = |bucket: usize| {
        let (low, high) = bounds(bucket);
        buckets[bucket] / (high - low).max(1.0)
    };
    let mut seen = 0.0;
    for (bucket, count) in buckets.iter().enumerate() {
        if *count > 0.0 && seen + count >= wanted {
            let here = density(bucket);
            let before = bucket.checked_sub(1).map_or(here, density);
            let after = if bucket + 1 < BUCKETS { density(bucket + 1) } else { here };
            let (left, right) = (here + before, here + after);
            let (low, high) = bounds(bucket);
            return low + (high - low) * part_of_trapezium(left, right, (wanted - seen) / count);
        }
        seen += count;
    }
    max_us
}

/// Where the area under a line from `left` to `right` over the unit interval reaches that part of the whole.
fn part_of_trapezium(left: f64, right: f64, part: f64) -> f64 {
    let slope = (right - left) / (left + right);
    if slope.abs() < 1e-6 {
        return part;
    }
    // (1 - slope) x + slope x^2 = part
    ((1.0 - slope).powi(2) + 4.0 * slope * part).max(0.0).sqrt().mul_add(0.5, -0.5 * (1.0 - slope)) / slope
}

fn from_us(us: f64) -> Nanos {
    Nanos((us * 1e3) as u64)
}
