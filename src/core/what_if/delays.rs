//! The delays at one step, by device, 88 bytes for each.

use crate::units::{DeviceId, Nanos};

/// Slots: one for each tracked device, and slot 0 for all other devices.
pub(super) const SLOTS: usize = 12;

const BUCKETS: usize = 34;
/// Upper bounds of all buckets except the last, in microseconds: from 1 ms to 10 s in a geometric progression. Values
/// between bounds are interpolated.
const BOUNDS_US: [u32; BUCKETS - 1] = [
    1_000, 1_334, 1_778, 2_371, 3_162, 4_217, 5_623, 7_499, 10_000, 13_335, 17_783, 23_714, 31_623, 42_170, 56_234,
    74_989, 100_000, 133_352, 177_828, 237_137, 316_228, 421_697, 562_341, 749_894, 1_000_000, 1_333_521, 1_778_279,
    2_371_374, 3_162_278, 4_216_965, 5_623_413, 7_498_942, 10_000_000,
];

/// The delays of every device and of the whole home.
pub struct Delays(Box<[Counts]>);

/// Summary of the delays of a group of packets, each from its arrival to the departure of the cell with its last byte.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Delay {
    /// Packets that have left.
    pub packets: u32,
    /// Packets that waited too long or found no room, plus one that has begun to leave.
    pub lost: u32,
    /// Exact mean.
    pub mean: Nanos,
    /// Median, interpolated between bounds a third apart.
    pub median: Nanos,
    /// 99th percentile, interpolated likewise.
    pub p99: Nanos,
    /// Exact maximum.
    pub max: Nanos,
}

#[derive(Clone, Copy)]
struct Counts {
    sum_us: u64,
    packets: u32,
    /// Packets removed from the queue, whether they left or were dropped.
    removed: u32,
    max_us: u32,
    /// All buckets are halved when one is full, which preserves the shape of the distribution.
    buckets: [u16; BUCKETS],
}

impl Delays {
    /// No delays yet, of the devices with the numbers 1 to `tracked`, and of all others as one.
    pub(super) fn new(tracked: DeviceId) -> Delays {
        let none = Counts { sum_us: 0, packets: 0, removed: 0, max_us: 0, buckets: [0; BUCKETS] };
        Delays(vec![none; usize::from(tracked.0) + 1].into_boxed_slice())
    }

    /// Memory beside the type itself, in bytes.
    pub(super) const fn bytes(tracked: DeviceId) -> usize {
        (tracked.0 as usize + 1) * size_of::<Counts>()
    }

    /// Number of tracked devices and one for all others.
    pub(super) fn slots(&self) -> u16 {
        self.0.len() as u16
    }

    /// As [`super::WhatIf::visit`].
    pub(super) fn visit(&mut self, each: &mut dyn FnMut(u64) -> u64) {
        for counts in &mut self.0 {
            counts.sum_us = each(counts.sum_us);
            for count in [&mut counts.packets, &mut counts.removed, &mut counts.max_us] {
                *count = each((*count).into()) as u32;
            }
            counts.buckets.iter_mut().for_each(|count| *count = each((*count).into()) as u16);
        }
    }

    /// Delays of the device with that number, 1..=[`super::MAX_TRACKED`]. For any other number: of all other devices
    /// together.
    pub fn device(&self, number: DeviceId) -> Delay {
        let slot = Some(usize::from(number.0)).filter(|slot| *slot < self.0.len()).unwrap_or(0);
        summary(&self.0[slot..=slot])
    }

    /// Delays of all packets.
    pub fn home(&self) -> Delay {
        summary(&self.0)
    }

    pub(super) fn note_removed(&mut self, slot: DeviceId) {
        let removed = &mut self.0[usize::from(slot.0)].removed;
        *removed = removed.saturating_add(1);
    }

    pub(super) fn record(&mut self, slot: DeviceId, delay: Nanos) {
        let counts = &mut self.0[usize::from(slot.0)];
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

/// Merges the delays of several devices. Each device's buckets are weighted by the number of its packets.
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
    let percentile = |fraction| from_us(percentile_us(&buckets, packets as f64 * fraction, f64::from(max_us)));
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

/// The delay below which `rank` packets lie. Within a bucket the density is assumed to change linearly; at each end it
/// is the average of the densities of this bucket and the neighbour.
fn percentile_us(buckets: &[f64; BUCKETS], rank: f64, max_us: f64) -> f64 {
    let bounds = |bucket: usize| {
        let low = bucket.checked_sub(1).map_or(0.0, |below| f64::from(BOUNDS_US[below]));
        (low, BOUNDS_US.get(bucket).map_or(max_us, |bound| f64::from(*bound)).clamp(low, max_us.max(low)))
    };
    let density = |bucket: usize| {
        let (low, high) = bounds(bucket);
        buckets[bucket] / (high - low).max(1.0)
    };
    let mut cumulative = 0.0;
    for (bucket, count) in buckets.iter().enumerate() {
        if *count > 0.0 && cumulative + count >= rank {
            let current = density(bucket);
            let before = bucket.checked_sub(1).map_or(current, density);
            let after = if bucket + 1 < BUCKETS { density(bucket + 1) } else { current };
            let (left, right) = (current + before, current + after);
            let (low, high) = bounds(bucket);
            return low + (high - low) * trapezium_quantile(left, right, (rank - cumulative) / count);
        }
        cumulative += count;
    }
    max_us
}

/// The position on the unit interval at which the area under a line from `left` to `right` reaches `fraction` of the
/// whole.
fn trapezium_quantile(left: f64, right: f64, fraction: f64) -> f64 {
    let slope = (right - left) / (left + right);
    if slope.abs() < 1e-6 {
        return fraction;
    }
    // (1 - slope) x + slope x^2 = fraction
    0.5 * (((1.0 - slope).powi(2) + 4.0 * slope * fraction).max(0.0).sqrt() - (1.0 - slope)) / slope
}

fn from_us(us: f64) -> Nanos {
    Nanos((us * 1e3) as u64)
}
