//! A busy but representative stretch of a device's captures.

use super::Trace;
use crate::units::Nanos;

/// The stretch taken is busier than this many in a hundred of those with any packet: a busy time, but not the one
/// firmware upload of the week.
const RANK_PERCENT: usize = 90;

/// A part of one of several traces.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stretch {
    /// Which trace.
    pub index: usize,
    /// Where it starts in that trace.
    pub start: Nanos,
    /// Packets in it.
    pub packets: usize,
}

/// Of the stretches of `length` that start every half `length` in each of the traces, the one that has more packets
/// than nine in ten of those that have any. `None` without any packet.
pub fn busy(traces: &[Trace], length: Nanos) -> Option<Stretch> {
    let mut stretches: Vec<Stretch> =
        traces.iter().enumerate().flat_map(|(index, trace)| stretches(index, trace, length)).collect();
    stretches.sort_by_key(|stretch| stretch.packets);
    let rank = (stretches.len() * RANK_PERCENT).div_ceil(100).max(1);
    stretches.get(rank - 1).copied()
}

fn stretches(index: usize, trace: &Trace, length: Nanos) -> Vec<Stretch> {
    let step = Nanos((length.0 / 2).max(1));
    let latest_start = trace.length().saturating_since(length);
    let mut found = Vec::new();
    let mut start = Nanos::ZERO;
    loop {
        let first = trace.events.partition_point(|event| event.time < start);
        let end = trace.events.partition_point(|event| event.time < start + length);
        if end > first {
            found.push(Stretch { index, start, packets: end - first });
        }
        if start >= latest_start {
            return found;
        }
        start = (start + step).min(latest_start);
    }
}
