//! How often and how long the devices of the settings' bursts really need one: a virtual queue that is served at the
//! base rate, and at the rate of bursts while they need it.

use super::numbers::{NumberReader, NumberWriter};
use crate::config::model::{Burst, Settings};
use crate::core::burst::odds::{NeedPattern, matching_linger};
use crate::units::{BitsPerSec, Chance, DeviceId, Nanos};
use crate::wire::size::CellSize;

/// Slots are counted on a grid of their own. Less time says nothing about a day.
const MIN_WATCHED: Nanos = Nanos::from_secs(3_600);

/// The watch, and its counts.
#[derive(Default)]
pub(super) struct NeedWatch {
    burst: Option<Burst>,
    /// Bytes that a slot carries at the base rate and in a burst.
    carried: [u64; 2],
    /// The devices need a burst while more bytes wait.
    need_bytes: u64,
    waiting: u64,
    /// The next boundary.
    boundary: Nanos,
    /// Whether the present slot is served as a burst, and the next one.
    bursts: [bool; 2],
    slots: u64,
    needy: u64,
    events: u64,
}

impl NeedWatch {
    /// Continues with these settings. Counts of other devices or slots are dropped.
    pub fn update(&mut self, settings: &Settings, size: CellSize, now: Nanos) {
        let what = |burst: Option<Burst>| burst.map(|burst| (burst.devices, burst.slot));
        let burst = settings.line.burst;
        if what(burst) != what(self.burst) {
            *self = NeedWatch { boundary: now, ..NeedWatch::default() };
        }
        self.burst = burst;
        if let Some(Burst { upload, slot, .. }) = burst {
            let bytes = |rate: BitsPerSec, span: Nanos| {
                rate.0 / 8 * size.block_bytes as u64 / size.wire_bytes as u64 * (span.0 / 1_000_000) / 1_000
            };
            let base = settings.shape.upload;
            (self.carried, self.need_bytes) =
                ([bytes(base, slot), bytes(upload, slot)], bytes(base, Nanos::from_secs(1)));
        }
    }

    /// Counts a packet that the device of that number has sent.
    pub fn note(&mut self, at: Nanos, device: DeviceId, bytes: u16) {
        if device.is_in(self.burst.map_or(0, |burst| burst.devices)) {
            self.advance(at);
            self.waiting += u64::from(bytes);
        }
    }

    /// Passes all boundaries up to `now`.
    pub fn advance(&mut self, now: Nanos) {
        let Some(Burst { slot, .. }) = self.burst else { return };
        while self.boundary <= now {
            let served = self.carried[usize::from(self.bursts[0])];
            self.waiting = self.waiting.saturating_sub(served);
            let need = self.waiting > self.need_bytes;
            self.events += u64::from(need && !self.bursts[1]);
            self.needy += u64::from(need);
            self.slots += 1;
            self.bursts = [self.bursts[1], need];
            self.boundary = self.boundary + slot;
        }
    }

    /// How long was watched.
    pub fn watched(&self) -> Nanos {
        self.burst.map_or(Nanos::ZERO, |burst| Nanos(burst.slot.0.saturating_mul(self.slots)))
    }

    /// Mean length of an event in slots, at least 1.
    pub fn event_slots(&self) -> f64 {
        (self.needy as f64 / self.events.max(1) as f64).max(1.0)
    }

    /// The home's need, with `more` events than were seen; `None` if too little was watched.
    pub fn pattern(&self, more: u64) -> Option<NeedPattern> {
        let Burst { slot, .. } = self.burst?;
        let days = self.watched().as_secs_f64() / 86_400.0;
        let a_day = (self.events + more) as f64 / days;
        (self.watched() >= MIN_WATCHED).then(|| NeedPattern::new(a_day, self.event_slots(), slot))
    }

    /// The probability `linger` that fits the events seen; `None` without any.
    pub fn linger(&self) -> Option<Chance> {
        let Burst { keep, .. } = self.burst?;
        // A burst outlasts the need that caused it by a slot: the decision is one slot old.
        (self.events > 0).then(|| matching_linger(self.event_slots(), Burst::LINGER, keep))
    }

    /// Writes the counts, if there are any.
    pub fn save(&self, numbers: &mut NumberWriter) {
        if let Some(key) = self.key() {
            [key, self.slots, self.needy, self.events].into_iter().for_each(|number| numbers.put(number));
        }
    }

    /// Reads the counts of the same devices and slots.
    pub fn restore(&mut self, numbers: &mut NumberReader) {
        let [key, slots, needy, events] = [(); 4].map(|()| numbers.get());
        if self.key() == Some(key) {
            (self.slots, self.needy, self.events) = (slots, needy, events);
        }
    }

    fn key(&self) -> Option<u64> {
        self.burst.map(|burst| burst.devices ^ burst.slot.0.rotate_left(32) | 1)
    }
}
