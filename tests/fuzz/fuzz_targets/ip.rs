//! Packets from devices: a second engine delivers the packets that the first one accepted, and all cells have one size.
//!
//! Input: records of two length bytes (big-endian, modulo 2048) and that number of bytes of a packet.

#![no_main]

use libfuzzer_sys::fuzz_target;
use millpond::core::{CellKind, Engine, Limits, Pace, Params};
use millpond::law::Law;
use millpond::units::Nanos;
use millpond::wire::MAX_PACKET_BYTES;
use millpond::wire::ip::Packet;

const PAYLOAD_BYTES: usize = 420;

/// The packet without the fields that the engine may change: the traffic class, and the checksum that covers it.
fn content(packet: &[u8]) -> Vec<u8> {
    match packet[0] >> 4 {
        4 => [&packet[2..10], &packet[12..]].concat(),
        _ => packet[2..].to_vec(),
    }
}

fuzz_target!(|data: &[u8]| {
    let pace = Pace { law: Law::Constant, mean: Nanos::from_millis(1), spread_percent: 0 };
    let params = Params { payload_bytes: PAYLOAD_BYTES, pace, lead: Nanos::ZERO, limits: Limits::default() };
    let mut router = Engine::new(params, [1; 32], Nanos::ZERO);
    let mut endpoint = Engine::new(params, [2; 32], Nanos::ZERO);
    let mut cell = [0; MAX_PACKET_BYTES];
    let mut packet = [0; MAX_PACKET_BYTES];
    let mut sent = Vec::new();
    let mut rest = data;
    loop {
        let (now, _) = router.poll_timeout();
        if let [high, low, after @ ..] = rest {
            let length = usize::from(u16::from_be_bytes([*high, *low])) % 2048;
            let (bytes, after) = after.split_at(after.len().min(length));
            rest = after;
            if let Ok(parsed) = Packet::parse(bytes) {
                let _ = (parsed.dscp(), parsed.flow_hash());
                sent.push(content(bytes));
            }
            router.handle_packet(now, bytes);
        } else {
            rest = &[];
        }
        let transmit = router.poll_transmit(now, &mut cell).expect("a cell at its departure time");
        assert_eq!((transmit.scheduled, transmit.len), (now, PAYLOAD_BYTES));
        endpoint.handle_cell(&cell[..transmit.len]);
        while let Some(bytes) = endpoint.poll_packet(&mut packet) {
            let content = content(&packet[..bytes]);
            let index = sent.iter().position(|sent| *sent == content).expect("only sent packets arrive");
            sent.swap_remove(index);
        }
        if rest.is_empty() && transmit.kind == CellKind::Cover {
            break;
        }
    }
    let (router, endpoint) = (router.stats(), endpoint.stats());
    let accounted = endpoint.packets_out + router.drops.overflow + router.drops.aged;
    assert_eq!(router.packets_in, accounted, "{:?} {:?}", router.drops, endpoint.drops);
});
