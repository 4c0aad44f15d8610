//! Trains: at each drawn moment the same number of cells, whatever is in them.

use millpond::core::{CellKind, Engine, Limits, Pace, Params};
use millpond::law::{Law, MAX_TRAIN};
use millpond::units::{BitsPerSec, Nanos};
use rand::rngs::ChaCha12Rng;
use rand::{Rng, RngExt, SeedableRng};

const PAYLOAD_BYTES: usize = 420;
const T: Nanos = Nanos(504_000);
const TRAIN: u8 = 45;

fn engine(train: u8) -> Engine {
    let pace = Pace { law: Law::Gamma, mean: T, spread_percent: 33 };
    let limits = Limits { bytes: 400_000, age: Nanos::from_secs(2) };
    let mut engine =
        Engine::new(Params { payload_bytes: PAYLOAD_BYTES, pace, lead: Nanos::ZERO, limits }, [5; 32], Nanos::ZERO);
    engine.set_train(train);
    engine
}

/// An IPv4 packet of a random flow.
fn packet(rng: &mut ChaCha12Rng, bytes: usize) -> Vec<u8> {
    let mut packet = vec![0; bytes];
    rng.fill_bytes(&mut packet);
    let [high, low] = (bytes as u16).to_be_bytes();
    packet[..10].copy_from_slice(&[0x45, 0, high, low, 0, 0, 0x40, 0, 64, 17]);
    packet
}

struct Departure {
    scheduled: Nanos,
    kind: CellKind,
    cells: Vec<Vec<u8>>,
}

fn depart(engine: &mut Engine, now: Nanos) -> Departure {
    let mut buf = vec![0; engine.train_bytes()];
    let transmit = engine.poll_transmit(now, &mut buf).expect("a train at its departure time");
    let cells = buf.chunks_exact(transmit.len).take(transmit.cells).map(<[u8]>::to_vec).collect();
    Departure { scheduled: transmit.scheduled, kind: transmit.kind, cells }
}

fn next(engine: &mut Engine) -> Departure {
    let (due, _) = engine.poll_timeout();
    depart(engine, due)
}

/// The same moments as single cells have, and at each of them all cells of the train, with any load.
#[test]
fn every_moment_of_the_law_has_one_whole_train() {
    let seed = 11;
    println!("seed {seed}");
    let mut rng = ChaCha12Rng::seed_from_u64(seed);
    let (mut single, mut idle, mut busy) = (engine(1), engine(TRAIN), engine(TRAIN));
    let mut kinds = [0; 2];
    for number in 0..3_000 {
        let (due, _) = busy.poll_timeout();
        for _ in 0..[0, 1, 30][number % 3] {
            let bytes = rng.random_range(20..=1500);
            let packet = packet(&mut rng, bytes);
            busy.handle_packet(due, &packet);
        }
        let [single, idle, busy] = [&mut single, &mut idle, &mut busy].map(next);
        let wanted = if number == 0 { 1 } else { usize::from(TRAIN) };
        assert_eq!([single.cells.len(), idle.cells.len(), busy.cells.len()], [1, wanted, wanted], "{number}");
        assert!(single.scheduled == idle.scheduled && single.scheduled == busy.scheduled, "{number}");
        assert!(busy.cells.iter().all(|cell| cell.len() == PAYLOAD_BYTES));
        assert_eq!(idle.kind, CellKind::Cover);
        kinds[busy.kind as usize] += 1;
    }
    assert!(kinds[0] > 1_000 && kinds[1] > 10, "trains of both kinds left: {kinds:?}");
    let stats = busy.stats();
    assert_eq!(stats.cells_data + stats.cells_cover, 1 + 2_999 * u64::from(TRAIN));
}

/// A late driver sends one train at most, and the moments after it stay those that were drawn.
#[test]
fn a_late_train_moves_no_other_and_is_not_made_up_for() {
    let seed = 12;
    println!("seed {seed}");
    let mut rng = ChaCha12Rng::seed_from_u64(seed);
    let (mut drawn, mut late) = (engine(TRAIN), engine(TRAIN));
    let moments: Vec<Nanos> = (0..4_000).map(|_| next(&mut drawn).scheduled).collect();
    let (mut sent, mut before) = (0, Nanos::ZERO);
    while before < moments[3_900] {
        let now = late.poll_timeout().0 + Nanos(rng.random_range(0..3) * rng.random_range(0..T.0));
        let departure = depart(&mut late, now);
        assert!(moments.binary_search(&departure.scheduled).is_ok() && departure.scheduled > before);
        assert!(departure.cells.len() == usize::from(TRAIN) || sent == 0);
        before = departure.scheduled;
        sent += 1;
    }
    let missed = late.stats().slots_missed;
    let passed = moments.binary_search(&before).unwrap() as u64 + 1;
    assert!(missed > 100 && sent + missed == passed, "{sent} sent, {missed} missed of {passed}");
}

/// The interval that a new train ends was drawn for the old one, so the first departure still has the old number.
#[test]
fn a_change_of_the_train_keeps_the_rate() {
    let mut engine = engine(4);
    next(&mut engine);
    assert_eq!(next(&mut engine).cells.len(), 4);
    engine.set_train(16);
    engine.set_pace(Pace { mean: Nanos(4 * T.0), ..engine.pace() });
    assert_eq!([4, 16, 16].map(|_| next(&mut engine).cells.len()), [4, 16, 16]);
    engine.set_train(1);
    assert_eq!([16, 1].map(|_| next(&mut engine).cells.len()), [16, 1]);
}

/// Whatever part of a train is missing, each packet arrives that is complete in the rest, and no other.
#[test]
fn half_a_train_is_harmless() {
    let seed = 13;
    println!("seed {seed}");
    let mut rng = ChaCha12Rng::seed_from_u64(seed);
    let (mut sender, mut receiver) = (engine(16), engine(1));
    let (mut sent, mut received) = (Vec::new(), Vec::new());
    let mut buf = [0; 1500];
    for number in 0..2_000 {
        let (due, _) = sender.poll_timeout();
        for _ in 0..4 {
            let bytes = rng.random_range(20..=1500);
            let packet = packet(&mut rng, bytes);
            sender.handle_packet(due, &packet);
            sent.push(packet[12..].to_vec());
        }
        let train = next(&mut sender).cells;
        // Every other train is cut somewhere; the last ones arrive whole.
        let range = match number % 4 {
            _ if number > 1_900 => 0..train.len(),
            1 => 0..rng.random_range(0..=train.len()),
            3 => rng.random_range(0..=train.len())..train.len(),
            _ => 0..train.len(),
        };
        for cell in &train[range] {
            receiver.handle_cell(cell);
            while let Some(length) = receiver.poll_packet(&mut buf) {
                received.push(buf[12..length].to_vec());
            }
        }
    }
    let stats = receiver.stats();
    assert!(stats.cells_lost > 1_000, "{} cells were lost", stats.cells_lost);
    assert_eq!(stats.drops.malformed_cell + stats.drops.malformed_block + stats.drops.ancient_cell, 0);
    let known: std::collections::HashSet<_> = sent.iter().collect();
    assert!(received.iter().all(|packet| known.contains(packet)), "a packet was put together from two");
    assert!(received.len() > sent.len() * 6 / 10, "{} of {} packets arrived", received.len(), sent.len());
}

#[test]
fn a_train_that_makes_a_rate_impossible_is_refused() {
    let problems = |options: &str| {
        let text = format!("config millpond main\n\toption level custom\n{options}");
        let problems = millpond::config::parse(text.as_bytes()).problems;
        problems.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")
    };
    let options = "\toption upload 8\n\toption download 12\n\toption train 64\n\toption cell 1400\n";
    assert_eq!(
        problems(options),
        "main.upload: trains of 64 cells would be more than 60 s apart (got '8', want at least 12 kbit/s for cells of \
         1400 bytes, or a smaller train)"
    );
    assert_eq!(problems("\toption upload 1000000\n\toption download 1000000\n\toption cell 1400\n"), "");
    let warning = problems("\toption law kernel\n\toption train 8\n");
    assert!(warning.contains("main.train: no effect with law 'kernel'"), "{warning}");
    let too_fast = problems("\toption law kernel\n\toption upload 100000\n");
    assert!(too_fast.contains("main.upload: cells would be less than 100 us apart"), "{too_fast}");
}

#[test]
fn the_rate_chooses_a_train_unless_the_settings_do() {
    let train = |kbit: u64, wanted| Law::Gamma.train(wanted, BitsPerSec::from_kbit(kbit).interval(508));
    // Half a millisecond is 8128 kbit/s with cells of 508 bytes.
    assert_eq!([8, 160, 8_128, 8_129, 16_000, 40_000].map(|kbit| train(kbit, None)), [1, 1, 1, 2, 2, 5]);
    assert_eq!((train(1_000_000, None), train(160, Some(8)), train(40_000, Some(1))), (MAX_TRAIN, 8, 1));
    assert_eq!(Law::Gamma.train(None, BitsPerSec::from_kbit(1_000_000).interval(1_388)), 46);
    assert_eq!(Law::Gamma.train(Some(64), BitsPerSec::from_kbit(8).interval(1_400)), 42, "at least one train a minute");
    assert_eq!(Law::Kernel.train(Some(8), Nanos(1_000)), 1);
}
