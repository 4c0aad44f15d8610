use std::net::Ipv4Addr;

use super::*;
use crate::core::burst::BurstRules;
use crate::core::{Engine, Limits, Params};
use crate::daemon::dataplane::negotiation::HomeLimits;
use crate::daemon::dataplane::session::SessionStep;
use crate::daemon::shape::Shaping;
use crate::daemon::state::State;
use crate::law::Law;
use crate::units::{BitsPerSec, Chance};
use crate::wire::control::{ControlMessage, ShapingGrant, ShapingRequest};
use crate::wire::size::{Encapsulation, IpVersion};

const CELL: usize = 420;
const SLOT: Nanos = Nanos::from_secs(5);
const BASE: BitsPerSec = BitsPerSec(80_000);
const CAMERA: u8 = 1;

fn router(peer_rate: BitsPerSec) -> Session {
    let pace = |rate: BitsPerSec| Pace { law: Law::Gamma, mean: rate.interval(508), spread_percent: 33 };
    let shaping = Shaping { pace: pace(BASE), train: 1, payload_bytes: CELL, cover: true, forwards: true };
    let request = ShapingRequest {
        id: 1,
        law: Law::Gamma,
        spread_percent: 33,
        cell_bytes: 508,
        rate: BASE,
        cover: true,
        trains: [1; 2],
    };
    let mut router = Session::router(Ipv4Addr::LOCALHOST, shaping, request, [1; 32], Nanos::ZERO);
    let [begin, decoy, keep, linger] = [900_000, 30_000, 950_000, 600_000].map(Chance);
    let params = BurstParams {
        rules: BurstRules { begin, decoy, keep, linger, slot: SLOT },
        burst: SlotPace { pace: pace(BitsPerSec(800_000)), train: 1, lead: LEAD },
        peer_rate,
        peer_train: 1,
        devices: 1 << CAMERA,
        need_bytes: 5_000,
        limits: Limits { bytes: 1_000_000, age: Nanos(3 * SLOT.0) },
    };
    router.set_bursts(Some(params), Nanos::ZERO);
    router
}

fn endpoint(max_download: BitsPerSec) -> Session {
    let encapsulation = Encapsulation::wireguard(IpVersion::V4);
    let limits = HomeLimits { max_download, encapsulation, kernel_law: false };
    Session::endpoint("maple".into(), Ipv4Addr::LOCALHOST, limits, [2; 32], Nanos::ZERO)
}

/// A packet of the camera.
fn packet() -> Vec<u8> {
    let mut packet = vec![0; 1_400];
    packet[..10].copy_from_slice(&[0x45, CAMERA << 2, 0x05, 0x78, 0, 0, 0x40, 0, 64, 17]);
    packet
}

/// Runs both ends with a path that takes 40 ms, and returns the cells of each end in each half second. The camera is
/// busy in the second third of the time. One cell in 50 is lost.
fn run(router: &mut Session, endpoint: &mut Session, seconds: u64) -> Vec<[u32; 2]> {
    let delay = Nanos::from_millis(40);
    let mut counts = vec![[0; 2]; 2 * seconds as usize];
    let (mut spare, mut second, mut sent) = (Vec::new(), 0, 0u32);
    let mut underway: std::collections::VecDeque<(Nanos, bool, Vec<u8>)> = Default::default();
    loop {
        let arrival = underway.front().map(|(at, ..)| *at);
        let tick = Nanos::from_secs(second);
        let departure = router.next_timeout().into_iter().chain(endpoint.next_timeout()).min();
        let now = departure.into_iter().chain(arrival).fold(tick, Nanos::min);
        if second >= seconds {
            return counts;
        }
        if now == tick {
            router.handle_tick(now);
            endpoint.handle_tick(now);
            for _ in 0..if (seconds / 3..2 * seconds / 3).contains(&second) { 30 } else { 0 } {
                router.handle_packet(now, &packet());
            }
            second += 1;
        } else if arrival == Some(now) {
            let (_, is_up, cell) = underway.pop_front().expect("a cell");
            if is_up {
                endpoint.handle_cell(now, &cell)
            } else {
                router.handle_cell(now, &cell)
            };
        } else {
            let is_up = router.next_timeout() == Some(now);
            let end = if is_up { &mut *router } else { &mut *endpoint };
            if let SessionStep::Depart(train) = end.handle_timeout(now, &mut spare) {
                counts[(now.0 / 500_000_000) as usize][usize::from(!is_up)] += 1;
                sent += 1;
                if sent % 50 != 0 {
                    underway.push_back((now + delay, is_up, train.cells().to_vec()));
                }
                spare.push(train);
            }
        }
    }
}

/// Cells in half a second: ten at the base rate, 98 in a burst upwards.
fn is_burst(cells: u32) -> bool {
    cells > 30
}

#[test]
fn both_directions_burst_together() {
    let (mut router, mut endpoint) = (router(BitsPerSec(800_000)), endpoint(BitsPerSec(4_000_000)));
    assert_eq!(router.bursts(), None, "the endpoint has not answered yet");
    let counts = run(&mut router, &mut endpoint, 3_000);
    let granted = router.bursts().expect("the endpoint knows bursts").granted;
    assert_eq!((granted, router.missing_bursts(Nanos::from_secs(3_000))), (BitsPerSec(800_000), None));
    assert!(router.has_bursts() && endpoint.has_bursts());
    let bursts = counts.iter().map(|[up, _]| u32::from(is_burst(*up))).sum::<u32>();
    assert!(bursts > 1_500, "need is answered by bursts: {bursts} of 6000");
    let decoys = counts[..2_000].iter().filter(|[up, _]| is_burst(*up)).count();
    assert!((60..600).contains(&decoys), "decoys: {decoys}");
    // At a boundary, one end is 40 ms behind the other.
    let apart = counts.windows(3).filter(|around| {
        let up = around.iter().map(|[up, _]| is_burst(*up));
        let is_inside = up.clone().all(|burst| burst) || up.clone().all(|burst| !burst);
        is_inside && is_burst(around[1][1]) != is_burst(around[1][0])
    });
    assert_eq!(apart.count(), 0);
}

#[test]
fn an_endpoint_grants_bursts_within_its_limit() {
    let (mut router, mut endpoint) = (router(BitsPerSec(8_000_000)), endpoint(BitsPerSec(800_000)));
    let counts = run(&mut router, &mut endpoint, 300);
    assert_eq!(router.bursts().map(|bursts| bursts.granted), Some(BitsPerSec(800_000)));
    let most = counts.iter().map(|[_, down]| *down).max().expect("cells");
    assert!((80..140).contains(&most), "{most} cells down in half a second, 98 are granted");
}

/// It answers requests as always, and skips plans.
#[test]
fn with_an_endpoint_that_is_too_old_there_are_no_bursts() {
    let mut router = router(BitsPerSec(800_000));
    let pace = Pace { law: Law::Gamma, mean: BASE.interval(508), spread_percent: 33 };
    let limits = Limits { bytes: 64 * 1024, age: Nanos::from_secs(1) };
    let mut old = Engine::new(Params { payload_bytes: CELL, pace, lead: Nanos::ZERO, limits }, [7; 32], Nanos::ZERO);
    let (cells_received, cells_lost, trains) = (0, 0, [1; 2]);
    let grant =
        ShapingGrant { id: 1, law: Law::Gamma, cell_bytes: 508, rate: BASE, cells_received, cells_lost, trains };
    let (mut sent, mut spare, mut cell) = (0, Vec::new(), [0; CELL]);
    for second in 0..600 {
        let now = Nanos::from_secs(second);
        (0..30).for_each(|_| router.handle_packet(now, &packet()));
        old.send_control(ControlMessage::ShapingGrant(grant));
        while old.poll_timeout().0 < now {
            let (due, _) = old.poll_timeout();
            old.poll_transmit(due, &mut cell).expect("a cell");
            router.handle_cell(due, &cell);
        }
        router.handle_tick(now);
        while let Some(next) = router.next_timeout().filter(|next| *next < now) {
            if let SessionStep::Depart(train) = router.handle_timeout(next, &mut spare) {
                sent += 1;
                spare.push(train);
            }
        }
        let text = router.missing_bursts(now);
        assert_eq!(text.is_some(), second > 20, "after {second} s");
    }
    assert_eq!(router.state(Nanos::from_secs(599)), State::Shaping);
    assert_eq!((router.bursts(), router.has_bursts()), (None, false));
    let expected = 600.0 * BASE.0 as f64 / 508.0 / 8.0;
    assert!((f64::from(sent) / expected - 1.0).abs() < 0.03, "{sent} cells, {expected} expected");
}

#[test]
fn an_endpoint_follows_no_impossible_plan() {
    let mut endpoint = endpoint(BitsPerSec(4_000_000));
    let plan =
        BurstPlan { number: 1, bursts: true, train: 1, rate: BitsPerSec(800_000), starts_in_us: 1_000, slot_ms: 5_000 };
    endpoint.handle_burst_plan(Nanos::ZERO, &plan, Change::None);
    assert!(!endpoint.has_bursts(), "a home without a request");
    let request = ShapingRequest {
        id: 1,
        law: Law::Gamma,
        spread_percent: 33,
        cell_bytes: 508,
        rate: BASE,
        cover: true,
        trains: [1; 2],
    };
    endpoint.handle_request(Nanos::ZERO, request, CELL);
    for wrong in [
        BurstPlan { slot_ms: 999, ..plan },
        BurstPlan { slot_ms: u32::MAX, ..plan },
        BurstPlan { starts_in_us: 5_000_001, ..plan },
    ] {
        endpoint.handle_burst_plan(Nanos::ZERO, &wrong, Change::None);
        assert!(!endpoint.has_bursts(), "{wrong:?}");
    }
    endpoint.handle_burst_plan(Nanos::ZERO, &plan, Change::None);
    assert!(endpoint.has_bursts());
    // Without a further plan, the base rate comes back.
    let (mut spare, mut cells) = (Vec::new(), [0; 2]);
    while let Some(next) = endpoint.next_timeout().filter(|next| *next < Nanos::from_secs(15)) {
        if let SessionStep::Depart(train) = endpoint.handle_timeout(next, &mut spare) {
            cells[usize::from(next > Nanos::from_millis(5_200))] += 1;
            spare.push(train);
        }
    }
    assert!(cells[0] > 900 && (150..250).contains(&cells[1]), "{cells:?}");
}
