//! What other rates would make of this home's packets, and what they would cost (paper section 8, "Tunable traffic
//! shaping"): virtual shapers beside the real one, on the same packets, in fixed memory.
//!
//! [`RateAdvisor`] runs them, [`advice`](Advice) reads them. Nothing here ever changes a rate: that is the owner's to do.

mod choice;
mod passive_monitor;
mod report;
#[cfg(test)]
mod tests;

pub use self::choice::{ADVISED, Advice};
pub use self::passive_monitor::PassiveMonitor;
use crate::config::model::Settings;
use crate::core::Limits;
use crate::core::what_if::{CellShape, STEPS, WhatIf};
use crate::daemon::session::LEAD;
use crate::units::{BitsPerSec, Nanos};
use crate::wire::MAX_PACKET_BYTES;
use crate::wire::size::CellSize;

/// The steps, in kbit/s on the wire. Those of the levels as they come are among them, and the paper's 7.5 and 40 KB/s.
pub const RATES_KBIT: [u64; STEPS] = [16, 24, 40, 60, 80, 120, 160, 240, 320, 480, 640, 1000, 1500, 2000, 3000, 5000];
const _: () = assert!(RATES_KBIT[0] * 1000 * 60 >= 8 * MAX_PACKET_BYTES as u64, "no step is below one cell a minute");

/// Packets that wait for time to be looked at; 4 KB. More are missed.
const PENDING: usize = 256;

/// Which way a packet goes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Direction {
    /// From the devices.
    #[default]
    Up,
    /// To the devices.
    Down,
}

impl Direction {
    /// Both.
    pub const ALL: [Direction; 2] = [Direction::Up, Direction::Down];
}

/// A packet as far as it matters here.
#[derive(Clone, Copy, Debug, Default)]
pub struct ObservedPacket {
    /// When it came.
    pub at: Nanos,
    /// Its length, from the IP header on.
    pub bytes: u16,
    /// The number of its device.
    pub device: u8,
    /// Which way it goes.
    pub direction: Direction,
}

/// The virtual shapers of both directions.
pub struct RateAdvisor {
    /// By direction.
    shapers: Vec<WhatIf>,
    shape: CellShape,
    since: Nanos,
    latest: [Nanos; 2],
    pending: Box<[ObservedPacket; PENDING]>,
    first: usize,
    count: usize,
    missed: u32,
}

impl RateAdvisor {
    /// Begins to watch for sessions with these settings' law and with cells of `size`. `seed` decides the virtual departures.
    pub fn new(settings: &Settings, size: CellSize, seed: u64, now: Nanos) -> RateAdvisor {
        let shape = shape(settings, size);
        let rates = RATES_KBIT.map(BitsPerSec::from_kbit);
        // One after the other: each is large, and passes by the stack.
        let seeds = [seed, seed.wrapping_add(STEPS as u64)];
        RateAdvisor {
            shapers: seeds.into_iter().map(|seed| WhatIf::new(shape, rates, seed, now)).collect(),
            shape,
            since: now,
            latest: [now; 2],
            pending: Box::new([ObservedPacket::default(); PENDING]),
            first: 0,
            count: 0,
            missed: 0,
        }
    }

    /// Whether what has been watched holds for sessions of these settings too.
    pub fn fits(&self, settings: &Settings, size: CellSize) -> bool {
        self.shape == shape(settings, size)
    }

    /// Notes a packet, to be looked at when there is time.
    pub fn note(&mut self, seen: ObservedPacket) {
        if self.count == PENDING {
            self.missed = self.missed.saturating_add(1);
            return;
        }
        self.pending[(self.first + self.count) % PENDING] = seen;
        self.count += 1;
    }

    /// Looks at what has been noted, one packet after the other, as long as there `is_time`.
    pub fn work(&mut self, mut is_time: impl FnMut() -> bool) {
        while self.count > 0 && is_time() {
            let ObservedPacket { at, bytes, device, direction } = self.pending[self.first];
            self.first = (self.first + 1) % PENDING;
            self.count -= 1;
            let latest = &mut self.latest[direction as usize];
            *latest = at.max(*latest);
            self.shapers[direction as usize].handle_packet(*latest, device, bytes);
        }
    }

    /// Lets virtual cells leave until `now`, so that what waits in them is counted.
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
