//! The delays that other rates would cause to this home's packets, and their costs (paper section 8, "Tunable traffic
//! shaping"). Virtual shapers run beside the real one on the same packets, in fixed memory.
//!
//! [`RateAdvisor`] runs the virtual shapers; [`Advice`] reads their results. Only the owner changes a rate.

pub mod answer;
pub mod bursts;
mod choice;
mod feed;
mod needs;
mod numbers;
mod passive_monitor;
mod report;
mod saved;
#[cfg(test)]
mod tests;

use std::net::IpAddr;

pub use self::choice::{ADVISED, Advice, AdvisedShape};
pub use self::feed::AdviceFeed;
use self::needs::NeedWatch;
use self::numbers::{NumberReader, NumberWriter};
pub use self::passive_monitor::PassiveMonitor;
use crate::config::model::{Device, Settings};
use crate::core::Limits;
use crate::core::what_if::{CellShape, MAX_TRACKED, STEPS, WhatIf};
use crate::daemon::shape::LEAD;
use crate::units::{BitsPerSec, DeviceId, Nanos};
use crate::wire::MAX_PACKET_BYTES;
use crate::wire::size::{CellSize, Encapsulation};

/// The rates in the answer, in kbit/s on the wire. They include most of the levels' rates and the paper's 7.5 and 40
/// KB/s.
const SHOWN_KBIT: [u64; STEPS / SHOWN_EVERY] =
    [16, 24, 40, 60, 80, 120, 160, 240, 320, 480, 640, 1000, 1500, 2000, 3000, 5000];
/// Of so many simulated rates, the last is in the answer.
const SHOWN_EVERY: usize = 5;
/// The simulated rates, in kbit/s on the wire: those of the answer, and four below each, in about equal ratios.
pub const RATES_KBIT: [u64; STEPS] = {
    let mut rates = [0; STEPS];
    let mut step = 0;
    while step < STEPS {
        let (shown, part) = (step / SHOWN_EVERY, step % SHOWN_EVERY);
        let below = if shown == 0 { 7 } else { SHOWN_KBIT[shown - 1] };
        rates[step] = below + (SHOWN_KBIT[shown] - below) * [17, 35, 55, 77, 100][part] / 100;
        step += 1;
    }
    rates
};
const _: () =
    assert!(RATES_KBIT[0] * 1000 * 60 >= 8 * MAX_PACKET_BYTES as u64, "every step sends at least one cell a minute");

/// The cell sizes that get advice, as limits in bytes on the wire. Every IPv6 path carries the largest, and more would
/// save less than 1 %. Smaller ones cost more in every captured home, because their headers weigh more. The first is
/// what the virtual shapers use, whatever the settings say, so that a change of level ends no observation.
const CELLS: [u16; 4] = [512, 768, 1024, 1280];

/// The format of saved results. A change of the simulated rates or of the order of the numbers needs another.
const FORMAT: u8 = 1;

/// Maximum packets that wait for processing, 4 KB; further ones are counted as missed.
const MAX_PENDING: usize = 256;

/// The time whose departures are run at once. At all rates together they take a small router half a millisecond.
const SLICE: Nanos = Nanos::from_millis(10);

/// The direction of a packet.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Direction {
    /// From the devices.
    #[default]
    Up,
    /// To the devices.
    Down,
}

impl Direction {
    /// Both directions.
    pub const ALL: [Direction; 2] = [Direction::Up, Direction::Down];
}

/// The properties of a packet that the virtual shapers need.
#[derive(Clone, Copy, Debug, Default)]
pub struct ObservedPacket {
    /// Arrival time.
    pub at: Nanos,
    /// Length in bytes, IP header included.
    pub bytes: u16,
    /// The device's number.
    pub device: DeviceId,
    /// Its direction.
    pub direction: Direction,
}

/// The virtual shapers of both directions.
pub struct RateAdvisor {
    /// Indexed by direction.
    shapers: Vec<WhatIf>,
    shape: CellShape,
    /// The sizes that get advice, with their limits.
    cells: Vec<(u16, CellSize)>,
    /// Which devices the numbers mean, and how the results came about.
    key: u64,
    since: Nanos,
    /// How long packets were observed before `since`.
    observed_before: Nanos,
    latest: [Nanos; 2],
    pending: Box<[ObservedPacket; MAX_PENDING]>,
    first: usize,
    count: usize,
    missed: u32,
    needs: NeedWatch,
}

impl RateAdvisor {
    /// Starts virtual shapers with the law of these settings, over a tunnel with this encapsulation. `seed` decides the
    /// virtual departures.
    pub fn new(settings: &Settings, encapsulation: Encapsulation, seed: u64, now: Nanos) -> RateAdvisor {
        let shape = shape(settings, encapsulation);
        let sizes = CELLS.map(|limit| encapsulation.largest_cell(limit.into()).map(|size| (limit, size)));
        let tracked = DeviceId(settings.devices.len().min(MAX_TRACKED.0.into()) as u16);
        let rates = RATES_KBIT.map(BitsPerSec::from_kbit);
        // Built one after the other: each is large and is moved over the stack.
        let seeds = [seed, seed.wrapping_add(STEPS as u64)];
        RateAdvisor {
            shapers: seeds.into_iter().map(|seed| WhatIf::new(shape, rates, tracked, seed, now)).collect(),
            shape,
            cells: sizes.into_iter().flatten().collect(),
            key: key(settings, &shape),
            since: now,
            observed_before: Nanos::ZERO,
            latest: [now; 2],
            pending: Box::new([ObservedPacket::default(); MAX_PENDING]),
            first: 0,
            count: 0,
            missed: 0,
            needs: NeedWatch::default(),
        }
    }

    /// Watches the need of bursts of these settings.
    fn watch_needs(&mut self, settings: &Settings, size: CellSize, now: Nanos) {
        self.needs.update(settings, size, now);
    }

    /// Whether the results so far also apply to sessions with these settings.
    pub fn fits(&self, settings: &Settings, encapsulation: Encapsulation) -> bool {
        self.key == key(settings, &shape(settings, encapsulation))
    }

    /// How long packets were observed.
    fn observed_for(&self, now: Nanos) -> Nanos {
        self.observed_before + now.saturating_since(self.since)
    }

    /// The results so far, to be written down.
    fn save(&mut self, now: Nanos) -> Vec<u8> {
        self.needs.advance(now);
        let mut numbers = NumberWriter::default();
        [self.key, self.observed_for(now).0, self.missed.into()].into_iter().for_each(|number| numbers.put(number));
        self.visit(&mut |number| {
            numbers.put(number);
            number
        });
        self.needs.save(&mut numbers);
        numbers.finish()
    }

    /// Takes over the results in `bytes`. Returns whether they were complete and of the same devices; otherwise this
    /// advisor is of no use.
    fn restore(&mut self, bytes: &[u8]) -> bool {
        let mut numbers = NumberReader::new(bytes);
        if numbers.get() != self.key {
            return false;
        }
        self.observed_before = Nanos(numbers.get());
        self.missed = numbers.get() as u32;
        self.visit(&mut |_| numbers.get());
        // Files of a version without bursts end here.
        if !numbers.is_complete() {
            self.needs.restore(&mut numbers);
        }
        numbers.is_complete()
    }

    fn visit(&mut self, each: &mut dyn FnMut(u64) -> u64) {
        self.shapers.iter_mut().for_each(|shaper| shaper.visit(each));
    }

    /// Queues a packet for [`RateAdvisor::run_pending`].
    pub fn note(&mut self, packet: ObservedPacket) {
        if packet.direction == Direction::Up {
            self.needs.note(packet.at, packet.device, packet.bytes);
        }
        if self.count == MAX_PENDING {
            self.missed = self.missed.saturating_add(1);
            return;
        }
        self.pending[(self.first + self.count) % MAX_PENDING] = packet;
        self.count += 1;
    }

    /// Whether queued packets wait for [`RateAdvisor::run_pending`].
    #[cfg(test)]
    pub fn has_pending(&self) -> bool {
        self.count > 0
    }

    /// Processes queued packets, and lets virtual cells depart until `now`, while `is_time` returns true. It asks
    /// before each small part of the work: one packet, or the departures of ten milliseconds.
    pub fn run_pending(&mut self, now: Nanos, mut is_time: impl FnMut() -> bool) {
        while is_time() && (self.handle_next_packet() || self.advance(0, now) || self.advance(1, now)) {}
    }

    /// Processes the next queued packet, or a part of the departures before it. Returns whether there was one.
    fn handle_next_packet(&mut self) -> bool {
        if self.count == 0 {
            return false;
        }
        let ObservedPacket { at, bytes, device, direction } = self.pending[self.first];
        let direction = direction as usize;
        if !self.advance(direction, at) {
            self.first = (self.first + 1) % MAX_PENDING;
            self.count -= 1;
            self.shapers[direction].handle_packet(self.latest[direction], device, bytes);
        }
        true
    }

    /// Lets virtual cells of that direction depart for [`SLICE`], at most until `until`. Returns whether it is not
    /// reached yet.
    fn advance(&mut self, direction: usize, until: Nanos) -> bool {
        let latest = &mut self.latest[direction];
        if *latest >= until {
            return false;
        }
        let end = until.min(*latest + SLICE);
        let waits = self.shapers[direction].advance(end);
        *latest = if waits { end } else { until };
        *latest < until
    }
}

/// For headers that leave no room in the cell: it carries nothing, and no rate is advised.
const NO_ROOM: CellSize = CellSize { wire_bytes: 512, inner_bytes: 0, payload_bytes: 0, block_bytes: 1 };

fn shape(settings: &Settings, encapsulation: Encapsulation) -> CellShape {
    let size = encapsulation.largest_cell(CELLS[0].into()).unwrap_or(NO_ROOM);
    CellShape {
        law: settings.shape.law,
        spread_percent: settings.shape.spread_percent,
        train: settings.shape.train,
        wire_bytes: size.wire_bytes,
        block_bytes: size.block_bytes,
        lead: LEAD,
        limits: Limits::default(),
    }
}

/// Tells apart what results are about: FNV-1a (RFC 9923) of the devices, and of what the virtual shapers depend on.
fn key(settings: &Settings, shape: &CellShape) -> u64 {
    let CellShape { law, spread_percent, train, wire_bytes, block_bytes, .. } = *shape;
    let mut key = 0xcbf2_9ce4_8422_2325;
    let mut add = |bytes: &[u8]| {
        bytes.iter().for_each(|byte| key = (key ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3));
    };
    add(&[FORMAT, law as u8, spread_percent, (wire_bytes / 8) as u8, block_bytes as u8]);
    if let Some(train) = train {
        add(&[train]);
    }
    for Device { macs, address, .. } in &settings.devices {
        add(&[macs.len() as u8]);
        macs.iter().for_each(|mac| add(&mac.0));
        match address {
            Some(IpAddr::V4(address)) => add(&address.octets()),
            Some(IpAddr::V6(address)) => add(&address.octets()),
            None => {}
        }
    }
    key
}
