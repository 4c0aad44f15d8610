//! The order in which packets leave: between devices, between flows, for sparse flows, around the open packet; and
//! which packets are dropped.

mod many_devices;

use rand::rngs::ChaCha12Rng;
use rand::{RngExt, SeedableRng};

use super::*;
use crate::core::queue::testing::SizeStore;

const AGE: Nanos = Nanos(10_000_000_000);
const LARGE: usize = 1500;

/// A queue over sizes, with the device and flow of every packet.
struct Harness {
    queue: FairQueue,
    store: SizeStore,
    drops: Drops,
    now: Nanos,
    open: Option<FlowId>,
    labels: Vec<(u16, u32)>,
}

impl Harness {
    fn new() -> Harness {
        Harness {
            queue: FairQueue::new(AGE, 1_000),
            store: SizeStore::new(usize::MAX),
            drops: Drops::default(),
            now: Nanos::ZERO,
            open: None,
            labels: Vec::new(),
        }
    }

    fn push(&mut self, device: u16, flow: u32, bytes: u16) -> PacketId {
        let id = self.store.insert(self.now, device, bytes);
        self.queue.push(&mut self.store, id, flow);
        self.labels.push((device, flow));
        id
    }

    fn push_many(&mut self, count: usize, device: u16, flow: u32, bytes: u16) -> Vec<PacketId> {
        (0..count).map(|_| self.push(device, flow, bytes)).collect()
    }

    fn pick(&mut self, room: usize) -> Pick {
        let demand = Demand { now: self.now, room, open: self.open };
        self.queue.pick(&mut self.store, &demand, &mut self.drops)
    }

    fn make_room(&mut self, bytes: usize) -> bool {
        self.queue.make_room(&mut self.store, bytes, &mut self.drops)
    }

    /// The next packet if all fit, removed.
    fn leave(&mut self) -> Option<(PacketId, usize)> {
        match self.pick(LARGE) {
            Pick::Complete(id) => {
                let bytes = usize::from(self.store.meta(id).bytes);
                self.queue.remove(&mut self.store, id);
                Some((id, bytes))
            }
            Pick::Nothing => None,
            pick => panic!("all packets fit, got {pick:?}"),
        }
    }

    fn device(&self, id: PacketId) -> u16 {
        self.labels[usize::from(id.0)].0
    }

    /// The devices of the next `count` packets.
    fn devices(&mut self, count: usize) -> Vec<u16> {
        let ids: Vec<PacketId> = (0..count).map(|_| self.leave().expect("a packet waits").0).collect();
        ids.into_iter().map(|id| self.device(id)).collect()
    }

    /// The packets that leave until none waits.
    fn drain(&mut self) -> Vec<PacketId> {
        std::iter::from_fn(|| self.leave()).map(|(id, _)| id).collect()
    }

    /// Bytes of each device, for each of its flows and in sum, while every flow of `load` (device, flow, packet length)
    /// always has packets waiting and `total` bytes leave.
    fn share(&mut self, load: &[(u16, u32, u16)], total: usize) -> impl Fn(u16, Option<u32>) -> f64 + use<> {
        let mut left = Vec::new();
        for (device, flow, bytes) in load {
            self.push_many(2, *device, *flow, *bytes);
        }
        let mut sum = 0;
        while sum < total {
            let (id, bytes) = self.leave().expect("a packet waits");
            let (device, flow) = self.labels[usize::from(id.0)];
            self.push(device, flow, bytes as u16);
            left.push((device, flow, bytes));
            sum += bytes;
        }
        move |device, flow| {
            let counts = |of: &&(u16, u32, usize)| of.0 == device && flow.is_none_or(|flow| of.1 == flow);
            left.iter().filter(counts).map(|of| of.2).sum::<usize>() as f64
        }
    }
}

/// Bytes by which two busy flows may differ at any time: the longest packet, and a quantum at each end.
const MAX_DIFFERENCE: f64 = LARGE as f64 + 2.0 * QUANTUM_BYTES as f64;

#[test]
fn devices_get_equal_bytes_whatever_their_packets_are() {
    let bytes = Harness::new().share(&[(1, 0, 1500), (2, 0, 300), (3, 0, 60)], 300_000);
    for device in 1..=3 {
        let sent = bytes(device, None);
        assert!((sent - 100_000.0).abs() <= MAX_DIFFERENCE, "device {device}: {sent} of 300000 bytes");
    }
}

#[test]
fn flows_of_one_device_get_equal_bytes() {
    let bytes = Harness::new().share(&[(1, 0, 1500), (1, 1, 400), (1, 2, 90)], 300_000);
    for flow in 0..3 {
        let sent = bytes(1, Some(flow));
        assert!((sent - 100_000.0).abs() <= MAX_DIFFERENCE, "flow {flow}: {sent} of 300000 bytes");
    }
}

#[test]
fn a_device_gains_nothing_by_its_number_of_flows() {
    let ratio = |flows: u32| {
        let mut load: Vec<_> = (0..flows).map(|flow| (1, flow, 100)).collect();
        load.push((2, 90, 100));
        let bytes = Harness::new().share(&load, 400_000);
        bytes(1, None) / bytes(2, None)
    };
    for flows in [2, 8, 32, 64, 500] {
        assert!((ratio(flows) - 1.0).abs() < 0.03, "{flows} flows against one: {}", ratio(flows));
    }
}

#[test]
fn flows_of_unknown_devices_count_as_devices() {
    let bytes = Harness::new().share(&[(0, 0, 100), (0, 1, 100), (0, 2, 100), (1, 50, 100)], 200_000);
    let ratio = bytes(0, None) / bytes(1, None);
    assert!((ratio - 3.0).abs() < 0.05, "three flows of number 0 against one device: {ratio}");
}

/// The quantum of a device is shared among the flows that are busy now, not among all that ever were.
#[test]
fn ended_flows_give_their_share_back() {
    let mut line = Harness::new();
    for flow in 0..20 {
        line.push(1, flow, 100);
    }
    assert_eq!(line.drain().len(), 20);
    let bytes = line.share(&[(1, 0, 100), (2, 90, 100)], 100_000);
    let ratio = bytes(1, None) / bytes(2, None);
    assert!((ratio - 1.0).abs() < 0.03, "one flow against one: {ratio}");
}

#[test]
fn a_new_flow_goes_first_for_one_quantum() {
    let mut line = Harness::new();
    line.push_many(20, 1, 0, QUANTUM_BYTES as u16);
    line.push_many(20, 2, 0, QUANTUM_BYTES as u16);
    line.devices(6);
    let new = line.push_many(10, 3, 0, 100);
    let boosted = (QUANTUM_BYTES as usize).div_ceil(100);
    for id in &new[..boosted] {
        assert_eq!(line.leave(), Some((*id, 100)));
    }
    assert_eq!(line.devices(2), [1, 2], "then the others have their turn");
}

/// RFC 8290 section 4.2: a flow that is emptied each time must not count as new each time.
#[test]
fn a_trickle_does_not_starve_a_busy_flow() {
    let mut line = Harness::new();
    line.push_many(300, 1, 0, 100);
    let mut trickle = line.push(2, 0, 250);
    let mut sent = [0; 3];
    for _ in 0..200 {
        let (id, bytes) = line.leave().expect("a packet waits");
        sent[usize::from(line.device(id))] += bytes;
        // The queue has seen the flow empty.
        if line.device(id) == 1 && !line.store.holds(trickle) {
            trickle = line.push(2, 0, 250);
        }
    }
    assert!(sent[2] <= sent[1] + LARGE, "{} bytes of the busy flow, {} of the trickle", sent[1], sent[2]);
}

/// A flow that has been empty for a whole round is new again.
#[test]
fn a_flow_is_sparse_again_after_a_pause() {
    let mut line = Harness::new();
    line.push_many(50, 1, 0, 200);
    line.devices(2);
    for _ in 0..5 {
        let id = line.push(2, 0, 100);
        assert_eq!(line.leave(), Some((id, 100)));
        assert_eq!(line.devices(4), [1; 4]);
    }
}

#[test]
fn packets_that_waited_too_long_are_dropped_when_their_turn_comes() {
    let mut line = Harness::new();
    let old = line.push_many(3, 1, 0, 100);
    line.now = Nanos(1);
    let young = line.push(1, 0, 100);
    line.now = AGE;
    assert_eq!(line.leave(), Some((old[0], 100)), "exactly as old as allowed");
    assert_eq!(line.drops.aged, 0);
    line.now = AGE + Nanos(1);
    assert_eq!(line.leave(), Some((young, 100)));
    assert_eq!(line.drops, Drops { aged: 2, ..Drops::default() });
    assert!(line.queue.is_empty());
    assert_eq!(line.store.bytes, 0);
}

#[test]
fn a_full_queue_drops_the_first_packet_of_the_longest_flow_of_the_longest_device() {
    let mut line = Harness::new();
    line.push_many(8, 1, 0, 100);
    let longest = [500, 40].map(|bytes| line.push(2, 5, bytes));
    line.push_many(2, 2, 10, 200);
    line.push_many(5, 3, 20, 60);
    line.store.max_bytes = line.store.bytes;
    assert!(line.make_room(400));
    assert!(!line.store.holds(longest[0]) && line.store.holds(longest[1]), "the first one of 940 bytes in two flows");
    assert_eq!((line.drops.overflow, line.labels.len() - line.drain().len()), (1, 1));
}

#[test]
fn packets_that_have_left_do_not_count_when_the_queue_is_full() {
    let mut line = Harness::new();
    line.push_many(10, 1, 0, 100);
    assert_eq!(line.devices(9), [1; 9]);
    let victim = line.push(2, 0, 300);
    line.store.max_bytes = line.store.bytes;
    assert!(line.make_room(10));
    assert!(!line.store.holds(victim), "the other device has 100 bytes left");
}

/// All unknown devices have number 0: none of them pays for the others.
#[test]
fn flows_of_unknown_devices_are_not_added_up_when_the_queue_is_full() {
    let mut line = Harness::new();
    for flow in 0..10 {
        line.push(0, flow, 200);
    }
    let victim = line.push(1, 40, 300);
    line.store.max_bytes = line.store.bytes;
    assert!(line.make_room(10));
    assert!(!line.store.holds(victim));
}

#[test]
fn room_is_made_until_the_packet_fits() {
    let mut line = Harness::new();
    line.push_many(10, 1, 0, 100);
    line.store.max_bytes = 1_000;
    assert!(line.make_room(250));
    assert_eq!((line.drops.overflow, line.store.bytes), (3, 700));
    assert!(!line.make_room(1_001), "it can never fit");
    assert_eq!(line.drops.overflow, 3 + 7 + 1, "the new packet counts");
    assert!(line.queue.is_empty() && line.store.bytes == 0);
}

#[test]
fn a_packet_starts_only_if_its_length_fits_too() {
    let mut line = Harness::new();
    let id = line.push(1, 0, 100);
    assert_eq!(line.pick(LENGTH_KNOWN_BYTES - 1), Pick::Nothing);
    let Pick::Start(flow, started) = line.pick(LENGTH_KNOWN_BYTES) else { panic!("it starts") };
    assert_eq!(started, id);
    assert!(!line.queue.is_empty(), "the open packet still waits");
    line.store.max_bytes = 100;
    assert!(!line.make_room(50) && line.store.holds(id), "the open packet is not dropped");
    line.open = Some(flow);
    line.now = AGE + AGE;
    assert_eq!(line.pick(50), Pick::Continue, "whatever its age");
}

#[test]
fn only_packets_that_fit_overtake_the_open_packet() {
    let mut line = Harness::new();
    line.push_many(2, 1, 0, 1500);
    let Pick::Start(flow, _) = line.pick(400) else { panic!("the first packet starts") };
    line.open = Some(flow);
    line.queue.charge(flow, 400);
    line.push(2, 0, 1000);
    let small = line.push(3, 0, 400);
    assert_eq!(line.pick(400), Pick::Complete(small));
    assert_eq!(line.pick(400), Pick::Continue, "no second packet may be open");
    assert_eq!(line.pick(1), Pick::Continue);
}

/// A flow pays for the bytes of its large packet before it may send more.
#[test]
fn the_open_packet_is_charged_to_its_flow() {
    let mut line = Harness::new();
    line.push_many(2, 1, 0, 1024);
    line.push_many(20, 2, 0, 256);
    let Pick::Start(flow, large) = line.pick(512) else { panic!("the first packet starts") };
    line.queue.charge(flow, 1024);
    line.queue.remove(&mut line.store, large);
    assert_eq!(line.devices(6), [2, 2, 2, 2, 1, 2], "1024 bytes have left, so 1024 bytes of the other device are due");
}

#[test]
fn flows_with_one_hash_share_a_slot_and_lose_no_packet() {
    let mut line = Harness::new();
    let sent: Vec<PacketId> = (0..30).map(|round| line.push(1, FLOWS * (round % 3), 70)).collect();
    assert_eq!(line.drain(), sent, "one slot keeps the order of arrival");
    let others: Vec<PacketId> = (0..30).map(|round| line.push(1 + round % 2, 0, 70)).collect();
    assert_ne!(line.drain(), others, "two devices never share a slot");
}

#[test]
fn only_the_first_packet_of_a_flow_is_dropped_by_position() {
    let mut line = Harness::new();
    let ids = line.push_many(3, 5, 0, 100);
    line.queue.drop_head(&mut line.store, ids[1]);
    assert!(line.store.holds(ids[1]), "it is not the first one");
    line.queue.drop_head(&mut line.store, ids[0]);
    assert!(!line.store.holds(ids[0]));
    assert_eq!(line.drain(), ids[1..]);
}

/// Whatever happens, every packet leaves or is counted as dropped, once; and the packets of a flow keep their order.
#[test]
fn no_packet_is_lost_or_sent_twice() {
    for seed in 0..20u8 {
        println!("seed {seed}");
        let mut rng = ChaCha12Rng::from_seed([seed; 32]);
        let mut line = Harness::new();
        line.store.max_bytes = 20_000;
        let mut last = std::collections::BTreeMap::new();
        let mut left = 0;
        for round in 0..8_000 {
            line.now = line.now + Nanos(rng.random_range(0..100_000_000));
            let bytes = if rng.random_bool(0.5) { rng.random_range(20..=100) } else { rng.random_range(20..=1500) };
            if round % 2_000 < 1_500 && line.make_room(usize::from(bytes)) {
                line.push(rng.random_range(0..5), rng.random_range(0..40) * 3, bytes);
            }
            for _ in 0..rng.random_range(0..4) {
                let Some((id, _)) = line.leave() else { break };
                let (device, flow) = line.labels[usize::from(id.0)];
                let slots = if device == 0 { UNKNOWN_FLOWS } else { FLOWS };
                let before = last.insert((device, flow % slots), id.0);
                assert!(before.is_none_or(|before| before < id.0), "the packets of a flow keep their order");
                left += 1;
            }
            let waiting = line.labels.len() as u64 - left - line.drops.aged - line.drops.overflow;
            assert_eq!((line.queue.is_empty(), line.store.bytes == 0), (waiting == 0, waiting == 0));
        }
        left += line.drain().len() as u64;
        assert_eq!(line.labels.len() as u64, left + line.drops.aged + line.drops.overflow);
        assert_eq!(line.store.bytes, 0);
    }
}
