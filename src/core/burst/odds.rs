//! What an observer of the bursts can learn, who knows every probability and how often and how long the home needs
//! them: the posterior odds of a two-state chain, computed exactly.

use super::machine::BurstRules;
use crate::units::{Chance, Nanos};

/// How a home needs bursts: a chain of two states, slot by slot.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct NeedPattern {
    /// The probability that need begins, in a slot without.
    pub begins: f64,
    /// The probability that need ends, in a slot with.
    pub ends: f64,
}

/// What a line with bursts shows, in the mean over all time.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct BurstOdds {
    /// Bursts a day that begin with need.
    pub real_a_day: f64,
    /// Bursts a day that begin without.
    pub decoys_a_day: f64,
    /// Share of the time in bursts.
    pub bursting: f64,
    /// Share of the slots with need: what an observer believes who sees nothing.
    pub before: f64,
    /// How sure the best observer is of need when a burst begins.
    pub at_begin: f64,
    /// How sure of need in a burst that has lasted as long as an event of the home.
    pub after_event: f64,
    /// How sure that there is none in a slot that is no burst.
    pub quiet: f64,
}

impl NeedPattern {
    /// Events that begin so many times a day and last so many slots in the mean, at least one.
    pub fn new(events_a_day: f64, event_slots: f64, slot: Nanos) -> NeedPattern {
        let event_slots = event_slots.max(1.0);
        // Need cannot begin while there is need.
        let idle_slots = (slots_a_day(slot) - events_a_day * event_slots).max(events_a_day);
        NeedPattern { begins: (events_a_day / idle_slots).clamp(1e-9, 1.0), ends: 1.0 / event_slots }
    }

    /// The mean length of an event in slots, rounded up.
    pub fn event_slots(&self) -> u32 {
        (1.0 / self.ends).ceil().clamp(1.0, 1e6) as u32
    }

    /// The shares of slots without and with need.
    pub fn shares(&self) -> [f64; 2] {
        let sum = self.begins + self.ends;
        [self.ends / sum, self.begins / sum]
    }

    /// These weights of the states without and with need one slot later.
    pub fn next(&self, [idle, need]: [f64; 2]) -> [f64; 2] {
        [idle * (1.0 - self.begins) + need * self.ends, idle * self.begins + need * (1.0 - self.ends)]
    }
}

impl BurstOdds {
    /// The odds of a line with these rules in a home with this need.
    pub fn new(rules: &BurstRules, need: &NeedPattern) -> BurstOdds {
        let shares = need.shares();
        let [begin, keep] =
            [false, true].map(|after_burst| [false, true].map(|need| rules.chance(after_burst, need).fraction()));
        // Weights of bursts without and with need, in balance: x = N (shares * begin + x * (keep - begin)), where N is
        // one step of the need. Two equations, by Cramer's rule.
        let stay = [keep[0] - begin[0], keep[1] - begin[1]];
        let [b0, b1] = need.next([shares[0] * begin[0], shares[1] * begin[1]]);
        let [a00, a10] = need.next([stay[0], 0.0]);
        let [a01, a11] = need.next([0.0, stay[1]]);
        let determinant = (1.0 - a00) * (1.0 - a11) - a01 * a10;
        let bursting = [(b0 * (1.0 - a11) + a01 * b1) / determinant, ((1.0 - a00) * b1 + a10 * b0) / determinant];
        let idle = [shares[0] - bursting[0], shares[1] - bursting[1]];
        let started = [idle[0] * begin[0], idle[1] * begin[1]];
        let quiet = [0, 1].map(|need| idle[need] * (1.0 - begin[need]) + bursting[need] * (1.0 - keep[need]));
        // Weights of bursts with no need so far, and with some, by the present state.
        let (mut none, mut some) = (started[0], [0.0, started[1]]);
        for _ in 1..need.event_slots() {
            let ([quiet, begun], [without, with]) = (need.next([none, 0.0]), need.next(some));
            none = quiet * keep[0];
            some = [without * keep[0], (with + begun) * keep[1]];
            // Against underflow: only the ratio matters.
            let sum = none + some[0] + some[1];
            (none, some) = (none / sum, some.map(|weight| weight / sum));
        }
        let some = some[0] + some[1];
        let slots = slots_a_day(rules.slot);
        BurstOdds {
            real_a_day: started[1] * slots,
            decoys_a_day: started[0] * slots,
            bursting: bursting[0] + bursting[1],
            before: shares[1],
            at_begin: started[1] / (started[0] + started[1]),
            after_event: some / (none + some),
            quiet: quiet[0] / (quiet[0] + quiet[1]),
        }
    }
}

/// The `linger` with which decoys last as long as bursts that events of `event_slots` slots cause, in steps of 0.05:
/// at least `least`, at most `keep`.
pub fn matching_linger(event_slots: f64, least: Chance, keep: Chance) -> Chance {
    const STEP: f64 = 50_000.0;
    let wanted = f64::from(Chance::ONE) * (1.0 - 1.0 / event_slots.max(1.0));
    Chance(((wanted / STEP).ceil() * STEP) as u32).max(least).min(keep)
}

fn slots_a_day(slot: Nanos) -> f64 {
    86_400.0 / slot.as_secs_f64()
}

#[cfg(test)]
mod tests {
    use rand::rngs::ChaCha12Rng;
    use rand::{RngExt, SeedableRng};

    use super::*;
    use crate::core::burst::SlotMachine;

    fn rules() -> BurstRules {
        let [begin, decoy, keep, linger] = [900_000, 30_000, 950_000, 600_000].map(Chance);
        BurstRules { begin, decoy, keep, linger, slot: Nanos::from_secs(10) }
    }

    #[test]
    fn the_defaults_have_the_known_odds() {
        let odds = BurstOdds::new(&rules(), &NeedPattern::new(20.0, 3.0, Nanos::from_secs(10)));
        assert!((250.0..270.0).contains(&(odds.real_a_day + odds.decoys_a_day)), "{odds:?}");
        assert!((0.07..0.09).contains(&odds.at_begin) && (0.07..0.09).contains(&odds.bursting), "{odds:?}");
        assert!((0.0069..0.007).contains(&odds.before) && odds.after_event > odds.at_begin, "{odds:?}");
        assert!(odds.quiet > 0.99 && odds.quiet < 1.0, "{odds:?}");
    }

    /// A fair count of simulated slots has the computed shares, within five standard errors.
    #[test]
    fn odds_are_those_of_simulated_slots() {
        println!("seed 8");
        let mut rng = ChaCha12Rng::seed_from_u64(8);
        let pattern = NeedPattern::new(200.0, 4.0, Nanos::from_secs(10));
        let odds = BurstOdds::new(&rules(), &pattern);
        let mut machine = SlotMachine::new(rules(), [8; 32], Nanos::ZERO);
        machine.arm(true);
        let (mut need, slots) = (false, 2_000_000);
        let (mut started, mut bursting, mut quiet, mut lasting) = ([0u32; 2], 0u32, [0u32; 2], [0u32; 2]);
        let (mut length, mut had) = (0, false);
        for _ in 0..slots {
            let chance = if need { pattern.ends } else { pattern.begins };
            need ^= rng.random::<f64>() < chance;
            machine.turn(need);
            let [now, next] = machine.bursts();
            let need = usize::from(need);
            match (now, next) {
                (false, true) => started[need] += 1,
                (_, false) => quiet[need] += 1,
                _ => {}
            }
            bursting += u32::from(next);
            length = if next { length + 1 } else { 0 };
            had = next && (need == 1 || now && had);
            if length == pattern.event_slots() {
                lasting[usize::from(had)] += 1;
            }
        }
        let near = |[without, with]: [u32; 2], want: f64| {
            let count = f64::from(without + with);
            let share = f64::from(with) / count;
            assert!((share - want).abs() < 5.0 * (want * (1.0 - want) / count).sqrt(), "{share}, want {want}");
        };
        near(started, odds.at_begin);
        near(lasting, odds.after_event);
        near([quiet[1], quiet[0]], odds.quiet);
        assert!((f64::from(bursting) / f64::from(slots) - odds.bursting).abs() < 0.002);
        let a_day = f64::from(started[0] + started[1]) / f64::from(slots) * 8_640.0;
        assert!((a_day / (odds.real_a_day + odds.decoys_a_day) - 1.0).abs() < 0.01, "{a_day}");
    }

    #[test]
    fn linger_follows_the_length_of_events() {
        let linger = |slots| matching_linger(slots, Chance(600_000), Chance(950_000)).0;
        assert_eq!([1.0, 2.0, 3.0, 12.0, 1_000.0].map(linger), [600_000, 600_000, 700_000, 950_000, 950_000]);
    }
}
