//! Compares the virtual shapers with the real engine on the captured home, device by device.
//!
//! Each draws its own departures, so the delays at one rate never match exactly. The test compares means over several
//! seeds. They may differ by five percent plus the scatter between seeds.
#![cfg(feature = "lab")]

use millpond::core::what_if::{CellShape, Delay, MAX_TRACKED, STEPS, WhatIf};
use millpond::lab::simulate::{SimulationConfig, simulate};
use millpond::lab::stats::Summary;
use millpond::lab::trace::{DataFolder, Direction, HomeTrace};
use millpond::law::Law;
use millpond::units::{BitsPerSec, DeviceId, Nanos};

const SEEDS: u64 = 10;
const TOLERANCE: f64 = 0.05;
/// Tolerance if packets are dropped. The others then wait in a full queue, whose limits the virtual shaper only
/// approximates.
const TOLERANCE_DROPPING: f64 = 0.10;
/// Resolution of the virtual shaper's clock and of its lowest bucket.
const RESOLUTION_MS: f64 = 0.25;
/// Minimum number of packets for a comparison; fewer give no useful median.
const MIN_PACKETS: f64 = 100.0;
/// Minimum number of packets for the 99th percentile: ten packets are beyond it.
const MIN_PACKETS_FOR_P99: f64 = 1_000.0;

#[test]
fn every_step_has_the_delays_of_the_engine_at_that_rate() {
    println!("seeds 1 to {SEEDS}");
    let home = home();
    let mut compared = 0;
    let cases = [
        (Law::Gamma, None, Direction::Up),
        (Law::Gamma, None, Direction::Down),
        (Law::Normal, None, Direction::Up),
        (Law::Gamma, Some(4), Direction::Up),
    ];
    for (law, train, direction) in cases {
        let home = one_way(&home, direction);
        let rates = WhatIf::rates(BitsPerSec::from_kbit(40), BitsPerSec::from_kbit(2_000));
        let config = SimulationConfig { law, train, spread_percent: 20, ..SimulationConfig::default() };
        let shapers: Vec<_> = (1..=SEEDS).map(|seed| shaper(&home, &config, rates, seed)).collect();
        for step in (0..STEPS).step_by(26) {
            let rate = rates[step];
            let outcomes: Vec<_> = (1..=SEEDS)
                .map(|seed| {
                    simulate(&home, &SimulationConfig { upload: rate, download: rate, seed, ..config }, |_| {}).unwrap()
                })
                .collect();
            let dropping =
                outcomes.iter().any(|outcome| !outcome.directions[direction as usize].queue_drops.is_empty());
            let tolerance = if dropping { TOLERANCE_DROPPING } else { TOLERANCE };
            for device in 0..=home.devices.len() {
                let name = home.devices.get(device).map_or("home", |trace| trace.device.as_str());
                let virtual_delays = shapers.iter().map(|shaper| {
                    let (_, delays) = shaper.steps().nth(step).unwrap();
                    virtual_figures(if name == "home" {
                        delays.home()
                    } else {
                        delays.device(DeviceId(device as u16 + 1))
                    })
                });
                let engine_delays = outcomes.iter().map(|outcome| {
                    engine_figures(
                        outcome.devices.get(device).map_or(&outcome.home_delay_ms, |device| &device.delay_ms),
                    )
                });
                compared += compare(
                    &format!("{law} {} {rate} {name}", direction.name()),
                    tolerance,
                    virtual_delays,
                    engine_delays,
                );
            }
        }
    }
    assert!(compared > 100, "only {compared} figures were compared");
}

/// More packets than the record holds, from more devices than are tracked, with jumps in time.
#[test]
fn floods_and_gaps_are_handled() {
    let config = SimulationConfig::default();
    let rates = WhatIf::rates(BitsPerSec(1), BitsPerSec::from_kbit(1_000_000));
    let mut shaper = Box::new(WhatIf::new(shape(&config), rates, MAX_TRACKED, 3, Nanos::ZERO));
    let mut now = Nanos::from_secs(1);
    for number in 0..20_000u32 {
        shaper.handle_packet(now, DeviceId(number as u16 % 256), (number * 37 % 3_000) as u16);
        now = now + if number % 5_000 == 0 { Nanos::from_secs(200_000) } else { Nanos::from_micros(100) };
    }
    shaper.advance(now + Nanos::from_secs(20));
    let offered: u64 = (0..=11).map(|device| u64::from(shaper.offered(DeviceId(device)))).sum();
    assert_eq!(offered, 20_000);
    let (_, fastest) = shaper.steps().last().unwrap();
    assert_eq!(fastest.home().packets, 20_000, "at a gigabit a second nothing is dropped");
    let (_, slowest) = shaper.steps().next().unwrap();
    assert_eq!(slowest.home().packets, 0, "at one bit a second no packet has left yet");
}

fn home() -> HomeTrace {
    match DataFolder::find() {
        Some(folder) => HomeTrace::whole(&folder).unwrap().0,
        None => HomeTrace::synthetic(Nanos::from_secs(2_640), 1).0,
    }
}

fn one_way(home: &HomeTrace, direction: Direction) -> HomeTrace {
    let mut home = home.clone();
    home.devices.iter_mut().for_each(|trace| trace.packets.retain(|event| event.direction == direction));
    home
}

fn shape(config: &SimulationConfig) -> CellShape {
    let cell = config.cell().unwrap();
    CellShape {
        law: config.law,
        spread_percent: config.spread_percent,
        train: config.train,
        wire_bytes: cell.wire_bytes,
        block_bytes: cell.block_bytes,
        lead: config.lead,
        limits: config.limits,
    }
}

fn shaper(home: &HomeTrace, config: &SimulationConfig, rates: [BitsPerSec; STEPS], seed: u64) -> Box<WhatIf> {
    let mut shaper =
        Box::new(WhatIf::new(shape(config), rates, DeviceId(home.devices.len() as u16), seed, Nanos::ZERO));
    let devices = home.devices.iter().zip(1..);
    let mut events: Vec<_> = devices
        .flat_map(|(trace, device)| trace.packets.iter().map(move |event| (event.time, device, event.bytes)))
        .collect();
    events.sort();
    for (time, device, bytes) in events {
        shaper.handle_packet(time, DeviceId(device), bytes);
    }
    shaper.advance(home.length + Nanos::from_secs(30));
    shaper
}

/// Number of packets; mean, median, 99th percentile and maximum delay in milliseconds.
type Figures = [f64; 5];

fn virtual_figures(delay: Delay) -> Figures {
    let [mean, median, p99, max] = [delay.mean, delay.median, delay.p99, delay.max].map(Nanos::as_millis_f64);
    [f64::from(delay.packets), mean, median, p99, max]
}

fn engine_figures(delay: &Summary) -> Figures {
    [delay.count as f64, delay.mean, delay.p50, delay.p99, delay.max]
}

/// Compares the figures that have enough packets, and returns their number.
fn compare(
    case: &str,
    tolerance: f64,
    virtual_figures: impl Iterator<Item = Figures>,
    engine_figures: impl Iterator<Item = Figures>,
) -> usize {
    let (virtual_figures, engine_figures): (Vec<_>, Vec<_>) = (virtual_figures.collect(), engine_figures.collect());
    if engine_figures[0][0] < MIN_PACKETS {
        return 0;
    }
    let mut compared = 0;
    for (index, figure) in ["packets", "mean", "median", "p99", "max"].into_iter().enumerate() {
        if figure == "p99" && engine_figures[0][0] < MIN_PACKETS_FOR_P99 {
            continue;
        }
        compared += 1;
        let (mean, error) = mean_and_error(virtual_figures.iter().map(|figures| figures[index]));
        let (engine_mean, engine_error) = mean_and_error(engine_figures.iter().map(|figures| figures[index]));
        let scatter = 3.0 * error.hypot(engine_error);
        let allowed = tolerance * engine_mean + scatter + if index == 0 { 0.0 } else { RESOLUTION_MS };
        println!(
            "{case} {figure}: {mean:.1}, engine {engine_mean:.1} ({:+.1} %), scatter {scatter:.1}",
            100.0 * (mean / engine_mean - 1.0)
        );
        assert!((mean - engine_mean).abs() <= allowed, "{case} {figure}: {mean}, engine {engine_mean}");
    }
    compared
}

/// The mean and its standard error.
fn mean_and_error(values: impl Iterator<Item = f64> + Clone) -> (f64, f64) {
    let count = values.clone().count() as f64;
    let mean = values.clone().sum::<f64>() / count;
    let variance = values.map(|value| (value - mean).powi(2)).sum::<f64>() / (count - 1.0);
    (mean, (variance / count).sqrt())
}
