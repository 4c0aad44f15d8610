//! Virtual shapers: the delays that other rates would have caused for the same packets (paper sections 7.3 to 7.6 and
//! 8, "Tunable traffic shaping").
//!
//! A [`WhatIf`] runs one direction's packets through [`STEPS`] rates at once. Each step uses the engine's own queue
//! (`super::queue`), but without the packets' bytes. All steps share one record of sizes and arrivals, because every
//! step drops and serves a device's packets from the front. Memory is fixed: at most [`MAX_BYTES`] for both directions
//! together, half of it in a home of four devices.

mod arrivals;
mod cell_shape;
mod delays;
mod interval_table;
mod step;

use std::mem::size_of;

use self::arrivals::Arrivals;
pub use self::cell_shape::CellShape;
use self::delays::SLOTS;
pub use self::delays::{Delay, Delays};
use self::interval_table::IntervalTable;
use self::step::Step;
use crate::core::queue::FairQueue;
use crate::units::{BitsPerSec, DeviceId, Nanos};

/// Number of rates that run in parallel in each direction: neighbours lie 8 % apart over three orders of magnitude.
/// Between coarser steps no delay can be interpolated, because drops set in at once.
pub const STEPS: usize = 80;

/// Highest device number with delays of its own. All other devices, number 0 included, count as one.
pub const MAX_TRACKED: DeviceId = DeviceId(SLOTS as u16 - 1);

/// Maximum memory of the virtual shapers of both directions together, in bytes.
pub const MAX_BYTES: usize = 2 * (size_of::<WhatIf>() + STEPS * (Delays::bytes(MAX_TRACKED) + FairQueue::bytes(SLOTS)));
const _: () = assert!(MAX_BYTES <= 312 * 1024);

/// The virtual shapers of one direction, one for each of [`STEPS`] rates. Keep it on the heap: it is large.
pub struct WhatIf {
    shape: CellShape,
    interval_table: IntervalTable,
    arrivals: Arrivals,
    offered: [u32; SLOTS],
    /// The highest number of a device with delays of its own.
    tracked: DeviceId,
    steps: [Step; STEPS],
}

impl WhatIf {
    /// Virtual shapers whose first departures follow `now`, for devices with the numbers 1 to `tracked`, and all others
    /// as one. The rates must not be zero. `seed` determines all departures.
    pub fn new(shape: CellShape, rates: [BitsPerSec; STEPS], tracked: DeviceId, seed: u64, now: Nanos) -> WhatIf {
        let tracked = tracked.min(MAX_TRACKED);
        let mut index = 0;
        let steps = rates.map(|rate| {
            index += 1;
            let train = shape.law.train(shape.train, rate.interval(shape.wire_bytes));
            let mean = rate.interval(shape.wire_bytes * usize::from(train));
            Step::new((rate, train), mean, shape.limits, Delays::new(tracked), seed.wrapping_add(index), now)
        });
        let interval_table = IntervalTable::new(shape.law, shape.spread_percent);
        WhatIf { shape, interval_table, arrivals: Arrivals::new(), offered: [0; SLOTS], tracked, steps }
    }

    /// [`STEPS`] rates from `lowest` to `highest` in a geometric progression.
    pub fn rates(lowest: BitsPerSec, highest: BitsPerSec) -> [BitsPerSec; STEPS] {
        let factor = (highest.0 as f64 / lowest.0 as f64).powf(1.0 / (STEPS - 1) as f64);
        std::array::from_fn(|step| BitsPerSec((lowest.0 as f64 * factor.powi(step as i32)).round() as u64))
    }

    /// Queues a packet of the device with that number at every rate. `now` must not go backwards.
    pub fn handle_packet(&mut self, now: Nanos, device: DeviceId, bytes: u16) {
        self.advance(now);
        self.steps.iter_mut().for_each(|step| step.pass_idle(now, &self.shape, &self.interval_table));
        let slot = self.slot(device);
        if let Some(oldest) = self.arrivals.oldest() {
            self.steps.iter_mut().for_each(|step| step.evict(&mut self.arrivals, oldest));
        }
        let id = self.arrivals.push(now, slot, bytes);
        let offered = &mut self.offered[usize::from(slot.0)];
        *offered = offered.saturating_add(1);
        self.steps.iter_mut().for_each(|step| step.push(&mut self.arrivals, id));
    }

    /// Packets of that device so far. For a device without delays of its own: packets of all such devices.
    pub fn offered(&self, device: DeviceId) -> u32 {
        self.offered[usize::from(self.slot(device).0)]
    }

    /// The device itself, or number 0 if it has no delays of its own.
    fn slot(&self, device: DeviceId) -> DeviceId {
        if device <= self.tracked { device } else { DeviceId::UNKNOWN }
    }

    /// Runs the departures of waiting packets up to `now`. Call it regularly while none arrive: the delays include
    /// only packets that have left. Returns whether packets wait still: if none do, later calls change nothing.
    pub fn advance(&mut self, now: Nanos) -> bool {
        let WhatIf { shape, interval_table, arrivals, steps, .. } = self;
        steps.iter_mut().fold(false, |waits, step| step.advance(now, arrivals, shape, interval_table) | waits)
    }

    /// Replaces each number of the results by what `each` returns for it: to write them down, or to read them back into
    /// virtual shapers for the same devices. Packets that wait are no part of the results.
    pub fn visit(&mut self, each: &mut dyn FnMut(u64) -> u64) {
        self.offered.iter_mut().for_each(|count| *count = each((*count).into()) as u32);
        self.steps.iter_mut().for_each(|step| step.delays_mut().visit(each));
    }

    /// The rate of each step with the delays that it has caused so far.
    pub fn steps(&self) -> impl Iterator<Item = (BitsPerSec, &Delays)> {
        self.steps.iter().map(|step| (step.rate(), step.delays()))
    }
}
