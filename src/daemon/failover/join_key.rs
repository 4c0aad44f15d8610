//! The rollover between a router's two keys: its own, and the key of the join text that it was set up with. The router
//! announces its own key inside the session. From then on the endpoint knows the home by that key alone, so a join text
//! works for one router only.

use log::info;

use super::situation::Situation;
use crate::config::model::{HostPort, Settings, Tunnel, Wireguard};
use crate::units::Nanos;

/// Time for the endpoint to answer a key. WireGuard restarts a handshake after 6 s.
const KEY_ANSWER_TIMEOUT: Nanos = Nanos::from_secs(10);
/// Time-out after an answer to the join text's key: an endpoint that receives the router's own key falls silent under
/// the other.
const KEY_SWITCH_TIMEOUT: Nanos = Nanos::from_secs(3);

/// Which of the two keys to use.
#[derive(Debug)]
pub struct JoinKeyRollover {
    /// When the key in use was last answered, or when millpond switched to it.
    since: Nanos,
    /// Whether the key in use has been answered.
    answered: bool,
    /// Whether any endpoint has answered the join text's key.
    has_joined: bool,
    /// The endpoints that have answered the router's own key. For them the join text's key is never tried again.
    accepted_by: Vec<HostPort>,
}

impl JoinKeyRollover {
    /// Starts the time-out of the key in use.
    pub fn new(now: Nanos) -> JoinKeyRollover {
        JoinKeyRollover { since: now, answered: false, has_joined: false, accepted_by: Vec::new() }
    }

    /// Restarts the time-out of the key in use, after a switch of key or endpoint.
    pub fn restart(&mut self, now: Nanos) {
        (self.since, self.answered) = (now, false);
    }

    /// Returns the settings with the other key, if the one in use is not answered.
    pub fn handle_tick(&mut self, situation: &Situation<'_>, now: Nanos) -> Option<Settings> {
        let Some(Tunnel::Wireguard(wireguard)) = &situation.in_force.tunnel else { return None };
        wireguard.join_key.as_ref()?;
        if situation.is_up {
            if self.note_answer(wireguard, now) {
                info!("the endpoint accepted this router's own key; the join text is used up");
            }
            return None;
        }
        if !situation.has_tunnel || situation.is_changing || !self.poll_switch(wireguard, now) {
            return None;
        }
        let mut configured = situation.configured.clone();
        if let Some(Tunnel::Wireguard(wireguard)) = &mut configured.tunnel {
            wireguard.tries_join_key = !wireguard.tries_join_key;
            let key = if wireguard.tries_join_key { "the join text's" } else { "this router's own" };
            info!("no answer from the endpoint; trying {key} key");
        }
        Some(configured)
    }

    /// Records that cells come. Returns whether that is the endpoint's first answer to the router's own key.
    fn note_answer(&mut self, wireguard: &Wireguard, now: Nanos) -> bool {
        (self.since, self.answered) = (now, true);
        self.has_joined |= wireguard.tries_join_key;
        let is_first = !wireguard.tries_join_key && !self.is_accepted(wireguard);
        if is_first {
            self.accepted_by.extend(wireguard.endpoint.clone());
        }
        is_first
    }

    /// Whether to switch to the other key, after a silence.
    fn poll_switch(&mut self, wireguard: &Wireguard, now: Nanos) -> bool {
        let timeout = if wireguard.tries_join_key && self.answered { KEY_SWITCH_TIMEOUT } else { KEY_ANSWER_TIMEOUT };
        // The answer to the router's own key may come while a switch to the other key is under way.
        let is_final = self.is_accepted(wireguard) && !wireguard.tries_join_key;
        if is_final || now.saturating_since(self.since) < timeout {
            return false;
        }
        self.restart(now);
        true
    }

    fn is_accepted(&self, wireguard: &Wireguard) -> bool {
        wireguard.endpoint.as_ref().is_some_and(|endpoint| self.is_accepted_by(endpoint))
    }

    /// Whether any endpoint has answered the join text's key since the keys last changed.
    pub fn has_joined(&self) -> bool {
        self.has_joined
    }

    /// Whether that endpoint has answered the router's own key.
    pub fn is_accepted_by(&self, endpoint: &HostPort) -> bool {
        self.accepted_by.contains(endpoint)
    }
}

/// Makes newly read settings keep the key in use, or start with the join text's key if the keys changed. Returns
/// whether the keys changed.
pub fn retain_key(read: &mut Settings, in_force: Option<&Settings>) -> bool {
    let before = in_force.and_then(|settings| match &settings.tunnel {
        Some(Tunnel::Wireguard(wireguard)) => Some(wireguard),
        _ => None,
    });
    let (Some(Tunnel::Wireguard(read)), Some(_)) = (&mut read.tunnel, in_force) else { return false };
    let same = before.filter(|before| before.join_key == read.join_key && before.private_key == read.private_key);
    read.tries_join_key = same.map_or(read.join_key.is_some(), |before| before.tries_join_key);
    same.is_none()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::example::{self, ROUTER};

    const JOIN_KEY: &str = " option join_key 'eBNMdkZGyLc2wnJjfFxF8OO9ztDaORG0MDJeqOVjHXk='\n";

    fn wireguard(settings: &Settings) -> &Wireguard {
        let Some(Tunnel::Wireguard(wireguard)) = &settings.tunnel else { unreachable!() };
        wireguard
    }

    #[test]
    fn both_keys_are_tried_until_the_routers_own_is_answered() {
        let s = Nanos::from_secs;
        let mut wireguard = wireguard(&example::settings(&format!("{ROUTER}{JOIN_KEY}"))).clone();
        let mut keys = JoinKeyRollover::new(s(0));
        assert!(!keys.poll_switch(&wireguard, s(9)) && keys.poll_switch(&wireguard, s(10)));
        wireguard.tries_join_key = true;
        assert!(!keys.poll_switch(&wireguard, s(14)), "a handshake takes some time");
        assert!(!keys.note_answer(&wireguard, s(15)));
        assert!(!keys.poll_switch(&wireguard, s(17)));
        assert!(keys.poll_switch(&wireguard, s(18)), "the endpoint has received the router's own key");
        wireguard.tries_join_key = false;
        assert!(keys.note_answer(&wireguard, s(22)));
        assert!(!keys.note_answer(&wireguard, s(23)), "only the first answer counts");
        assert!(!keys.poll_switch(&wireguard, s(9999)), "a silent endpoint keeps the router's own key");
        wireguard.tries_join_key = true;
        assert!(keys.poll_switch(&wireguard, s(9999)), "the switch had begun before the answer");
        wireguard.tries_join_key = false;
        wireguard.endpoint.as_mut().unwrap().host = "b".into();
        assert!(keys.poll_switch(&wireguard, s(99_999)), "another endpoint may know only the join text's key");
    }

    #[test]
    fn a_new_join_key_is_tried_first_and_a_known_one_as_before() {
        let (own, both) = (example::router(), example::settings(&format!("{ROUTER}{JOIN_KEY}")));
        let tries_join_key = |read: &Settings, in_force: Option<&Settings>| {
            let mut read = read.clone();
            retain_key(&mut read, in_force);
            wireguard(&read).key() != &wireguard(&read).private_key
        };
        assert!(tries_join_key(&both, Some(&own)));
        assert!(!tries_join_key(&both, None), "after a start");
        assert!(!tries_join_key(&both, Some(&both)), "after an answer to the router's own key");
        let mut joining = both.clone();
        retain_key(&mut joining, Some(&own));
        assert!(tries_join_key(&both, Some(&joining)) && !tries_join_key(&own, Some(&joining)));
    }
}
