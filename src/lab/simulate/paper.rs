//! The shaper that the paper proposes (section 6.3), for comparison at the same rate on the wire.
//!
//! It pads device packets to the size of a slot, or divides them into pieces of that size. Each slot sends one piece,
//! in order of arrival and before any cover, from one unbounded queue for all devices. HTB releases a slot every
//! size / rate.
//!
//! Convention: a slot has [`SLOT_BYTES`] on the wire and carries the same number of device bytes, as if the VPN added
//! no headers. [`Overhead::Tunnel`] counts the headers of WireGuard as millpond's rates do.

use serde::Serialize;

use super::{DeviceResult, SimulationConfig};
use crate::lab::stats::Summary;
use crate::lab::trace::{Direction, HomeTrace, Trace};
use crate::units::{BitsPerSec, Nanos};

/// Size of the paper's padded packets.
pub const SLOT_BYTES: usize = 512;
/// Overhead of WireGuard over IPv4: 20 + 8 + 16 + 16. A packet of 512 bytes needs no padding inside.
const WIREGUARD_BYTES: usize = 60;

/// Whether a slot's bytes on the wire include the VPN's headers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Overhead {
    /// 512 device bytes take 512 bytes on the wire, which no real VPN achieves.
    None,
    /// 512 device bytes take 572 bytes on the wire.
    Tunnel,
}

/// Delays with the paper's shaper.
#[derive(Clone, Debug, Serialize)]
pub struct PaperResult {
    /// The devices, in the order of the home.
    pub devices: Vec<DeviceResult>,
    /// Delay of all packets of all devices, in milliseconds.
    pub home_delay_ms: Summary,
    /// Packets that leave after the end of the home's traces.
    pub late: u64,
}

/// Simulates the paper's shaper for a home at the rates of `config`. It drops no packets.
pub fn simulate(home: &HomeTrace, config: &SimulationConfig, overhead: Overhead) -> PaperResult {
    let mut delays = vec![Vec::new(); home.devices.len()];
    let mut late = 0;
    for direction in Direction::ALL {
        let slot = slot(config.rate(direction), overhead);
        let mut next_free = 1;
        let mut packets: Vec<_> = home
            .devices
            .iter()
            .enumerate()
            .flat_map(|(index, trace)| trace.packets.iter().map(move |packet| (packet, index)))
            .filter(|(packet, _)| packet.direction == direction)
            .collect();
        packets.sort_by_key(|(packet, index)| (packet.time, *index));
        for (packet, index) in packets {
            let pieces = usize::from(packet.bytes).div_ceil(SLOT_BYTES) as u64;
            let first = packet.time.0.div_ceil(slot.0).max(next_free);
            next_free = first + pieces;
            let departure = Nanos((next_free - 1) * slot.0);
            late += u64::from(departure > home.length);
            delays[index].push(departure.saturating_since(packet.time).as_millis_f64());
        }
    }
    let mut all: Vec<f64> = delays.iter().flatten().copied().collect();
    let device = |(trace, mut delays_ms): (&Trace, Vec<f64>)| {
        let count = delays_ms.len() as u64;
        let delay_ms = Summary::of(&mut delays_ms);
        DeviceResult { name: trace.device.clone(), sent: count, delivered: count, delay_ms, delays_ms }
    };
    PaperResult {
        devices: home.devices.iter().zip(delays).map(device).collect(),
        home_delay_ms: Summary::of(&mut all),
        late,
    }
}

fn slot(rate: BitsPerSec, overhead: Overhead) -> Nanos {
    rate.interval(match overhead {
        Overhead::None => SLOT_BYTES,
        Overhead::Tunnel => SLOT_BYTES + WIREGUARD_BYTES,
    })
}
