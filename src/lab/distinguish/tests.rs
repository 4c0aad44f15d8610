//! Measures how many packets it takes to detect each planted leak, and checks that equal tunnels are not called
//! different.

use rand::rngs::ChaCha8Rng;
use rand::{RngExt, SeedableRng};

use super::tunnel::Cell;
use super::*;

const MEAN_MS: f64 = 25.4;
const BYTES: u32 = 508;

#[derive(Clone, Copy, Debug, PartialEq)]
enum IntervalLaw {
    Gamma,
    Normal,
    Uniform,
    Constant,
}

/// A synthetic tunnel, with or without a leak.
#[derive(Clone, Copy)]
struct SyntheticTunnel {
    law: IntervalLaw,
    /// Standard deviation as a fraction of the mean; for `Uniform`, half the width as a fraction of the mean.
    spread: f64,
    mean_ms: f64,
    /// Mean lateness of departures in milliseconds, exponentially distributed.
    lateness_ms: f64,
    /// Fraction of the packets that leave early by a tenth of the interval.
    early: f64,
    /// Fraction of the packets with another size.
    odd_size: f64,
}

impl SyntheticTunnel {
    fn sound(law: IntervalLaw) -> SyntheticTunnel {
        let spread = match law {
            IntervalLaw::Gamma => 0.33,
            IntervalLaw::Normal => 0.15,
            IntervalLaw::Uniform => 0.25,
            IntervalLaw::Constant => 0.0,
        };
        SyntheticTunnel { law, spread, mean_ms: MEAN_MS, lateness_ms: 0.005, early: 0.0, odd_size: 0.0 }
    }

    fn cells(self, count: usize, direction: Direction, seed: u64) -> Vec<Cell> {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let mut at_ms = 1_000.0 * rng.random::<f64>();
        let mut cells = Vec::with_capacity(count);
        for _ in 0..count {
            at_ms += self.interval_ms(&mut rng);
            let late = -self.lateness_ms * (1.0 - rng.random::<f64>()).ln();
            let early = if rng.random::<f64>() < self.early { 0.1 * self.mean_ms } else { 0.0 };
            let bytes = if rng.random::<f64>() < self.odd_size { BYTES + 64 } else { BYTES };
            cells.push(Cell { time_ns: ((at_ms + late - early) * 1e6) as u64, direction, bytes });
        }
        cells.sort_by_key(|cell| cell.time_ns);
        cells
    }

    fn interval_ms(self, rng: &mut ChaCha8Rng) -> f64 {
        let factor = match self.law {
            IntervalLaw::Constant => 1.0,
            IntervalLaw::Uniform => 1.0 + self.spread * (2.0 * rng.random::<f64>() - 1.0),
            IntervalLaw::Normal => (1.0 + self.spread * normal(rng)).max(0.0),
            // The Wilson-Hilferty approximation is as close to gamma as these tests need, and as smooth.
            IntervalLaw::Gamma => {
                let k = 1.0 / (self.spread * self.spread);
                (1.0 - 1.0 / (9.0 * k) + normal(rng) / (9.0 * k).sqrt()).max(0.0).powi(3)
            }
        };
        self.mean_ms * factor
    }

    fn one_way(self, count: usize, seed: u64) -> Condition {
        condition(self.cells(count, Direction::Up, seed))
    }

    fn both_ways(self, count: usize, seed: u64) -> Condition {
        let mut cells = self.cells(count / 2, Direction::Up, 2 * seed);
        cells.extend(self.cells(count / 2, Direction::Down, 2 * seed + 1));
        condition(cells)
    }
}

fn normal(rng: &mut ChaCha8Rng) -> f64 {
    let radius = (-2.0 * (1.0 - rng.random::<f64>()).ln()).sqrt();
    radius * (std::f64::consts::TAU * rng.random::<f64>()).cos()
}

fn condition(mut cells: Vec<Cell>) -> Condition {
    cells.sort_by_key(|cell| cell.time_ns);
    Condition { stretches: vec![Stretch { cells }], ..Condition::default() }
}

const QUICK: DistinguishOptions = DistinguishOptions { alpha: 0.01, forest: false, seed: 1, min_blocks: 60 };

/// Returns the first number of packets at which the leak is detected with all three seeds.
fn detected_at(
    leak: &str,
    counts: &[usize],
    sound: impl Fn(usize, u64) -> Condition,
    leaky: impl Fn(usize, u64) -> Condition,
) -> Option<usize> {
    let found = counts.iter().copied().find(|&count| {
        (1..=3).all(|seed| {
            compare(["sound", "leaky"], &sound(count, seed), &leaky(count, seed + 100), QUICK).unwrap().told_apart
        })
    });
    match found {
        Some(count) => println!("{leak}: detected at {count} packets (seeds 1 to 3)"),
        None => println!("{leak}: not detected at {counts:?} packets (seeds 1 to 3)"),
    }
    found
}

#[test]
fn second_packet_size_is_detected() {
    let sound = SyntheticTunnel::sound(IntervalLaw::Gamma);
    let leaky = SyntheticTunnel { odd_size: 0.001, ..sound };
    let find = |counts: &[usize]| {
        detected_at(
            "one packet in a thousand of a second size",
            counts,
            |n, s| sound.one_way(n, s),
            |n, s| leaky.one_way(n, s),
        )
    };
    assert!(find(&[10_000, 20_000, 40_000]).is_some());
    // The first packet of another size is already reported as a flaw.
    let report = compare(["a", "b"], &sound.one_way(5_000, 1), &leaky.one_way(5_000, 2), QUICK).unwrap();
    assert!(report.flaws.len() == 1 && report.flaws[0].contains("572"), "{:?}", report.flaws);
    assert!(report.verdict.contains("not uniform"), "{}", report.verdict);
}

#[test]
fn rare_early_packets_are_detected_under_laws_with_edges() {
    let find = |law: IntervalLaw, counts: &[usize]| {
        let sound = SyntheticTunnel::sound(law);
        let leaky = SyntheticTunnel { early: 0.001, ..sound };
        let name = format!("one packet in a thousand early by a tenth of the interval, {law:?}");
        detected_at(&name, counts, |n, s| sound.one_way(n, s), |n, s| leaky.one_way(n, s))
    };
    assert!(find(IntervalLaw::Constant, &[5_000, 20_000, 40_000]).is_some());
    assert!(find(IntervalLaw::Uniform, &[50_000, 100_000, 200_000]).is_some());
    // A wide smooth law hides a shift of one interval in a thousand that is smaller than the spread: the best possible
    // test, the likelihood-ratio test, needs about ten million packets for `normal` and more for `gamma`.
    assert_eq!(find(IntervalLaw::Gamma, &[20_000]), None);
}

#[test]
fn rate_change_of_half_a_percent_is_detected() {
    for (law, counts) in
        [(IntervalLaw::Normal, [20_000, 50_000, 100_000]), (IntervalLaw::Gamma, [50_000, 200_000, 400_000])]
    {
        let sound = SyntheticTunnel::sound(law);
        let leaky = SyntheticTunnel { mean_ms: 1.005 * MEAN_MS, ..sound };
        let name = format!("rate changed by 0.5 %, {law:?}");
        assert!(detected_at(&name, &counts, |n, s| sound.one_way(n, s), |n, s| leaky.one_way(n, s)).is_some());
    }
}

#[test]
fn jitter_is_detected_at_the_edges_of_a_bounded_law() {
    let sound = SyntheticTunnel::sound(IntervalLaw::Uniform);
    let leaky = SyntheticTunnel { lateness_ms: 0.020, ..sound };
    let name = "edges of the uniform law, jitter 20 against 5 us";
    assert!(
        detected_at(name, &[20_000, 50_000, 100_000], |n, s| sound.one_way(n, s), |n, s| leaky.one_way(n, s)).is_some()
    );
    // The reason for smooth laws: gamma hides the same jitter.
    let sound = SyntheticTunnel::sound(IntervalLaw::Gamma);
    let leaky = SyntheticTunnel { lateness_ms: 0.020, ..sound };
    assert_eq!(
        detected_at("the same under gamma", &[50_000], |n, s| sound.one_way(n, s), |n, s| leaky.one_way(n, s)),
        None
    );
}

#[test]
fn coupling_of_the_directions_is_detected() {
    let sound = SyntheticTunnel::sound(IntervalLaw::Gamma);
    // One download packet in fifty leaves directly after an upload packet instead of at its own time.
    let leaky = |count: usize, seed: u64| {
        let up = sound.cells(count / 2, Direction::Up, 2 * seed);
        let mut down = sound.cells(count / 2, Direction::Down, 2 * seed + 1);
        for cell in down.iter_mut().step_by(50) {
            let next = up.partition_point(|other| other.time_ns < cell.time_ns);
            if let Some(up) = up.get(next) {
                cell.time_ns = up.time_ns + 200_000;
            }
        }
        condition([up, down].concat())
    };
    let name = "one download packet in fifty follows an upload packet within 0.2 ms";
    let found = detected_at(name, &[10_000, 20_000, 40_000, 80_000], |n, s| sound.both_ways(n, s), leaky);
    assert!(found.is_some());
}

#[test]
fn variance_change_of_one_percent_is_detected() {
    let sound = SyntheticTunnel::sound(IntervalLaw::Normal);
    let leaky = SyntheticTunnel { spread: sound.spread * 1.01f64.sqrt(), ..sound };
    let seed = 1;
    let both = [sound.one_way(1_200_000, seed), leaky.one_way(1_200_000, seed + 1)];
    let report = compare(["sound", "leaky"], &both[0], &both[1], QUICK).unwrap();
    println!("variance changed by 1 %, Normal: detected at 1200000 packets (seed {seed}): {}", report.told_apart);
    assert!(report.told_apart && report.tests[0].name.contains("variance"), "{}", report.verdict);
    assert_eq!(
        detected_at(
            "variance changed by 1 %, Normal",
            &[20_000],
            |n, s| sound.one_way(n, s),
            |n, s| leaky.one_way(n, s)
        ),
        None,
        "20000 packets are too few to detect it"
    );
}

/// The significance level holds over all tests together, so it bounds the share of equal tunnels that are called
/// different.
#[test]
fn false_alarm_rate_respects_the_significance_level() {
    for law in [IntervalLaw::Gamma, IntervalLaw::Normal, IntervalLaw::Uniform] {
        let (mut alarms, mut below, mut tests) = (0, 0, 0);
        let rounds = 24;
        for seed in 0..rounds {
            let line = SyntheticTunnel::sound(law);
            let (a, b) = (line.both_ways(12_000, 1_000 + seed), line.both_ways(9_000, 2_000 + seed));
            let report = compare(["a", "b"], &a, &b, DistinguishOptions { alpha: 0.05, ..QUICK }).unwrap();
            alarms += usize::from(report.told_apart);
            below += report.tests.iter().filter(|test| test.p_value < 0.05).count();
            tests += report.tests.len();
        }
        let share = below as f64 / tests as f64;
        println!(
            "{law:?}: {alarms} false alarms of {rounds} at 5 %; {:.1} % of single p-values below 5 %",
            100.0 * share
        );
        // About one is expected; more than five has a probability of 0.002.
        assert!(alarms <= 5, "{law:?}: {alarms} of {rounds}");
        assert!((0.02..0.07).contains(&share), "{law:?}: {share}");
    }
}

#[test]
fn attacks_detect_a_leak_and_nothing_in_equal_tunnels() {
    let sound = SyntheticTunnel::sound(IntervalLaw::Gamma);
    let leaky = SyntheticTunnel { spread: 0.28, ..sound };
    let options = DistinguishOptions { forest: true, ..QUICK };
    let report = compare(["a", "b"], &sound.both_ways(24_000, 1), &leaky.both_ways(24_000, 2), options).unwrap();
    let last = |name: &str| {
        let attack = report.attacks.iter().find(|attack| attack.name.contains(name));
        *attack.unwrap().points.last().unwrap().area.ci95.first().unwrap()
    };
    assert!(last("intervals, up") > 0.6 && last("forest") > 0.6, "{:#?}", report.attacks);
    let null = compare(["a", "b"], &sound.both_ways(24_000, 3), &sound.both_ways(24_000, 4), options).unwrap();
    assert!(null.attacks.len() >= 4);
    for attack in &null.attacks {
        // Twice the half-width of a 95 % interval, about four standard deviations, because there are many intervals.
        for point in &attack.points {
            let half = (point.area.ci95[1] - point.area.ci95[0]) / 2.0;
            assert!((point.area.auc - 0.5).abs() < 2.0 * half, "{}: {point:?}", attack.name);
        }
    }
    for attack in report.attacks.iter().chain(&null.attacks) {
        for point in &attack.points {
            let half = (point.shuffled.ci95[1] - point.shuffled.ci95[0]) / 2.0;
            assert!((point.shuffled.auc - 0.5).abs() < 2.0 * half, "{}: {point:?}", attack.name);
        }
    }
}

#[test]
fn too_few_packets_are_refused() {
    let line = SyntheticTunnel::sound(IntervalLaw::Gamma);
    let error = compare(["a", "b"], &line.both_ways(400, 1), &line.both_ways(4_000, 1), QUICK).unwrap_err().to_string();
    assert!(error.contains("400") && error.contains("longer"), "{error}");
}

/// Writes a capture as the provider sees it: a handshake, cells in both directions, a stray, and other hosts' traffic.
fn write_capture(name: &str, handshake: bool) -> std::path::PathBuf {
    use crate::lab::capture::{LinkType, PcapWriter};
    let path = std::env::temp_dir().join(format!("millpond-{}-{name}.pcap", std::process::id()));
    let mut writer = PcapWriter::create(&path, LinkType::Ethernet).unwrap();
    let (router, endpoint, other) = ([198, 51, 100, 10], [203, 0, 113, 7], [192, 0, 2, 1]);
    let frame = |source: [u8; 4], destination: [u8; 4], protocol: u8, kind: u8, hops: u8| {
        let ip = [&[0x45, 0, 1, 252, 0, 0, 0, 0, hops, protocol, 0, 0][..], &source, &destination].concat();
        [&[2; 12][..], &[8, 0], &ip, &[0x24, 0x83, 0x24, 0x83, 1, 232, 0, 0, kind, 0, 0, 0]].concat()
    };
    let mut put = |time: u64, frame: Vec<u8>, bytes: usize| writer.packet(time, 14 + bytes, &frame).unwrap();
    // The endpoint sends the first packet, so only the handshake identifies the router.
    put(1, frame(endpoint, router, 17, 4, 60), 508);
    if handshake {
        put(2, frame(router, endpoint, 17, 1, 64), 176);
    }
    put(3, frame(router, endpoint, 17, 4, 64), 508);
    put(4, frame(router, other, 6, 0, 64), 60);
    put(5, frame(other, other, 6, 0, 64), 60);
    put(6, frame(router, endpoint, 17, 4, 63), 508);
    put(7, frame(endpoint, router, 17, 4, 60), 508);
    writer.finish().unwrap();
    path
}

#[test]
fn capture_is_sorted_into_cells_handshakes_and_strays() {
    let path = write_capture("tunnel", true);
    let seen = tunnel::read(&path, None);
    std::fs::remove_file(&path).unwrap();
    let seen = seen.unwrap();
    assert_eq!(seen.addresses.router.to_string(), "198.51.100.10");
    let ways: Vec<Direction> = seen.cells.iter().map(|cell| cell.direction).collect();
    assert_eq!(ways, [Direction::Down, Direction::Up, Direction::Up, Direction::Down]);
    assert!(seen.cells.iter().all(|cell| cell.bytes == 508));
    assert_eq!((seen.handshakes.as_slice(), seen.strays.as_slice()), (&[(2, Direction::Up)][..], &[4][..]));
    assert_eq!(
        seen.class_and_hops.map(|class_and_hops| class_and_hops.len()),
        [2, 1],
        "one upload packet has another hop limit"
    );
}

#[test]
fn given_addresses_override_detection() {
    let path = write_capture("named", false);
    let guessed = tunnel::read(&path, None).unwrap().addresses;
    let swapped = tunnel::read(&path, Some(guessed.swapped())).unwrap();
    let wrong = tunnel::TunnelAddresses { router: "192.0.2.99".parse().unwrap(), ..guessed };
    let refused = tunnel::read(&path, Some(wrong)).unwrap_err().to_string();
    std::fs::remove_file(&path).unwrap();
    assert_eq!((swapped.cells.len(), swapped.strays.len()), (4, 1));
    assert!(refused.contains("192.0.2.99") && refused.contains("--router"), "{refused}");
}

#[test]
fn overlapping_events_are_merged() {
    let path = std::env::temp_dir().join(format!("millpond-{}-events.csv", std::process::id()));
    std::fs::write(&path, "start_s,end_s\n10\n12,13\n40\n").unwrap();
    let spans = read_events(&path, 0, 5.0);
    std::fs::write(&path, "10,9\n").unwrap();
    let refused = read_events(&path, 0, 5.0).unwrap_err().to_string();
    std::fs::remove_file(&path).unwrap();
    let second = 1_000_000_000;
    assert_eq!(spans.unwrap(), [(10 * second, 18 * second), (40 * second, 45 * second)]);
    assert!(refused.contains("line 1"), "{refused}");
}

/// Trains of four with cells 12 us apart: alike they are not told apart, and a train that was sent slowly, cut short or
/// had an odd cell is found.
#[test]
fn trains_are_one_moment_and_their_length_is_compared() {
    let line = SyntheticTunnel::sound(IntervalLaw::Gamma);
    let trains = |seed: u64, spacing_ns: fn(usize) -> u64, cells: fn(usize) -> usize, bytes: fn(usize) -> u32| {
        let moments = line.cells(20_000, Direction::Up, seed).into_iter().enumerate();
        let train = |(number, first): (usize, Cell)| {
            (0..cells(number)).map(move |cell| Cell {
                time_ns: first.time_ns + spacing_ns(number) * cell as u64,
                bytes: if cell == 2 { bytes(number) } else { BYTES },
                ..first
            })
        };
        condition(moments.flat_map(train).collect()).by_train([4, 4])
    };
    let usual = || trains(1, |_| 12_000, |_| 4, |_| BYTES);
    let told_apart = |other: &Condition| compare(["a", "b"], &usual(), other, QUICK).unwrap().told_apart;
    assert!(!told_apart(&trains(2, |_| 12_000, |_| 4, |_| BYTES)));
    assert!(told_apart(&trains(2, |number| if number % 3 == 0 { 13_000 } else { 12_000 }, |_| 4, |_| BYTES)));
    assert!(told_apart(&trains(2, |_| 12_000, |number| if number % 90 == 0 { 2 } else { 4 }, |_| BYTES)));
    assert!(told_apart(&trains(2, |_| 12_000, |_| 4, |number| if number % 90 == 0 { 92 } else { BYTES })));
}
