//! 100,000 homes on 50 endpoints, of which five die at once, in virtual time. Every home that loses its endpoint runs
//! the daemon's failover. The time from a handshake to the first cell comes from the daemon's sessions and engines. The
//! homes of the other endpoints are only counted: nothing changes for them.

use std::cell::RefCell;
use std::net::Ipv4Addr;

use rand::rngs::ChaCha12Rng;
use rand::{RngExt, SeedableRng};

use super::*;
use crate::config::model::Server;
use crate::daemon::dataplane::DataPlane;
use crate::daemon::dataplane::Departure;
use crate::wire::size::{Encapsulation, IpVersion};

const HOMES: usize = 100_000;
const ENDPOINTS: usize = 50;
const DEAD: usize = 5;
/// Servers in the list of each home, the one in use included: as many as a join text has.
const LISTED: usize = 8;
const SEED: u64 = 20;
/// Until a change is in force: the reconcile job and WireGuard's handshake.
const CHANGE: Nanos = Nanos::from_millis(1_500);
/// One way between home and endpoint.
const LATENCY: Nanos = Nanos::from_millis(20);
const SECONDS: u64 = 300;

thread_local! {
    static RANDOM: RefCell<ChaCha12Rng> = RefCell::new(ChaCha12Rng::seed_from_u64(SEED));
}

fn draw() -> u16 {
    RANDOM.with_borrow_mut(|random| random.random())
}

fn below(limit: usize) -> usize {
    RANDOM.with_borrow_mut(|random| random.random_range(0..limit))
}

/// A home whose endpoint has died.
struct LostHome {
    failover: Failover,
    settings: Settings,
    /// Milliseconds into a second at which the daemon's ticks come.
    phase_ms: u64,
    /// The settings that are being applied, and when they are in force.
    changing: Option<(Nanos, Settings)>,
    /// When cells of the server in use come.
    served: Option<Nanos>,
}

/// What happened.
struct Outage {
    /// When each home was served again, sorted.
    served: Vec<Nanos>,
    /// Homes of each endpoint afterwards.
    load: Vec<usize>,
    /// The most homes that came to one endpoint within one second.
    peak: usize,
}

impl Outage {
    fn seconds(&self, percent: usize) -> f64 {
        self.served[(self.served.len() - 1) * percent / 100].as_secs_f64()
    }
}

fn endpoint_number(settings: &mut Settings) -> usize {
    let host = &example::wireguard(settings).endpoint.as_ref().expect("an endpoint").host;
    host.trim_start_matches('e').parse().expect("a number")
}

/// Homes with lists in random order, or all in the same one.
fn lost_homes(is_shuffled: bool, draw: fn() -> u16) -> Vec<LostHome> {
    let key = example::wireguard(&mut example::router()).public_key.clone().expect("a key");
    let server = |number: usize| Server { at: at(&format!("e{number}")), public_key: key.clone() };
    let lost = (0..HOMES).filter(|home| home % ENDPOINTS < DEAD);
    lost.map(|home| {
        let mut list = vec![home % ENDPOINTS];
        while list.len() < LISTED {
            let next = if is_shuffled { below(ENDPOINTS) } else { DEAD + list.len() };
            if !list.contains(&next) {
                list.push(next);
            }
        }
        let mut settings = example::router();
        let wireguard = example::wireguard(&mut settings);
        wireguard.endpoint = Some(server(list[0]).at);
        wireguard.backup = list[1..].iter().map(|number| server(*number)).collect();
        LostHome {
            failover: Failover::new(Nanos::ZERO, draw),
            settings,
            phase_ms: below(1000) as u64,
            changing: None,
            served: None,
        }
    })
    .collect()
}

/// Lets the homes find other endpoints. `first_cells` are times from a handshake to the endpoint's first cell.
fn run(mut homes: Vec<LostHome>, first_cells: &[Nanos]) -> Outage {
    let mut arrivals = vec![[0usize; SECONDS as usize]; ENDPOINTS];
    let mut load = vec![HOMES / ENDPOINTS; ENDPOINTS];
    load[..DEAD].fill(0);
    for second in 0..SECONDS {
        for home in homes.iter_mut().filter(|home| home.served.is_none()) {
            let now = Nanos::from_millis(second * 1000 + home.phase_ms);
            if let Some((at, settings)) = home.changing.take_if(|(at, _)| *at <= now) {
                home.settings = settings;
                let endpoint = endpoint_number(&mut home.settings);
                arrivals[endpoint][(at.0 / 1_000_000_000) as usize] += 1;
                if endpoint >= DEAD {
                    home.served = Some(at + first_cells[below(first_cells.len())]);
                    load[endpoint] += 1;
                    continue;
                }
            }
            let situation = Situation { is_changing: home.changing.is_some(), ..silent_situation(&home.settings) };
            if let Some(Action::ChangeSettings(changed)) = home.failover.handle_tick(&situation, now) {
                home.changing = Some((now + CHANGE, *changed));
            }
        }
    }
    let mut served: Vec<Nanos> = homes.iter().map(|home| home.served.unwrap_or(Nanos::from_secs(SECONDS))).collect();
    served.sort_unstable();
    let peak = arrivals[DEAD..].iter().flatten().copied().max().unwrap_or(0);
    Outage { served, load, peak }
}

/// Time from the handshake to the endpoint's first cell, by the sessions and engines of both ends.
fn first_cell() -> Nanos {
    let router = example::router();
    let home = example::home(2, None);
    let peer = Ipv4Addr::new(10, 77, 0, 1);
    let endpoint = Settings { homes: vec![home.clone()], ..example::endpoint() };
    let encapsulation = Encapsulation::wireguard(IpVersion::V4);
    let mut planes = [&router, &endpoint].map(|settings| {
        let mut plane = DataPlane::new();
        plane.set_seed_source(|| Ok(RANDOM.with_borrow_mut(|random| random.random())));
        plane.update(settings, encapsulation, true, Nanos::ZERO).unwrap();
        plane
    });
    // A handshake has just shown the router that there are keys.
    planes[0].note_handshake(Some(1), Nanos::ZERO);
    planes[0].note_handshake(Some(2), Nanos::ZERO);
    planes[0].handle_tick(Nanos::ZERO);
    // Cells on their way to the endpoint; the first one back ends the run.
    let mut on_the_way: Vec<(Nanos, Vec<u8>)> = Vec::new();
    for ms in 0..60_000 {
        let now = Nanos::from_millis(ms);
        if ms % 1000 == 0 {
            planes.iter_mut().for_each(|plane| drop(plane.handle_tick(now)));
        }
        while let Some(position) = on_the_way.iter().position(|(at, _)| *at <= now) {
            let (_, cell) = on_the_way.remove(position);
            planes[1].handle_cell(now, home.address, &cell);
        }
        for (side, plane) in planes.iter_mut().enumerate() {
            while plane.next_timeout().is_some_and(|next| next <= now) {
                let cell = match plane.handle_timeout(now) {
                    Departure::Train(train) => train.cells().to_vec(),
                    _ => continue,
                };
                plane.handle_departure(now);
                match side {
                    0 => on_the_way.push((now + LATENCY, cell)),
                    _ => return now + LATENCY,
                }
            }
        }
    }
    panic!("the endpoint at {peer} never answered");
}

#[test]
fn homes_of_dead_endpoints_spread_over_the_others() {
    println!("seed {SEED}");
    let first_cells: Vec<Nanos> = (0..200).map(|_| first_cell()).collect();
    let herd = run(lost_homes(false, || 0), &first_cells);
    let spread = run(lost_homes(true, draw), &first_cells);
    for (name, outage) in [("one order, no jitter", &herd), ("as built", &spread)] {
        let [half, most, all] = [50, 99, 100].map(|percent| outage.seconds(percent));
        let (least, greatest) = (outage.load[DEAD..].iter().min().unwrap(), outage.load.iter().max().unwrap());
        println!(
            "{name}: half served after {half:.1} s, 99 % after {most:.1} s, all after {all:.1} s; {least} to \
             {greatest} homes an endpoint afterwards; at most {} came to one within a second",
            outage.peak
        );
    }
    assert!(herd.peak > 1_000, "the control experiment shows nothing: {}", herd.peak);
    assert!(spread.peak < 100, "{} homes came to one endpoint within a second", spread.peak);
    let mean = HOMES / (ENDPOINTS - DEAD);
    assert!(spread.load[DEAD..].iter().all(|load| (mean * 9 / 10..mean * 11 / 10).contains(load)), "{:?}", spread.load);
    assert!(spread.seconds(50) < 45.0 && spread.seconds(100) < 180.0, "{} {}", spread.seconds(50), spread.seconds(100));
}
