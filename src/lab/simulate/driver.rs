//! The driver of the simulation: two engines, the path between them, and the home's packets.

use std::collections::VecDeque;

use rand::rngs::ChaCha12Rng;
use rand::{RngExt, SeedableRng};

use super::result::{DeviceResult, PacketAccounting, SimulationResult};
use super::{MAX_DEVICES, SimulationConfig, packet};
use crate::core::burst::{AnnouncedSlot, SlotPace};
use crate::core::{CellKind, Engine, Pace};
use crate::lab::error::Error;
use crate::lab::stats::Summary;
use crate::lab::trace::{Direction, HomeTrace, MAX_PACKET_BYTES, PacketRecord};
use crate::units::Nanos;
use crate::wire::control::ControlMessage;

/// A cell that leaves an engine.
#[derive(Clone, Copy, Debug)]
pub struct SentCell<'a> {
    /// Direction of the cell.
    pub direction: Direction,
    /// Time of departure.
    pub time: Nanos,
    /// Whether it is a data or a cover cell, which the wire does not reveal.
    pub kind: CellKind,
    /// The plaintext for WireGuard, without its IP and UDP headers.
    pub payload: &'a [u8],
}

/// Sends the packets of a home through the tunnel and passes every departing cell to `each_cell`.
///
/// The simulation continues after the home's traces for the age limit of the queue, the path delay, and one second for
/// the rest of a packet that spans cells. By then every packet has arrived or was dropped.
pub fn simulate(
    home: &HomeTrace,
    config: &SimulationConfig,
    mut each_cell: impl FnMut(SentCell<'_>),
) -> Result<SimulationResult, Error> {
    if home.devices.len() > MAX_DEVICES {
        return Err(Error::Request(format!(
            "simulating: {} devices, but the engine distinguishes only {MAX_DEVICES}",
            home.devices.len()
        )));
    }
    let mut tunnel = TunnelSimulation::new(home.devices.len(), config)?;
    let end = home.length + config.limits.age + config.path_delay + Nanos::from_secs(1);
    for (event, device) in packets_in_order(home) {
        tunnel.run_until(event.time, &mut each_cell);
        tunnel.packet(&event, device);
    }
    tunnel.run_until(end, &mut each_cell);
    Ok(tunnel.result(home, end))
}

/// All packets with the index of their device, in order of time.
fn packets_in_order(home: &HomeTrace) -> Vec<(PacketRecord, usize)> {
    let mut packets: Vec<_> = home
        .devices
        .iter()
        .enumerate()
        .flat_map(|(index, trace)| trace.packets.iter().map(move |event| (*event, index)))
        .collect();
    packets.sort_by_key(|(event, index)| (event.time, *index));
    packets
}

struct TunnelSimulation {
    /// The law and size by which the endpoint follows bursts.
    config: SimulationConfig,
    /// The router, which sends up, and the endpoint, which sends down.
    ends: [TunnelEnd; 2],
    path: Path,
    /// Delays in milliseconds, by device.
    delays: Vec<Vec<f64>>,
    /// The cells of the train that leaves.
    train: Vec<u8>,
    packet: Vec<u8>,
}

/// One engine with its cells in packet and an account of the packets that it was given.
struct TunnelEnd {
    engine: Engine,
    underway: VecDeque<(Nanos, Vec<u8>)>,
    accounting: PacketAccounting,
}

struct Path {
    delay: Nanos,
    loss: f64,
    rng: ChaCha12Rng,
    wire_bytes: u64,
    spare: Vec<Vec<u8>>,
}

impl TunnelSimulation {
    fn new(devices: usize, config: &SimulationConfig) -> Result<TunnelSimulation, Error> {
        let mut seeds = ChaCha12Rng::seed_from_u64(config.seed);
        let mut end = |direction| -> Result<TunnelEnd, Error> {
            let mut engine = Engine::new(config.params(direction)?, seeds.random(), Nanos::ZERO);
            engine.set_train(config.train(direction)?);
            Ok(TunnelEnd { engine, underway: VecDeque::new(), accounting: PacketAccounting::new(direction, devices) })
        };
        let mut ends = [end(Direction::Up)?, end(Direction::Down)?];
        let cell = config.cell()?;
        let path = Path {
            delay: config.path_delay,
            loss: config.loss,
            rng: ChaCha12Rng::from_seed(seeds.random()),
            wire_bytes: cell.wire_bytes as u64,
            spare: Vec::new(),
        };
        if config.bursts.is_some() {
            ends[0].engine.set_bursts(config.bursts, Nanos::ZERO);
            ends[0].engine.arm_bursts(true);
        }
        Ok(TunnelSimulation {
            config: *config,
            ends,
            path,
            delays: vec![Vec::new(); devices],
            train: Vec::new(),
            packet: vec![0; usize::from(MAX_PACKET_BYTES)],
        })
    }

    fn packet(&mut self, event: &PacketRecord, device: usize) {
        let end = &mut self.ends[event.direction as usize];
        let number = end.accounting.send(event.time, device, event.bytes);
        let bytes = &mut self.packet[..usize::from(event.bytes)];
        packet::write(bytes, device + 1, number, event.direction == Direction::Up);
        end.engine.handle_packet(event.time, bytes);
    }

    /// Processes everything before `until` in order of time; an arrival precedes a departure at the same time.
    fn run_until(&mut self, until: Nanos, each_cell: &mut impl FnMut(SentCell<'_>)) {
        loop {
            let [up, down] = &self.ends;
            let candidates = [
                (up.arrival(), Direction::Up, NextStep::Arrival),
                (down.arrival(), Direction::Down, NextStep::Arrival),
                (up.engine.poll_timeout().0, Direction::Up, NextStep::Build),
                (down.engine.poll_timeout().0, Direction::Down, NextStep::Build),
            ];
            let mut next = candidates[0];
            for candidate in &candidates[1..] {
                if candidate.0 < next.0 {
                    next = *candidate;
                }
            }
            let (now, direction, step) = next;
            if now >= until {
                return;
            }
            match step {
                NextStep::Arrival => self.arrive(now, direction),
                NextStep::Build => self.depart(now, direction, each_cell),
            }
        }
    }

    fn depart(&mut self, now: Nanos, direction: Direction, each_cell: &mut impl FnMut(SentCell<'_>)) {
        let end = &mut self.ends[direction as usize];
        self.train.resize(end.engine.train_bytes(), 0);
        let Some(transmit) = end.engine.poll_transmit(now, &mut self.train) else { return };
        let time = transmit.scheduled.max(now);
        end.engine.handle_departure(transmit.scheduled, time);
        let train = std::mem::take(&mut self.train);
        for payload in train.chunks_exact(transmit.len).take(transmit.cells) {
            each_cell(SentCell { direction, time, kind: transmit.kind, payload });
            self.send(now, time, direction, payload);
        }
        self.train = train;
    }

    fn send(&mut self, now: Nanos, time: Nanos, direction: Direction, payload: &[u8]) {
        let end = &mut self.ends[direction as usize];
        end.accounting.result.wire_bytes += self.path.wire_bytes;
        if self.path.loss > 0.0 && self.path.rng.random_bool(self.path.loss) {
            end.accounting.result.cells_lost += 1;
            return;
        }
        let arrival = time + self.path.delay;
        if arrival == now {
            let [up, down] = &mut self.ends;
            let (sender, receiver) = if direction == Direction::Up { (up, down) } else { (down, up) };
            receiver.engine.handle_cell(payload);
            follow(now, &mut receiver.engine, &self.config);
            collect(now, &mut receiver.engine, &mut sender.accounting, &mut self.packet, &mut self.delays);
        } else {
            let mut copy = self.path.spare.pop().unwrap_or_default();
            copy.clear();
            copy.extend_from_slice(payload);
            end.underway.push_back((arrival, copy));
        }
    }

    fn arrive(&mut self, now: Nanos, direction: Direction) {
        let [up, down] = &mut self.ends;
        let (sender, receiver) = if direction == Direction::Up { (up, down) } else { (down, up) };
        let Some((_, cell)) = sender.underway.pop_front() else { return };
        receiver.engine.handle_cell(&cell);
        follow(now, &mut receiver.engine, &self.config);
        self.path.spare.push(cell);
        collect(now, &mut receiver.engine, &mut sender.accounting, &mut self.packet, &mut self.delays);
    }

    fn result(mut self, home: &HomeTrace, end: Nanos) -> SimulationResult {
        let mut all: Vec<f64> = self.delays.iter().flatten().copied().collect();
        let devices = home.devices.iter().zip(&mut self.delays).enumerate();
        let devices = devices
            .map(|(index, (trace, delays))| {
                let packets = self.ends.iter().flat_map(|end| &end.accounting.packets);
                let sent = packets.filter(|packet| packet.device as usize == index).count() as u64;
                let delivered = delays.len() as u64;
                let mut delays_ms = std::mem::take(delays);
                let delay_ms = Summary::of(&mut delays_ms);
                DeviceResult { name: trace.device.clone(), sent, delivered, delay_ms, delays_ms }
            })
            .collect();
        let [up, down] = &mut self.ends;
        up.close(&down.engine);
        down.close(&up.engine);
        SimulationResult {
            simulated_s: end.as_secs_f64(),
            directions: self.ends.into_iter().map(|end| end.accounting.result).collect(),
            devices,
            home_delay_ms: Summary::of(&mut all),
        }
    }
}

#[derive(Clone, Copy)]
enum NextStep {
    Arrival,
    Build,
}

impl TunnelEnd {
    fn arrival(&self) -> Nanos {
        self.underway.front().map_or(Nanos(u64::MAX), |(time, _)| *time)
    }

    fn close(&mut self, receiver: &Engine) {
        let stats = self.engine.stats();
        let result = &mut self.accounting.result;
        result.cells_data = stats.cells_data;
        result.cells_cover = stats.cells_cover;
        let cells = stats.cells_data + stats.cells_cover;
        result.cover_percent = 100.0 * stats.cells_cover as f64 / cells.max(1) as f64;
        let (queue, _) = split_drops(stats.drops.by_cause());
        let (_, receive) = split_drops(receiver.stats().drops.by_cause());
        let dropped: u64 = queue.iter().map(|(_, count)| count).sum();
        result.lost = result.sent.saturating_sub(result.delivered + dropped);
        (result.queue_drops, result.receive_drops) = (queue, receive);
    }
}

type Causes = Vec<(&'static str, u64)>;

/// Divides the drop counters into those of the sending and those of the receiving side, without zeros.
fn split_drops<const N: usize>(drops: [(&'static str, u64); N]) -> (Causes, Causes) {
    let counted = drops.into_iter().filter(|(_, count)| *count > 0);
    counted.partition(|(cause, _)| matches!(*cause, "malformed_packet" | "overflow" | "aged"))
}

/// Lets an endpoint follow the plan that the last cell has brought, if it has brought one.
fn follow(now: Nanos, engine: &mut Engine, config: &SimulationConfig) {
    let Some(ControlMessage::BurstPlan(plan)) = engine.poll_control() else { return };
    let Ok(cell) = config.cell() else { return };
    let pace = Pace::of_trains(config.law, config.spread_percent, plan.rate, cell.wire_bytes, plan.train);
    engine.follow_slot(&AnnouncedSlot {
        number: plan.number,
        starts: now + Nanos::from_micros(plan.starts_in_us.into()),
        length: Nanos::from_millis(plan.slot_ms.into()),
        burst: plan.bursts.then_some(SlotPace { pace, train: plan.train, lead: config.lead }),
        granted: plan.rate,
    });
}

/// Records the packets that the last cell completed.
fn collect(
    now: Nanos,
    engine: &mut Engine,
    accounting: &mut PacketAccounting,
    buf: &mut [u8],
    delays: &mut [Vec<f64>],
) {
    while let Some(length) = engine.poll_packet(buf) {
        let bytes = &buf[..length];
        if let Some((device, delay)) = accounting.arrive(now, packet::read(bytes), length) {
            delays[device].push(delay.as_millis_f64());
        }
    }
}
