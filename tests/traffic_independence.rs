//! The main promise: departure times and lengths of cells depend only on seed and settings. Devices, peer and driver
//! cannot change the engine's trace on the wire, not even by a nanosecond.

use millpond::core::{Engine, Limits, Pace, Params};
use millpond::law::Law;
use millpond::units::Nanos;
use millpond::wire::MAX_PACKET_BYTES;
use rand::rngs::ChaCha12Rng;
use rand::{Rng, RngExt, SeedableRng};

const T: Nanos = Nanos::from_millis(25);
const CELLS: usize = 1_000;

/// An observer's record of one cell: departure time and length.
type Observed = (Nanos, usize);

/// The input of an engine between two departures.
#[derive(Clone, Copy, Debug)]
enum Load {
    Idle,
    /// A few packets of all sizes.
    Busy,
    /// Far more packets than the rate allows.
    Overload,
    /// One small packet before every departure.
    Heartbeat,
    /// Random bytes, or packets with malformed headers.
    MalformedPackets,
    /// Random bytes, and valid cells with some bytes changed.
    MalformedCells,
    /// Cells of a busy peer; every other one is lost, and some arrive twice.
    LossyPeer,
}

const LOADS: [Load; 7] = [
    Load::Idle,
    Load::Busy,
    Load::Overload,
    Load::Heartbeat,
    Load::MalformedPackets,
    Load::MalformedCells,
    Load::LossyPeer,
];

/// An engine under load and its peer.
struct Bench {
    engine: Engine,
    peer: Engine,
    rng: ChaCha12Rng,
    buf: [u8; MAX_PACKET_BYTES],
}

impl Bench {
    fn new(law: Law, seed: u64, load_seed: u64) -> Bench {
        Bench {
            engine: Engine::new(params(law), key(seed), Nanos::ZERO),
            peer: Engine::new(params(law), key(seed ^ 0xffff), Nanos::ZERO),
            rng: ChaCha12Rng::seed_from_u64(load_seed),
            buf: [0; MAX_PACKET_BYTES],
        }
    }

    /// The trace on the wire under the loads in turn.
    fn trace(mut self, loads: &[Load]) -> Vec<Observed> {
        let record = |index: usize| {
            let due = self.engine.poll_timeout().0;
            self.disturb(due, loads[index / 16 % loads.len()]);
            let transmit = self.engine.poll_transmit(due, &mut self.buf).expect("a cell at its departure time");
            while self.engine.poll_packet(&mut self.buf).is_some() {}
            (transmit.scheduled, transmit.len)
        };
        (0..CELLS).map(record).collect()
    }

    fn disturb(&mut self, now: Nanos, load: Load) {
        match load {
            Load::Idle => {}
            Load::Busy => {
                for _ in 0..self.rng.random_range(0..3) {
                    let bytes = self.rng.random_range(28..=MAX_PACKET_BYTES);
                    self.packet(now, bytes);
                }
            }
            Load::Overload => {
                for _ in 0..6 {
                    self.packet(now, MAX_PACKET_BYTES);
                }
            }
            Load::Heartbeat => self.packet(now, 60),
            Load::MalformedPackets => {
                for _ in 0..5 {
                    let mut bytes = vec![0; self.rng.random_range(0..2_000)];
                    self.rng.fill_bytes(&mut bytes);
                    if let Some(first) = bytes.first_mut() {
                        *first = [0x45, 0x60, 0x40, 0x4f, *first][self.rng.random_range(0..5)];
                    }
                    self.engine.handle_packet(now, &bytes);
                }
            }
            Load::MalformedCells => {
                let mut cell = self.peer_cell();
                for _ in 0..self.rng.random_range(1..8) {
                    let at = self.rng.random_range(0..40);
                    cell[at] = self.rng.random();
                }
                self.engine.handle_cell(&cell);
                let mut noise = vec![0; self.rng.random_range(0..2_000)];
                self.rng.fill_bytes(&mut noise);
                self.engine.handle_cell(&noise);
            }
            Load::LossyPeer => {
                let (kept, twice) = (self.rng.random_bool(0.5), self.rng.random_bool(0.1));
                let cell = self.peer_cell();
                for _ in 0..usize::from(kept) + usize::from(twice) {
                    self.engine.handle_cell(&cell);
                }
            }
        }
    }

    fn packet(&mut self, now: Nanos, bytes: usize) {
        let packet = noisy_packet(&mut self.rng, bytes);
        self.engine.handle_packet(now, &packet);
    }

    fn peer_cell(&mut self) -> Vec<u8> {
        let due = self.peer.poll_timeout().0;
        let bytes = self.rng.random_range(28..=MAX_PACKET_BYTES);
        let packet = noisy_packet(&mut self.rng, bytes);
        self.peer.handle_packet(due, &packet);
        let transmit = self.peer.poll_transmit(due, &mut self.buf).expect("a cell at its departure time");
        self.buf[..transmit.len].to_vec()
    }
}

/// A packet of a random device and flow with random content.
fn noisy_packet(rng: &mut ChaCha12Rng, bytes: usize) -> Vec<u8> {
    let mut packet = vec![0; bytes];
    rng.fill_bytes(&mut packet);
    let [high, low] = (bytes as u16).to_be_bytes();
    packet[..10].copy_from_slice(&[0x45, rng.random_range(0..64) << 2, high, low, 0, 0, 0x40, 0, 64, 17]);
    packet
}

fn key(seed: u64) -> [u8; 32] {
    let mut key = [0; 32];
    key[..8].copy_from_slice(&seed.to_le_bytes());
    key
}

fn params(law: Law) -> Params {
    Params {
        payload_bytes: 420,
        pace: Pace { law, mean: T, spread_percent: 18 },
        lead: Nanos::from_micros(300),
        limits: Limits { bytes: 40_000, age: Nanos::from_secs(2) },
    }
}

#[test]
fn no_load_changes_the_wire() {
    let each_alone = LOADS.map(|load| vec![load]);
    for law in Law::ALL {
        let seed = 1;
        let expected = Bench::new(law, seed, 0).trace(&[Load::Idle]);
        for (load_seed, loads) in (10..).zip(each_alone.iter().chain([&LOADS.to_vec()])) {
            println!("law {law}, seed {seed}, loads {loads:?}, load seed {load_seed}");
            let trace = Bench::new(law, seed, load_seed).trace(loads);
            assert_eq!(trace.iter().zip(&expected).position(|(observed, expected)| observed != expected), None);
        }
    }
}

/// Without this test, a schedule that ignores its seed would pass the test above.
#[test]
fn another_seed_draws_other_departures_with_the_same_mean() {
    for law in Law::ALL.into_iter().filter(|law| law.has_spread()) {
        let [one, two] = [1, 2].map(|seed| Bench::new(law, seed, 0).trace(&[Load::Idle]));
        assert!(one.iter().zip(&two).all(|(a, b)| a.0 != b.0), "{law}");
        for trace in [one, two] {
            let mean = trace[CELLS - 1].0.0 as f64 / CELLS as f64 / T.0 as f64;
            // Four standard errors of a spread of 18 % over this number of intervals.
            assert!((mean - 1.0).abs() < 4.0 * 0.18 / (CELLS as f64).sqrt(), "{law}: {mean}");
        }
    }
}

/// A driver that is late, sometimes by several intervals, does not move later departures: all belong to the sequence
/// that the seed determines, and each has at most one cell.
#[test]
fn a_late_driver_moves_no_departure() {
    for law in Law::ALL {
        let seed = 3;
        println!("law {law}, seed {seed}");
        let drawn: Vec<Nanos> =
            Bench::new(law, seed, 0).trace(&[Load::Idle]).iter().map(|observed| observed.0).collect();
        let mut bench = Bench::new(law, seed, 4);
        let mut before = Nanos::ZERO;
        loop {
            let late = Nanos(bench.rng.random_range(0..5) * bench.rng.random_range(0..T.0));
            let now = bench.engine.poll_timeout().0 + late;
            bench.disturb(now, Load::Overload);
            let transmit = bench.engine.poll_transmit(now, &mut bench.buf).expect("a cell at its departure time");
            if transmit.scheduled >= drawn[CELLS - 10] {
                break;
            }
            let scheduled = transmit.scheduled;
            assert!(drawn.binary_search(&scheduled).is_ok(), "departure {scheduled:?} was never drawn");
            assert!(scheduled > before, "a second cell for one departure");
            before = scheduled;
        }
    }
}
