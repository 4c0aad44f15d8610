//! A running engine allocates nothing, and uses no more memory after an hour: devices' packets must not be able to
//! exhaust a router's heap.
#![allow(unsafe_code)]

#[path = "common/counting_allocator.rs"]
mod counting_allocator;

use counting_allocator::{ALLOCATIONS, LIVE_BYTES};
use millpond::core::what_if::{CellShape, WhatIf};
use millpond::core::{Engine, Limits, Pace, Params};
use millpond::law::Law;
use millpond::units::{BitsPerSec, DeviceId, DeviceTag, Nanos};
use millpond::wire::MAX_PACKET_BYTES;
use millpond::wire::control::{ControlMessage, ShapingRequest};
use rand::rngs::ChaCha12Rng;
use rand::{RngExt, SeedableRng};

#[test]
fn a_running_engine_allocates_nothing() {
    for law in Law::ALL {
        let params = Params {
            payload_bytes: 420,
            pace: Pace { law, mean: Nanos::from_millis(10), spread_percent: 15 },
            lead: Nanos::ZERO,
            limits: Limits::default(),
        };
        let mut sender = Engine::new(params, [1; 32], Nanos::ZERO);
        let mut receiver = Engine::new(params, [2; 32], Nanos::ZERO);
        let mut rng = ChaCha12Rng::from_seed([3; 32]);
        let mut packet = [0; MAX_PACKET_BYTES];
        let mut cell = [0; MAX_PACKET_BYTES];
        let before = ALLOCATIONS.get();
        for _ in 0..20_000 {
            let now = sender.poll_timeout().0;
            for _ in 0..rng.random_range(0..4) {
                let bytes = rng.random_range(20..=MAX_PACKET_BYTES);
                rng.fill(&mut packet[..bytes]);
                packet[..4].copy_from_slice(&[0x45, rng.random(), (bytes >> 8) as u8, bytes as u8]);
                sender.handle_packet(now, &packet[..bytes]);
            }
            let Some(transmit) = sender.poll_transmit(now, &mut cell) else { continue };
            if rng.random_bool(0.98) {
                receiver.handle_cell(&cell[..transmit.len]);
            }
            while receiver.poll_packet(&mut packet).is_some() {}
        }
        assert_eq!(ALLOCATIONS.get() - before, 0, "{law}");
        assert!(
            sender.stats().drops.overflow > 0 && receiver.stats().packets_out > 1_000,
            "{law}: the engine was busy"
        );
    }
}

#[test]
fn running_virtual_shapers_allocate_nothing() {
    let limits = Limits::default();
    let (law, spread_percent, lead) = (Law::Gamma, 33, Nanos::ZERO);
    let shape = CellShape { law, spread_percent, train: None, wire_bytes: 508, block_bytes: 412, lead, limits };
    let rates = WhatIf::rates(BitsPerSec::from_kbit(16), BitsPerSec::from_kbit(5_000));
    let mut what_if = WhatIf::new(shape, rates, DeviceId(11), 1, Nanos::ZERO);
    let mut rng = ChaCha12Rng::from_seed([3; 32]);
    let before = ALLOCATIONS.get();
    let mut now = Nanos::ZERO;
    for _ in 0..20_000 {
        now = now + Nanos::from_micros(rng.random_range(0..40_000));
        what_if.handle_packet(now, DeviceId(rng.random_range(0..64)), rng.random_range(20..=1_500));
    }
    what_if.advance(now + Nanos::from_secs(20));
    assert_eq!(ALLOCATIONS.get() - before, 0);
    assert!(what_if.steps().all(|(_, delays)| delays.home().packets > 1_000), "the shapers were busy");
}

/// An hour of everything that can happen to a home: 63 devices with new flows all the time, bursts above the rate, idle
/// periods; lost, reordered and duplicated cells; changed levels, control messages, and a peer that restarts.
#[test]
fn an_hour_of_churn_does_not_increase_memory_use() {
    let pace =
        |kbit: u64| Pace { law: Law::Gamma, mean: BitsPerSec::from_kbit(kbit).interval(508), spread_percent: 33 };
    let params =
        Params { payload_bytes: 420, pace: pace(160), lead: Nanos::from_micros(400), limits: Limits::default() };
    let seed = 1;
    println!("seed {seed}");
    let mut rng = ChaCha12Rng::from_seed([seed; 32]);
    let before = LIVE_BYTES.get();
    let mut ends = [1, 2].map(|end| Engine::new(params, [end * seed; 32], Nanos::ZERO));
    let initial_bytes = LIVE_BYTES.get() - before;
    let mut packet = [0; MAX_PACKET_BYTES];
    let mut cell = [0; MAX_PACKET_BYTES];
    let mut delayed: Option<[u8; 420]> = None;
    let mut minute = 0;
    let mut cells = 0u64;
    loop {
        // The end with the earlier departure sends.
        let sender = usize::from(ends[1].poll_timeout().0 < ends[0].poll_timeout().0);
        let now = ends[sender].poll_timeout().0;
        if now >= Nanos::from_secs(3600) {
            break;
        }
        let burst = now.0 / 10_000_000_000 % 3;
        for _ in 0..rng.random_range(0..=2 * burst) {
            let bytes = rng.random_range(28..=MAX_PACKET_BYTES);
            rng.fill(&mut packet[..bytes]);
            packet[..4].copy_from_slice(&[0x45, rng.random(), (bytes >> 8) as u8, bytes as u8]);
            ends[sender].handle_packet(now, &packet[..bytes]);
        }
        let Some(transmit) = ends[sender].poll_transmit(now, &mut cell) else { continue };
        cells += 1;
        let receiver = &mut ends[1 - sender];
        match rng.random_range(0..100) {
            0 | 1 => {}
            2 => delayed = cell[..transmit.len].try_into().ok(),
            3 => (0..2).for_each(|_| receiver.handle_cell(&cell[..transmit.len])),
            _ => receiver.handle_cell(&cell[..transmit.len]),
        }
        while receiver.poll_packet(&mut packet).is_some() {}
        if rng.random_bool(0.2) {
            delayed.take().into_iter().for_each(|cell| receiver.handle_cell(&cell));
        }
        if now.0 / 60_000_000_000 > minute {
            minute += 1;
            assert_eq!(LIVE_BYTES.get() - before, initial_bytes, "minute {minute}");
            let kbit = [80, 160, 320][minute as usize % 3];
            ends[sender].set_pace(pace(kbit));
            let rate = BitsPerSec::from_kbit(kbit);
            let request = ShapingRequest {
                id: minute as u16,
                law: Law::Gamma,
                spread_percent: 33,
                cell_bytes: 512,
                rate,
                cover: true,
                trains: [1; 2],
            };
            ends[sender].send_control(ControlMessage::ShapingRequest(request));
            if minute % 10 == 0 {
                ends[1 - sender] = Engine::new(params, rng.random(), now);
            }
        }
    }
    assert_eq!(minute, 59);
    assert!(cells > 100_000, "{cells} cells");
    let stats = ends[0].stats();
    assert!(stats.drops.overflow > 0 && stats.cells_lost > 0 && stats.packets_out > 100, "the engines were busy");
}

/// IPv4/UDP with the device's number in DSCP and TTL.
fn packet_of(device: DeviceId) -> Vec<u8> {
    let mut packet = vec![0x45, device.dscp() << 2, 0, 28, 0, 0, 0x40, 0, device.ttl(), 17, 0, 0];
    packet.extend([10, 77, 0, 2, 192, 0, 2, 7]);
    packet.extend(device.0.to_be_bytes());
    packet.extend([1, 187, 0, 8, 0, 0]);
    packet
}

/// A device that was seen once costs little, and 10,000 of them fit beside a queue that keeps its bound. The other 70
/// of the 200 bytes that are allowed are in `src/daemon/dataplane/device_traffic.rs`.
#[test]
fn an_idle_device_costs_the_engine_at_most_130_bytes() {
    let pace = Pace { law: Law::Gamma, mean: Nanos::from_micros(500), spread_percent: 33 };
    let params = Params { payload_bytes: 1_340, pace, lead: Nanos::ZERO, limits: Limits::default() };
    let mut engine = Engine::new(params, [1; 32], Nanos::ZERO);
    engine.set_device_tag(DeviceTag::DscpAndTtl);
    let before = LIVE_BYTES.get();
    let mut cell = [0; MAX_PACKET_BYTES];
    let mut per_device = Vec::new();
    for devices in [100u16, 1_000, 10_000] {
        for device in (1..=devices).map(DeviceId) {
            let now = engine.poll_timeout().0;
            engine.handle_packet(now, &packet_of(device));
            engine.poll_transmit(now, &mut cell);
        }
        let seen = engine.stats().devices.iter().filter(|(_, stats)| stats.packets > 0).count();
        assert_eq!(seen, usize::from(devices));
        per_device.push((LIVE_BYTES.get() - before) as f64 / f64::from(devices));
    }
    println!("bytes for each of 100, 1,000, 10,000 devices: {per_device:?}");
    assert!(per_device.iter().all(|bytes| *bytes <= 130.0), "{per_device:?}");
}
