//! Nothing gets lost between the engines but what the books say.

use super::*;
use crate::lab::trace::{DeviceKind, HomeTrace, PacketRecord, Trace};

fn home(seed: u64, seconds: u64) -> HomeTrace {
    println!("seed {seed}");
    HomeTrace::synthetic(Nanos::from_secs(seconds), seed).0
}

#[test]
fn every_packet_is_accounted_for() {
    for law in Law::ALL {
        for kbit in [20, 160, 2_000] {
            let rate = BitsPerSec::from_kbit(kbit);
            let setup = SimulationConfig {
                law,
                spread_percent: 20,
                upload: rate,
                download: rate,
                ..SimulationConfig::default()
            };
            let outcome = simulate(&home(11, 300), &setup, |_| {}).unwrap();
            for way in &outcome.directions {
                let dropped: u64 = way.queue_drops.iter().map(|(_, count)| count).sum();
                assert_eq!(way.sent, way.delivered + dropped, "{law} {kbit} {way:?}");
                assert_eq!((way.corrupted, way.reordered, way.lost), (0, 0, 0), "{law} {kbit} {way:?}");
                assert!(way.receive_drops.is_empty(), "{law} {kbit} {way:?}");
            }
            let sent: u64 = outcome.devices.iter().map(|device| device.sent).sum();
            assert_eq!(sent, outcome.directions.iter().map(|way| way.sent).sum::<u64>());
            assert_eq!(kbit < 100, outcome.directions.iter().any(|way| !way.queue_drops.is_empty()), "{law} {kbit}");
        }
    }
}

/// A lost cell costs only packets that had bytes in it, and later packets are whole.
#[test]
fn loss_on_the_path_alters_nothing_that_arrives() {
    let setup = SimulationConfig { loss: 0.05, path_delay: Nanos::from_millis(20), ..SimulationConfig::default() };
    let outcome = simulate(&home(12, 600), &setup, |_| {}).unwrap();
    for way in &outcome.directions {
        assert_eq!((way.corrupted, way.reordered), (0, 0), "{way:?}");
        assert!(way.cells_lost > 0 && way.lost > 0, "{way:?}");
        let cells = way.cells_data + way.cells_cover;
        assert!((way.cells_lost as f64 / cells as f64 - 0.05).abs() < 0.01, "{way:?}");
        // A 1500-byte packet spans up to five cells.
        assert!((way.lost as f64) < 0.25 * way.sent as f64, "{way:?}");
    }
}

#[test]
fn one_seed_gives_one_outcome() {
    let run = |seed| {
        let mut wire = Vec::new();
        let setup = SimulationConfig { seed, ..SimulationConfig::default() };
        let outcome = simulate(&home(13, 60), &setup, |cell| wire.push((cell.time, cell.payload.to_vec()))).unwrap();
        (serde_json::to_string(&outcome).unwrap(), wire)
    };
    assert!(run(5) == run(5));
    assert!(run(5).1 != run(6).1);
}

/// What the provider records does not change when the home falls silent.
#[test]
fn the_wire_is_the_same_for_busy_and_silent_homes() {
    for law in Law::ALL {
        let setup = SimulationConfig { law, spread_percent: 20, ..SimulationConfig::default() };
        let wire = |home: &HomeTrace| {
            let mut wire = Vec::new();
            simulate(home, &setup, |cell| wire.push((cell.direction, cell.time, cell.payload.len()))).unwrap();
            wire
        };
        let busy = home(14, 120);
        let silent = HomeTrace { devices: Vec::new(), length: busy.length };
        let mut flooded = busy.clone();
        let flood =
            |index: u64| PacketRecord { time: Nanos::from_micros(index * 500), direction: Direction::Up, bytes: 1500 };
        flooded.devices.push(Trace { device: "flood".to_owned(), packets: (0..200_000).map(flood).collect() });
        let expected = wire(&silent);
        assert!(expected.len() > 5_000, "{law}: {}", expected.len());
        assert!(wire(&busy) == expected && wire(&flooded) == expected, "{law}");
    }
}

/// Delay of a packet that finds the queue empty: by the inspection paradox `E[X²] / 2E[X]` on average.
#[test]
fn a_sparse_stream_waits_the_mean_residual_interval() {
    let seed = 15;
    println!("seed {seed}");
    let packets = (0..20_000).map(|index| PacketRecord {
        // Periods that share no factor with the interval of 25.4 ms.
        time: Nanos::from_micros(index * 200_003),
        direction: Direction::Up,
        bytes: 100,
    });
    let home = HomeTrace::merge([(Trace { device: "sparse".to_owned(), packets: packets.collect() }, Nanos::ZERO)]);
    let setup = SimulationConfig { seed, ..SimulationConfig::default() };
    let mean_ms = setup.upload.interval(508).as_millis_f64();
    let outcome = simulate(&home, &setup, |_| {}).unwrap();
    let residual_ms = mean_ms * (1.0 + 0.33f64.powi(2)) / 2.0;
    let ratio = outcome.home_delay_ms.mean / residual_ms;
    assert!((ratio - 1.0).abs() < 0.02, "{ratio}");
}

#[test]
fn the_papers_arrangement_by_hand() {
    let event = |ms, bytes| PacketRecord { time: Nanos::from_millis(ms), direction: Direction::Up, bytes };
    let trace = |device: &str, packets| Trace { device: device.to_owned(), packets: packets };
    // A slot every 100 ms: 40.96 kbit/s of 512 bytes.
    let rate = BitsPerSec(40_960);
    let setup = SimulationConfig { upload: rate, download: rate, ..SimulationConfig::default() };
    let camera = trace("camera", vec![event(10, 1500), event(20, 512), event(1_000, 513)]);
    let plug = trace("plug", vec![event(30, 60), event(2_000, 60)]);
    let home = HomeTrace { devices: vec![camera, plug], length: Nanos::from_secs(3) };
    let outcome = paper::simulate(&home, &setup, paper::Overhead::None);
    // 1500 bytes leave in the slots at 100, 200, 300, then 512 at 400, 60 at 500, 513 at 1000 and 1100, 60 at 2000.
    let [camera, plug] = [&outcome.devices[0].delay_ms, &outcome.devices[1].delay_ms];
    assert_eq!((camera.max, camera.p50), (380.0, 290.0));
    assert!((camera.mean - (290.0 + 380.0 + 100.0) / 3.0).abs() < 1e-9);
    assert_eq!((plug.max, plug.mean), (470.0, 235.0));
    let slower = paper::simulate(&home, &setup, paper::Overhead::Tunnel);
    assert!(slower.home_delay_ms.mean > outcome.home_delay_ms.mean);
}

#[test]
fn requests_that_cannot_be_met() {
    let home = home(16, 10);
    let refused = |setup| simulate(&home, &setup, |_| {}).unwrap_err().to_string();
    assert!(refused(SimulationConfig { cell_bytes: 90, ..SimulationConfig::default() }).contains("no cell fits"));
    assert!(
        refused(SimulationConfig { upload: BitsPerSec(0), ..SimulationConfig::default() }).contains("rate of zero")
    );
    let crowd = (0..=MAX_DEVICES).map(|index| DeviceKind::Plug.trace(&index.to_string(), Nanos::from_secs(1), 1));
    let crowded = HomeTrace::merge(crowd.map(|trace| (trace, Nanos::ZERO)));
    assert!(simulate(&crowded, &SimulationConfig::default(), |_| {}).is_err());
}
