//! Selects a busy but representative excerpt of a device's captures.

use super::Trace;
use crate::units::Nanos;

/// The excerpt at this percentile of the excerpts with packets: a busy time, but not the one firmware upload of the
/// week.
const BUSY_PERCENTILE: usize = 90;

/// An excerpt of one of several traces.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TraceExcerpt {
    /// Index of the trace.
    pub index: usize,
    /// Start of the excerpt in that trace.
    pub start: Nanos,
    /// Number of packets in the excerpt.
    pub packets: usize,
}

/// A busy excerpt of `length`. Candidates start every half `length` in each trace; the result has more packets than
/// nine in ten of the candidates with packets. `None` if no trace has a packet.
pub fn busy_excerpt(traces: &[Trace], length: Nanos) -> Option<TraceExcerpt> {
    let mut excerpts: Vec<TraceExcerpt> =
        traces.iter().enumerate().flat_map(|(index, trace)| excerpts(index, trace, length)).collect();
    excerpts.sort_by_key(|excerpt| excerpt.packets);
    let rank = (excerpts.len() * BUSY_PERCENTILE).div_ceil(100).max(1);
    excerpts.get(rank - 1).copied()
}

fn excerpts(index: usize, trace: &Trace, length: Nanos) -> Vec<TraceExcerpt> {
    let step = Nanos((length.0 / 2).max(1));
    let latest_start = trace.length().saturating_since(length);
    let mut found = Vec::new();
    let mut start = Nanos::ZERO;
    loop {
        let first = trace.packets.partition_point(|packet| packet.time < start);
        let end = trace.packets.partition_point(|packet| packet.time < start + length);
        if end > first {
            found.push(TraceExcerpt { index, start, packets: end - first });
        }
        if start >= latest_start {
            return found;
        }
        // Skip the candidates without packets, which a gap of years would have too many of.
        let next = trace.packets.get(end).map_or(latest_start, |packet| packet.time);
        let steps = next.saturating_since(start + length).0 / step.0;
        start = (start + Nanos(steps.max(1) * step.0)).min(latest_start);
    }
}
