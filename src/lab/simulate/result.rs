//! What a simulation found.

use serde::Serialize;

use crate::lab::stats::Summary;
use crate::lab::trace::Direction;
use crate::units::Nanos;

/// Everything that was counted.
#[derive(Clone, Debug, Serialize)]
pub struct SimulationResult {
    /// Virtual time until the last event, in seconds.
    pub simulated_s: f64,
    /// Up, then down.
    pub directions: Vec<DirectionResult>,
    /// In the order of the home.
    pub devices: Vec<DeviceResult>,
    /// Delay of all packets of all devices, both ways, in milliseconds.
    pub home_delay_ms: Summary,
}

/// One way through the tunnel.
#[derive(Clone, Debug, Default, Serialize)]
pub struct DirectionResult {
    /// `up` or `down`.
    pub direction: &'static str,
    /// Cells with device bytes.
    pub cells_data: u64,
    /// Cells without.
    pub cells_cover: u64,
    /// Cells that the path lost.
    pub cells_lost: u64,
    /// Cover in percent of all cells.
    pub cover_percent: f64,
    /// Bytes that all cells were on the wire.
    pub wire_bytes: u64,
    /// Packets that devices (up) or servers (down) handed over.
    pub sent: u64,
    /// Packets that arrived whole.
    pub delivered: u64,
    /// Packets that arrived after a later one of the same device.
    pub reordered: u64,
    /// Packets that came out and were never put in, or came twice, or were altered. Anything but zero is a bug.
    pub corrupted: u64,
    /// What the sending engine's queue dropped, by cause, without zeros.
    pub queue_drops: Vec<(&'static str, u64)>,
    /// What the receiving engine dropped, by cause, without zeros.
    pub receive_drops: Vec<(&'static str, u64)>,
    /// Packets that the queue took and that never arrived: they were in cells that the path lost.
    pub lost: u64,
}

/// One device's packets, both ways.
#[derive(Clone, Debug, Serialize)]
pub struct DeviceResult {
    /// Its name.
    pub name: String,
    /// Packets handed over.
    pub sent: u64,
    /// Packets that arrived whole.
    pub delivered: u64,
    /// Delay in milliseconds from the packet's moment in the trace to its arrival.
    pub delay_ms: Summary,
    /// The same packet by packet, in ascending order.
    #[serde(skip)]
    pub delays_ms: Vec<f64>,
}

/// A packet underway.
#[derive(Clone, Copy, Debug)]
pub(super) struct PacketInFlight {
    pub(super) time: Nanos,
    pub(super) device: u32,
    pub(super) bytes: u16,
    pub(super) arrived: bool,
}

/// Books of one direction and of the devices in it.
pub(super) struct PacketAccounting {
    pub(super) flights: Vec<PacketInFlight>,
    latest: Vec<u64>,
    pub(super) outcome: DirectionResult,
}

impl PacketAccounting {
    pub(super) fn new(direction: Direction, devices: usize) -> PacketAccounting {
        let outcome = DirectionResult { direction: direction.name(), ..DirectionResult::default() };
        PacketAccounting { flights: Vec::new(), latest: vec![0; devices], outcome }
    }

    /// Number of the packet that leaves now.
    pub(super) fn send(&mut self, time: Nanos, device: usize, bytes: u16) -> u64 {
        self.outcome.sent += 1;
        self.flights.push(PacketInFlight { time, device: device as u32, bytes, arrived: false });
        self.flights.len() as u64 - 1
    }

    /// Books an arrival; gives device and delay if all is well with it.
    pub(super) fn arrive(&mut self, now: Nanos, number: Option<u64>, bytes: usize) -> Option<(usize, Nanos)> {
        let flight = number
            .and_then(|number| self.flights.get_mut(usize::try_from(number).ok()?))
            .filter(|flight| !flight.arrived && usize::from(flight.bytes) == bytes);
        let (Some(flight), Some(number)) = (flight, number) else {
            self.outcome.corrupted += 1;
            return None;
        };
        flight.arrived = true;
        self.outcome.delivered += 1;
        let device = flight.device as usize;
        let latest = &mut self.latest[device];
        if number < *latest {
            self.outcome.reordered += 1;
        }
        *latest = number.max(*latest);
        Some((device, now.saturating_since(flight.time)))
    }
}
