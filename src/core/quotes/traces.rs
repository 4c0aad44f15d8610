//! What devices did within the last second, and what others did during the audit, in fixed memory.

use super::kind::QuoteKind;
use crate::units::{DeviceId, Nanos};

/// Slots for what confined devices did: some hundred packets, at 16 bytes a slot.
const SLOTS: usize = 4096;
/// Buckets for what others did, of which each keeps its newest traces: together more than a home leaves in a minute.
const BUCKETS: usize = 256;
const BUCKET_TRACES: usize = 16;
/// Times are kept in units of 2^26 ns, 67 ms; they wrap after 73 minutes, which no audit lasts.
const TICK_BITS: u32 = 26;
/// One second, in those units.
const WINDOW_TICKS: u16 = 15;

/// Traces of confined devices. A newer one replaces an older one in its slot.
pub(super) struct RecentTraces(Box<[TraceSlot]>);

#[derive(Clone, Copy, Default)]
struct TraceSlot {
    key: u32,
    check: u32,
    tick: u16,
    device: DeviceId,
    kind: Option<QuoteKind>,
}

impl RecentTraces {
    pub fn new() -> RecentTraces {
        RecentTraces(vec![TraceSlot::default(); SLOTS].into())
    }

    /// Remembers a trace by `key` and, to be sure, by `check`.
    pub fn insert(&mut self, [key, check]: [u32; 2], at: Nanos, device: DeviceId, kind: QuoteKind) {
        self.0[slot(key, SLOTS)] = TraceSlot { key, check, tick: tick(at), device, kind: Some(kind) };
    }

    /// The device and the kind of a trace that is at most a second old. `check` is asked only if `key` is known.
    pub fn find(&self, key: u32, check: impl FnOnce() -> u32, at: Nanos) -> Option<(DeviceId, QuoteKind)> {
        let found = &self.0[slot(key, SLOTS)];
        let kind = found.kind.filter(|_| found.key == key)?;
        (tick(at).wrapping_sub(found.tick) <= WINDOW_TICKS && check() == found.check).then_some((found.device, kind))
    }
}

/// Traces of everybody else, for as long as the audit lasts. A trace stays until sixteen newer ones have come into its
/// bucket: if one were enough, a correct router would be accused once in some hundred questions.
pub(super) struct Background(Box<[[u32; BUCKET_TRACES]]>);

impl Background {
    pub fn new() -> Background {
        Background(vec![[0; BUCKET_TRACES]; BUCKETS].into())
    }

    pub fn insert(&mut self, [key, check]: [u32; 2]) {
        let bucket = &mut self.0[slot(key, BUCKETS)];
        let last = bucket.iter().position(|known| *known == check).unwrap_or(BUCKET_TRACES - 1);
        bucket[..=last].rotate_right(1);
        bucket[0] = check;
    }

    pub fn contains(&self, [key, check]: [u32; 2]) -> bool {
        self.0[slot(key, BUCKETS)].contains(&check)
    }
}

fn slot(key: u32, slots: usize) -> usize {
    (key ^ key >> 16) as usize % slots
}

fn tick(at: Nanos) -> u16 {
    (at.0 >> TICK_BITS) as u16
}
