//! The coins: a function of seed, rules and need bits alone.

use rand::rngs::ChaCha12Rng;
use rand::{RngExt, SeedableRng};

use crate::units::{Chance, Nanos};

/// The probabilities that a slot is a burst, and its length.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BurstRules {
    /// After a slot without burst, if there is need.
    pub begin: Chance,
    /// After a slot without burst, if there is none.
    pub decoy: Chance,
    /// After a burst, if there is need.
    pub keep: Chance,
    /// After a burst, if there is none.
    pub linger: Chance,
    /// Length of a slot; greater than zero.
    pub slot: Nanos,
}

impl BurstRules {
    /// The probability that a slot is a burst after one that is a burst or not.
    pub fn chance(&self, after_burst: bool, need: bool) -> Chance {
        match (after_burst, need) {
            (false, true) => self.begin,
            (false, false) => self.decoy,
            (true, true) => self.keep,
            (true, false) => self.linger,
        }
    }
}

/// The slots of a line. Each boundary begins one slot and decides the one after it.
pub struct SlotMachine {
    rules: BurstRules,
    coins: ChaCha12Rng,
    /// The coin for the next boundary.
    coin: u32,
    boundary: Nanos,
    /// The number of the slot that begins at the boundary.
    number: u16,
    /// Whether the present slot is a burst, and the next one.
    bursts: [bool; 2],
    /// Whether there are bursts at all.
    is_armed: bool,
}

impl SlotMachine {
    /// Slots whose first boundary is drawn within a slot's length of `now`. Without [`SlotMachine::arm`] none is a
    /// burst.
    pub fn new(rules: BurstRules, seed: [u8; 32], now: Nanos) -> SlotMachine {
        let mut coins = ChaCha12Rng::from_seed(seed);
        let boundary = now + Nanos(coins.random_range(1..=rules.slot.0));
        let (number, coin) = (coins.random(), coins.random());
        SlotMachine { rules, coins, coin, boundary, number, bursts: [false; 2], is_armed: false }
    }

    /// Whether the coins decide from the next boundary on.
    pub fn arm(&mut self, is_armed: bool) {
        self.is_armed = is_armed;
    }

    /// Changes the rules. The grid stays, but for slots of another length after the next boundary.
    pub fn set_rules(&mut self, rules: BurstRules) {
        self.rules = rules;
    }

    /// Passes the next boundary: begins the slot that was decided before, and decides the one after it.
    pub fn turn(&mut self, need: bool) {
        self.bursts[0] = self.bursts[1];
        let chance = self.rules.chance(self.bursts[0], need);
        // The coin as a number below a million.
        let coin = (u64::from(self.coin) * u64::from(Chance::ONE)) >> 32;
        self.bursts[1] = self.is_armed && coin < u64::from(chance.0);
        self.coin = self.coins.random();
        self.boundary = self.boundary + self.rules.slot;
        self.number = self.number.wrapping_add(1);
    }

    /// The next boundary.
    pub fn boundary(&self) -> Nanos {
        self.boundary
    }

    /// Number of the slot that begins at the next boundary.
    pub fn number(&self) -> u16 {
        self.number
    }

    /// Whether the present slot is a burst, and the next one.
    pub fn bursts(&self) -> [bool; 2] {
        self.bursts
    }

    /// Length of a slot.
    pub fn slot(&self) -> Nanos {
        self.rules.slot
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RULES: BurstRules = BurstRules {
        begin: Chance(900_000),
        decoy: Chance(30_000),
        keep: Chance(950_000),
        linger: Chance(600_000),
        slot: Nanos::from_secs(10),
    };

    fn slots(seed: u8, needs: impl Iterator<Item = bool>) -> Vec<(Nanos, bool)> {
        let mut machine = SlotMachine::new(RULES, [seed; 32], Nanos::ZERO);
        machine.arm(true);
        needs
            .map(|need| {
                machine.turn(need);
                (machine.boundary(), machine.bursts()[1])
            })
            .collect()
    }

    #[test]
    fn slots_are_a_function_of_seed_and_need() {
        let needs = |n| (n / 7) % 13 == 0;
        let one = slots(1, (0..10_000).map(needs));
        assert_eq!(slots(1, (0..10_000).map(needs)), one);
        assert_ne!(slots(2, (0..10_000).map(needs)), one);
        assert!(one.windows(2).all(|pair| pair[1].0 - pair[0].0 == RULES.slot), "a grid");
        // Another bit changes no slot before it.
        let other = slots(1, (0..10_000).map(|n| if n == 5_000 { !needs(n) } else { needs(n) }));
        assert_eq!(other[..5_000], one[..5_000]);
    }

    #[test]
    fn each_coin_has_its_probability() {
        println!("seed 5");
        let mut machine = SlotMachine::new(RULES, [5; 32], Nanos::ZERO);
        machine.arm(true);
        let mut counts = [[[0u32; 2]; 2]; 2];
        let mut need = false;
        for n in 0..400_000 {
            if n % 50 == 0 {
                need = !need;
            }
            machine.turn(need);
            let [now, next] = machine.bursts().map(usize::from);
            counts[now][usize::from(need)][next] += 1;
        }
        for (now, need) in [(false, false), (false, true), (true, false), (true, true)] {
            let [no, yes] = counts[usize::from(now)][usize::from(need)].map(f64::from);
            let (share, chance) = (yes / (no + yes), RULES.chance(now, need).fraction());
            let sigma = (chance * (1.0 - chance) / (no + yes)).sqrt();
            assert!((share - chance).abs() < 4.0 * sigma, "{now} {need}: {share}, want {chance}");
        }
    }

    #[test]
    fn nothing_bursts_before_it_is_armed() {
        let mut machine = SlotMachine::new(RULES, [1; 32], Nanos::ZERO);
        for _ in 0..1_000 {
            machine.turn(true);
            assert_eq!(machine.bursts(), [false; 2]);
        }
    }
}
