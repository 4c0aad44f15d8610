//! Traces: when a device's packets crossed between it and the Internet, which way, and how long they were.
//!
//! A trace is all that the simulator and the laboratory's replayer need of a capture. Addresses and contents
//! are left behind.

mod csv;
mod data;
mod excerpt;
mod extract;
mod home;
mod synthetic;

#[cfg(test)]
mod tests;

pub use csv::{read_csv, write_csv};
pub use data::{DataFolder, KnownDevice};
pub use excerpt::{TraceExcerpt, busiest_excerpt};
pub use extract::{Extracted, extract};
pub(in crate::lab) use extract::{internet_bytes, is_home, segments};
pub use home::{HomeTrace, TraceOrigin};
pub use synthetic::DeviceKind;

use crate::units::Nanos;

/// No packet in a trace is shorter: an IPv4 and a UDP header.
pub const MIN_PACKET_BYTES: u16 = 28;
/// No packet in a trace is longer: the TUN device's MTU.
pub const MAX_PACKET_BYTES: u16 = 1500;

/// Which way a packet went.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Direction {
    /// From the device to the Internet.
    Up,
    /// From the Internet to the device.
    Down,
}

impl Direction {
    /// Both.
    pub const ALL: [Direction; 2] = [Direction::Up, Direction::Down];

    /// `up` or `down`, as files have it.
    pub const fn name(self) -> &'static str {
        match self {
            Direction::Up => "up",
            Direction::Down => "down",
        }
    }

    /// The direction of that name.
    pub fn from_name(name: &str) -> Option<Direction> {
        Direction::ALL.into_iter().find(|direction| direction.name() == name)
    }
}

/// One packet of a trace.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct PacketRecord {
    /// Since the start of the trace.
    pub time: Nanos,
    /// Which way it went.
    pub direction: Direction,
    /// Length of the IP packet, [`MIN_PACKET_BYTES`]`..=`[`MAX_PACKET_BYTES`].
    pub bytes: u16,
}

/// What one device said and heard.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trace {
    /// The device's name: lower case, fit for a file name.
    pub device: String,
    /// In ascending order of time.
    pub packets: Vec<PacketRecord>,
}

impl Trace {
    /// IP bytes of one direction.
    pub fn bytes(&self, direction: Direction) -> u64 {
        self.packets.iter().filter(|packet| packet.direction == direction).map(|packet| u64::from(packet.bytes)).sum()
    }

    /// From the start of the trace to its last packet.
    pub fn length(&self) -> Nanos {
        self.packets.last().map_or(Nanos::ZERO, |packet| packet.time)
    }

    /// The packets of `start..start + length`, counted from `start`.
    pub fn cut(&self, start: Nanos, length: Nanos) -> Trace {
        let inside = |packet: &&PacketRecord| packet.time >= start && packet.time < start + length;
        let shifted = |packet: &PacketRecord| PacketRecord { time: packet.time - start, ..*packet };
        Trace { device: self.device.clone(), packets: self.packets.iter().filter(inside).map(shifted).collect() }
    }
}
