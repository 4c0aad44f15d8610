//! Results of a simulation.

use serde::Serialize;

use crate::lab::stats::Summary;
use crate::lab::trace::Direction;
use crate::units::Nanos;

/// All results of a simulation.
#[derive(Clone, Debug, Serialize)]
pub struct SimulationResult {
    /// Simulated time in seconds.
    pub simulated_s: f64,
    /// Up, then down.
    pub directions: Vec<DirectionResult>,
    /// The devices, in the order of the home.
    pub devices: Vec<DeviceResult>,
    /// Delay of all packets of all devices in both directions, in milliseconds.
    pub home_delay_ms: Summary,
}

/// Results of one direction of the tunnel.
#[derive(Clone, Debug, Default, Serialize)]
pub struct DirectionResult {
    /// `up` or `down`.
    pub direction: &'static str,
    /// Data cells.
    pub cells_data: u64,
    /// Cover cells.
    pub cells_cover: u64,
    /// Cells that the path lost.
    pub cells_lost: u64,
    /// Share of cover cells in percent of all cells.
    pub cover_percent: f64,
    /// Bytes of all cells on the wire.
    pub wire_bytes: u64,
    /// Packets that devices (up) or servers (down) sent into the tunnel.
    pub sent: u64,
    /// Packets that arrived unaltered.
    pub delivered: u64,
    /// Packets that arrived after a later one of the same device.
    pub reordered: u64,
    /// Arrived packets that were never sent, arrived before, or are altered. Any value but zero is a bug.
    pub corrupted: u64,
    /// Drops by the queue of the sending engine, by cause, without zeros.
    pub queue_drops: Vec<(&'static str, u64)>,
    /// Drops by the receiving engine, by cause, without zeros.
    pub receive_drops: Vec<(&'static str, u64)>,
    /// Packets that the queue accepted but that never arrived, because the path lost their cells.
    pub lost: u64,
}

/// Results of one device in both directions.
#[derive(Clone, Debug, Serialize)]
pub struct DeviceResult {
    /// Name of the device.
    pub name: String,
    /// Packets sent into the tunnel.
    pub sent: u64,
    /// Packets that arrived unaltered.
    pub delivered: u64,
    /// Delay from a packet's time in the trace to its arrival, in milliseconds.
    pub delay_ms: Summary,
    /// The delays of all packets in milliseconds, in ascending order.
    #[serde(skip)]
    pub delays_ms: Vec<f64>,
}

/// A sent packet and whether it has arrived.
#[derive(Clone, Copy, Debug)]
pub(super) struct TrackedPacket {
    pub(super) time: Nanos,
    pub(super) device: u32,
    pub(super) bytes: u16,
    pub(super) arrived: bool,
}

/// Tracks every packet of one direction and counts the results.
pub(super) struct PacketAccounting {
    pub(super) packets: Vec<TrackedPacket>,
    latest: Vec<u64>,
    pub(super) result: DirectionResult,
}

impl PacketAccounting {
    pub(super) fn new(direction: Direction, devices: usize) -> PacketAccounting {
        let result = DirectionResult { direction: direction.name(), ..DirectionResult::default() };
        PacketAccounting { packets: Vec::new(), latest: vec![0; devices], result }
    }

    /// Records a sent packet and returns its number.
    pub(super) fn send(&mut self, time: Nanos, device: usize, bytes: u16) -> u64 {
        self.result.sent += 1;
        self.packets.push(TrackedPacket { time, device: device as u32, bytes, arrived: false });
        self.packets.len() as u64 - 1
    }

    /// Records an arrival and returns device and delay; `None` for a corrupted packet.
    pub(super) fn arrive(&mut self, now: Nanos, number: Option<u64>, bytes: usize) -> Option<(usize, Nanos)> {
        let packet = number
            .and_then(|number| self.packets.get_mut(usize::try_from(number).ok()?))
            .filter(|packet| !packet.arrived && usize::from(packet.bytes) == bytes);
        let (Some(packet), Some(number)) = (packet, number) else {
            self.result.corrupted += 1;
            return None;
        };
        packet.arrived = true;
        self.result.delivered += 1;
        let device = packet.device as usize;
        let latest = &mut self.latest[device];
        if number < *latest {
            self.result.reordered += 1;
        }
        *latest = number.max(*latest);
        Some((device, now.saturating_since(packet.time)))
    }
}
