//! The data plane by a virtual clock: a router and its endpoint, connected by this test instead of by sockets.

use super::*;
use crate::config::example;
use crate::core::CellKind;
use crate::wire::size::IpVersion;

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
    assert_eq!(router.handle_packet(Nanos::from_secs(2), &packet(5)), Some(5));
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
    assert_eq!(kinds, [Some(Delivery { length: 40, device: 0, is_accepted: true })]);
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
    assert!(!endpoint.update_limits(&settings), "as at the last update");
    run(&mut router, &mut endpoint, Nanos::from_secs(3), |_| ());
    assert!(endpoint.granted().is_some());
    let changed = Settings { homes: endpoint_settings(2).homes, ..settings };
    assert!(endpoint.update_limits(&changed), "the ceiling grows with the homes");
    assert!(!endpoint.update_limits(&changed));
}
