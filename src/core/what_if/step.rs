//! One virtual shaper: the engine's queue and cells at one rate.

use super::arrivals::Arrivals;
use super::cell_shape::CellShape;
use super::delays::Delays;
use super::interval_table::IntervalTable;
use crate::core::params::Limits;
use crate::core::queue::{CHUNK_BYTES, CellPlan, FairQueue, FlowId, Meta, PacketId, Store, chunks};
use crate::core::stats::Drops;
use crate::units::{BitsPerSec, DeviceId, Nanos};

/// Intervals that are simulated one by one at the end of an idle period; earlier ones are skipped. After this number
/// the phase of the departures is random again.
const SETTLE_INTERVALS: u64 = 4;

/// Minimum queue size: room for one packet, whatever the limits. Every step must hold the latest packet of each device,
/// because the steps share the links between packets.
const MIN_CHUNKS: u16 = (crate::wire::MAX_PACKET_BYTES / CHUNK_BYTES + 1) as u16;

/// The engine's queue and cells at one rate, without bytes.
pub(super) struct Step {
    rate: BitsPerSec,
    /// Cells that leave together.
    train: u8,
    mean: Nanos,
    /// The next departure.
    next: Nanos,
    random: u64,
    queue: FairQueue,
    /// Chunks of the engine's pool that the waiting packets would use.
    in_use: u16,
    /// Chunks of the engine's pool.
    chunks: u16,
    open: Option<OpenCell>,
    delays: Delays,
}

/// A packet whose first bytes have left and whose last have not.
struct OpenCell {
    flow: FlowId,
    slot: DeviceId,
    left: u16,
    arrived: Nanos,
}

/// The shared record as storage of this step's queue.
struct StepView<'a> {
    arrivals: &'a mut Arrivals,
    in_use: &'a mut u16,
    chunks: u16,
    delays: &'a mut Delays,
}

impl Step {
    pub fn new(
        (rate, train): (BitsPerSec, u8),
        mean: Nanos,
        limits: Limits,
        delays: Delays,
        seed: u64,
        now: Nanos,
    ) -> Step {
        Step {
            rate,
            train,
            mean,
            next: now + mean,
            random: seed | 1,
            queue: FairQueue::new(limits.age, delays.slots()),
            in_use: 0,
            chunks: u16::try_from(limits.bytes.min(Limits::MAX_BYTES) / CHUNK_BYTES)
                .unwrap_or(u16::MAX)
                .max(MIN_CHUNKS),
            open: None,
            delays,
        }
    }

    pub fn rate(&self) -> BitsPerSec {
        self.rate
    }

    pub fn delays(&self) -> &Delays {
        &self.delays
    }

    pub fn delays_mut(&mut self) -> &mut Delays {
        &mut self.delays
    }

    /// Queues a packet that has just been added to the record.
    pub fn push(&mut self, arrivals: &mut Arrivals, id: PacketId) {
        let bytes = usize::from(arrivals.meta(id).bytes);
        let mut view = StepView { arrivals, in_use: &mut self.in_use, chunks: self.chunks, delays: &mut self.delays };
        if self.queue.make_room(&mut view, bytes, &mut Drops::default()) {
            *view.in_use += chunks(bytes) as u16;
            self.queue.push(&mut view, id, 0);
        } else {
            let slot = view.arrivals.meta(id).device;
            view.delays.note_removed(slot);
        }
    }

    /// Drops a packet, if it still waits, because the record needs its position.
    pub fn evict(&mut self, arrivals: &mut Arrivals, id: PacketId) {
        let mut view = StepView { arrivals, in_use: &mut self.in_use, chunks: self.chunks, delays: &mut self.delays };
        self.queue.drop_head(&mut view, id);
    }

    /// Whether packets or the rest of one wait.
    fn is_waiting(&self) -> bool {
        !self.queue.is_empty() || self.open.is_some()
    }

    /// Runs departures whose cells are built by `now`, while packets wait. Returns whether some wait still.
    pub fn advance(&mut self, now: Nanos, arrivals: &mut Arrivals, shape: &CellShape, table: &IntervalTable) -> bool {
        while self.is_waiting() {
            let build = self.next.saturating_since(shape.lead);
            if build > now {
                return true;
            }
            for _ in 0..self.train {
                self.depart(build, arrivals, shape);
            }
            self.draw_next(table);
        }
        false
    }

    /// Lets departures pass whose cells were built without data until `now`. To be called before a packet is queued.
    pub fn pass_idle(&mut self, now: Nanos, shape: &CellShape, table: &IntervalTable) {
        if self.is_waiting() {
            return;
        }
        while self.next.saturating_since(shape.lead) <= now {
            let idle = now.saturating_since(self.next.saturating_since(shape.lead));
            if idle.0 / SETTLE_INTERVALS > 2 * self.mean.0 {
                let phase = self.mean.0 * u64::from(self.draw()) / 256;
                self.next = self.next + idle.saturating_since(Nanos(self.mean.0 * SETTLE_INTERVALS + phase));
            }
            self.draw_next(table);
        }
    }

    fn draw_next(&mut self, table: &IntervalTable) {
        let random = self.draw();
        self.next = self.next + table.interval(self.mean, random);
    }

    fn depart(&mut self, build: Nanos, arrivals: &mut Arrivals, shape: &CellShape) {
        let mut view = StepView { arrivals, in_use: &mut self.in_use, chunks: self.chunks, delays: &mut self.delays };
        let open = self.open.as_ref().map(|open| (open.flow, usize::from(open.left)));
        let plan = CellPlan::choose(&mut self.queue, &mut view, build, shape.block_bytes, open, &mut Drops::default());
        if let Some(open) = &mut self.open {
            open.left -= plan.continuation as u16;
            if open.left == 0 {
                view.delays.record(open.slot, self.next.saturating_since(open.arrived));
                self.open = None;
            }
        }
        for id in plan.complete() {
            let Meta { arrived, device, .. } = view.meta(*id);
            view.delays.record(device, self.next.saturating_since(arrived));
            self.queue.remove(&mut view, *id);
        }
        if let Some((flow, id, bytes)) = plan.start {
            let meta = view.meta(id);
            let left = meta.bytes - bytes as u16;
            self.open = Some(OpenCell { flow, slot: meta.device, left, arrived: meta.arrived });
            // Another packet may take its position in the record before its last byte leaves.
            self.queue.remove(&mut view, id);
        }
    }

    /// Eight random bits from xorshift64* (S. Vigna, 2014). Nothing here is secret, and a router needs a cheap
    /// generator.
    fn draw(&mut self) -> u8 {
        self.random ^= self.random >> 12;
        self.random ^= self.random << 25;
        self.random ^= self.random >> 27;
        (self.random.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 56) as u8
    }
}

impl Store for StepView<'_> {
    fn meta(&self, id: PacketId) -> Meta {
        self.arrivals.meta(id)
    }

    /// All steps link the same packets in the same order, so repeating the link changes nothing.
    fn link(&mut self, id: PacketId, next: PacketId) {
        self.arrivals.link(id, next);
    }

    fn has_room(&self, bytes: usize) -> bool {
        usize::from(*self.in_use) + chunks(bytes) <= usize::from(self.chunks)
    }

    fn remove(&mut self, id: PacketId) {
        let Meta { bytes, device, .. } = self.arrivals.meta(id);
        *self.in_use = self.in_use.saturating_sub(chunks(usize::from(bytes)) as u16);
        self.delays.note_removed(device);
    }
}
