//! Packets come out of the pool as they went in, except for their DSCP, and no chunk is lost.

use rand::rngs::ChaCha12Rng;
use rand::seq::SliceRandom;
use rand::{RngExt, SeedableRng};

use super::*;
use crate::core::queue::testing::udp_packet;
use crate::units::{DeviceId, DeviceTag, Nanos};
use crate::wire::MAX_PACKET_BYTES;

fn meta(bytes: &[u8]) -> Meta {
    Meta { arrived: Nanos(bytes.len() as u64), bytes: bytes.len() as u16, next: NIL, device: DeviceId(1) }
}

fn insert(pool: &mut PacketPool, bytes: &[u8]) -> Option<PacketId> {
    pool.insert(&Packet::parse(bytes).expect("a valid packet"), DeviceTag::Dscp, bytes, meta(bytes))
}

/// All bytes of a packet, read in pieces of `piece` bytes.
fn read(pool: &PacketPool, id: PacketId, piece: usize) -> Vec<u8> {
    let mut bytes = vec![0; usize::from(pool.meta(id).bytes)];
    let mut cursor = pool.cursor(id);
    bytes.chunks_mut(piece).for_each(|part| pool.read(&mut cursor, part));
    bytes
}

/// A pool whose free chunks are in no order.
fn fragmented(rng: &mut ChaCha12Rng, chunks: usize) -> PacketPool {
    let mut pool = PacketPool::new(chunks * CHUNK_BYTES);
    let mut ids: Vec<_> = (0..chunks).map(|_| insert(&mut pool, &udp_packet(0, 1, 0, 32)).unwrap()).collect();
    ids.shuffle(rng);
    ids.into_iter().for_each(|id| pool.remove(id));
    pool
}

#[test]
fn packets_of_every_length_are_read_in_pieces_of_any_length() {
    let seed = 1;
    println!("seed {seed}");
    let mut rng = ChaCha12Rng::from_seed([seed; 32]);
    let mut pool = fragmented(&mut rng, 40);
    for bytes in 32..=MAX_PACKET_BYTES {
        let [packet, other] = [7, 8].map(|number| udp_packet(0, 1, number, bytes));
        let [id, other_id] = [&packet, &other].map(|packet| insert(&mut pool, packet).expect("there is room"));
        for piece in [bytes, CHUNK_BYTES, CHUNK_BYTES - 1, CHUNK_BYTES + 1, rng.random_range(1..=bytes)] {
            assert_eq!(read(&pool, id, piece), packet, "{bytes} bytes in pieces of {piece}");
        }
        assert_eq!(read(&pool, other_id, bytes), other);
        [id, other_id].into_iter().for_each(|id| pool.remove(id));
    }
}

/// The sum of a valid header's 16-bit words is 0xffff (RFC 791).
fn header_sum(packet: &[u8]) -> u32 {
    let sum = packet[..20].chunks(2).map(|word| u32::from(u16::from_be_bytes([word[0], word[1]]))).sum::<u32>();
    (sum & 0xffff) + (sum >> 16)
}

#[test]
fn only_dscp_and_its_checksum_change() {
    let mut pool = PacketPool::new(4_096);
    let mut packet = udp_packet(0, 1, 7, 300);
    packet[1] = 63 << 2 | 3;
    let sum = !(header_sum(&packet) as u16);
    packet[10..12].copy_from_slice(&sum.to_be_bytes());
    let id = insert(&mut pool, &packet).unwrap();
    let stored = read(&pool, id, 300);
    assert_eq!(stored[1], 3, "DSCP is cleared, ECN is kept");
    assert_eq!(header_sum(&stored), 0xffff);
    packet[1] = stored[1];
    packet[10..12].copy_from_slice(&stored[10..12]);
    assert_eq!(stored, packet);

    let mut packet = vec![0x6f, 0xf5, 0x12, 0x34, 0, 200, 59, 64];
    packet.extend((0..232).map(|at| at as u8));
    let id = insert(&mut pool, &packet).unwrap();
    packet[..2].copy_from_slice(&[0x60, 0x35]);
    assert_eq!(read(&pool, id, 240), packet, "version, ECN and flow label are kept");
}

#[test]
fn a_full_pool_refuses_and_changes_nothing() {
    let mut pool = PacketPool::new(10 * CHUNK_BYTES + CHUNK_BYTES / 2);
    let packets: Vec<_> = [32, CHUNK_BYTES, CHUNK_BYTES + 1, 3 * CHUNK_BYTES, 2 * CHUNK_BYTES + 1]
        .into_iter()
        .enumerate()
        .map(|(number, bytes)| udp_packet(0, 1, number as u32, bytes))
        .collect();
    let ids: Vec<_> = packets.iter().map(|packet| insert(&mut pool, packet).expect("ten chunks")).collect();
    assert!(!pool.has_room(1));
    assert_eq!(insert(&mut pool, &udp_packet(0, 1, 9, 32)), None);
    pool.remove(ids[2]);
    assert!(pool.has_room(2 * CHUNK_BYTES) && !pool.has_room(2 * CHUNK_BYTES + 1));
    assert_eq!(insert(&mut pool, &udp_packet(0, 1, 9, 2 * CHUNK_BYTES + 1)), None);
    assert!(insert(&mut pool, &udp_packet(0, 1, 9, 2 * CHUNK_BYTES)).is_some());
    for at in [0, 1, 3, 4] {
        assert_eq!(read(&pool, ids[at], 50), packets[at]);
    }
}

/// An idle home's pool touches few pages: a freed chunk is taken before one that was never used.
#[test]
fn freed_chunks_are_used_first() {
    let mut pool = PacketPool::new(1_000 * CHUNK_BYTES);
    for number in 0..5_000 {
        let ids = [300, 100].map(|bytes| insert(&mut pool, &udp_packet(0, 1, number, bytes)).unwrap());
        assert!(ids.iter().all(|id| id.0 < 4), "four chunks are enough: {ids:?}");
        ids.into_iter().for_each(|id| pool.remove(id));
    }
}

#[test]
fn the_successor_belongs_to_the_packet() {
    let mut pool = PacketPool::new(4_096);
    let packets = [300, 60].map(|bytes| udp_packet(0, 1, 1, bytes));
    let ids = [&packets[0], &packets[1]].map(|packet| insert(&mut pool, packet).unwrap());
    pool.link(ids[0], ids[1]);
    let stored = ids.map(|id| pool.meta(id));
    assert_eq!(stored.map(|meta| meta.next), [ids[1].0, NIL]);
    assert_eq!(stored.map(|meta| (meta.bytes, meta.arrived)), [(300, Nanos(300)), (60, Nanos(60))]);
    assert_eq!(read(&pool, ids[0], 300), packets[0]);
}

#[test]
fn the_size_of_a_pool_is_bounded_at_both_ends() {
    assert!(PacketPool::new(0).has_room(CHUNK_BYTES), "one chunk at least");
    assert!(!PacketPool::new(0).has_room(CHUNK_BYTES + 1));
    let largest = PacketPool::new(usize::MAX);
    assert!(largest.has_room(Limits::MAX_BYTES) && !largest.has_room(Limits::MAX_BYTES + 1));
}

#[test]
fn no_chunk_leaks_and_no_packet_changes_while_it_waits() {
    const CHUNKS: usize = 64;
    for seed in 0..10u8 {
        println!("seed {seed}");
        let mut rng = ChaCha12Rng::from_seed([seed; 32]);
        let mut pool = PacketPool::new(CHUNKS * CHUNK_BYTES);
        let mut waiting: Vec<(PacketId, Vec<u8>)> = Vec::new();
        let mut refused = 0;
        for number in 0..5_000 {
            if rng.random_bool(0.55) {
                let bytes = if rng.random_bool(0.5) { rng.random_range(32..200) } else { rng.random_range(32..=1500) };
                let packet = udp_packet(0, 1, number, bytes);
                let used: usize = waiting.iter().map(|(_, packet)| packet.len().div_ceil(CHUNK_BYTES)).sum();
                let fits = used + bytes.div_ceil(CHUNK_BYTES) <= CHUNKS;
                let id = insert(&mut pool, &packet);
                assert_eq!(id.is_some(), fits, "{used} chunks in use, {bytes} bytes");
                refused += u32::from(!fits);
                waiting.extend(id.map(|id| (id, packet)));
            } else if !waiting.is_empty() {
                let (id, packet) = waiting.swap_remove(rng.random_range(0..waiting.len()));
                assert_eq!(read(&pool, id, rng.random_range(1..=packet.len())), packet);
                pool.remove(id);
            }
        }
        assert!(refused > 100, "the pool was full {refused} times");
        waiting.drain(..).for_each(|(id, _)| pool.remove(id));
        for number in 0..CHUNKS as u32 {
            assert!(insert(&mut pool, &udp_packet(0, 1, number, CHUNK_BYTES)).is_some(), "chunk {number} is free");
        }
        assert!(!pool.has_room(1));
    }
}
