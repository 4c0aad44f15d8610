//! The engine: one type, two drivers.

use rand::rngs::ChaCha12Rng;
use rand::{RngExt, SeedableRng};

use super::DEVICES;
use super::backlog::Backlog;
use super::packer::Packer;
use super::params::{Pace, Params};
use super::reassembler::Reassembler;
use super::reorder::{Reorder, ReorderEvent};
use super::schedule::DepartureSchedule;
use super::stats::{DeviceStats, Stats};
use crate::units::Nanos;
use crate::wire::MAX_PACKET_BYTES;
use crate::wire::cell::{HEADER_BYTES, Header, SubType};
use crate::wire::control::ControlMessage;
use crate::wire::ip::Packet;

/// The longest cell that is taken from the peer.
const MAX_CELL_BYTES: usize = MAX_PACKET_BYTES;

/// Shapes one direction of a tunnel and unpacks the other.
pub struct Engine {
    payload_bytes: usize,
    lead: Nanos,
    schedule: DepartureSchedule,
    /// Under the law `kernel`: time for which data cells may still be fed, and when that was last counted.
    limits: Nanos,
    counted: Nanos,
    backlog: Backlog,
    packer: Packer,
    /// Whether cells leave that carry nothing.
    cover: bool,
    control: Option<ControlMessage>,
    reorder: Reorder,
    reassembler: Reassembler,
    stats: Stats,
}

/// A cell that has been built.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Transmit {
    /// When it is to leave: not before. The driver waits until then.
    pub scheduled: Nanos,
    /// Its length in the buffer: always `payload_bytes`.
    pub len: usize,
    /// What is in it.
    pub kind: CellKind,
}

/// Whether a cell carries anything. The wire does not show it; the PRIO bands and the statistics do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CellKind {
    /// Device bytes or a control message.
    Data,
    /// Padding only.
    Cover,
}

/// Why the engine wants to be woken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wake {
    /// To build the cell of the coming departure.
    Build,
}

impl Engine {
    /// An engine whose first departure lies one interval after `now`. `seed` must be fresh for every engine: all
    /// departures follow from it.
    pub fn new(params: Params, seed: [u8; 32], now: Nanos) -> Engine {
        let mut seeds = ChaCha12Rng::from_seed(seed);
        Engine {
            payload_bytes: params.payload_bytes.clamp(HEADER_BYTES + 1, MAX_CELL_BYTES),
            lead: params.lead,
            schedule: DepartureSchedule::new(params.pace, seeds.random(), now),
            limits: Nanos::ZERO,
            counted: now,
            backlog: Backlog::new(params.limits),
            packer: Packer::new(seeds.random()),
            cover: true,
            control: None,
            reorder: Reorder::new(MAX_CELL_BYTES),
            reassembler: Reassembler::new(),
            stats: Stats::default(),
        }
    }

    /// Takes one packet from the devices. Its DSCP is the number of the device, or 0; it leaves with DSCP 0.
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

    /// Takes one cell from the peer. Fetch what it completed with [`Engine::poll_packet`] before the next one.
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

    /// Copies the next packet for the devices into `buf`, which should hold [`MAX_PACKET_BYTES`].
    pub fn poll_packet(&mut self, buf: &mut [u8]) -> Option<usize> {
        self.reassembler.poll_packet(buf)
    }

    /// The latest control message from the peer, once.
    pub fn poll_control(&mut self) -> Option<ControlMessage> {
        self.reassembler.poll_control()
    }

    /// Puts a control message into the next cell, in place of one that has not left yet.
    pub fn send_control(&mut self, message: ControlMessage) {
        self.control = Some(message);
    }

    /// When to wake, and why.
    pub fn poll_timeout(&self) -> (Nanos, Wake) {
        (self.schedule.next().saturating_since(self.lead), Wake::Build)
    }

    /// Builds the cell of the coming departure into `buf` (at least `payload_bytes` long), once its time less the
    /// lead has come. Departures that have passed meanwhile are gone: however late `now` is, there is one cell. `None`
    /// before, and where the cell would carry nothing and there is no cover.
    pub fn poll_transmit(&mut self, now: Nanos, buf: &mut [u8]) -> Option<Transmit> {
        if now < self.poll_timeout().0 {
            return None;
        }
        let mut scheduled = self.schedule.next();
        self.schedule.advance();
        while self.schedule.next() <= now {
            self.stats.slots_missed += 1;
            scheduled = self.schedule.next();
            self.schedule.advance();
        }
        if !self.cover && self.backlog.is_empty() && self.control.is_none() {
            return None;
        }
        let cell = &mut buf[..self.payload_bytes];
        let kind = self.build(now, scheduled, cell);
        match kind {
            CellKind::Data => self.stats.cells_data += 1,
            CellKind::Cover => self.stats.cells_cover += 1,
        }
        Some(Transmit { scheduled, len: self.payload_bytes, kind })
    }

    /// Counts how late a cell left.
    pub fn handle_departure(&mut self, scheduled: Nanos, actual: Nanos) {
        self.stats.lateness.record(actual.saturating_since(scheduled));
    }

    /// Changes the law of departures, from the interval after the coming departure on. Only for what the user or
    /// the clock changes (invariant I5).
    pub fn set_pace(&mut self, pace: Pace) {
        self.schedule.set_pace(pace);
    }

    /// Whether cells leave that carry nothing; they do from the beginning. Without them nothing is hidden: only for what
    /// the user or the clock changes.
    pub fn set_cover(&mut self, cover: bool) {
        self.cover = cover;
    }

    /// Begins departures anew, one interval after `now`, for a driver that let them rest.
    pub fn restart(&mut self, pace: Pace, now: Nanos) {
        self.schedule.restart(pace, now);
        self.counted = now;
    }

    /// The law of departures in force.
    pub fn pace(&self) -> Pace {
        self.schedule.pace()
    }

    /// Changes the length of the cells.
    pub fn set_payload_bytes(&mut self, payload_bytes: usize) {
        self.payload_bytes = payload_bytes.clamp(HEADER_BYTES + 1, MAX_CELL_BYTES);
    }

    /// Begins anew with the statistics of each device, where numbers have come to mean other devices.
    pub fn forget_devices(&mut self) {
        self.stats.devices = [DeviceStats::default(); DEVICES];
    }

    /// What has happened so far.
    pub fn stats(&self) -> &Stats {
        &self.stats
    }

    fn build(&mut self, now: Nanos, scheduled: Nanos, cell: &mut [u8]) -> CellKind {
        if self.schedule.pace().law.paced_by_kernel() && !self.poll_kernel_quota(scheduled) {
            self.packer.pack_unsequenced(cell);
            return CellKind::Cover;
        }
        match self.packer.pack((now, scheduled), &mut self.backlog, &mut self.control, cell, &mut self.stats) {
            true => CellKind::Data,
            false => CellKind::Cover,
        }
    }

    /// Under the law `kernel` cells are fed faster than they leave. Data cells must not: they would pile up in their
    /// band, where no fairness reaches them. So they are fed at the rate itself, at most two ahead of it.
    fn poll_kernel_quota(&mut self, scheduled: Nanos) -> bool {
        let mean = self.schedule.pace().mean;
        let gained = self.limits + scheduled.saturating_since(self.counted);
        self.limits = gained.min(mean + mean);
        self.counted = scheduled;
        let idle = self.backlog.is_empty() && self.control.is_none();
        if idle || self.limits < mean {
            return false;
        }
        self.limits = self.limits - mean;
        true
    }
}
