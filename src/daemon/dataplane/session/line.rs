//! What decides, besides the law, when a session's cells leave: WireGuard's keys, trains and bursts.
//!
//! A router's session holds its cells back while WireGuard may have no keys, an endpoint's notes when a home is silent.
//! Both exchange the keys that replace a join text's. A router's bursts wait until its endpoint has answered a plan; an
//! endpoint follows the plans.

use super::burst_state::{BurstReport, BurstState};
use super::{Change, Session, Side};
use crate::config::model::Key;
use crate::core::Pace;
use crate::core::burst::{AnnouncedSlot, BurstParams, SlotPace};
use crate::daemon::dataplane::key_watch::KeyWatch;
use crate::daemon::shape::LEAD;
use crate::law::{MAX_INTERVAL, MIN_INTERVAL};
use crate::units::Nanos;
use crate::wire::control::{BurstGrant, BurstPlan};

/// The slots that an endpoint follows.
const SLOT_MS: std::ops::RangeInclusive<u32> = 1_000..=3_600_000;

impl Session {
    /// How long the peer has been silent, if its WireGuard handshakes need a look now. On a router, a handshake ends
    /// the silence, too: the answer to the next cell decides.
    pub fn poll_rehandshake(&mut self, now: Nanos) -> Option<Nanos> {
        match (&self.side, &self.key_watch) {
            (Side::Router(_), watch) => watch.as_ref().filter(|_| self.cover)?.poll_rehandshake(now),
            (Side::Endpoint { .. }, _) => {
                let silence = self.silence(now).filter(|_| self.cover && !self.state(now).is_up());
                self.rehandshake.poll(silence, now)
            }
        }
    }

    /// Time since the peer's last cell; `None` before the first.
    pub fn silence(&self, now: Nanos) -> Option<Nanos> {
        self.liveness.silence(now)
    }

    /// The watch for WireGuard's keys, on a router whose tunnel is millpond's own WireGuard.
    pub fn key_watch(&mut self) -> Option<&mut KeyWatch> {
        self.key_watch.as_mut()
    }

    /// Watches for WireGuard's keys from now on, or no longer.
    pub fn set_key_watch(&mut self, is_wanted: bool, now: Nanos) {
        if is_wanted != self.key_watch.is_some() {
            self.key_watch = is_wanted.then(|| KeyWatch::new(now));
        }
    }

    /// Whether cells are held back because WireGuard may have no keys.
    pub fn holds(&self, now: Nanos) -> bool {
        self.cover && self.key_watch.as_ref().is_some_and(|watch| watch.holds(now))
    }

    /// Stops or starts sending, by WireGuard's keys. A knock is a single cell. To be called about once a second, and
    /// when keys appear.
    pub fn update_hold(&mut self, now: Nanos) -> Change {
        let holds = self.holds(now);
        let Some(watch) = &mut self.key_watch else { return Change::None };
        match (holds, self.sending && !self.knocks) {
            (true, true) => {
                watch.note_hold(now);
                (self.sending, self.built) = (false, None);
                return Change::None;
            }
            (true, false) if self.knocks || !watch.poll_knock(now) => return Change::None,
            (false, true) => return Change::None,
            (_, false) => {}
        }
        self.knocks = holds;
        self.sending = true;
        self.engine.restart(self.engine.base_pace(), now);
        Change::Started
    }

    /// The public key that a home has announced as its own since the last call, if any.
    #[cfg(feature = "endpoint")]
    pub fn poll_key_update(&mut self) -> Option<Key> {
        match &mut self.side {
            Side::Router(_) => None,
            Side::Endpoint { key_update, .. } => key_update.take(),
        }
    }

    /// Sets the public key that a router announces as its own, or none. Does nothing on an endpoint.
    pub fn set_key_update(&mut self, key_update: Option<Key>) {
        if let Side::Router(request_state) = &mut self.side {
            request_state.set_key_update(key_update);
        }
    }

    /// The cells in each train of this end, and of the peer if they are known.
    pub fn trains(&self) -> [u8; 2] {
        let peer = match &self.side {
            Side::Router(request_state) => request_state.peer_train(),
            Side::Endpoint { granted, .. } => granted.map_or(1, |granted| granted.trains[0]),
        };
        [self.engine.train() as u8, peer]
    }

    /// Why a router's trains are not in force; `None` if they are, or were not requested.
    pub fn missing_trains(&self) -> Option<String> {
        match &self.side {
            Side::Router(request_state) => request_state.missing_trains(),
            Side::Endpoint { .. } => None,
        }
    }

    /// Whether cells leave or arrive in trains, be it in bursts only.
    pub fn has_trains(&self) -> bool {
        self.engine.max_train() > 1 || self.trains()[1] > 1
    }

    /// Sets a router's bursts, or ends them.
    pub fn set_bursts(&mut self, params: Option<BurstParams>, now: Nanos) {
        self.engine.set_bursts(params, now);
        self.bursts = params.map(|params| match self.bursts.take() {
            Some(state) => BurstState { params, ..state },
            None => BurstState { params, granted: None, answered: now },
        });
    }

    /// Whether some slots have a higher rate: on a router, once its endpoint knows bursts.
    pub fn has_bursts(&self) -> bool {
        match self.side {
            Side::Router(_) => self.bursts().is_some(),
            Side::Endpoint { .. } => self.engine.has_bursts(),
        }
    }

    /// A router's bursts, if the endpoint knows them.
    pub fn bursts(&self) -> Option<BurstReport> {
        let BurstState { params, granted, .. } = self.bursts.as_ref()?;
        Some(BurstReport { params: *params, granted: (*granted)?, is_bursting: self.engine.is_bursting() })
    }

    /// Why a router's bursts are not in force.
    pub fn missing_bursts(&self, now: Nanos) -> Option<String> {
        let overdue = self.bursts.as_ref()?.is_overdue(now);
        overdue.then(|| {
            "the endpoint knows no bursts (got no answer, want a millpond there that knows them): all slots have the \
             base rate"
                .to_owned()
        })
    }

    /// Ends the bursts of a router whose endpoint is there and does not answer. To be called about once a second.
    pub(super) fn tick_bursts(&mut self, peer_is_up: bool, now: Nanos) {
        let Some(state) = &mut self.bursts else { return };
        if !peer_is_up {
            state.answered = now;
        } else if state.is_overdue(now) && state.granted.take().is_some() {
            self.engine.arm_bursts(false);
        }
    }

    pub(super) fn handle_burst_grant(&mut self, now: Nanos, grant: BurstGrant, change: Change) -> Change {
        if let Some(state) = &mut self.bursts {
            (state.granted, state.answered) = (Some(grant.rate), now);
            self.engine.arm_bursts(true);
        }
        change
    }

    /// Follows a home's plan, within the operator's limits. The law and the size are those of its granted request.
    pub(super) fn handle_burst_plan(&mut self, now: Nanos, plan: &BurstPlan, change: Change) -> Change {
        let Side::Endpoint { limits, granted: Some(granted), .. } = &self.side else { return change };
        let slot = Nanos::from_millis(plan.slot_ms.into());
        let starts_in = Nanos::from_micros(plan.starts_in_us.into());
        if !SLOT_MS.contains(&plan.slot_ms) || starts_in > slot || granted.law.paced_by_kernel() || !granted.cover {
            return change;
        }
        let rate = plan.rate.min(limits.max_download);
        let train_bytes = usize::from(granted.cell_bytes) * usize::from(plan.train);
        let mean = rate.interval(train_bytes).clamp(MIN_INTERVAL, MAX_INTERVAL);
        let pace = Pace { law: granted.law, mean, spread_percent: granted.spread_percent };
        let burst = plan.bursts.then_some(SlotPace { pace, train: plan.train, lead: LEAD });
        let (number, starts) = (plan.number, now + starts_in);
        self.engine.follow_slot(&AnnouncedSlot { number, starts, length: slot, burst, granted: rate });
        change
    }
}

#[cfg(test)]
mod tests;
