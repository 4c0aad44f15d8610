//! A router's session connected to its endpoint's, through changes and silences.

use rand::rngs::ChaCha12Rng;
use rand::{RngExt, SeedableRng};

use super::*;
use crate::law::Law;
use crate::units::BitsPerSec;
use crate::wire::size::{Encapsulation, IpVersion};

const CELL: usize = 420;
const RATE: BitsPerSec = BitsPerSec(160_000);

const LIMITS: HomeLimits = HomeLimits {
    max_download: BitsPerSec(400_000),
    encapsulation: Encapsulation::wireguard(IpVersion::V4),
    kernel_law: true,
};

fn request(rate: BitsPerSec) -> ShapingRequest {
    ShapingRequest { id: 1, law: Law::Gamma, spread_percent: 33, cell_bytes: 508, rate, cover: true, trains: [1; 2] }
}

fn shaping() -> Shaping {
    let pace = Pace { law: Law::Gamma, mean: RATE.interval(508), spread_percent: 33 };
    Shaping { pace, train: 1, payload_bytes: CELL, cover: true, forwards: true }
}

fn pair() -> (Session, Session) {
    let address = Ipv4Addr::new(10, 77, 0, 2);
    let router = Session::router(address, shaping(), request(BitsPerSec(320_000)), [1; 32], Nanos::ZERO);
    let endpoint = Session::endpoint("maple".into(), address, LIMITS, [2; 32], Nanos::ZERO);
    (router, endpoint)
}

/// Runs both sessions up to `until` and counts the cells up and down. If `delivers_up` is false, cells up are lost.
fn run(router: &mut Session, endpoint: &mut Session, from: Nanos, until: Nanos, delivers_up: bool) -> (usize, usize) {
    let mut cells = (0, 0);
    let mut spare = Vec::new();
    let mut second = from;
    loop {
        let next = router.next_timeout().into_iter().chain(endpoint.next_timeout()).min().unwrap_or(until).max(from);
        if next >= until {
            return cells;
        }
        if next >= second {
            router.handle_tick(next);
            endpoint.handle_tick(next);
            second = next + Nanos::from_secs(1);
        }
        if router.next_timeout() == Some(next) || router.next_timeout().is_some_and(|at| at < from) {
            if let SessionStep::Depart(train) = router.handle_timeout(next, &mut spare) {
                assert_eq!((train.cell_bytes, train.cells().len()), (CELL, CELL));
                cells.0 += 1;
                if delivers_up {
                    endpoint.handle_cell(next, train.cells());
                }
                spare.push(train);
            }
        } else if let SessionStep::Depart(train) = endpoint.handle_timeout(next, &mut spare) {
            assert_eq!(train.cells().len(), CELL);
            cells.1 += 1;
            router.handle_cell(next, train.cells());
            spare.push(train);
        }
    }
}

#[test]
fn an_endpoint_sends_as_its_home_requests() {
    let (mut router, mut endpoint) = pair();
    assert_eq!((router.state(Nanos::ZERO), endpoint.next_timeout()), (State::Starting, None));
    let end = Nanos::from_secs(60);
    let (up, down) = run(&mut router, &mut endpoint, Nanos::ZERO, end, true);
    let expected = 60.0 * 160_000.0 / 508.0 / 8.0;
    assert!((up as f64 / expected - 1.0).abs() < 0.03, "{up} up, {expected} expected");
    assert!((down as f64 / expected / 2.0 - 1.0).abs() < 0.04, "{down} down");
    assert_eq!((router.state(end), endpoint.state(end)), (State::Shaping, State::Shaping));
}

#[test]
fn a_changed_request_is_granted_up_to_the_limit() {
    let (mut router, mut endpoint) = pair();
    run(&mut router, &mut endpoint, Nanos::ZERO, Nanos::from_secs(10), true);
    router.reshape(shaping(), request(BitsPerSec(9_000_000)), Nanos::from_secs(10));
    run(&mut router, &mut endpoint, Nanos::from_secs(10), Nanos::from_secs(20), true);
    assert_eq!(endpoint.engine().pace().mean, BitsPerSec(400_000).interval(508));
}

#[test]
fn without_cover_both_directions_are_quiet_and_still_answer() {
    let (mut router, mut endpoint) = pair();
    run(&mut router, &mut endpoint, Nanos::ZERO, Nanos::from_secs(10), true);
    let (open, quiet) = (shaping(), Shaping { cover: false, ..shaping() });
    let rate = BitsPerSec(320_000);
    router.reshape(quiet, ShapingRequest { cover: false, ..request(rate) }, Nanos::from_secs(10));
    run(&mut router, &mut endpoint, Nanos::from_secs(10), Nanos::from_secs(20), true);
    let (up, down) = run(&mut router, &mut endpoint, Nanos::from_secs(20), Nanos::from_secs(320), true);
    assert!((5..=20).contains(&up) && (5..=20).contains(&down), "{up} up, {down} down in 300 s");
    let end = Nanos::from_secs(320);
    assert_eq!((router.state(end), endpoint.state(end)), (State::Paused, State::Paused));
    assert_eq!([router.poll_rehandshake(end), endpoint.poll_rehandshake(end)], [None; 2], "a paused peer is not lost");
    let packet = [0x45, 0, 0, 20, 0, 0, 0, 0, 64, 17, 0, 0, 10, 0, 0, 1, 192, 0, 2, 7];
    router.handle_packet(end, &packet);
    let (up, _) = run(&mut router, &mut endpoint, end, Nanos::from_secs(321), true);
    assert!(up >= 1 && endpoint.engine().stats().packets_out == 1, "the devices' packets still pass");
    router.reshape(
        Shaping { forwards: false, ..quiet },
        ShapingRequest { cover: false, ..request(rate) },
        Nanos::from_secs(321),
    );
    router.handle_packet(Nanos::from_secs(321), &packet);
    assert!(!router.forwards() && router.engine().stats().packets_in == 1);
    router.reshape(open, request(rate), Nanos::from_secs(321));
    assert_eq!(router.state(Nanos::from_secs(321)), State::Shaping);
    let (up, down) = run(&mut router, &mut endpoint, Nanos::from_secs(321), Nanos::from_secs(331), true);
    assert!(up > 350 && down > 700, "{up} up, {down} down in 10 s");
    assert_eq!(endpoint.state(Nanos::from_secs(331)), State::Shaping);
}

#[test]
fn an_endpoint_stops_for_a_silent_home_and_resumes_with_its_next_cell() {
    let (mut router, mut endpoint) = pair();
    run(&mut router, &mut endpoint, Nanos::ZERO, Nanos::from_secs(10), true);
    let (mut rehandshakes, mut down) = (Vec::new(), 0);
    for second in 10..50 {
        let (now, next) = (Nanos::from_secs(second), Nanos::from_secs(second + 1));
        down += run(&mut router, &mut endpoint, now, next, false).1;
        let silence = endpoint.poll_rehandshake(next);
        rehandshakes.extend(silence.map(|silence| (second + 1, silence.0 / 1_000_000_000)));
        assert_eq!(router.poll_rehandshake(next), None, "a router without a watch for keys");
    }
    assert_eq!(rehandshakes, [(16, 6), (46, 36)], "after 6 s of silence, then every 30 s");
    let expected = 5.0 * 320_000.0 / 508.0 / 8.0;
    assert!((down as f64 / expected - 1.0).abs() < 0.15, "{down} cells to the silent home, {expected} expected");
    assert_eq!((endpoint.state(Nanos::from_secs(50)), endpoint.next_timeout()), (State::Starting, None));
    run(&mut router, &mut endpoint, Nanos::from_secs(50), Nanos::from_secs(192), false);
    let silence = endpoint.poll_rehandshake(Nanos::from_secs(192));
    assert!(silence.is_some_and(|silence| silence >= Nanos::from_secs(180)), "a silent home is looked at: {silence:?}");
    run(&mut router, &mut endpoint, Nanos::from_secs(192), Nanos::from_secs(330), false);
    assert_eq!(router.state(Nanos::from_secs(330)), State::Degraded);
    assert_eq!(endpoint.poll_rehandshake(Nanos::from_secs(330)), None, "the home may be switched off");
    run(&mut router, &mut endpoint, Nanos::from_secs(330), Nanos::from_secs(335), true);
    assert_eq!(endpoint.state(Nanos::from_secs(335)), State::Shaping);
    assert_eq!(router.state(Nanos::from_secs(335)), State::Shaping);
}

/// A home that calls its cells smaller than they are gets no more than its maximum, counted as the wire carries it.
#[test]
fn a_home_that_understates_its_cells_gets_and_is_counted_what_the_wire_carries() {
    let (payload_bytes, wire_bytes, seconds) = (127, 220, 20);
    let address = Ipv4Addr::new(10, 77, 0, 2);
    let shaping = Shaping { payload_bytes, ..shaping() };
    let lie = ShapingRequest { cell_bytes: 128, rate: BitsPerSec(u64::MAX), ..request(RATE) };
    let mut router = Session::router(address, shaping, lie, [1; 32], Nanos::ZERO);
    let mut endpoint = Session::endpoint("maple".into(), address, LIMITS, [2; 32], Nanos::ZERO);
    let (mut spare, mut sent, mut received, mut second) = (Vec::new(), 0, 0, Nanos::ZERO);
    while let Some(now) = router.next_timeout().into_iter().chain(endpoint.next_timeout()).min() {
        if now >= Nanos::from_secs(seconds) {
            break;
        }
        if now >= second {
            router.handle_tick(now);
            endpoint.handle_tick(now);
            second = now + Nanos::from_secs(1);
        }
        if router.next_timeout() == Some(now) {
            if let SessionStep::Depart(train) = router.handle_timeout(now, &mut spare) {
                endpoint.handle_cell(now, train.cells());
                received += 1;
            }
        } else if let SessionStep::Depart(train) = endpoint.handle_timeout(now, &mut spare) {
            assert_eq!(train.cells().len(), payload_bytes);
            sent += 1;
        }
    }
    endpoint.handle_tick(Nanos::from_secs(seconds));
    let kbit = sent * wire_bytes * 8 / seconds / 1000;
    assert!((380..=410).contains(&kbit), "{kbit} kbit/s on the wire, at most 400 are allowed");
    let [counted_sent, counted_received] = endpoint.wire_bytes();
    assert_eq!(counted_sent, sent * wire_bytes);
    // Cells before the grant count without the tunnel's padding.
    assert!((received * wire_bytes).abs_diff(counted_received) <= 20, "{counted_received} bytes of {received} cells");
}

/// Lets the router's session alone run up to `until`, with a tick every second. Returns when its cells left.
fn run_alone(router: &mut Session, from: Nanos, until: Nanos) -> Vec<Nanos> {
    let (mut left, mut spare, mut second) = (Vec::new(), Vec::new(), from);
    while second < until {
        router.handle_tick(second);
        router.update_hold(second);
        second = second + Nanos::from_secs(1);
        while let Some(next) = router.next_timeout().filter(|next| *next < second) {
            if let SessionStep::Depart(train) = router.handle_timeout(next, &mut spare) {
                left.push(train.scheduled);
            }
        }
    }
    left
}

/// WireGuard without keys keeps up to 128 cells, and sends them in one burst at the handshake.
#[test]
fn a_router_without_keys_hands_wireguard_one_cell_only() {
    let s = Nanos::from_secs;
    let (mut router, _) = pair();
    router.set_key_watch(true, s(0));
    router.update_hold(s(0));
    router.key_watch().expect("a watch").note_handshake(0, s(0));
    let left = run_alone(&mut router, s(0), s(60));
    assert_eq!(left.len(), 1, "without a session only the knock leaves: {left:?}");
    assert_eq!(run_alone(&mut router, s(60), s(105)), [], "WireGuard keeps the first knock");
    assert_eq!(run_alone(&mut router, s(105), s(115)).len(), 1, "and has dropped it by now");
    router.key_watch().expect("a watch").note_handshake(1_700_000_000, s(115));
    assert_eq!(router.update_hold(s(115)), Change::Started);
    let left = run_alone(&mut router, s(115), s(175));
    let (left, knocks): (Vec<_>, Vec<_>) = left.into_iter().partition(|at| *at < s(166));
    assert!(left[0] >= s(115) && knocks.len() == 1, "50 s without an answer, and keys may end: {knocks:?}");
    let expected = 50.0 * 160_000.0 / 508.0 / 8.0;
    assert!((left.len() as f64 / expected - 1.0).abs() < 0.1, "{} cells, {expected} expected", left.len());
}

#[test]
fn a_cell_from_the_endpoint_lets_a_router_send_again() {
    let s = Nanos::from_secs;
    let (mut router, _) = pair();
    router.set_key_watch(true, s(0));
    router.update_hold(s(0));
    router.key_watch().expect("a watch").note_handshake(0, s(0));
    assert_eq!(run_alone(&mut router, s(0), s(20)).len(), 1);
    assert_eq!(router.handle_cell(s(20), &[0; CELL]), Change::Started);
    assert!(run_alone(&mut router, s(20), s(21)).len() > 20);
    router.key_watch().expect("a watch").pause(s(21));
    assert_eq!(router.update_hold(s(21)), Change::None);
    assert_eq!(router.handle_cell(s(22), &[0; CELL]), Change::None, "a late cell with the old keys");
    assert_eq!(run_alone(&mut router, s(22), s(40)), [], "WireGuard is being changed");
    router.key_watch().expect("a watch").resume(s(40));
    router.key_watch().expect("a watch").note_handshake(7, s(40));
    assert_eq!(run_alone(&mut router, s(40), s(60)).len(), 1, "a knock with the new keys");
}

#[test]
fn a_silent_endpoint_gets_new_handshakes_from_a_router() {
    let s = Nanos::from_secs;
    let (mut router, _) = pair();
    router.set_key_watch(true, s(0));
    assert_eq!(router.poll_rehandshake(s(5)), None, "the first handshake is under way");
    assert_eq!(router.poll_rehandshake(s(6)), Some(s(6)), "it is in vain");
    router.handle_cell(s(50), &[0; CELL]);
    assert_eq!([55, 56].map(|second| router.poll_rehandshake(s(second))), [None, Some(s(6))]);
    let watch = router.key_watch().expect("a watch");
    watch.pause(s(57));
    assert_eq!(router.poll_rehandshake(s(90)), None, "the job does it");
    let watch = router.key_watch().expect("a watch");
    watch.resume(s(58));
    assert_eq!([60, 61].map(|second| router.poll_rehandshake(s(second))), [None, Some(s(11))]);
    let watch = router.key_watch().expect("a watch");
    watch.note_handshake(0, s(91));
    watch.note_handshake(1_700_000_000, s(92));
    assert_eq!([93, 97].map(|second| router.poll_rehandshake(s(second))), [None; 2], "the answer may be on its way");
    assert_eq!(router.poll_rehandshake(s(98)), Some(s(6)));
}

#[test]
fn without_cover_a_router_does_not_hold_back() {
    let s = Nanos::from_secs;
    let (mut router, _) = pair();
    router.set_key_watch(true, s(0));
    router.reshape(Shaping { cover: false, ..shaping() }, request(RATE), s(0));
    assert_eq!(router.update_hold(s(0)), Change::None);
    assert!(router.next_timeout().is_some());
}

/// A gigabit in trains of 45, of which the endpoint knows nothing at first.
#[test]
fn trains_leave_once_the_endpoint_has_granted_them() {
    let (rate, slow) = (BitsPerSec(1_000_000_000), request(RATE));
    let pace = Pace { mean: Nanos(45 * 11_000), ..shaping().pace };
    let (wanted, request) =
        (Shaping { pace, train: 45, ..shaping() }, ShapingRequest { trains: [45, 64], ..request(rate) });
    let mut router = Session::router(Ipv4Addr::LOCALHOST, wanted, request, [1; 32], Nanos::ZERO);
    let limits = HomeLimits { max_download: rate, ..LIMITS };
    let mut endpoint = Session::endpoint("maple".into(), Ipv4Addr::LOCALHOST, limits, [2; 32], Nanos::ZERO);
    let single = Nanos::from_micros(100);
    assert_eq!((router.engine().pace().mean, router.engine().train()), (single, 1), "as fast as single cells may be");
    let mut grant = ControlMessage::ShapingGrant(ShapingGrant {
        id: 1,
        law: Law::Gamma,
        cell_bytes: 508,
        rate,
        cells_received: 0,
        cells_lost: 0,
        trains: [1; 2],
    });
    let mut old = Engine::new(
        Params { payload_bytes: CELL, pace, lead: Nanos::ZERO, limits: Limits::default() },
        [7; 32],
        Nanos::ZERO,
    );
    let mut answer = |router: &mut Session, message| {
        let mut cell = [0; CELL];
        old.send_control(message);
        let (due, _) = old.poll_timeout();
        old.poll_transmit(due, &mut cell).expect("a cell at its departure time");
        router.handle_cell(due, &cell);
    };
    answer(&mut router, grant);
    assert_eq!((router.engine().pace().mean, router.engine().train()), (single, 1));
    let problem = router.missing_trains().expect("the endpoint knows no trains");
    assert!(problem.contains("want trains of 45 up and 64 down") && problem.contains("40640.000 kbit/s"), "{problem}");
    assert_eq!(router.trains(), [1, 1]);
    // The real endpoint grants both.
    endpoint.handle_request(Nanos::ZERO, request, CELL);
    assert_eq!((endpoint.engine().train(), endpoint.engine().pace().mean), (64, rate.interval(508 * 64)));
    // Found by tests/lab/gateway: between build and departure a loop does nothing else.
    let built = endpoint.next_timeout().unwrap();
    assert!(matches!(endpoint.handle_timeout(built, &mut Vec::new()), SessionStep::Built));
    assert!(endpoint.next_timeout().unwrap() <= built + Nanos(rate.interval(508 * 64).0 / 8));
    set_trains(&mut grant, [45, 64]);
    answer(&mut router, grant);
    assert_eq!((router.engine().pace(), router.engine().train(), router.missing_trains()), (pace, 45, None));
    // An endpoint cannot take them back: departures do not depend on what it says from now on.
    set_trains(&mut grant, [1; 2]);
    answer(&mut router, grant);
    assert_eq!((router.engine().pace(), router.engine().train()), (pace, 45));
    assert!(router.missing_trains().is_some());
    router.reshape(shaping(), slow, Nanos::ZERO);
    assert_eq!((router.engine().pace(), router.engine().train()), (shaping().pace, 1));
}

fn set_trains(message: &mut ControlMessage, trains: [u8; 2]) {
    if let ControlMessage::ShapingGrant(grant) = message {
        grant.trains = trains;
    }
}

/// Whatever messages an endpoint sends, and whatever bytes, a router's cells leave at the same times, with the same
/// length, as with an endpoint that says nothing.
#[test]
fn a_hostile_endpoint_moves_no_departure() {
    println!("seed 19");
    let mut rng = ChaCha12Rng::seed_from_u64(19);
    let limits = Limits { bytes: 64 * 1024, age: Nanos::from_secs(1) };
    let pace = Pace { law: Law::Gamma, mean: Nanos::from_millis(1), spread_percent: 33 };
    let mut attacker =
        Engine::new(Params { payload_bytes: CELL, pace, lead: Nanos::ZERO, limits }, [7; 32], Nanos::ZERO);
    let mut depart = |hostile: bool| {
        let (mut router, _) = pair();
        let (mut trace, mut spare, mut cell) = (Vec::new(), Vec::new(), [0; 2 * CELL]);
        while trace.len() < 1_000 {
            let next = router.next_timeout().expect("a router always has a departure");
            for _ in 0..if hostile { 3 } else { 0 } {
                let rate = BitsPerSec(rng.random_range(1..=u64::from(u32::MAX)));
                let shaping = ShapingRequest {
                    id: rng.random_range(0..3),
                    law: Law::ALL[rng.random_range(0..Law::ALL.len())],
                    spread_percent: rng.random_range(0..=100),
                    cell_bytes: rng.random(),
                    rate,
                    cover: rng.random(),
                    trains: [rng.random(), rng.random()],
                };
                let ShapingRequest { id, law, cell_bytes, trains, .. } = shaping;
                attacker.send_control(match rng.random_range(0..3) {
                    0 => ControlMessage::ShapingRequest(shaping),
                    1 => {
                        let [cells_received, cells_lost] = [rng.random(), rng.random()];
                        let grant = ShapingGrant { id, law, cell_bytes, rate, cells_received, cells_lost, trains };
                        ControlMessage::ShapingGrant(grant)
                    }
                    _ => ControlMessage::KeyUpdate(rng.random()),
                });
                let (due, _) = attacker.poll_timeout();
                let length = attacker.poll_transmit(due, &mut cell).map_or(0, |transmit| transmit.len);
                // One cell in three is damaged or cut.
                if rng.random_range(0..3) == 0 {
                    cell[rng.random_range(0..CELL)] = rng.random();
                    router.handle_cell(next, &cell[..rng.random_range(0..=length)]);
                } else {
                    router.handle_cell(next, &cell[..length]);
                }
            }
            if let SessionStep::Depart(train) = router.handle_timeout(next, &mut spare) {
                trace.push((next, train.cells().len()));
                spare.push(train);
            }
        }
        trace
    };
    let quiet = depart(false);
    assert_eq!(depart(true), quiet);
    assert!(quiet.iter().all(|(_, bytes)| *bytes == CELL));
}
