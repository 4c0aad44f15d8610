//! The random numbers that the daemons get in place of the kernel's, from one seed.

use std::cell::RefCell;
use std::io;

use millpond::daemon::RandomSources;
use rand::rngs::ChaCha12Rng;
use rand::{RngExt, SeedableRng};

/// A new engine starts its sequence numbers at most this far before they wrap.
pub const BEFORE_WRAP: u32 = 1 << 13;

struct Seeds {
    rng: ChaCha12Rng,
    /// The seed of the last engine.
    last: [u8; 32],
    /// Whether the next engines' sequence numbers start shortly before they wrap.
    near_wrap: bool,
}

thread_local! {
    static SEEDS: RefCell<Seeds> =
        RefCell::new(Seeds { rng: ChaCha12Rng::seed_from_u64(0), last: [0; 32], near_wrap: false });
}

/// Starts the sequence of random numbers, for this thread.
pub fn start(seed: u64) -> RandomSources {
    SEEDS.with_borrow_mut(|seeds| seeds.rng = ChaCha12Rng::seed_from_u64(seed));
    RandomSources { seed: draw_seed, draw }
}

/// Whether the sequence numbers of engines from now on start shortly before they wrap, or anywhere.
pub fn set_near_wrap(near_wrap: bool) {
    SEEDS.with_borrow_mut(|seeds| seeds.near_wrap = near_wrap);
}

/// The seed of the engine that was made last.
pub fn last() -> [u8; 32] {
    SEEDS.with_borrow(|seeds| seeds.last)
}

/// What an engine draws from its seed: the seed of its moments and its first sequence number.
pub fn of_engine(seed: [u8; 32]) -> ([u8; 32], u32) {
    let mut seeds = ChaCha12Rng::from_seed(seed);
    (seeds.random(), seeds.random())
}

fn draw_seed() -> io::Result<[u8; 32]> {
    SEEDS.with_borrow_mut(|seeds| {
        loop {
            seeds.last = seeds.rng.random();
            if !seeds.near_wrap || of_engine(seeds.last).1 > u32::MAX - BEFORE_WRAP {
                return Ok(seeds.last);
            }
        }
    })
}

fn draw() -> u32 {
    SEEDS.with_borrow_mut(|seeds| seeds.rng.random())
}
