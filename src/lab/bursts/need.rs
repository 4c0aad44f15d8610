//! How often and how long a home's traffic needs bursts: a queue that is served at the base rate, and at the rate of
//! bursts in the slots after those in which too much waits.

use super::BurstLine;
use crate::lab::error::Error;
use crate::lab::simulate::SimulationConfig;
use crate::lab::trace::{Direction, HomeTrace, PacketRecord};
use crate::units::{BitsPerSec, Nanos};
use crate::wire::size::CellSize;

/// The need of a home.
#[derive(Clone, Copy, Debug)]
pub struct MeasuredNeed {
    /// Events a day.
    pub events_a_day: f64,
    /// Their mean length in slots, at least 1.
    pub event_slots: f64,
}

/// The need of the listed devices' uploads in this line.
pub fn measured_need(home: &HomeTrace, listed: &[usize], line: &BurstLine) -> Result<MeasuredNeed, Error> {
    let cell = SimulationConfig::default().cell()?;
    let mut packets: Vec<PacketRecord> =
        listed.iter().flat_map(|index| home.devices[*index].packets.iter().copied()).collect();
    packets.retain(|packet| packet.direction == Direction::Up);
    packets.sort_by_key(|packet| packet.time);
    let mut packets = packets.into_iter().peekable();
    let rates = [line.base[0], line.burst[0]].map(|rate| carried(rate, line.slot, &cell));
    let (mut waiting, mut bursts, mut needy, mut events, mut slots) = (0u64, [false; 2], 0u64, 0u64, 0u64);
    let mut boundary = line.slot;
    while boundary <= home.length {
        while let Some(packet) = packets.next_if(|packet| packet.time < boundary) {
            waiting += u64::from(packet.bytes);
        }
        waiting = waiting.saturating_sub(rates[usize::from(bursts[0])]);
        let need = waiting > need_bytes(line.base[0], &cell);
        events += u64::from(need && !bursts[1]);
        needy += u64::from(need);
        slots += 1;
        bursts = [bursts[1], need];
        boundary = boundary + line.slot;
    }
    let days = slots as f64 * line.slot.as_secs_f64() / 86_400.0;
    Ok(MeasuredNeed {
        events_a_day: events as f64 / days.max(1e-9),
        event_slots: (needy as f64 / events.max(1) as f64).max(1.0),
    })
}

/// What may wait without need: what the base rate carries in a second.
pub(super) fn need_bytes(base: BitsPerSec, cell: &CellSize) -> u64 {
    carried(base, Nanos::from_secs(1), cell)
}

fn carried(rate: BitsPerSec, span: Nanos, cell: &CellSize) -> u64 {
    (rate.0 as f64 / 8.0 * span.as_secs_f64() * cell.block_bytes as f64 / cell.wire_bytes as f64) as u64
}
