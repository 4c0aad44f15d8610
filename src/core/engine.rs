//! The engine. The daemon and the simulator drive the same type.

mod bursts;

use rand::rngs::ChaCha12Rng;
use rand::{RngExt, SeedableRng};

use super::burst::{EngineBursts, SlotPace};
use super::device_map::DeviceMap;
use super::lateness;
use super::packer::Packer;
use super::params::{Pace, Params};
use super::queue::Backlog;
use super::reassembler::Reassembler;
use super::reorder::{Reorder, ReorderEvent};
use super::schedule::DepartureSchedule;
use super::stats::Stats;
use crate::units::{DeviceTag, Nanos};
use crate::wire::MAX_PACKET_BYTES;
use crate::wire::cell::{HEADER_BYTES, Header, SubType};
use crate::wire::control::ControlMessage;
use crate::wire::ip::Packet;

/// Devices for whose statistics there is memory from the start: number 0, and those of a small home.
const INITIAL_DEVICES: usize = 64;

/// The longest cell that is accepted from the peer.
const MAX_CELL_BYTES: usize = MAX_PACKET_BYTES;

/// One end of a tunnel: builds the cells to the peer and unpacks the cells from the peer.
pub struct Engine {
    payload_bytes: usize,
    lead: Nanos,
    schedule: DepartureSchedule,
    /// Credit for data cells under the law `kernel`: one mean interval pays for one data cell.
    data_credit: Nanos,
    /// Scheduled departure at which the credit was last increased.
    credit_updated: Nanos,
    backlog: Backlog,
    packer: Packer,
    /// Whether cover cells are sent.
    cover: bool,
    control: Option<ControlMessage>,
    reorder: Reorder,
    reassembler: Reassembler,
    /// The kind of the train built last.
    built: CellKind,
    /// Slots of a higher rate; `None` without any.
    bursts: Option<Box<EngineBursts>>,
    /// The seed of their coins.
    coins: [u8; 32],
    stats: Stats,
}

/// The train that [`Engine::poll_transmit`] has built: the cells that leave at one moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Transmit {
    /// Its departure time. The driver must not send it earlier.
    pub scheduled: Nanos,
    /// The length of each cell in the buffer, in bytes: always `payload_bytes`.
    pub len: usize,
    /// Number of cells in the buffer, one after the other: with cover the train's, whatever they carry.
    pub cells: usize,
    /// Whether any of them carries anything.
    pub kind: CellKind,
}

/// Whether a cell carries anything. An observer of the wire cannot tell; the PRIO bands and the statistics can.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CellKind {
    /// Device bytes or a control message.
    Data,
    /// Padding only.
    Cover,
}

/// Why the engine asks for a timer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wake {
    /// To build the cell for the next departure.
    Build,
}

impl Engine {
    /// An engine whose first departure is one interval after `now`. Every engine needs a new random `seed`: it
    /// determines all departures.
    pub fn new(params: Params, seed: [u8; 32], now: Nanos) -> Engine {
        let mut seeds = ChaCha12Rng::from_seed(seed);
        Engine {
            payload_bytes: params.payload_bytes.clamp(HEADER_BYTES + 1, MAX_CELL_BYTES),
            lead: params.lead,
            schedule: DepartureSchedule::new(params.pace, seeds.random(), now),
            data_credit: Nanos::ZERO,
            credit_updated: now,
            backlog: Backlog::new(params.limits),
            packer: Packer::new(seeds.random()),
            cover: true,
            control: None,
            reorder: Reorder::new(MAX_CELL_BYTES),
            reassembler: Reassembler::new(),
            built: CellKind::Cover,
            bursts: None,
            coins: seeds.random(),
            stats: Stats { devices: DeviceMap::with_capacity(INITIAL_DEVICES), ..Stats::default() },
        }
    }

    /// Queues one packet from the devices. It leaves without its device's number; see [`Engine::set_device_tag`].
    pub fn handle_packet(&mut self, now: Nanos, bytes: &[u8]) {
        let packet = match Packet::parse(bytes) {
            Ok(packet) if bytes.len() <= MAX_PACKET_BYTES => packet,
            _ => {
                self.stats.drops.malformed_packet += 1;
                return;
            }
        };
        self.stats.packets_in += 1;
        self.stats.bytes_in += bytes.len() as u64;
        self.backlog.push(now, &packet, bytes, &mut self.stats.drops);
    }

    /// Unpacks one cell from the peer. Fetch the completed packets with [`Engine::poll_packet`] before the next cell.
    pub fn handle_cell(&mut self, cell: &[u8]) {
        self.stats.cells_received += 1;
        let header = match Header::parse(cell) {
            Ok((header, _)) if cell.len() <= MAX_CELL_BYTES => header,
            _ => {
                self.stats.drops.malformed_cell += 1;
                return;
            }
        };
        if header.sub_type == SubType::Unsequenced {
            return;
        }
        let reassembler = &mut self.reassembler;
        self.reorder.accept(header.sequence, cell, &mut self.stats, |event, stats| match event {
            ReorderEvent::Lost => reassembler.lost(stats),
            ReorderEvent::Cell(cell) => {
                if let Ok((header, blocks)) = Header::parse(cell) {
                    reassembler.accept(header.block_offset, blocks, stats);
                }
            }
        });
    }

    /// Copies the next packet for the devices into `buf` and returns its length. `buf` should hold
    /// [`MAX_PACKET_BYTES`].
    pub fn poll_packet(&mut self, buf: &mut [u8]) -> Option<usize> {
        self.reassembler.poll_packet(buf)
    }

    /// Returns the latest control message from the peer, each message once.
    pub fn poll_control(&mut self) -> Option<ControlMessage> {
        self.reassembler.poll_control()
    }

    /// Sends a control message in the next cell that has room. It replaces a message that has not left yet.
    pub fn send_control(&mut self, message: ControlMessage) {
        self.control = Some(message);
    }

    /// When to call the engine again, and why.
    pub fn poll_timeout(&self) -> (Nanos, Wake) {
        (self.schedule.next().saturating_since(self.lead), Wake::Build)
    }

    /// Builds the train for the next departure into `buf` (at least [`Engine::train_bytes`] long). Returns `None` until
    /// the departure is at most the lead away. Departures that have passed in the meantime are skipped: however late
    /// `now` is, one call builds one train. Also returns `None` if cover is off and the train would carry nothing.
    pub fn poll_transmit(&mut self, now: Nanos, buf: &mut [u8]) -> Option<Transmit> {
        if now < self.poll_timeout().0 {
            return None;
        }
        let (mut scheduled, mut cells) = (self.schedule.next(), self.schedule.next_train());
        self.advance();
        while self.schedule.next() <= now {
            self.stats.slots_missed += 1;
            (scheduled, cells) = (self.schedule.next(), self.schedule.next_train());
            self.advance();
        }
        if !self.cover && self.backlog.is_empty() && self.control.is_none() {
            return None;
        }
        self.built = CellKind::Cover;
        let mut built = 0;
        for cell in buf.chunks_exact_mut(self.payload_bytes).take(cells) {
            if !self.cover && built > 0 && self.backlog.is_empty() {
                break;
            }
            built += 1;
            match self.build(now, scheduled, cell) {
                CellKind::Data => {
                    self.stats.cells_data += 1;
                    self.built = CellKind::Data;
                }
                CellKind::Cover => self.stats.cells_cover += 1,
            }
        }
        Some(Transmit { scheduled, len: self.payload_bytes, cells: built, kind: self.built })
    }

    /// Records how late the train left that was built last.
    pub fn handle_departure(&mut self, scheduled: Nanos, actual: Nanos) {
        let lateness = actual.saturating_since(scheduled);
        self.stats.lateness.record(lateness);
        if self.built == CellKind::Data {
            self.stats.data_lateness.record(lateness);
        }
    }

    /// The least number of days for which anyone must watch the departures to tell a busy home from an idle one in nine
    /// of ten cases; see [`lateness`]. `None` without cover.
    pub fn min_watch_days(&self) -> Option<f64> {
        self.cover.then(|| lateness::min_watch_days(self.schedule.pace(), &self.stats)).flatten()
    }

    /// Changes the pace from the interval after the next departure on. Call it only for changes by the user or by the
    /// clock (invariant I5).
    pub fn set_pace(&mut self, pace: Pace) {
        self.bursts.iter_mut().for_each(|bursts| bursts.base.pace = pace);
        if !self.is_bursting() {
            self.schedule.set_pace(pace);
        }
    }

    /// Lets `train` cells leave together from the departure after the next one on, at least 1; a new engine sends
    /// single cells. The pace is then that of the trains. As with the pace: only for the user's changes.
    pub fn set_train(&mut self, train: u8) {
        self.bursts.iter_mut().for_each(|bursts| bursts.base.train = train.max(1));
        if !self.is_bursting() {
            self.schedule.set_train(train.max(1));
        }
    }

    /// Changes how long before its departure a train is built.
    pub fn set_lead(&mut self, lead: Nanos) {
        self.bursts.iter_mut().for_each(|bursts| bursts.base.lead = lead);
        if !self.is_bursting() {
            self.lead = lead;
        }
    }

    /// Number of cells in each train.
    pub fn train(&self) -> usize {
        self.schedule.train()
    }

    /// Bytes of the next train at most.
    pub fn train_bytes(&self) -> usize {
        self.schedule.largest_train().max(self.max_train()) * self.payload_bytes
    }

    /// Reads the devices' numbers from these header fields from now on; a new engine reads DSCP.
    pub fn set_device_tag(&mut self, tag: DeviceTag) {
        self.backlog.set_device_tag(tag);
    }

    /// Clears these header fields from now on, too. Call it before rules are loaded that write numbers into them.
    pub fn clear_device_tag(&mut self, tag: DeviceTag) {
        self.backlog.clear_device_tag(tag);
    }

    /// Turns cover cells on or off; a new engine sends them. Without cover nothing is hidden, so call this only for
    /// changes by the user or by the clock.
    pub fn set_cover(&mut self, cover: bool) {
        self.cover = cover;
    }

    /// Restarts the departures, the first one interval after `now`, for a driver that had stopped them.
    pub fn restart(&mut self, pace: Pace, now: Nanos) {
        if let Some(bursts) = &mut self.bursts {
            let SlotPace { train, lead, .. } = bursts.restart(pace);
            self.schedule.set_train(train);
            self.lead = lead;
        }
        self.schedule.restart(pace, now);
        self.credit_updated = now;
    }

    /// The pace in force.
    pub fn pace(&self) -> Pace {
        self.schedule.pace()
    }

    /// Length of a cell in bytes.
    pub fn payload_bytes(&self) -> usize {
        self.payload_bytes
    }

    /// Changes the length of the cells, in bytes of UDP payload.
    pub fn set_payload_bytes(&mut self, payload_bytes: usize) {
        self.payload_bytes = payload_bytes.clamp(HEADER_BYTES + 1, MAX_CELL_BYTES);
    }

    /// Clears the statistics of all devices. Call it when the numbers are given to other devices.
    pub fn reset_device_stats(&mut self) {
        self.stats.devices = Default::default();
    }

    /// Continues the counters from these values, so that a test need not wait for large ones.
    #[cfg(feature = "lab")]
    pub fn count_from(&mut self, stats: Stats) {
        self.stats = stats;
    }

    /// The counters since the engine was created.
    pub fn stats(&self) -> &Stats {
        &self.stats
    }

    fn build(&mut self, now: Nanos, scheduled: Nanos, cell: &mut [u8]) -> CellKind {
        // What there is to say of bursts waits for a cell without another message.
        let message =
            self.bursts.as_ref().filter(|_| self.control.is_none()).and_then(|bursts| bursts.message(scheduled));
        if message.is_some() {
            self.control = message;
        }
        let kind = self.fill(now, scheduled, cell);
        if message.is_some() && self.control.take().is_none() {
            self.bursts.iter_mut().for_each(|bursts| bursts.note_sent());
        }
        kind
    }

    fn fill(&mut self, now: Nanos, scheduled: Nanos, cell: &mut [u8]) -> CellKind {
        if self.schedule.pace().law.paced_by_kernel() && !self.spend_data_credit(scheduled) {
            self.packer.pack_unsequenced(cell);
            return CellKind::Cover;
        }
        match self.packer.pack((now, scheduled), &mut self.backlog, &mut self.control, cell, &mut self.stats) {
            true => CellKind::Data,
            false => CellKind::Cover,
        }
    }

    /// Whether this cell may carry data under the law `kernel`. Cells are then fed to HTB faster than HTB releases
    /// them. Data cells must not be: they would pile up in their band, where the queue's fairness has no effect. A
    /// credit limits them to the rate itself, with at most two data cells in advance.
    fn spend_data_credit(&mut self, scheduled: Nanos) -> bool {
        let mean = self.schedule.pace().mean;
        let credit = self.data_credit + scheduled.saturating_since(self.credit_updated);
        self.data_credit = credit.min(mean + mean);
        self.credit_updated = scheduled;
        let idle = self.backlog.is_empty() && self.control.is_none();
        if idle || self.data_credit < mean {
            return false;
        }
        self.data_credit = self.data_credit - mean;
        true
    }
}
