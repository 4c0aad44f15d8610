//! The arrangement that the paper proposes (its section 6.3), for comparison at the same rate on the wire.
//!
//! Device packets are padded to the slot's size or cut into pieces of it. Pieces leave one per slot in the order of
//! arrival, before any cover, from one unbounded queue for all devices. HTB lets a slot pass every size / rate.
//!
//! Convention: a slot is [`SLOT_BYTES`] on the wire and carries as many device bytes as that, as if the VPN around it
//! weighed nothing. [`Overhead::Tunnel`] counts WireGuard as millpond's own rates do.

use serde::Serialize;

use super::{DeviceResult, SimulationConfig};
use crate::lab::stats::Summary;
use crate::lab::trace::{Direction, HomeTrace, Trace};
use crate::units::{BitsPerSec, Nanos};

/// Size that the paper pads to and cuts at.
pub const SLOT_BYTES: usize = 512;
/// WireGuard over IPv4: 20 + 8 + 16 + 16. A packet of 512 bytes needs no padding inside.
const WIREGUARD_BYTES: usize = 60;

/// Whether a slot's bytes on the wire include the VPN's headers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Overhead {
    /// 512 device bytes are 512 on the wire: more than any real VPN can do.
    None,
    /// 512 device bytes are 572 on the wire.
    Tunnel,
}

/// Delays in the paper's arrangement.
#[derive(Clone, Debug, Serialize)]
pub struct PaperResult {
    /// In the order of the home.
    pub devices: Vec<DeviceResult>,
    /// The same for all packets.
    pub home_delay_ms: Summary,
    /// Packets that leave after the home's traces have ended.
    pub late: u64,
}

/// Runs the home through the paper's arrangement at the rates of `setup`. Nothing is dropped.
pub fn simulate(home: &HomeTrace, setup: &SimulationConfig, overhead: Overhead) -> PaperResult {
    let mut delays = vec![Vec::new(); home.devices.len()];
    let mut late = 0;
    for direction in Direction::ALL {
        let slot = slot(setup.rate(direction), overhead);
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
