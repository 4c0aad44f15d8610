//! Bursts: slots follow seed, settings and one bit of need, and nothing else of the traffic reaches the wire.

mod common;

use millpond::config::model::{Burst, LineRules, Settings};
use millpond::core::burst::{BurstParams, BurstRules, SlotPace};
use millpond::core::{Engine, Limits, Pace, Params};
use millpond::law::Law;
use millpond::plan::guard_table;
use millpond::units::{BitsPerSec, Chance, DeviceId, Nanos};

const PAYLOAD_BYTES: usize = 420;
const WIRE_BYTES: usize = 508;
const SLOT: Nanos = Nanos::from_secs(5);
const CAMERA: u8 = 3;
const PLUG: u8 = 7;
const NEED_BYTES: u64 = 3_000;

fn slot_pace(kbit: u64, train: u8) -> SlotPace {
    let pace = Pace::of_trains(Law::Gamma, 33, BitsPerSec::from_kbit(kbit), WIRE_BYTES, train);
    SlotPace { pace, train, lead: Nanos::ZERO }
}

fn params(burst: SlotPace) -> BurstParams {
    let [begin, decoy, keep, linger] = [900_000, 30_000, 950_000, 600_000].map(Chance);
    BurstParams {
        rules: BurstRules { begin, decoy, keep, linger, slot: SLOT },
        burst,
        peer_rate: BitsPerSec::from_kbit(60),
        peer_train: 1,
        devices: 1 << CAMERA,
        need_bytes: NEED_BYTES,
        limits: Limits { bytes: 2_000_000, age: Nanos::from_secs(15) },
    }
}

fn engine(seed: u8) -> Engine {
    let limits = Limits { bytes: 256 * 1024, age: Nanos::from_secs(10) };
    let pace = slot_pace(30, 1).pace;
    Engine::new(Params { payload_bytes: PAYLOAD_BYTES, pace, lead: Nanos::ZERO, limits }, [seed; 32], Nanos::ZERO)
}

fn bursting(seed: u8, burst: SlotPace) -> Engine {
    let mut engine = engine(seed);
    engine.set_bursts(Some(params(burst)), Nanos::ZERO);
    engine.arm_bursts(true);
    engine
}

/// An IPv4 packet of a device.
fn packet(device: u8, bytes: u16) -> Vec<u8> {
    let mut packet = vec![device; bytes.into()];
    let [high, low] = bytes.to_be_bytes();
    packet[..10].copy_from_slice(&[0x45, device << 2, high, low, 0, 0, 0x40, 0, 64, 17]);
    packet
}

/// Departures up to `until`: when, how many cells, and whether in a burst. `traffic` gets each second.
fn run(engine: &mut Engine, until: Nanos, mut traffic: impl FnMut(u64, &mut Engine)) -> Vec<(Nanos, usize, bool)> {
    let (mut departures, mut second) = (Vec::new(), 0);
    loop {
        let (due, _) = engine.poll_timeout();
        while Nanos::from_secs(second) <= due {
            traffic(second, engine);
            second += 1;
        }
        if due >= until {
            return departures;
        }
        let mut cells = vec![0; engine.train_bytes()];
        let was_bursting = engine.is_bursting();
        let transmit = engine.poll_transmit(due, &mut cells).expect("cells at each departure");
        assert_eq!(transmit.len, PAYLOAD_BYTES);
        departures.push((transmit.scheduled, transmit.cells, was_bursting));
    }
}

/// Sends what fills a burst, each ten minutes.
fn camera(second: u64, engine: &mut Engine) {
    if second % 600 < 40 {
        (0..50).for_each(|_| engine.handle_packet(Nanos::from_secs(second), &packet(CAMERA, 1_400)));
    }
}

#[test]
fn the_need_of_no_other_device_changes_a_departure() {
    let until = Nanos::from_secs(4_000);
    let idle = run(&mut bursting(1, slot_pace(600, 1)), until, |_, _| {});
    assert!(idle.iter().any(|(_, _, burst)| *burst), "decoys");
    let flooded = run(&mut bursting(1, slot_pace(600, 1)), until, |second, engine| {
        (0..200).for_each(|_| engine.handle_packet(Nanos::from_secs(second), &packet(PLUG, 1_400)));
    });
    assert!(flooded == idle, "another device");
    // Little of the camera is no need, either.
    let little = run(&mut bursting(1, slot_pace(600, 1)), until, |second, engine| {
        engine.handle_packet(Nanos::from_secs(second), &packet(CAMERA, 200));
    });
    assert!(little == idle, "less than the base rate carries");
}

#[test]
fn need_shows_from_the_slot_after_the_next_boundary_on_and_not_before() {
    let until = Nanos::from_secs(3_000);
    let idle = run(&mut bursting(2, slot_pace(600, 1)), until, |_, _| {});
    let busy = run(&mut bursting(2, slot_pace(600, 1)), until, |second, engine| {
        if second >= 1_000 {
            (0..50).for_each(|_| engine.handle_packet(Nanos::from_secs(second), &packet(CAMERA, 1_400)));
        }
    });
    let first = idle.iter().zip(&busy).position(|(one, other)| one != other).expect("need shows");
    let at = idle[first].0.min(busy[first].0);
    assert!(at > Nanos::from_secs(1_000) + SLOT, "{at:?}: decided one slot ahead");
    assert!(at < Nanos::from_secs(1_000) + Nanos(8 * SLOT.0), "{at:?}");
}

/// The same bits of need, whatever makes them, are the same wire.
#[test]
fn only_the_bit_of_need_counts() {
    let until = Nanos::from_secs(4_000);
    let trace = |bytes: u16, packets: u64| {
        run(&mut bursting(3, slot_pace(600, 1)), until, |second, engine| {
            // Far more than any slot carries, so that the bit stays.
            (0..packets).for_each(|_| engine.handle_packet(Nanos::from_secs(second), &packet(CAMERA, bytes)));
        })
    };
    let one = trace(1_400, 80);
    assert!(trace(700, 190) == one && trace(1_000, 500) == one);
}

#[test]
fn a_slot_has_one_rate_from_its_beginning_to_its_end() {
    for (burst, train) in [(600, 1), (20_000, 8)] {
        let mut engine = bursting(4, slot_pace(burst, train));
        let departures = run(&mut engine, Nanos::from_secs(6_000), camera);
        let changes: Vec<_> =
            departures.windows(2).filter(|pair| pair[0].2 != pair[1].2).map(|pair| pair[1].0).collect();
        assert!(changes.len() > 40, "{changes:?}");
        // All changes lie on one grid, but for the interval that is drawn already.
        let slack = Nanos::from_millis(500);
        let phase = changes.iter().map(|at| at.0 % SLOT.0).min().expect("changes");
        assert!(changes.iter().all(|at| at.0 % SLOT.0 - phase < slack.0), "{changes:?}");
        let rate_of = |wanted: bool| {
            let mut cells = 0;
            let mut time = 0;
            for pair in departures.windows(2).filter(|pair| pair[0].2 == wanted && pair[1].2 == wanted) {
                cells += pair[1].1;
                time += pair[1].0.0 - pair[0].0.0;
            }
            (cells * WIRE_BYTES * 8) as f64 / time as f64 * 1e6
        };
        let [base, fast] = [false, true].map(rate_of);
        assert!((base / 30.0 - 1.0).abs() < 0.05 && (fast / burst as f64 - 1.0).abs() < 0.05, "{base} {fast}");
        // A train is whole, in a burst as outside.
        let wrong = departures
            .windows(2)
            .filter(|pair| pair[0].2 == pair[1].2 && pair[1].1 != if pair[1].2 { usize::from(train) } else { 1 });
        assert_eq!(wrong.count(), 0);
    }
}

#[test]
fn what_listed_devices_send_waits_for_the_burst() {
    // Nine tenths of a slot at the burst rate, at once.
    let mut engine = bursting(5, slot_pace(600, 1));
    run(&mut engine, Nanos::from_secs(1_800), |second, engine| {
        for _ in 0..if second % 600 == 7 { 200 } else { 0 } {
            engine.handle_packet(Nanos::from_secs(second), &packet(CAMERA, 1_400));
        }
        engine.handle_packet(Nanos::from_secs(second), &packet(PLUG, 100));
    });
    let stats = engine.stats();
    assert_eq!((stats.drops.aged, stats.drops.overflow), (0, 0));
    let [camera, plug] = [CAMERA, PLUG].map(|device| stats.devices.get(DeviceId(device.into())).unwrap());
    assert_eq!(camera.packets, 600);
    assert!(camera.delay_max > SLOT && camera.delay_max < Nanos(4 * SLOT.0), "{:?}", camera.delay_max);
    assert!(plug.delay_max < Nanos::from_secs(2), "other devices do not wait for it");
}

/// Settings without bursts, bursts that wait for their endpoint, and bursts that are removed leave the departures of
/// an engine that never had any.
#[test]
fn without_bursts_the_wire_is_the_same() {
    let until = Nanos::from_secs(1_000);
    let cells = |bursts: Option<bool>| {
        let mut engine = engine(6);
        if let Some(are_removed) = bursts {
            engine.set_bursts(Some(params(slot_pace(600, 1))), Nanos::ZERO);
            if are_removed {
                engine.set_bursts(None, Nanos::ZERO);
            }
        }
        let mut bytes = Vec::new();
        let departures = loop {
            let (due, _) = engine.poll_timeout();
            if due >= until {
                break run(&mut engine, until, |_, _| {});
            }
            camera(due.0 / 1_000_000_000, &mut engine);
            let mut cell = [0; PAYLOAD_BYTES];
            let transmit = engine.poll_transmit(due, &mut cell).expect("a cell");
            bytes.push((transmit.scheduled, cell));
        };
        assert!(departures.is_empty());
        bytes
    };
    let plain = cells(None);
    assert!(cells(Some(true)) == plain, "every byte");
    let times = |cells: &[(Nanos, [u8; PAYLOAD_BYTES])]| cells.iter().map(|(at, _)| *at).collect::<Vec<_>>();
    assert!(times(&cells(Some(false))) == times(&plain), "every departure");
}

/// A guard is about who may send where, and bursts are not.
#[test]
fn bursts_change_no_rule_of_the_guard() {
    let plain = common::router([1; 32], [2; 32]);
    let [begin, decoy, keep] = [900_000, 30_000, 950_000].map(Chance);
    let (upload, download) = (BitsPerSec::from_kbit(600), BitsPerSec::from_kbit(600));
    let burst = Burst { devices: 2, upload, download, slot: SLOT, begin, decoy, keep, linger: None };
    let with = Settings { line: LineRules { burst: Some(burst), ..LineRules::default() }, ..plain.clone() };
    let guard = |settings: &Settings| guard_table(settings, &common::facts()).file("(digest)");
    assert_eq!(guard(&with), guard(&plain));
}
