//! The data plane by a virtual clock: a router and its endpoint, connected by this test instead of by sockets.

use std::sync::atomic::{AtomicU8, Ordering};

use super::*;
use crate::config::example;
use crate::core::CellKind;
use crate::law::Law;
use crate::units::{BitsPerSec, DeviceId};
use crate::wire::control::{ControlMessage, ShapingGrant, ShapingRequest};
use crate::wire::size::IpVersion;
use rand::rngs::ChaCha8Rng;
use rand::{RngExt, SeedableRng};

const ROUTER: [u8; 4] = [10, 77, 0, 2];
const ENDPOINT: [u8; 4] = [10, 77, 0, 1];

fn router_settings() -> Settings {
    example::router()
}

fn endpoint_settings(homes: u8) -> Settings {
    let home = |number: u8| example::home(number + 2, None);
    Settings { homes: (0..homes).map(home).collect(), ..example::endpoint() }
}

fn plane(settings: &Settings) -> DataPlane {
    let mut plane = DataPlane::new();
    plane.update(settings, Encapsulation::wireguard(IpVersion::V4), true, Nanos::ZERO).expect("sessions");
    // A router sends once WireGuard has keys.
    [0, 1_700_000_000].into_iter().for_each(|handshake_s| plane.note_handshake(Some(handshake_s), Nanos::ZERO));
    plane
}

/// Runs both ends until `until`. `sent` gets each train of the router's.
fn run(router: &mut DataPlane, endpoint: &mut DataPlane, until: Nanos, mut sent: impl FnMut(&Train)) {
    let mut second = Nanos::ZERO;
    while let Some(now) = router.next_timeout().into_iter().chain(endpoint.next_timeout()).min() {
        if now >= until {
            return;
        }
        if now >= second {
            assert_eq!((router.handle_tick(now), endpoint.handle_tick(now)), (vec![], vec![]));
            second = now + Nanos::from_secs(1);
        }
        let is_router = router.next_timeout() == Some(now);
        let (from, to, address) =
            if is_router { (&mut *router, &mut *endpoint, ROUTER) } else { (&mut *endpoint, &mut *router, ENDPOINT) };
        let Departure::Train(train) = from.handle_timeout(now) else { continue };
        assert!(train.scheduled <= now);
        if is_router {
            sent(train);
        }
        to.handle_cell(now, address.into(), train.cells());
        from.handle_departure(now);
    }
}

fn packet(device: u8) -> Vec<u8> {
    let mut packet = vec![0x45, device << 2, 0, 40, 0, 0, 0, 0, 64, 17, 0, 0, 10, 77, 0, 2, 192, 0, 2, 7];
    packet.resize(40, 0);
    packet
}

#[test]
fn every_train_is_one_segment_list_of_the_promised_size() {
    let (mut router, mut endpoint) = (plane(&router_settings()), plane(&endpoint_settings(1)));
    let size = router.size().expect("a size");
    let (mut trains, mut last) = (0, Nanos::ZERO);
    run(&mut router, &mut endpoint, Nanos::from_secs(20), |train| {
        assert_eq!((train.cell_bytes, train.cells().len()), (size.payload_bytes, size.payload_bytes));
        assert_eq!(train.peer, Ipv4Addr::from(ENDPOINT));
        assert!(train.scheduled > last, "two trains of one peer never share a moment");
        last = train.scheduled;
        trains += 1;
    });
    let expected = 20.0 * router_settings().shape.upload.0 as f64 / 8.0 / size.wire_bytes as f64;
    assert!((trains as f64 / expected - 1.0).abs() < 0.15, "{trains} trains, {expected} expected");
    assert_eq!(
        (router.state(Nanos::from_secs(20)), endpoint.state(Nanos::from_secs(20))),
        (State::Shaping, State::Shaping)
    );
}

#[test]
fn a_packet_reaches_the_other_end_and_counts_for_its_device() {
    let (mut router, mut endpoint) = (plane(&router_settings()), plane(&endpoint_settings(1)));
    run(&mut router, &mut endpoint, Nanos::from_secs(2), |_| ());
    assert_eq!(router.handle_packet(Nanos::from_secs(2), &packet(5)), Some(DeviceId(5)));
    let mut buffer = [0; 1500];
    let mut kinds = Vec::new();
    while let Some(now) = router.next_timeout().filter(|_| kinds.is_empty()) {
        let Departure::Train(train) = router.handle_timeout(now) else { continue };
        let (kind, cells) = (train.kind, train.cells().to_vec());
        router.handle_departure(now);
        endpoint.handle_cell(now, ROUTER.into(), &cells).expect("a known home");
        if kind == CellKind::Data {
            kinds.push(endpoint.poll_packet(0, &mut buffer));
        }
    }
    assert_eq!(kinds, [Some(Delivery { length: 40, device: DeviceId::UNKNOWN, is_accepted: true })]);
    assert_eq!(buffer[1], 0, "the device's number does not leave the router");
    assert_eq!(endpoint.poll_packet(0, &mut buffer), None);
}

#[test]
fn an_unknown_sender_is_ignored() {
    let mut endpoint = plane(&endpoint_settings(2));
    assert_eq!(endpoint.handle_cell(Nanos::ZERO, [10, 77, 0, 99].into(), &[0; 412]), None);
    assert_eq!(endpoint.handle_packet(Nanos::ZERO, &packet(1)), None, "192.0.2.7 is no home");
    assert_eq!(endpoint.next_timeout(), None, "no home has asked for cells yet");
}

/// The buffers of trains are used again: a running data plane allocates nothing.
#[test]
fn trains_that_have_left_are_used_again() {
    let (mut router, mut endpoint) = (plane(&router_settings()), plane(&endpoint_settings(1)));
    run(&mut router, &mut endpoint, Nanos::from_secs(30), |_| ());
    assert!(router.spare.len() <= 1 && endpoint.spare.len() <= 1, "one train at a time, one buffer");
}

#[test]
fn only_a_changed_cell_size_or_new_settings_touch_the_sessions() {
    let settings = router_settings();
    let mut router = plane(&settings);
    let next = router.next_timeout();
    let encapsulation = Encapsulation::wireguard(IpVersion::V4);
    router.update(&settings, encapsulation, true, Nanos::from_millis(1)).expect("sessions");
    assert_eq!(router.next_timeout(), next, "a peer that stays keeps its schedule");
    let impossible = Settings { shape: crate::config::model::Shape { cell_bytes: 60, ..settings.shape }, ..settings };
    assert!(router.update(&impossible, encapsulation, true, Nanos::from_millis(2)).is_err());
    assert_eq!(router.next_timeout(), next, "settings that do not fit change nothing");
}

#[test]
fn limits_change_with_a_grant_and_are_reported_once() {
    let settings = endpoint_settings(1);
    let (mut router, mut endpoint) = (plane(&router_settings()), plane(&settings));
    assert!(!endpoint.update_limits(&settings, Nanos::ZERO), "as at the last update");
    run(&mut router, &mut endpoint, Nanos::from_secs(3), |_| ());
    assert!(endpoint.granted().is_some());
    let changed = Settings { homes: endpoint_settings(2).homes, ..settings.clone() };
    let at = Nanos::from_secs(3);
    assert!(endpoint.update_limits(&changed, at), "the ceiling grows with the homes");
    assert!(!endpoint.update_limits(&changed, at));
    // A home that asks for another law in each cell causes at most one job a second, and not the last one is lost.
    assert!(!endpoint.update_limits(&settings, at + Nanos::from_millis(999)));
    assert!(endpoint.update_limits(&settings, at + Nanos::from_secs(1)));
}

/// A cell of a home with this message.
fn cell_with(sequence: u32, message: ControlMessage, payload_bytes: usize) -> Vec<u8> {
    let mut cell = vec![0; payload_bytes];
    cell[..4].copy_from_slice(&sequence.to_be_bytes());
    message.emit(&mut cell[8..]);
    cell
}

const REQUEST: ShapingRequest = ShapingRequest {
    id: 1,
    law: Law::Gamma,
    spread_percent: 33,
    cell_bytes: 508,
    rate: BitsPerSec(320_000),
    cover: true,
    trains: [1; 2],
};

/// A machine that builds and sends only half of the cells leaves out half of each home's.
#[test]
fn beyond_saturation_every_home_gets_less_in_equal_measure() {
    static NEXT_SEED: AtomicU8 = AtomicU8::new(0);
    const HOMES: u8 = 100;
    let (start, seconds) = (Nanos::from_secs(1), 10);
    let mut endpoint = DataPlane::new();
    endpoint.set_seed_source(|| Ok([NEXT_SEED.fetch_add(1, Ordering::Relaxed); 32]));
    let settings = endpoint_settings(HOMES);
    endpoint.update(&settings, Encapsulation::wireguard(IpVersion::V4), true, start).expect("sessions");
    let request = cell_with(1, ControlMessage::ShapingRequest(REQUEST), 420);
    for home in &settings.homes {
        endpoint.handle_cell(start, home.address, &request);
    }
    let mean = REQUEST.rate.interval(REQUEST.cell_bytes.into());
    // Building a cell takes this long, and sending it again.
    let step = Nanos(mean.0 / u64::from(HOMES));
    let mut sent = vec![0u64; usize::from(HOMES)];
    let mut now = start;
    while now < start + Nanos::from_secs(seconds) {
        now = now.max(endpoint.next_timeout().expect("homes")) + step;
        if let Departure::Train(train) = endpoint.handle_timeout(now) {
            sent[usize::from(train.peer.octets()[3]) - 2] += 1;
            endpoint.handle_departure(now);
        }
    }
    let (least, most) = (sent.iter().min().expect("homes"), sent.iter().max().expect("homes"));
    let wanted = Nanos::from_secs(seconds).0 / mean.0;
    println!("of {wanted} cells each home gets {least} to {most}");
    assert!(*least * 100 >= wanted * 40 && *most * 100 <= wanted * 60, "{least} to {most} of {wanted}");
}

/// Noise, forged messages and packets with forged sources of one home reach nobody, and do not touch another home.
#[test]
fn a_hostile_home_changes_nothing_for_another() {
    let settings = endpoint_settings(2);
    let (hostile, other) = (Ipv4Addr::new(10, 77, 0, 2), Ipv4Addr::new(10, 77, 0, 3));
    let mut endpoint = plane(&settings);
    let start = Nanos::from_secs(1);
    let request = cell_with(1, ControlMessage::ShapingRequest(REQUEST), 420);
    assert_eq!(endpoint.handle_cell(start, other, &request), Some((1, Change::Started)));
    let state = |endpoint: &DataPlane| {
        let session = &endpoint.sessions().all()[1];
        (session.next_timeout(), session.granted().copied(), session.wire_bytes())
    };
    let before = state(&endpoint);
    let seed = 16;
    println!("seed {seed}");
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let grant = ShapingGrant {
        id: 1,
        law: Law::Gamma,
        cell_bytes: 508,
        rate: BitsPerSec(u32::MAX.into()),
        cells_received: u64::MAX,
        cells_lost: u64::MAX,
        trains: [1; 2],
    };
    let mut accepted = 0;
    for number in 0..20_000u32 {
        let cell = match number % 5 {
            0 => cell_with(number, ControlMessage::ShapingGrant(grant), 420),
            1 => cell_with(number, ControlMessage::KeyUpdate(rng.random()), 420),
            2 => {
                let (law, rate) = (Law::Kernel, BitsPerSec(rng.random::<u32>().into()));
                let request = ShapingRequest { id: rng.random(), law, cell_bytes: rng.random(), rate, ..REQUEST };
                cell_with(number, ControlMessage::ShapingRequest(request), rng.random_range(24..1500))
            }
            3 => {
                // A whole packet whose source is the other home, the endpoint, or a stranger.
                let source: [u8; 4] = [[10, 77, 0, 3], [10, 77, 0, 1], rng.random()][rng.random_range(0..3)];
                let mut cell = vec![0; 420];
                cell[..4].copy_from_slice(&number.to_be_bytes());
                cell[8..48].copy_from_slice(&packet(0));
                cell[20..24].copy_from_slice(&source);
                cell
            }
            _ => (0..rng.random_range(0..1600)).map(|_| rng.random()).collect(),
        };
        let (index, _) = endpoint.handle_cell(start, hostile, &cell).expect("a known home");
        let mut buffer = [0; 1500];
        while let Some(delivery) = endpoint.poll_packet(index, &mut buffer) {
            let source: [u8; 4] = buffer[12..16].try_into().expect("four bytes");
            assert!(!delivery.is_accepted || (buffer[0] >> 4 == 4 && source == hostile.octets()), "{source:?}");
            accepted += usize::from(delivery.is_accepted);
        }
    }
    assert!(accepted < 20, "{accepted} packets with the home's own address, in noise");
    assert_eq!(state(&endpoint), before);
    let session = &endpoint.sessions().all()[0];
    let granted = session.granted().expect("a grant");
    assert!(granted.rate <= settings.homes[0].max_download && granted.law == Law::Constant, "{granted:?}");
    assert!(session.engine().stats().drops.malformed_cell > 1000);
}

/// A home that asks for other cells all the time gets no more than its maximum.
#[test]
fn a_home_that_keeps_changing_its_request_gets_no_more_than_its_maximum() {
    let settings = endpoint_settings(1);
    let mut endpoint = plane(&settings);
    let home = settings.homes[0].address;
    let all = ShapingRequest { law: Law::Constant, cell_bytes: 1, rate: BitsPerSec(u64::MAX), ..REQUEST };
    let sizes = [40, 420, 127, 1300];
    let (mut wire_bytes, mut number) = (0, 0);
    let mut now = Nanos::from_secs(1);
    let end = Nanos::from_secs(21);
    let encapsulation = Encapsulation::wireguard(IpVersion::V4);
    while now < end {
        let cell = cell_with(number, ControlMessage::ShapingRequest(all), sizes[number as usize % sizes.len()]);
        number += 1;
        endpoint.handle_cell(now, home, &cell);
        now = endpoint.next_timeout().expect("the home has a grant");
        if let Departure::Train(train) = endpoint.handle_timeout(now) {
            wire_bytes += encapsulation.wire_bytes(train.cells().len()) as u64;
            endpoint.handle_departure(now);
        }
    }
    let kbit = wire_bytes * 8 / 20 / 1000;
    assert!((3_900..=4_020).contains(&kbit), "{kbit} kbit/s on the wire, at most 4000 are allowed");
}

/// Sends `count` cells of the router's, each `late_ns` of its number late. Returns the time of the last one.
#[cfg(feature = "endpoint")]
fn send_late(router: &mut DataPlane, count: u64, late_ns: impl Fn(u64) -> u64) -> Nanos {
    let (mut sent, mut now) = (0, Nanos::ZERO);
    while sent < count {
        let due = router.next_timeout().expect("a router sends");
        let Departure::Train(train) = router.handle_timeout(due) else { continue };
        now = train.scheduled + Nanos(late_ns(sent));
        router.handle_departure(now);
        sent += 1;
    }
    now
}

#[cfg(feature = "endpoint")]
fn read_record(router: &mut DataPlane, from: u32, now: Nanos) -> Result<(String, Vec<u64>), String> {
    let text = router.read_lateness(from, None, now)?;
    let (head, values) = text.split_once('\n').expect("two lines");
    Ok((head.to_owned(), values.split_whitespace().map(|value| value.parse().expect("a number")).collect()))
}

#[cfg(feature = "endpoint")]
#[test]
fn a_record_has_every_lateness_in_order() {
    let mut router = plane(&router_settings());
    let pace = router.sessions().all()[0].engine().pace();
    send_late(&mut router, 10, |_| 99);
    let start = format!("gamma {} {} 0 1", pace.spread_percent, pace.mean.0);
    assert_eq!(
        read_record(&mut router, 7, Nanos::ZERO).unwrap_err(),
        "no lateness is being recorded: `lateness 0` starts a record"
    );
    assert_eq!(read_record(&mut router, 0, Nanos::ZERO), Ok((start, vec![])), "nothing from before");
    let refused = read_record(&mut router, 0, Nanos::from_secs(9)).unwrap_err();
    assert!(refused.contains("a record is running"), "{refused}");
    let mut now = send_late(&mut router, 5, |number| 1_000 + number);
    let (head, values) = read_record(&mut router, 1, now).unwrap();
    assert!(head.ends_with(" 0 6") && values == [1_000, 1_001, 1_002, 1_003, 1_004], "{head} {values:?}");
    assert!(read_record(&mut router, 6, now).unwrap().1.is_empty());
    assert!(read_record(&mut router, 7, now).unwrap_err().contains("value 7 is not recorded yet"));
    // One answer has at most 4096 values, and a lateness of more than four seconds has the largest number.
    for _ in 0..50 {
        now = send_late(&mut router, 100, |number| if number == 0 { u64::from(u32::MAX) + 7 } else { number });
        read_record(&mut router, 6, now).unwrap();
    }
    let (head, values) = read_record(&mut router, 6, now).unwrap();
    assert!(head.ends_with(" 4102") && values.len() == 4_096 && values[..2] == [u64::from(u32::MAX), 1], "{head}");
    assert_eq!(router.read_lateness(u32::MAX, None, now), Ok(String::new()), "ended");
    assert!(read_record(&mut router, 0, now).is_ok(), "the next record starts at once");
}

#[cfg(feature = "endpoint")]
#[test]
fn a_record_is_bounded_and_ends_when_nobody_reads_it() {
    let mut router = plane(&router_settings());
    read_record(&mut router, 0, Nanos::ZERO).unwrap();
    let mut now = Nanos::ZERO;
    for _ in 0..200 {
        now = send_late(&mut router, 100, |number| number);
        _ = read_record(&mut router, 1, now);
    }
    let lost = read_record(&mut router, 1, now).unwrap_err();
    assert_eq!(lost, format!("{} values are lost: read the record more often", 20_000 - 16_384));
    assert_eq!(read_record(&mut router, 20_000 - 16_384 + 1, now).unwrap().1.len(), 4_096);
    let later = send_late(&mut router, 1_000, |_| 5);
    assert!(later.saturating_since(now) > Nanos::from_secs(10));
    assert!(read_record(&mut router, 20_001, later).unwrap_err().contains("no lateness is being recorded"));
}

#[cfg(feature = "endpoint")]
#[test]
fn a_change_of_the_rate_ends_a_record() {
    let mut router = plane(&router_settings());
    read_record(&mut router, 0, Nanos::ZERO).unwrap();
    let mut faster = router_settings();
    faster.shape.upload = BitsPerSec::from_kbit(999);
    router.update(&faster, Encapsulation::wireguard(IpVersion::V4), true, Nanos::ZERO).unwrap();
    let now = send_late(&mut router, 3, |_| 5);
    assert!(read_record(&mut router, 1, now).unwrap_err().contains("the rate or the law has changed"));
    assert!(read_record(&mut router, 1, now).unwrap_err().contains("no lateness is being recorded"));
    let several = plane(&endpoint_settings(2)).read_lateness(0, None, now).unwrap_err();
    assert_eq!(several, "there are several homes: name one");
    let unknown = plane(&endpoint_settings(2)).read_lateness(0, Some([10, 77, 0, 99].into()), now).unwrap_err();
    assert_eq!(unknown, "no home has that address");
    let silent = plane(&endpoint_settings(1)).read_lateness(0, None, now).unwrap_err();
    assert!(silent.contains("no cells are sent to this peer"), "{silent}");
    assert!(DataPlane::new().read_lateness(0, None, now).unwrap_err().contains("there is no tunnel yet"));
}
