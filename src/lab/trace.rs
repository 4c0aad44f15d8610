//! Traces: time, direction and length of a device's packets to and from the Internet.
//!
//! A trace is the part of a capture that the simulator and the laboratory's replayer need. It contains no addresses and
//! no payload.

mod csv;
mod data;
mod excerpt;
mod extract;
mod home;
mod stations;
mod synthetic;

#[cfg(test)]
mod tests;

pub use csv::{read_csv, write_csv};
pub use data::{DataFolder, KnownDevice};
pub use excerpt::{TraceExcerpt, busy_excerpt};
pub use extract::{Extracted, extract};
pub(in crate::lab) use extract::{NOT_INTERNET, NOT_IP, internet_bytes, is_home, segments};
pub use home::{HomeTrace, TraceOrigin};
pub(in crate::lab) use stations::{StationPacket, Stations};
pub use synthetic::DeviceKind;

use crate::units::Nanos;

/// Minimum length of a packet in a trace: an IPv4 and a UDP header.
pub const MIN_PACKET_BYTES: u16 = 28;
/// Maximum length of a packet in a trace: the MTU of the TUN device.
pub const MAX_PACKET_BYTES: u16 = 1500;

/// The direction of a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Direction {
    /// From the device to the Internet.
    Up,
    /// From the Internet to the device.
    Down,
}

impl Direction {
    /// Both directions.
    pub const ALL: [Direction; 2] = [Direction::Up, Direction::Down];

    /// `up` or `down`, as in files.
    pub const fn name(self) -> &'static str {
        match self {
            Direction::Up => "up",
            Direction::Down => "down",
        }
    }

    /// The direction with this name.
    pub fn from_name(name: &str) -> Option<Direction> {
        Direction::ALL.into_iter().find(|direction| direction.name() == name)
    }
}

/// One packet of a trace.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct PacketRecord {
    /// Time since the start of the trace.
    pub time: Nanos,
    /// Direction of the packet.
    pub direction: Direction,
    /// Length of the IP packet, [`MIN_PACKET_BYTES`]`..=`[`MAX_PACKET_BYTES`].
    pub bytes: u16,
}

/// The packets of one device.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trace {
    /// Name of the device: lower case, usable as a file name.
    pub device: String,
    /// The packets in order of time.
    pub packets: Vec<PacketRecord>,
}

impl Trace {
    /// Total length of the IP packets in one direction.
    pub fn bytes(&self, direction: Direction) -> u64 {
        self.packets.iter().filter(|packet| packet.direction == direction).map(|packet| u64::from(packet.bytes)).sum()
    }

    /// Time from the start of the trace to its last packet.
    pub fn length(&self) -> Nanos {
        self.packets.last().map_or(Nanos::ZERO, |packet| packet.time)
    }

    /// The packets in `start..start + length`, with times relative to `start`.
    pub fn cut(&self, start: Nanos, length: Nanos) -> Trace {
        let inside = |packet: &&PacketRecord| packet.time >= start && packet.time < start + length;
        let shifted = |packet: &PacketRecord| PacketRecord { time: packet.time - start, ..*packet };
        Trace { device: self.device.clone(), packets: self.packets.iter().filter(inside).map(shifted).collect() }
    }
}
