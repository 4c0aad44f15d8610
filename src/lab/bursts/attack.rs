//! The best attacker: the forward algorithm over the two states of need, with all parameters known.

use rand::rngs::ChaCha12Rng;
use rand::{RngExt, SeedableRng};

use crate::core::burst::odds::NeedPattern;
use crate::core::burst::{BurstRules, SlotMachine};
use crate::units::Nanos;

/// What the attacker reaches, over all bursts that last as long as an event of the home.
#[derive(Clone, Copy, Debug, Default)]
pub struct AttackResult {
    /// Number of such bursts.
    pub bursts: u32,
    /// Those with need since they began.
    pub real: u32,
    /// The attacker's mean belief, at that time, that there was need.
    pub belief: f64,
    /// The attacker's mean belief in need in slots with need, whatever they show.
    pub in_need: f64,
}

/// Simulates weeks of need and slots, and what the attacker believes, slot by slot, from the slots alone.
pub fn attack(rules: &BurstRules, need: &NeedPattern, weeks: u32, seed: u64) -> AttackResult {
    let mut rng = ChaCha12Rng::seed_from_u64(seed);
    let mut machine = SlotMachine::new(*rules, rng.random(), Nanos::ZERO);
    machine.arm(true);
    let slots = u64::from(weeks) * 7 * 86_400 * 1_000_000_000 / rules.slot.0;
    let (mut is_needed, mut was_needed, mut length) = (false, false, 0);
    // Of no need since the burst began, of need that has ended, and of need now.
    let [idle, needed] = need.shares();
    let mut belief = [idle, 0.0, needed];
    let (mut result, mut needed) = (AttackResult::default(), 0u32);
    for _ in 0..slots {
        is_needed ^= rng.random::<f64>() < if is_needed { need.ends } else { need.begins };
        machine.turn(is_needed);
        let [before, bursts] = machine.bursts();
        if !(before && bursts) {
            belief = [belief[0] + belief[1], 0.0, belief[2]];
        }
        let ([quiet, begun], [ended, lasts]) = (need.next([belief[0], 0.0]), need.next([belief[1], belief[2]]));
        let chance = |needed| {
            let chance = rules.chance(before, needed).fraction();
            if bursts { chance } else { 1.0 - chance }
        };
        // What ended outside a burst is no need of a burst.
        let [quiet, ended] = if before && bursts { [quiet, ended] } else { [quiet + ended, 0.0] };
        let seen = [quiet * chance(false), ended * chance(false), (begun + lasts) * chance(true)];
        belief = seen.map(|weight| weight / seen.iter().sum::<f64>());
        if is_needed {
            needed += 1;
            result.in_need += belief[2];
        }
        was_needed = bursts && (is_needed || before && was_needed);
        length = if bursts { length + 1 } else { 0 };
        if length == need.event_slots() {
            result.bursts += 1;
            result.real += u32::from(was_needed);
            result.belief += belief[1] + belief[2];
        }
    }
    result.belief /= f64::from(result.bursts.max(1));
    result.in_need /= f64::from(needed.max(1));
    result
}
