use std::collections::BTreeMap;

use rand::rngs::ChaCha12Rng;
use rand::{RngExt, SeedableRng};

use super::*;
use crate::wire::offload::Offload;

/// A segment with a right checksum.
fn segment(is_v4: bool, (port, flags): (u16, u8), sequence: u32, id: u16, payload: &[u8]) -> Vec<u8> {
    let mut packet = if is_v4 {
        vec![0x45, 0, 0, 0, 0, 0, 0x40, 0, 64, 6, 0, 0, 192, 168, 1, 7, 9, 9, 9, 9]
    } else {
        [&[0x60, 0, 0, 0, 0, 0, 6, 64][..], &[0xfd; 16], &[0x20; 16]].concat()
    };
    let ip_bytes = packet.len();
    packet.extend(port.to_be_bytes());
    packet.extend([0, 80]);
    packet.extend(sequence.to_be_bytes());
    packet.extend([0, 0, 0, 9, 0x80, flags, 1, 0, 0, 0, 0, 0]);
    packet.extend([1, 1, 8, 10, 1, 2, 3, 4, 5, 6, 7, 8]);
    packet.extend_from_slice(payload);
    let total = packet.len();
    if is_v4 {
        packet[2..4].copy_from_slice(&(total as u16).to_be_bytes());
        packet[4..6].copy_from_slice(&id.to_be_bytes());
        let checksum = !fold(sum(0, &packet[..20]));
        packet[10..12].copy_from_slice(&checksum.to_be_bytes());
    } else {
        packet[4..6].copy_from_slice(&((total - 40) as u16).to_be_bytes());
    }
    let checksum = !fold(pseudo_sum(&packet, ip_bytes) + sum(0, &packet[ip_bytes..]));
    packet[ip_bytes + TCP_CHECKSUM..ip_bytes + TCP_CHECKSUM + 2].copy_from_slice(&checksum.to_be_bytes());
    packet
}

/// What the kernel gets, cut again, and how many packets it gets.
fn joined(packets: &[Vec<u8>]) -> (Vec<Vec<u8>>, usize) {
    let (mut joiner, mut out, mut count) = (SegmentJoiner::default(), Vec::new(), 0);
    let mut sink = |header: &[u8; HEADER_BYTES], packet: &[u8]| {
        count += 1;
        let (mut packet, mut scratch) = (packet.to_vec(), [0; 1_500]);
        assert!(Offload::parse(header).complete(&mut packet, &mut scratch, |packet| out.push(packet.to_vec())));
    };
    packets.iter().for_each(|packet| joiner.handle(packet, &mut sink));
    joiner.flush(&mut sink);
    joiner.flush(&mut sink);
    (out, count)
}

#[test]
fn segments_that_follow_each_other_are_one_packet_and_come_out_as_they_went_in() {
    for is_v4 in [true, false] {
        let payload: Vec<u8> = (0..=255).cycle().take(40_000).collect();
        // Sequence number and identification both wrap.
        let numbered = |index: u16, flags: u8, part: &[u8]| {
            let sequence = (u32::MAX - 3_000).wrapping_add(u32::from(index) * 1_300);
            segment(is_v4, (5, flags), sequence, 0xfff0_u16.wrapping_add(index), part)
        };
        let mut packets: Vec<_> =
            payload.chunks(1_300).zip(0..).map(|(part, index)| numbered(index, ACK, part)).collect();
        assert_eq!(joined(&packets), (packets.clone(), 1));
        // The last one asks for delivery.
        let last = packets.len() - 1;
        packets[last] = numbered(last as u16, ACK | PSH, &payload[..9]);
        assert_eq!(joined(&packets), (packets, 1));
    }
}

#[test]
fn what_differs_in_more_than_its_payload_stays_alone() {
    let first = segment(true, (5, ACK), 100, 1, &[1; 500]);
    let next = |flags| segment(true, (5, flags), 600, 2, &[2; 500]);
    let count = |second: Vec<u8>| {
        let packets = [first.clone(), second];
        let (out, count) = joined(&packets);
        assert_eq!(out, packets);
        count
    };
    assert_eq!(count(next(ACK)), 1);
    // SYN, FIN, RST, URG, ECE and CWR.
    for flag in [0x02, 0x01, 0x04, 0x20, 0x40, 0x80] {
        assert_eq!(count(next(ACK | flag)), 2, "{flag:#x}");
    }
    assert_eq!(count(next(0)), 2);
    assert_eq!(count(segment(true, (5, ACK), 601, 2, &[2; 500])), 2, "a gap");
    assert_eq!(count(segment(true, (6, ACK), 600, 2, &[2; 500])), 2, "another connection");
    assert_eq!(count(segment(true, (5, ACK), 600, 2, &[2; 501])), 2, "a longer one");
    assert_eq!(count(segment(true, (5, ACK), 600, 2, &[])), 2, "an acknowledgement");
    // Each of these bytes: type of service, time to live, window, acknowledgement, time stamp, and a wrong checksum.
    for at in [1, 8, 35, 31, 44, 36] {
        let mut second = next(ACK);
        second[at] ^= 4;
        if at != 36 {
            let fresh = |packet: &mut [u8], at: usize, sum: u16| packet[at..at + 2].copy_from_slice(&sum.to_be_bytes());
            fresh(&mut second, 10, 0);
            fresh(&mut second, 36, 0);
            let (ip, tcp) = (!fold(sum(0, &second[..20])), !fold(pseudo_sum(&second, 20) + sum(0, &second[20..])));
            fresh(&mut second, 10, ip);
            fresh(&mut second, 36, tcp);
        }
        assert_eq!(count(second), 2, "byte {at}");
    }
}

/// Many connections at once, segments in and out of order, other packets, and damaged ones.
#[test]
fn every_connection_keeps_its_packets_and_their_order() {
    let seed = 24;
    println!("seed {seed}");
    let mut rng = ChaCha12Rng::seed_from_u64(seed);
    for _ in 0..200 {
        let mut sequences = [0u32; 12];
        let packets: Vec<Vec<u8>> = (0..200)
            .map(|number: u16| {
                let flow = rng.random_range(0..sequences.len());
                let payload =
                    vec![number as u8; if rng.random_range(0..4) > 0 { 700 } else { rng.random_range(0..700) }];
                let flags = if rng.random_range(0..9) > 0 { ACK } else { rng.random() };
                let mut packet = segment(flow % 2 == 0, (flow as u16, flags), sequences[flow], number, &payload);
                if rng.random_range(0..9) > 0 {
                    sequences[flow] = sequences[flow].wrapping_add(payload.len() as u32);
                }
                if rng.random_range(0..20) == 0 {
                    let at = rng.random_range(0..packet.len());
                    packet[at] = rng.random();
                }
                if rng.random_range(0..30) == 0 {
                    packet.truncate(rng.random_range(1..packet.len()));
                }
                packet
            })
            .collect();
        let (out, _) = joined(&packets);
        // Under DF the identification is not kept.
        let normal = |packet: &Vec<u8>| {
            let mut packet = packet.clone();
            if packet.len() >= 12 && packet[0] == 0x45 {
                packet[4..6].fill(0);
                packet[10..12].fill(0);
            }
            packet
        };
        let (mut sent, mut received): (Vec<_>, Vec<_>) =
            (packets.iter().map(normal).collect(), out.iter().map(normal).collect());
        // The version, the addresses and the ports, however damaged.
        let key = |packet: &Vec<u8>| {
            let (addresses, ports) = if packet[0] >> 4 == 6 { (8..40, 40..44) } else { (12..20, 20..24) };
            Some((packet[0] >> 4, packet.get(addresses)?.to_vec(), packet.get(ports)?.to_vec()))
        };
        let by_flow = |packets: &[Vec<u8>]| {
            let mut flows: BTreeMap<_, Vec<_>> = BTreeMap::new();
            packets.iter().for_each(|packet| flows.entry(key(packet)).or_default().push(packet.clone()));
            flows.remove(&None);
            flows
        };
        assert!(by_flow(&sent) == by_flow(&received));
        sent.sort();
        received.sort();
        assert!(sent == received);
    }
}
