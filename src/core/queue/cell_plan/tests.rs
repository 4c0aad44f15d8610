//! What fills a cell: packets that fit, the open packet, the start of the next one.

use std::collections::BTreeMap;

use rand::rngs::ChaCha12Rng;
use rand::{RngExt, SeedableRng};

use super::*;
use crate::core::queue::testing::SizeStore;

const LARGE: usize = 1500;

/// A queue over sizes whose packets leave by cells.
struct Harness {
    queue: FairQueue,
    store: SizeStore,
    drops: Drops,
    /// The open packet with the bytes of it that have not left.
    open: Option<(FlowId, PacketId, usize)>,
    /// The device of every packet.
    devices: Vec<u16>,
}

/// The packets of a cell with the bytes of each, in the cell's order.
type Parts = Vec<(PacketId, usize)>;

impl Harness {
    fn new() -> Harness {
        Harness {
            queue: FairQueue::new(Nanos(u64::MAX), 1_000),
            store: SizeStore::new(usize::MAX),
            drops: Drops::default(),
            open: None,
            devices: Vec::new(),
        }
    }

    fn push(&mut self, device: u16, bytes: u16) -> PacketId {
        let id = self.store.insert(Nanos::ZERO, device, bytes);
        self.queue.push(&mut self.store, id, 0);
        self.devices.push(device);
        id
    }

    /// Fills a cell, as the packer does.
    fn cell(&mut self, room: usize) -> Parts {
        let open = self.open.map(|(flow, _, left)| (flow, left));
        let plan = CellPlan::choose(&mut self.queue, &mut self.store, Nanos::ZERO, room, open, &mut self.drops);
        let mut parts = Vec::new();
        if plan.continuation > 0 {
            let (flow, id, left) = self.open.expect("only an open packet continues");
            parts.push((id, plan.continuation));
            self.open = (left > plan.continuation).then(|| (flow, id, left - plan.continuation));
            if self.open.is_none() {
                self.queue.remove(&mut self.store, id);
            }
        }
        for id in plan.complete() {
            parts.push((*id, usize::from(self.store.meta(*id).bytes)));
            self.queue.remove(&mut self.store, *id);
        }
        if let Some((flow, id, bytes)) = plan.start {
            assert!(self.open.is_none(), "only one packet is open");
            parts.push((id, bytes));
            self.open = Some((flow, id, usize::from(self.store.meta(id).bytes) - bytes));
        }
        parts
    }
}

#[test]
fn a_cell_takes_what_fits_and_starts_the_next_packet() {
    let mut line = Harness::new();
    let ids = [100, 100, 100].map(|bytes| line.push(1, bytes));
    assert_eq!(line.cell(250), [(ids[0], 100), (ids[1], 100), (ids[2], 50)]);
    let next = line.push(1, 30);
    assert_eq!(line.cell(250), [(ids[2], 50), (next, 30)]);
    assert_eq!(line.cell(250), []);
    assert!(line.queue.is_empty());
}

#[test]
fn a_large_packet_takes_whole_cells_while_nothing_else_waits() {
    let mut line = Harness::new();
    let id = line.push(1, 1000);
    let bytes: Vec<Parts> = (0..4).map(|_| line.cell(400)).collect();
    assert_eq!(bytes, [vec![(id, 400)], vec![(id, 400)], vec![(id, 200)], vec![]]);
}

#[test]
fn the_open_packet_fills_what_an_overtaking_packet_leaves() {
    let mut line = Harness::new();
    let large = line.push(1, 1000);
    assert_eq!(line.cell(400), [(large, 400)]);
    let small = line.push(2, 90);
    assert_eq!(line.cell(400), [(large, 310), (small, 90)]);
    let full = line.push(2, 150);
    assert_eq!(line.cell(150), [(full, 150)], "nothing is left for the open packet");
    assert_eq!(line.cell(400), [(large, 290)]);
}

/// A receiver must learn a packet's length from its first part or from the beginning of the next.
#[test]
fn no_packet_starts_in_fewer_bytes_than_its_length_needs() {
    for (room, started) in [(100 + LENGTH_KNOWN_BYTES - 1, 0), (100 + LENGTH_KNOWN_BYTES, LENGTH_KNOWN_BYTES)] {
        let mut line = Harness::new();
        let ids = [line.push(1, 100), line.push(1, 100)];
        let mut expected = vec![(ids[0], 100), (ids[1], started)];
        expected.retain(|(_, bytes)| *bytes > 0);
        assert_eq!(line.cell(room), expected);
    }
    let mut line = Harness::new();
    let id = line.push(1, 10);
    assert_eq!(line.cell(8), [(id, 8)]);
    assert_eq!(line.cell(1), [(id, 1)], "the open packet continues in any room");
    assert_eq!(line.cell(1), [(id, 1)]);
    assert_eq!(line.cell(0), []);
}

#[test]
fn a_cell_holds_a_bounded_number_of_packets() {
    let mut line = Harness::new();
    let ids: Vec<_> = (0..2 * MAX_COMPLETE).map(|_| line.push(1, ip::MIN_BYTES as u16)).collect();
    let first: Vec<_> = line.cell(4 * LARGE).into_iter().map(|(id, _)| id).collect();
    assert_eq!(first, ids[..MAX_COMPLETE]);
    assert_eq!(line.cell(4 * LARGE).len(), MAX_COMPLETE);
}

/// Devices get equal bytes although each of their packets needs several cells, and although the first device has never
/// more than `waiting` packets. The difference is at most a packet, a quantum at each end, and a cell.
#[test]
fn devices_share_cells_whatever_their_packets_are() {
    for (cell, waiting) in [60, 200, 400].into_iter().flat_map(|cell| [(cell, 1), (cell, 50)]) {
        let mut line = Harness::new();
        let sizes: [u16; 3] = [1500, 900, 450];
        let mut sent = [0; 3];
        for (device, count) in [(1, waiting), (2, 50), (3, 50)] {
            (0..count).for_each(|_| _ = line.push(device, sizes[usize::from(device) - 1]));
        }
        while sent.iter().sum::<usize>() < 200_000 {
            for (id, bytes) in line.cell(cell) {
                let device = line.devices[usize::from(id.0)];
                sent[usize::from(device) - 1] += bytes;
                if !line.store.holds(id) {
                    line.push(device, sizes[usize::from(device) - 1]);
                }
            }
        }
        let [low, high] = [sent.iter().min().unwrap(), sent.iter().max().unwrap()];
        assert!(high - low <= LARGE + 512 + cell, "cells of {cell}, {waiting} waiting: {sent:?}");
    }
}

/// Every byte leaves once, and a cell has unused room only if nothing waits.
#[test]
fn cells_carry_every_byte_once_and_waste_nothing() {
    for seed in 0..20u8 {
        println!("seed {seed}");
        let mut rng = ChaCha12Rng::from_seed([seed; 32]);
        let mut line = Harness::new();
        let mut lengths = BTreeMap::new();
        let mut left: BTreeMap<u16, usize> = BTreeMap::new();
        for round in 0..3_000 {
            for _ in 0..rng.random_range(0..3) {
                let bytes = if rng.random_bool(0.7) { rng.random_range(20..=120) } else { rng.random_range(20..=1500) };
                lengths.insert(line.push(rng.random_range(0..6), bytes).0, usize::from(bytes));
            }
            let room = if round % 100 < 50 { rng.random_range(0..=30) } else { rng.random_range(100..=1500) };
            let parts = line.cell(room);
            let used: usize = parts.iter().map(|(_, bytes)| bytes).sum();
            let idle = line.queue.is_empty();
            assert!(used <= room && (idle || room - used < LENGTH_KNOWN_BYTES), "{used} of {room} bytes");
            parts.iter().for_each(|(id, bytes)| *left.entry(id.0).or_default() += bytes);
        }
        while !line.queue.is_empty() {
            line.cell(1_000).iter().for_each(|(id, bytes)| *left.entry(id.0).or_default() += bytes);
        }
        assert_eq!(left, lengths);
        assert_eq!((line.store.bytes, line.drops), (0, Drops::default()));
    }
}
