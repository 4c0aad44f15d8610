//! The delays that other rates would cause to this home's packets, and their costs (paper section 8, "Tunable traffic
//! shaping"). Virtual shapers run beside the real one on the same packets, in fixed memory.
//!
//! [`RateAdvisor`] runs the virtual shapers; [`Advice`] reads their results. Only the owner changes a rate.

pub mod answer;
mod choice;
mod feed;
mod passive_monitor;
mod report;
#[cfg(test)]
mod tests;

pub use self::choice::{ADVISED, Advice};
pub use self::feed::AdviceFeed;
pub use self::passive_monitor::PassiveMonitor;
use crate::config::model::Settings;
use crate::core::Limits;
use crate::core::what_if::{CellShape, STEPS, WhatIf};
use crate::daemon::shape::LEAD;
use crate::units::{BitsPerSec, Nanos};
use crate::wire::MAX_PACKET_BYTES;
use crate::wire::size::CellSize;

/// The simulated rates, in kbit/s on the wire. They include the default levels' rates and the paper's 7.5 and 40 KB/s.
pub const RATES_KBIT: [u64; STEPS] = [16, 24, 40, 60, 80, 120, 160, 240, 320, 480, 640, 1000, 1500, 2000, 3000, 5000];
const _: () =
    assert!(RATES_KBIT[0] * 1000 * 60 >= 8 * MAX_PACKET_BYTES as u64, "every step sends at least one cell a minute");

/// Maximum packets that wait for processing, 4 KB; further ones are counted as missed.
const MAX_PENDING: usize = 256;

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
    pub device: u8,
    /// Its direction.
    pub direction: Direction,
}

/// The virtual shapers of both directions.
pub struct RateAdvisor {
    /// Indexed by direction.
    shapers: Vec<WhatIf>,
    shape: CellShape,
    since: Nanos,
    latest: [Nanos; 2],
    pending: Box<[ObservedPacket; MAX_PENDING]>,
    first: usize,
    count: usize,
    missed: u32,
}

impl RateAdvisor {
    /// Starts virtual shapers with the law of these settings and cells of `size`. `seed` decides the virtual
    /// departures.
    pub fn new(settings: &Settings, size: CellSize, seed: u64, now: Nanos) -> RateAdvisor {
        let shape = shape(settings, size);
        let rates = RATES_KBIT.map(BitsPerSec::from_kbit);
        // Built one after the other: each is large and is moved over the stack.
        let seeds = [seed, seed.wrapping_add(STEPS as u64)];
        RateAdvisor {
            shapers: seeds.into_iter().map(|seed| WhatIf::new(shape, rates, seed, now)).collect(),
            shape,
            since: now,
            latest: [now; 2],
            pending: Box::new([ObservedPacket::default(); MAX_PENDING]),
            first: 0,
            count: 0,
            missed: 0,
        }
    }

    /// Whether the results so far also apply to sessions with these settings.
    pub fn fits(&self, settings: &Settings, size: CellSize) -> bool {
        self.shape == shape(settings, size)
    }

    /// Queues a packet for [`RateAdvisor::run_pending`].
    pub fn note(&mut self, packet: ObservedPacket) {
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

    /// Processes queued packets one by one while `is_time` returns true.
    pub fn run_pending(&mut self, mut is_time: impl FnMut() -> bool) {
        while self.count > 0 && is_time() {
            let ObservedPacket { at, bytes, device, direction } = self.pending[self.first];
            self.first = (self.first + 1) % MAX_PENDING;
            self.count -= 1;
            let latest = &mut self.latest[direction as usize];
            *latest = at.max(*latest);
            self.shapers[direction as usize].handle_packet(*latest, device, bytes);
        }
    }

    /// Lets virtual cells depart until `now`, so that the packets in them are counted.
    pub fn advance(&mut self, now: Nanos) {
        if self.count == 0 {
            for (shaper, latest) in self.shapers.iter_mut().zip(&mut self.latest) {
                *latest = now.max(*latest);
                shaper.advance(*latest);
            }
        }
    }
}

fn shape(settings: &Settings, size: CellSize) -> CellShape {
    CellShape {
        law: settings.shape.law,
        spread_percent: settings.shape.spread_percent,
        wire_bytes: size.wire_bytes,
        block_bytes: size.block_bytes,
        lead: LEAD,
        limits: Limits::default(),
    }
}
