//! Virtual shapers: what other rates would have made of the same packets (paper sections 7.3 to 7.6 and 8, "Tunable
//! traffic shaping").
//!
//! A [`WhatIf`] runs one direction's packets through [`STEPS`] rates at once. Each step has the engine's own queue
//! discipline (`super::queue`, `super::load`), but no bytes: the packets' sizes and arrivals stand once in a record
//! that all steps share, because every step drops and serves a device's packets from the front. Memory is fixed, and
//! at most [`MAX_BYTES`] for both directions together.

mod arrivals;
mod delays;
mod interval_table;
mod step;

use std::mem::size_of;

use self::arrivals::Arrivals;
use self::delays::SLOTS;
pub use self::delays::{Delay, Delays};
use self::interval_table::IntervalTable;
use self::step::Step;
use super::params::Limits;
use crate::law::Law;
use crate::units::{BitsPerSec, Nanos};

/// Rates that run side by side in each direction.
pub const STEPS: usize = 16;

/// Devices that are told apart, by the numbers that they have in DSCP: from 1 to this. All others, number 0 included,
/// count as one.
pub const TRACKED: u8 = SLOTS as u8 - 1;

/// The most memory that the ladders of both directions take together.
pub const MAX_BYTES: usize = 64 * 1024;
const _: () = assert!(2 * size_of::<WhatIf>() <= MAX_BYTES);

/// What the steps have in common.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct CellShape {
    /// How intervals are drawn; `kernel` counts as `constant`.
    pub law: Law,
    /// Standard deviation of the intervals in percent of their mean.
    pub spread_percent: u8,
    /// Bytes of a cell on the wire.
    pub wire_bytes: usize,
    /// What of a cell device bytes can use.
    pub block_bytes: usize,
    /// How long before its departure a cell is built.
    pub lead: Nanos,
    /// Bounds of the queue.
    pub limits: Limits,
}

/// One direction's packets, at [`STEPS`] rates. Large: keep it on the heap.
pub struct WhatIf {
    shape: CellShape,
    interval_table: IntervalTable,
    arrivals: Arrivals,
    offered: [u32; SLOTS],
    steps: [Step; STEPS],
}

impl WhatIf {
    /// A set of virtual shapers whose first departures follow `now`. The rates must not be zero. `seed` decides all departures.
    pub fn new(shape: CellShape, rates: [BitsPerSec; STEPS], seed: u64, now: Nanos) -> WhatIf {
        let mut index = 0;
        let steps = rates.map(|rate| {
            index += 1;
            Step::new(rate, rate.interval(shape.wire_bytes), shape.limits, seed.wrapping_add(index), now)
        });
        let interval_table = IntervalTable::new(shape.law, shape.spread_percent, seed);
        WhatIf { shape, interval_table, arrivals: Arrivals::new(), offered: [0; SLOTS], steps }
    }

    /// Rates from `lowest` to `highest`, each the same factor above the one before.
    pub fn rates(lowest: BitsPerSec, highest: BitsPerSec) -> [BitsPerSec; STEPS] {
        let factor = (highest.0 as f64 / lowest.0 as f64).powf(1.0 / (STEPS - 1) as f64);
        std::array::from_fn(|step| BitsPerSec((lowest.0 as f64 * factor.powi(step as i32)).round() as u64))
    }

    /// Takes a packet of the device with that number. IntervalTable must not go back.
    pub fn handle_packet(&mut self, now: Nanos, device: u8, bytes: u16) {
        self.advance(now);
        let slot = if device <= TRACKED { device } else { 0 };
        if let Some(oldest) = self.arrivals.oldest() {
            self.steps.iter_mut().for_each(|step| step.forget(&mut self.arrivals, oldest));
        }
        let id = self.arrivals.push(now, slot, bytes);
        self.offered[usize::from(slot)] = self.offered[usize::from(slot)].saturating_add(1);
        self.steps.iter_mut().for_each(|step| step.push(&mut self.arrivals, id));
    }

    /// Packets taken so far of that device, or of all that are not told apart.
    pub fn offered(&self, device: u8) -> u32 {
        self.offered[usize::from(if device <= TRACKED { device } else { 0 })]
    }

    /// Lets all cells leave whose moment has come. Call it now and then while no packet comes: what has not left is
    /// not in the delays.
    pub fn advance(&mut self, now: Nanos) {
        for step in &mut self.steps {
            step.advance(now, &mut self.arrivals, &self.shape, &self.interval_table);
        }
    }

    /// The steps' rates, each with the delays that it has caused so far.
    pub fn steps(&self) -> impl Iterator<Item = (BitsPerSec, &Delays)> {
        self.steps.iter().map(|step| (step.rate(), step.delays()))
    }
}
