//! The bytes of a cell: block offsets (RFC 9347 section 6.1.2), packets over several cells, control messages; and what
//! a receiver makes of them.

use rand::rngs::ChaCha12Rng;
use rand::{RngExt, SeedableRng};

use super::*;
use crate::core::params::Limits;
use crate::core::queue::testing::{number_of, udp_packet};
use crate::core::reassembler::Reassembler;
use crate::law::Law;
use crate::units::{BitsPerSec, DeviceId, DeviceTag};
use crate::wire::MAX_PACKET_BYTES;
use crate::wire::block::LENGTH_KNOWN_BYTES;
use crate::wire::control::ShapingRequest;
use crate::wire::ip::Packet;

/// Bytes for blocks in a cell of the default size.
const ROOM: usize = 412;
const DEPARTURE: Nanos = Nanos(5_000_000);

/// A packer with its backlog.
struct Sender {
    packer: Packer,
    backlog: Backlog,
    control: Option<ControlMessage>,
    stats: Stats,
}

impl Sender {
    fn new() -> Sender {
        Sender {
            packer: Packer::new(u32::MAX),
            backlog: Backlog::new(Limits::default()),
            control: None,
            stats: Stats::default(),
        }
    }

    /// Queues a packet and returns the bytes that are to arrive.
    fn push(&mut self, device: u8, port: u16, number: u32, bytes: usize) -> Vec<u8> {
        let mut packet = udp_packet(device, port, number, bytes);
        let parsed = Packet::parse(&packet).expect("a valid packet");
        self.backlog.push(Nanos::ZERO, &parsed, &packet, &mut self.stats.drops);
        let start = parsed.start_without_tag(DeviceTag::Dscp);
        packet[..start.len()].copy_from_slice(&start);
        packet
    }

    /// Packs a cell with `room` bytes for blocks: its header, its blocks, and whether it carries anything. The buffer
    /// contains an earlier cell.
    fn cell(&mut self, room: usize) -> (Header, Vec<u8>, bool) {
        let mut cell = vec![0xaa; HEADER_BYTES + room];
        let Sender { packer, backlog, control, stats } = self;
        let carries = packer.pack((Nanos::ZERO, DEPARTURE), backlog, control, &mut cell, stats);
        let (header, blocks) = Header::parse(&cell).expect("a valid header");
        assert_eq!(header.sub_type, SubType::Sequenced);
        (header, blocks.to_vec(), carries)
    }

    /// The block offset of the next cell, and its blocks.
    fn blocks(&mut self, room: usize) -> (usize, Vec<u8>) {
        let (header, blocks, _) = self.cell(room);
        (usize::from(header.block_offset), blocks)
    }
}

/// Pads with zeros to `room` bytes.
fn padded(parts: &[&[u8]], room: usize) -> Vec<u8> {
    let mut blocks = parts.concat();
    blocks.resize(room, 0);
    blocks
}

fn request(id: u16) -> ControlMessage {
    let rate = BitsPerSec(320_000);
    let law = Law::Gamma;
    let trains = [1; 2];
    let request = ShapingRequest { id, law, spread_percent: 33, cell_bytes: 512, rate, cover: true, trains };
    ControlMessage::ShapingRequest(request)
}

fn emitted(message: ControlMessage) -> Vec<u8> {
    let mut block = vec![0; message.buffer_len()];
    message.emit(&mut block);
    block
}

#[test]
fn a_cell_without_packets_is_padding() {
    let mut sender = Sender::new();
    for sequence in [u32::MAX, 0, 1] {
        let (header, blocks, carries) = sender.cell(ROOM);
        assert_eq!(header, Header { sequence, sub_type: SubType::Sequenced, block_offset: 0 });
        assert_eq!((blocks, carries), (vec![0; ROOM], false));
    }
}

#[test]
fn packets_follow_each_other_and_padding_follows_them() {
    let mut sender = Sender::new();
    let packets = [40, 300].map(|bytes| sender.push(1, 1, bytes as u32, bytes));
    let (header, blocks, carries) = sender.cell(ROOM);
    assert_eq!((header.block_offset, carries), (0, true));
    assert_eq!(blocks, padded(&[&packets[0], &packets[1]], ROOM));
    assert!(sender.backlog.is_empty());
    assert_eq!(sender.cell(ROOM).1, vec![0; ROOM]);
}

#[test]
fn a_packet_of_exactly_the_cells_length_leaves_no_rest() {
    let mut sender = Sender::new();
    let packet = sender.push(1, 1, 1, ROOM);
    assert_eq!(sender.blocks(ROOM), (0, packet));
    assert_eq!(sender.blocks(ROOM), (0, vec![0; ROOM]));

    let packet = sender.push(1, 1, 1, ROOM + 1);
    assert_eq!(sender.blocks(ROOM), (0, packet[..ROOM].to_vec()));
    assert_eq!(sender.blocks(ROOM), (1, padded(&[&packet[ROOM..]], ROOM)), "the last byte, then padding");
}

/// The offset counts the rest of the open packet, even beyond the cell's end.
#[test]
fn a_packet_over_four_cells_announces_its_rest() {
    let mut sender = Sender::new();
    let packet = sender.push(1, 1, 1, 1500);
    for (part, offset) in packet.chunks(ROOM).zip([0, 1500 - ROOM, 1500 - 2 * ROOM, 1500 - 3 * ROOM]) {
        assert!(!sender.backlog.is_empty(), "it waits until its last byte has left");
        assert_eq!(sender.blocks(ROOM), (offset, padded(&[part], ROOM)));
    }
    assert!(sender.backlog.is_empty());
}

/// The offset of a rest that ends with the cell is the cell's end: no block starts there.
#[test]
fn a_rest_of_exactly_the_cells_length_points_to_its_end() {
    let mut sender = Sender::new();
    let packet = sender.push(1, 1, 1, 2 * ROOM);
    let next = sender.push(1, 1, 2, 50);
    assert_eq!(sender.blocks(ROOM), (0, packet[..ROOM].to_vec()));
    assert_eq!(sender.blocks(ROOM), (ROOM, packet[ROOM..].to_vec()));
    assert_eq!(sender.blocks(ROOM), (0, padded(&[&next], ROOM)));
}

#[test]
fn the_next_packet_starts_where_the_rest_ends() {
    let mut sender = Sender::new();
    let packets = [500, 500].map(|bytes| sender.push(1, 1, bytes as u32, bytes));
    let rest = 500 - ROOM;
    sender.cell(ROOM);
    assert_eq!(sender.blocks(ROOM), (rest, [&packets[0][ROOM..], &packets[1][..ROOM - rest]].concat()));
    assert_eq!(sender.blocks(ROOM), (2 * rest, padded(&[&packets[1][ROOM - rest..]], ROOM)));
}

/// An offset smaller than the rest suspends the open packet; see [`Header::block_offset`].
#[test]
fn an_overtaking_packet_suspends_the_open_one() {
    let mut sender = Sender::new();
    let large = sender.push(1, 1, 1, 1500);
    sender.cell(ROOM);
    let small = sender.push(2, 1, 2, 100);
    let part = ROOM - 100;
    assert_eq!(sender.blocks(ROOM), (part, [&large[ROOM..ROOM + part], &small].concat()));
    let whole = sender.push(3, 1, 3, ROOM);
    assert_eq!(sender.blocks(ROOM), (0, whole), "nothing of the open packet");
    let left = 1500 - ROOM - part;
    assert_eq!(sender.blocks(ROOM), (left, large[ROOM + part..][..ROOM].to_vec()));
}

#[test]
fn a_control_message_comes_first_and_once() {
    let mut sender = Sender::new();
    let packet = sender.push(1, 1, 1, 100);
    sender.control = Some(request(7));
    assert_eq!(sender.blocks(ROOM), (0, padded(&[&emitted(request(7)), &packet], ROOM)));
    assert_eq!(sender.control, None);
    assert_eq!(sender.blocks(ROOM), (0, vec![0; ROOM]));

    sender.control = Some(request(8));
    let (_, blocks, carries) = sender.cell(ROOM);
    assert_eq!((blocks, carries), (padded(&[&emitted(request(8))], ROOM), true), "without any packet");
}

#[test]
fn a_control_message_follows_the_rest_of_the_open_packet() {
    let mut sender = Sender::new();
    let packet = sender.push(1, 1, 1, 1500);
    sender.cell(ROOM);
    sender.control = Some(request(7));
    let part = ROOM - emitted(request(7)).len();
    assert_eq!(sender.blocks(ROOM), (part, [&packet[ROOM..ROOM + part], &emitted(request(7))].concat()));
    assert_eq!(sender.blocks(ROOM), (1500 - ROOM - part, packet[ROOM + part..][..ROOM].to_vec()));
}

/// A message must be complete within its cell, so a cell that is too small for it carries packets alone.
#[test]
fn a_control_message_waits_for_a_cell_that_has_room() {
    let mut sender = Sender::new();
    let packet = sender.push(1, 1, 1, 40);
    let message = ControlMessage::KeyUpdate([9; 32]);
    sender.control = Some(message);
    let room = message.buffer_len() - 1;
    assert_eq!(sender.blocks(room), (0, packet[..room].to_vec()));
    assert_eq!(sender.control, Some(message));
    let (offset, blocks) = sender.blocks(message.buffer_len());
    assert_eq!((offset, blocks), (0, emitted(message)), "it fills the cell and suspends the packet");
    assert_eq!(sender.blocks(room), (40 - room, padded(&[&packet[room..]], room)));
}

#[test]
fn tiny_cells_carry_packets_as_soon_as_a_length_fits() {
    for room in 1..40 {
        let mut sender = Sender::new();
        let packet = sender.push(1, 1, 1, 40);
        let mut arrived = Vec::new();
        for _ in 0..40 {
            let (_, blocks, carries) = sender.cell(room);
            assert_eq!(carries, room >= LENGTH_KNOWN_BYTES && arrived.len() < 40, "{room} bytes");
            arrived.extend(blocks);
        }
        let expected = if room >= LENGTH_KNOWN_BYTES { packet } else { Vec::new() };
        assert_eq!(arrived, padded(&[&expected], 40 * room), "{room} bytes");
    }
}

#[test]
fn an_unsequenced_cell_is_zeros_and_takes_no_number() {
    let mut sender = Sender::new();
    sender.push(1, 1, 1, 40);
    let mut cell = vec![0xaa; HEADER_BYTES + ROOM];
    sender.packer.pack_unsequenced(&mut cell);
    let header = Header { sequence: 0, sub_type: SubType::Unsequenced, block_offset: 0 };
    assert_eq!(Header::parse(&cell), Ok((header, &[0; ROOM][..])));
    let (next, _, carries) = sender.cell(ROOM);
    assert_eq!((next.sequence, carries), (u32::MAX, true));
}

/// A packet's delay ends with the departure of its last byte.
#[test]
fn the_delay_of_a_packet_is_recorded_with_its_last_byte() {
    let mut sender = Sender::new();
    sender.push(4, 1, 1, 100);
    sender.push(3, 1, 2, ROOM + 100);
    sender.cell(ROOM);
    let of = |stats: &Stats, device| stats.devices.get(DeviceId(device)).copied().unwrap_or_default();
    let recorded = |stats: &Stats| [3, 4].map(|device| (of(stats, device).packets, of(stats, device).bytes));
    assert_eq!(recorded(&sender.stats), [(0, 0), (1, 100)]);
    sender.cell(ROOM);
    assert_eq!(recorded(&sender.stats), [(1, ROOM as u64 + 100), (1, 100)]);
    assert_eq!(of(&sender.stats, 3).delay_sum, DEPARTURE);
}

/// Cells of every size, packets of every size, messages between them: the other end gets what was sent, and each flow
/// in its order.
#[test]
fn the_reassembler_gets_what_was_sent() {
    for seed in 0..30u8 {
        println!("seed {seed}");
        let mut rng = ChaCha12Rng::from_seed([seed; 32]);
        let (mut sender, mut reassembler, mut received) = (Sender::new(), Reassembler::new(), Stats::default());
        let mut sent: Vec<Vec<u8>> = Vec::new();
        let mut arrived = vec![false; 2_000];
        let mut last = [None; 5];
        let mut messages = 0;
        let mut buf = [0; MAX_PACKET_BYTES];
        let mut rounds = 0;
        while sent.len() < arrived.len() || !sender.backlog.is_empty() {
            if sent.len() < arrived.len() && sender.backlog.is_empty() | rng.random_bool(0.3) {
                let flow = rng.random_range(0..5);
                let bytes = if rng.random_bool(0.5) { rng.random_range(32..=90) } else { rng.random_range(32..=1500) };
                sent.push(sender.push(flow, u16::from(flow), sent.len() as u32, bytes));
            }
            let expected = rng.random_bool(0.1).then(|| request(rng.random()));
            sender.control = expected;
            let room = if rounds % 200 < 100 { rng.random_range(1..=60) } else { rng.random_range(61..=1492) };
            let (header, blocks, _) = sender.cell(room);
            reassembler.accept(header.block_offset, &blocks, &mut received);
            while let Some(length) = reassembler.poll_packet(&mut buf) {
                let number = number_of(&buf[..length]) as usize;
                assert_eq!(buf[..length], sent[number], "packet {number}");
                assert!(!std::mem::replace(&mut arrived[number], true), "packet {number} arrives once");
                let flow = &mut last[usize::from(buf[15])];
                assert!(flow.replace(number).is_none_or(|before| before < number), "flows keep their order");
            }
            let left = sender.control.is_none() && expected.is_some();
            assert_eq!(reassembler.poll_control(), expected.filter(|_| left));
            messages += u32::from(left);
            rounds += 1;
        }
        assert!(arrived.iter().all(|arrived| *arrived) && messages > 20, "{messages} messages");
        assert_eq!((sender.stats.drops, received.drops), Default::default());
        assert_eq!((received.packets_out, sender.stats.delay.count()), (2_000, 2_000));
    }
}
