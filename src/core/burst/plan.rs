//! Changes an engine's pace at the boundaries of slots, and carries the messages about them.

use super::machine::SlotMachine;
use super::params::{AnnouncedSlot, BurstParams, SlotPace};
use crate::core::params::Pace;
use crate::units::Nanos;
use crate::wire::control::{BurstGrant, BurstPlan, ControlMessage};

/// Each slot is announced this many times, evenly over the slot before it, in case cells are lost.
const COPIES: u8 = 4;

/// The bursts of one engine. The router's engine decides, the endpoint's follows.
pub(in crate::core) struct EngineBursts {
    /// How cells leave outside bursts.
    pub base: SlotPace,
    burst: SlotPace,
    bursts: bool,
    side: BurstSide,
}

/// What an end does about slots.
enum BurstSide {
    /// Decides on them, and announces each, of which so many copies have left.
    Decider { machine: Box<SlotMachine>, params: BurstParams, copies: u8 },
    /// Follows the peer: the changes to come, and the answer to the last announcement.
    Follower { changes: [Option<(Nanos, bool)>; 3], last: Option<u16>, answer: Option<BurstGrant> },
}

impl EngineBursts {
    /// The end that decides. `base` is its pace in force.
    pub fn decider(base: SlotPace, params: BurstParams, seed: [u8; 32], now: Nanos) -> EngineBursts {
        let machine = Box::new(SlotMachine::new(params.rules, seed, now));
        EngineBursts {
            base,
            burst: params.burst,
            bursts: false,
            side: BurstSide::Decider { machine, params, copies: COPIES },
        }
    }

    /// The end that follows.
    pub fn follower(base: SlotPace) -> EngineBursts {
        let side = BurstSide::Follower { changes: [None; 3], last: None, answer: None };
        EngineBursts { base, burst: base, bursts: false, side }
    }

    /// Whether the present slot is a burst.
    pub fn bursts(&self) -> bool {
        self.bursts
    }

    /// The most cells in any train.
    pub fn max_train(&self) -> u8 {
        self.base.train.max(self.burst.train)
    }

    /// Changes the decider's settings. The grid and the coins stay. Returns the pace to follow now.
    pub fn set_params(&mut self, new: BurstParams) -> SlotPace {
        if let BurstSide::Decider { machine, params, .. } = &mut self.side {
            machine.set_rules(new.rules);
            (*params, self.burst) = (new, new.burst);
        }
        self.pace()
    }

    /// Continues at this pace outside bursts, after a pause. A burst that is on begins again.
    pub fn restart(&mut self, pace: Pace) -> SlotPace {
        self.base.pace = pace;
        self.bursts = false;
        self.base
    }

    /// Whether the decider's coins decide, because the peer follows.
    pub fn arm(&mut self, is_armed: bool) {
        if let BurstSide::Decider { machine, .. } = &mut self.side {
            machine.arm(is_armed);
        }
    }

    /// Takes over the slot that the peer has announced. Further copies of an announcement change nothing.
    pub fn follow(&mut self, slot: &AnnouncedSlot) {
        let BurstSide::Follower { changes, last, answer } = &mut self.side else { return };
        *answer = Some(BurstGrant { number: slot.number, rate: slot.granted });
        if *last == Some(slot.number) {
            return;
        }
        *last = Some(slot.number);
        self.burst = slot.burst.unwrap_or(self.burst);
        // On an uneven path, the slot before may not have begun here.
        let before = changes[0].filter(|(at, _)| *at + Nanos(slot.length.0 / 2) < slot.starts);
        // Without a further announcement, the slot ends in the base rate.
        *changes = [before, Some((slot.starts, slot.burst.is_some())), Some((slot.starts + slot.length, false))];
        if before.is_none() {
            changes.rotate_left(1);
        }
    }

    /// Passes the boundaries up to the departure at `departing`. `waiting` is what waits of the listed devices, in
    /// bytes. Returns the pace of the interval after that departure if it changes.
    pub fn poll_change(&mut self, departing: Nanos, waiting: u64) -> Option<SlotPace> {
        let before = self.bursts;
        match &mut self.side {
            BurstSide::Decider { machine, params, copies } => {
                while machine.boundary() <= departing {
                    machine.turn(waiting > params.need_bytes);
                    *copies = 0;
                }
                self.bursts = machine.bursts()[0];
            }
            BurstSide::Follower { changes, .. } => {
                while let Some((_, bursts)) = changes[0].take_if(|(at, _)| *at <= departing) {
                    self.bursts = bursts;
                    changes.rotate_left(1);
                }
            }
        }
        (self.bursts != before).then(|| self.pace())
    }

    /// The pace of the present slot.
    fn pace(&self) -> SlotPace {
        if self.bursts { self.burst } else { self.base }
    }

    /// The message for the cell that departs at `departing`, if one is due. [`EngineBursts::note_sent`] must follow if
    /// it has found room.
    pub fn message(&self, departing: Nanos) -> Option<ControlMessage> {
        match &self.side {
            BurstSide::Decider { machine, params, copies } => {
                let (slot, starts_in) = (machine.slot(), machine.boundary().saturating_since(departing));
                let due = slot.0 - slot.0 / u64::from(COPIES) * u64::from(*copies);
                if *copies == COPIES || starts_in.0 > due {
                    return None;
                }
                Some(ControlMessage::BurstPlan(BurstPlan {
                    number: machine.number(),
                    bursts: machine.bursts()[1],
                    train: params.peer_train,
                    rate: params.peer_rate,
                    starts_in_us: (starts_in.0 / 1_000) as u32,
                    slot_ms: (slot.0 / 1_000_000) as u32,
                }))
            }
            BurstSide::Follower { answer, .. } => answer.map(ControlMessage::BurstGrant),
        }
    }

    /// Records that the message has found room in a cell.
    pub fn note_sent(&mut self) {
        match &mut self.side {
            BurstSide::Decider { copies, .. } => *copies += 1,
            BurstSide::Follower { answer, .. } => *answer = None,
        }
    }
}
