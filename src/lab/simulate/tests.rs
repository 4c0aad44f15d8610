//! Every packet is delivered or counted as dropped or lost.

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
            let config = SimulationConfig {
                law,
                spread_percent: 20,
                upload: rate,
                download: rate,
                ..SimulationConfig::default()
            };
            let result = simulate(&home(11, 300), &config, |_| {}).unwrap();
            for direction in &result.directions {
                let dropped: u64 = direction.queue_drops.iter().map(|(_, count)| count).sum();
                assert_eq!(direction.sent, direction.delivered + dropped, "{law} {kbit} {direction:?}");
                assert_eq!(
                    (direction.corrupted, direction.reordered, direction.lost),
                    (0, 0, 0),
                    "{law} {kbit} {direction:?}"
                );
                assert!(direction.receive_drops.is_empty(), "{law} {kbit} {direction:?}");
            }
            let sent: u64 = result.devices.iter().map(|device| device.sent).sum();
            assert_eq!(sent, result.directions.iter().map(|direction| direction.sent).sum::<u64>());
            assert_eq!(
                kbit < 100,
                result.directions.iter().any(|direction| !direction.queue_drops.is_empty()),
                "{law} {kbit}"
            );
        }
    }
}

/// A lost cell affects only packets with bytes in it; later packets arrive unaltered.
#[test]
fn loss_on_the_path_does_not_alter_arriving_packets() {
    let config = SimulationConfig { loss: 0.05, path_delay: Nanos::from_millis(20), ..SimulationConfig::default() };
    let result = simulate(&home(12, 600), &config, |_| {}).unwrap();
    for direction in &result.directions {
        assert_eq!((direction.corrupted, direction.reordered), (0, 0), "{direction:?}");
        assert!(direction.cells_lost > 0 && direction.lost > 0, "{direction:?}");
        let cells = direction.cells_data + direction.cells_cover;
        assert!((direction.cells_lost as f64 / cells as f64 - 0.05).abs() < 0.01, "{direction:?}");
        // A 1500-byte packet spans up to five cells.
        assert!((direction.lost as f64) < 0.25 * direction.sent as f64, "{direction:?}");
    }
}

#[test]
fn the_same_seed_gives_the_same_result() {
    let run = |seed| {
        let mut wire = Vec::new();
        let config = SimulationConfig { seed, ..SimulationConfig::default() };
        let result = simulate(&home(13, 60), &config, |cell| wire.push((cell.time, cell.payload.to_vec()))).unwrap();
        (serde_json::to_string(&result).unwrap(), wire)
    };
    assert!(run(5) == run(5));
    assert!(run(5).1 != run(6).1);
}

/// The provider's capture does not depend on the activity of the home.
#[test]
fn the_wire_is_the_same_for_busy_and_silent_homes() {
    for law in Law::ALL {
        let config = SimulationConfig { law, spread_percent: 20, ..SimulationConfig::default() };
        let wire = |home: &HomeTrace| {
            let mut wire = Vec::new();
            simulate(home, &config, |cell| wire.push((cell.direction, cell.time, cell.payload.len()))).unwrap();
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

/// A packet that finds the queue empty waits `E[X²] / 2E[X]` on average (the inspection paradox).
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
    let config = SimulationConfig { seed, ..SimulationConfig::default() };
    let mean_ms = config.upload.interval(508).as_millis_f64();
    let result = simulate(&home, &config, |_| {}).unwrap();
    let residual_ms = mean_ms * (1.0 + 0.33f64.powi(2)) / 2.0;
    let ratio = result.home_delay_ms.mean / residual_ms;
    assert!((ratio - 1.0).abs() < 0.02, "{ratio}");
}

#[test]
fn the_papers_shaper_matches_a_calculation_by_hand() {
    let event = |ms, bytes| PacketRecord { time: Nanos::from_millis(ms), direction: Direction::Up, bytes };
    let trace = |device: &str, packets| Trace { device: device.to_owned(), packets };
    // 40.96 kbit/s are a slot of 512 bytes every 100 ms.
    let rate = BitsPerSec(40_960);
    let config = SimulationConfig { upload: rate, download: rate, ..SimulationConfig::default() };
    let camera = trace("camera", vec![event(10, 1500), event(20, 512), event(1_000, 513)]);
    let plug = trace("plug", vec![event(30, 60), event(2_000, 60)]);
    let home = HomeTrace { devices: vec![camera, plug], length: Nanos::from_secs(3) };
    let result = paper::simulate(&home, &config, paper::Overhead::None);
    // 1500 bytes leave in the slots at 100, 200, 300, then 512 at 400, 60 at 500, 513 at 1000 and 1100, 60 at 2000.
    let [camera, plug] = [&result.devices[0].delay_ms, &result.devices[1].delay_ms];
    assert_eq!((camera.max, camera.p50), (380.0, 290.0));
    assert!((camera.mean - (290.0 + 380.0 + 100.0) / 3.0).abs() < 1e-9);
    assert_eq!((plug.max, plug.mean), (470.0, 235.0));
    let slower = paper::simulate(&home, &config, paper::Overhead::Tunnel);
    assert!(slower.home_delay_ms.mean > result.home_delay_ms.mean);
}

#[test]
fn impossible_configurations_are_errors() {
    let home = home(16, 10);
    let refused = |config| simulate(&home, &config, |_| {}).unwrap_err().to_string();
    assert!(refused(SimulationConfig { cell_bytes: 90, ..SimulationConfig::default() }).contains("no cell fits"));
    assert!(
        refused(SimulationConfig { upload: BitsPerSec(0), ..SimulationConfig::default() }).contains("rate up is zero")
    );
    let devices = (0..=MAX_DEVICES).map(|index| DeviceKind::Plug.trace(&index.to_string(), Nanos::from_secs(1), 1));
    let too_many = HomeTrace::merge(devices.map(|trace| (trace, Nanos::ZERO)));
    assert!(simulate(&too_many, &SimulationConfig::default(), |_| {}).is_err());
}
