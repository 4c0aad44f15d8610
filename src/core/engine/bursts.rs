//! The slots of a higher rate.

use rand::rngs::ChaCha12Rng;
use rand::{RngExt, SeedableRng};

use super::Engine;
use crate::core::burst::{AnnouncedSlot, BurstParams, EngineBursts, SlotPace};
use crate::core::params::{Limits, Pace};
use crate::units::Nanos;

impl Engine {
    /// Whether a burst is on.
    pub fn is_bursting(&self) -> bool {
        self.bursts.as_ref().is_some_and(|bursts| bursts.bursts())
    }

    /// Lets slots of a higher rate follow the need of some devices, with these parameters from now on, or ends that.
    /// New parameters leave the grid and the coins as they are. No slot is a burst before [`Engine::arm_bursts`].
    pub fn set_bursts(&mut self, params: Option<BurstParams>, now: Nanos) {
        let base = self.base();
        match (params, &mut self.bursts) {
            (Some(params), bursts) => {
                self.backlog.list_devices(params.devices, params.limits);
                let pace = match bursts {
                    Some(bursts) => bursts.set_params(params),
                    None => {
                        let mut coins = ChaCha12Rng::from_seed(self.coins);
                        // Coins that were thrown once are never thrown again.
                        self.coins = coins.random();
                        *bursts = Some(Box::new(EngineBursts::decider(base, params, coins.random(), now)));
                        base
                    }
                };
                self.follow(pace);
            }
            (None, Some(_)) => {
                self.bursts = None;
                self.backlog.list_devices(0, Limits { bytes: 0, age: Nanos::ZERO });
                self.follow(base);
            }
            (None, None) => {}
        }
    }

    /// Lets the coins decide from the next boundary on, or no longer: whether the peer knows bursts.
    pub fn arm_bursts(&mut self, is_armed: bool) {
        self.bursts.iter_mut().for_each(|bursts| bursts.arm(is_armed));
    }

    /// Follows the slot that the peer has announced.
    pub fn follow_slot(&mut self, slot: &AnnouncedSlot) {
        let base = self.base();
        self.bursts.get_or_insert_with(|| Box::new(EngineBursts::follower(base))).follow(slot);
    }

    /// How cells leave outside bursts.
    fn base(&self) -> SlotPace {
        let now = SlotPace { pace: self.pace(), train: self.train() as u8, lead: self.lead };
        self.bursts.as_ref().map_or(now, |bursts| bursts.base)
    }

    /// The most cells in any train, those of bursts included.
    pub fn max_train(&self) -> usize {
        self.bursts.as_ref().map_or(self.train(), |bursts| bursts.max_train().into())
    }

    /// The pace outside bursts.
    pub fn base_pace(&self) -> Pace {
        self.bursts.as_ref().map_or(self.pace(), |bursts| bursts.base.pace)
    }

    /// Whether the engine follows slots, its own or the peer's.
    pub fn has_bursts(&self) -> bool {
        self.bursts.is_some()
    }

    /// Draws the departure after the next one, at the pace of the slot that the next one lies in.
    pub(super) fn advance(&mut self) {
        if let Some(bursts) = &mut self.bursts
            && let Some(change) = bursts.poll_change(self.schedule.next(), self.backlog.listed_bytes())
        {
            self.follow(change);
        }
        self.schedule.advance();
    }

    fn follow(&mut self, SlotPace { pace, train, lead }: SlotPace) {
        self.schedule.set_pace(pace);
        self.schedule.set_train(train);
        self.lead = lead;
    }
}
