//! The engine through its public interface: the packets that go in at one end come out at the other, and no others.

use millpond::core::{CellKind, Engine, Limits, Pace, Params};
use millpond::law::Law;
use millpond::units::{BitsPerSec, DeviceId, DeviceTag, Nanos, RESTORED_TTL};
use millpond::wire::MAX_PACKET_BYTES;
use millpond::wire::control::{ControlMessage, ShapingRequest};
use rand::rngs::ChaCha12Rng;
use rand::{RngExt, SeedableRng};

const T: Nanos = Nanos(25_400_000);
const PAYLOAD_BYTES: usize = 420;

fn params(law: Law) -> Params {
    Params {
        payload_bytes: PAYLOAD_BYTES,
        pace: Pace { law, mean: T, spread_percent: 15 },
        lead: Nanos::ZERO,
        limits: Limits::default(),
    }
}

fn engine(law: Law) -> Engine {
    Engine::new(params(law), [3; 32], Nanos::ZERO)
}

/// A numbered IPv4/UDP packet of `bytes` bytes from one of the device's ports.
fn packet(device: u8, port: u16, number: u32, bytes: usize) -> Vec<u8> {
    let mut packet = vec![0x45, device << 2, 0, 0, 0, 0, 0x40, 0, 64, 17, 0, 0, 192, 168, 1, device, 192, 0, 2, 7];
    packet[2..4].copy_from_slice(&(bytes as u16).to_be_bytes());
    packet.extend(port.to_be_bytes());
    packet.extend([0, 7, 0, 0, 0, 0]);
    packet.extend(number.to_be_bytes());
    while packet.len() < bytes {
        packet.push((number as usize + packet.len()) as u8);
    }
    packet
}

fn number(packet: &[u8]) -> u32 {
    u32::from_be_bytes(packet[28..32].try_into().unwrap())
}

/// The next cell at its departure time.
fn next_cell(engine: &mut Engine) -> (Nanos, CellKind, Vec<u8>) {
    let mut buf = [0; MAX_PACKET_BYTES];
    let (due, _) = engine.poll_timeout();
    let transmit = engine.poll_transmit(due, &mut buf).expect("a cell at its departure time");
    (transmit.scheduled, transmit.kind, buf[..transmit.len].to_vec())
}

fn received(engine: &mut Engine) -> Vec<Vec<u8>> {
    let mut buf = [0; MAX_PACKET_BYTES];
    std::iter::from_fn(|| engine.poll_packet(&mut buf).map(|length| buf[..length].to_vec())).collect()
}

/// The packet without DSCP and checksum, which the engine changes.
fn content(packet: &[u8]) -> Vec<u8> {
    [&packet[2..10], &packet[12..]].concat()
}

#[test]
fn packets_of_every_size_arrive_intact_and_in_order() {
    for law in Law::ALL {
        let mut sender = engine(law);
        let mut receiver = engine(law);
        let mut arrived = Vec::new();
        for (number, bytes) in (32..=MAX_PACKET_BYTES).enumerate() {
            sender.handle_packet(sender.poll_timeout().0, &packet(1, 1, number as u32, bytes));
            for _ in 0..7 {
                let (_, _, cell) = next_cell(&mut sender);
                assert_eq!(cell.len(), PAYLOAD_BYTES);
                receiver.handle_cell(&cell);
                arrived.extend(received(&mut receiver));
            }
        }
        assert_eq!(arrived.len(), MAX_PACKET_BYTES - 31, "{law}");
        for (at, got) in arrived.iter().enumerate() {
            let sent = packet(1, 1, at as u32, at + 32);
            assert_eq!(content(got), content(&sent), "{law}: packet {at}");
            assert_eq!(got[1], 0, "{law}: DSCP is cleared");
        }
        assert_eq!(sender.stats().drops, Default::default());
        assert_eq!(receiver.stats().drops, Default::default());
    }
}

/// A busy home over a tunnel that loses, duplicates and reorders cells: all packets without a byte in a lost cell
/// arrive.
#[test]
fn a_lost_cell_costs_only_its_packets() {
    for seed in 0..20u8 {
        println!("seed {seed}");
        let mut rng = ChaCha12Rng::from_seed([seed; 32]);
        let mut sender = engine(Law::Gamma);
        let mut receiver = engine(Law::Gamma);
        let mut sent = 0;
        let mut maybe_lost = 0;
        let mut arrived: Vec<u32> = Vec::new();
        let mut delayed: Option<Vec<u8>> = None;
        for _ in 0..5_000 {
            let now = sender.poll_timeout().0;
            for _ in 0..rng.random_range(0..3) {
                let bytes = if rng.random_bool(0.2) { rng.random_range(600..=1500) } else { rng.random_range(32..300) };
                sender.handle_packet(now, &packet(0, rng.random_range(0..6), sent, bytes));
                sent += 1;
            }
            let (_, _, cell) = next_cell(&mut sender);
            match rng.random_range(0..100) {
                // Maximum number of packets with a byte in one cell.
                0 => maybe_lost += PAYLOAD_BYTES / 32 + 2,
                1 => delayed = Some(cell),
                2 => (0..2).for_each(|_| receiver.handle_cell(&cell)),
                _ => receiver.handle_cell(&cell),
            }
            if rng.random_bool(0.5) {
                delayed.take().into_iter().for_each(|cell| receiver.handle_cell(&cell));
            }
            arrived.extend(received(&mut receiver).iter().map(|packet| number(packet)));
        }
        let stats = sender.stats();
        assert_eq!(stats.packets_in, u64::from(sent));
        let left: u64 = stats.devices.iter().map(|(_, device)| device.packets).sum();
        assert!(arrived.len() as u64 <= left);
        assert!(arrived.len() + maybe_lost + 200 > left as usize, "{} of {left} arrived", arrived.len());
        let mut unique = arrived.clone();
        unique.sort_unstable();
        unique.dedup();
        assert_eq!(unique.len(), arrived.len(), "no packet arrives twice");
        assert_eq!(receiver.stats().drops.malformed_block, 0);
        assert!(receiver.stats().cells_lost > 0);
    }
}

#[test]
fn a_small_packet_overtakes_the_rest_of_a_large_one() {
    let mut sender = engine(Law::Gamma);
    let mut receiver = engine(Law::Gamma);
    for number in 0..100 {
        sender.handle_packet(Nanos::ZERO, &packet(1, 1, number, 1500));
    }
    for _ in 0..5 {
        receiver.handle_cell(&next_cell(&mut sender).2);
        received(&mut receiver);
    }
    for number in 1_000..1_020 {
        sender.handle_packet(sender.poll_timeout().0, &packet(2, 2, number, 100));
        let (scheduled, _, cell) = next_cell(&mut sender);
        receiver.handle_cell(&cell);
        let got = received(&mut receiver);
        assert!(
            got.iter().any(|p| self::number(p) == number),
            "packet {number} is in the cell that left at {scheduled:?}"
        );
        for _ in 0..2 {
            receiver.handle_cell(&next_cell(&mut sender).2);
            received(&mut receiver);
        }
    }
    assert_eq!(receiver.stats().drops, Default::default());
}

/// While rules with another tag are loaded, packets arrive with the old and with the new one. None shows a number.
#[test]
fn no_number_leaves_while_the_tag_changes() {
    let (mut sender, mut receiver) = (engine(Law::Gamma), engine(Law::Gamma));
    let mut ttl_of = |sender: &mut Engine, ttl: u8| {
        let mut sent = packet(5, 1, 1, 100);
        sent[8] = ttl;
        sender.handle_packet(sender.poll_timeout().0, &sent);
        receiver.handle_cell(&next_cell(sender).2);
        let got = received(&mut receiver).pop().expect("the packet is in the cell");
        assert_eq!(got[1], 0, "DSCP is cleared");
        got[8]
    };
    assert_eq!(ttl_of(&mut sender, 70), 70, "a home without many devices keeps its packets' TTL");
    sender.clear_device_tag(DeviceTag::DscpAndTtl);
    assert_eq!(ttl_of(&mut sender, 254), RESTORED_TTL);
    assert_eq!(sender.stats().devices.get(DeviceId(5)).unwrap().packets, 2, "the old tag counts");
    sender.set_device_tag(DeviceTag::DscpAndTtl);
    assert_eq!(ttl_of(&mut sender, 254), RESTORED_TTL);
    assert_eq!(sender.stats().devices.get(DeviceId(68)).unwrap().packets, 1, "the new tag counts");
    sender.set_device_tag(DeviceTag::Dscp);
    assert_eq!(ttl_of(&mut sender, 254), RESTORED_TTL, "a packet that was on its way");
    assert_eq!(ttl_of(&mut sender, 9), 9, "traceroute");
}

#[test]
fn devices_share_the_line_regardless_of_their_number_of_flows() {
    let mut sender = engine(Law::Gamma);
    for round in 0..4_000 {
        let now = sender.poll_timeout().0;
        sender.handle_packet(now, &packet(1, round % 20, 0, 700));
        sender.handle_packet(now, &packet(2, 7, 0, 700));
        next_cell(&mut sender);
    }
    let [one, two] = [1, 2].map(|device| sender.stats().devices.get(DeviceId(device)).unwrap().bytes as f64);
    assert!((one / two - 1.0).abs() < 0.1, "twenty flows {one}, one flow {two}");
}

#[test]
fn the_queue_is_bounded_in_bytes_and_age() {
    let mut sender = engine(Law::Gamma);
    for number in 0..10_000 {
        sender.handle_packet(Nanos::ZERO, &packet(1, 1, number, 1000));
    }
    let kept = 10_000 - sender.stats().drops.overflow;
    assert!((200..=262).contains(&kept), "{kept} kept of 256 KiB");
    sender.handle_packet(Nanos::ZERO, &packet(2, 1, 5, 100));
    assert_eq!(sender.stats().drops.overflow + kept, 10_001, "the new packet displaced one of the longest flow");

    let mut buf = [0; MAX_PACKET_BYTES];
    let late = Nanos::from_secs(11);
    let transmit = sender.poll_transmit(late, &mut buf).unwrap();
    assert_eq!(transmit.kind, CellKind::Cover);
    assert_eq!(sender.stats().drops.aged, kept);
}

#[test]
fn a_late_driver_gets_exactly_one_cell() {
    for law in Law::ALL {
        let mut engine = engine(law);
        let mut buf = [0; MAX_PACKET_BYTES];
        let now = Nanos::from_secs(20);
        let transmit = engine.poll_transmit(now, &mut buf).unwrap();
        assert!(transmit.scheduled <= now && now - transmit.scheduled < T + T, "{law}");
        assert_eq!(engine.poll_transmit(now, &mut buf), None, "{law}");
        assert!(engine.poll_timeout().0 > now, "{law}");
        assert!(engine.stats().slots_missed > 500, "{law}");
        assert_eq!(engine.poll_transmit(engine.poll_timeout().0.saturating_since(Nanos(1)), &mut buf), None);
    }
}

#[test]
fn the_latest_request_arrives_and_leaves_room_for_packets() {
    let mut sender = engine(Law::Gamma);
    let mut receiver = engine(Law::Gamma);
    let request = |id| {
        ControlMessage::ShapingRequest(ShapingRequest {
            id,
            law: Law::Normal,
            spread_percent: 15,
            cell_bytes: 512,
            rate: BitsPerSec(320_000),
            cover: true,
            trains: [1; 2],
        })
    };
    sender.send_control(request(1));
    sender.send_control(request(2));
    sender.handle_packet(Nanos::ZERO, &packet(1, 1, 9, 400));
    for _ in 0..3 {
        receiver.handle_cell(&next_cell(&mut sender).2);
    }
    assert_eq!(receiver.poll_control(), Some(request(2)));
    assert_eq!(receiver.poll_control(), None);
    assert_eq!(received(&mut receiver).len(), 1);
}

#[test]
fn malformed_input_is_counted_and_harmless() {
    for seed in 0..50u8 {
        println!("seed {seed}");
        let mut rng = ChaCha12Rng::from_seed([seed; 32]);
        let mut sender = engine(Law::Gamma);
        let mut receiver = engine(Law::Gamma);
        for round in 0..400 {
            let now = sender.poll_timeout().0;
            let mut noise = vec![0; rng.random_range(0..2_000)];
            rng.fill(&mut noise[..]);
            if let Some(first) = noise.first_mut() {
                *first = [0x45, 0x46, 0x60, 0x00, *first][round % 5];
            }
            sender.handle_packet(now, &noise);
            sender.handle_packet(now, &packet(1, 1, round as u32, rng.random_range(32..1500)));
            let (_, _, mut cell) = next_cell(&mut sender);
            for _ in 0..rng.random_range(0..4) {
                let at = rng.random_range(0..cell.len());
                cell[at] = rng.random();
            }
            cell.truncate(if rng.random_bool(0.1) { rng.random_range(0..cell.len()) } else { cell.len() });
            receiver.handle_cell(&cell);
            noise.get_mut(4).into_iter().for_each(|sub_type| *sub_type = 0);
            receiver.handle_cell(&noise);
            for got in received(&mut receiver) {
                assert!((20..=MAX_PACKET_BYTES).contains(&got.len()));
            }
            receiver.poll_control();
        }
        assert!(receiver.stats().drops != Default::default());
        assert!(sender.stats().drops.malformed_packet > 0);
    }
}
