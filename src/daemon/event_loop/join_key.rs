//! The loop's part of a router's two keys: its own, and that of the join text with which it came. The endpoint learns of the
//! own one inside the session and knows the home by nothing else from then on, so that a text is good for one router.

use log::info;

use super::EventLoop;
use crate::config::model::{HostPort, Settings, Tunnel, Wireguard};
use crate::units::Nanos;

/// A key is given so long to be answered. WireGuard begins anew after 6 s.
const KEY_ANSWER_TIMEOUT: Nanos = Nanos::from_secs(10);
/// An endpoint that has just heard of the own key falls silent under the other.
const KEY_SWITCH_TIMEOUT: Nanos = Nanos::from_secs(3);

/// Whose turn it is.
#[derive(Debug)]
pub struct JoinKeyRollover {
    /// When the key in use was last answered, or the other one last tried.
    since: Nanos,
    /// Whether the key in use was answered since it was tried.
    answered: bool,
    /// The endpoints that have answered the own key. With them there is no way back.
    settled: Vec<HostPort>,
}

impl JoinKeyRollover {
    /// The key in use is given its time.
    pub fn new(now: Nanos) -> JoinKeyRollover {
        JoinKeyRollover { since: now, answered: false, settled: Vec::new() }
    }

    /// Gives the key in use its time with another endpoint.
    pub fn begin(&mut self, now: Nanos) {
        (self.since, self.answered) = (now, false);
    }

    /// Notes that cells come. Gives whether that is the first sign that the endpoint knows the router's own key.
    fn note_heard(&mut self, wireguard: &Wireguard, now: Nanos) -> bool {
        (self.since, self.answered) = (now, true);
        let settles = !wireguard.tries_join_key && !self.is_settled(wireguard);
        if settles {
            self.settled.extend(wireguard.endpoint.clone());
        }
        settles
    }

    /// Whether it is the other key's turn, after a silence.
    fn is_others_turn(&mut self, wireguard: &Wireguard, now: Nanos) -> bool {
        let patience = if wireguard.tries_join_key && self.answered { KEY_SWITCH_TIMEOUT } else { KEY_ANSWER_TIMEOUT };
        if self.is_settled(wireguard) || now.saturating_since(self.since) < patience {
            return false;
        }
        self.begin(now);
        true
    }

    fn is_settled(&self, wireguard: &Wireguard) -> bool {
        wireguard.endpoint.as_ref().is_some_and(|endpoint| self.settled.contains(endpoint))
    }
}

impl EventLoop {
    /// Once a second: tries the other key where the one in use is not answered.
    pub(super) fn poll_join_key(&mut self, now: Nanos) {
        let Some(Tunnel::Wireguard(wireguard)) = self.settings.as_ref().and_then(|settings| settings.tunnel.as_ref())
        else {
            return;
        };
        if wireguard.join_key.is_none() {
            return;
        }
        if self.state(now).is_up() {
            if self.join_key.note_heard(wireguard, now) {
                info!("the endpoint knows this router by its own key: the join text is used up");
            }
            return;
        }
        if !self.tunnel.is_complete() || self.reload.is_some() || !self.join_key.is_others_turn(wireguard, now) {
            return;
        }
        let Some(mut written) = self.clock.written().cloned() else { return };
        if let Some(Tunnel::Wireguard(wireguard)) = &mut written.tunnel {
            wireguard.tries_join_key = !wireguard.tries_join_key;
            let key = if wireguard.tries_join_key { "the join text's" } else { "this router's own" };
            info!("no answer from the endpoint: trying {key} key");
        }
        self.change_to(written, None, true, now);
    }
}

/// Has settings that were just read keep to the key that those in force use, and begin with a join text's that is new.
/// Gives whether the keys are others than before.
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

    const TEXT: &str = "config millpond 'main'\n option enabled '1'\nconfig tunnel 'tunnel'\n option private_key \
        'GMAbpM9Ri5vqDJrBGxQSB6bqEPqsxWpS0jRrnLoOAEg='\n option public_key \
        'xTIBA5rboUvnH4htodjb6e697QjLERt1NAB4mZqp8Dg='\n option endpoint 'a:1'\n option address '10.77.0.2'\n \
        option peer_address '10.77.0.1'\n";
    const JOIN_KEY: &str = " option join_key 'eBNMdkZGyLc2wnJjfFxF8OO9ztDaORG0MDJeqOVjHXk='\n";

    fn settings(text: &str) -> Settings {
        crate::config::parse(text.as_bytes()).settings.unwrap()
    }

    fn wireguard(settings: &Settings) -> &Wireguard {
        let Some(Tunnel::Wireguard(wireguard)) = &settings.tunnel else { unreachable!() };
        wireguard
    }

    #[test]
    fn both_keys_are_tried_until_the_own_one_is_answered() {
        let s = Nanos::from_secs;
        let mut wireguard = wireguard(&settings(&format!("{TEXT}{JOIN_KEY}"))).clone();
        let mut keys = JoinKeyRollover::new(s(0));
        assert!(!keys.is_others_turn(&wireguard, s(9)) && keys.is_others_turn(&wireguard, s(10)));
        wireguard.tries_join_key = true;
        assert!(!keys.is_others_turn(&wireguard, s(14)), "a handshake takes its time");
        assert!(!keys.note_heard(&wireguard, s(15)));
        assert!(!keys.is_others_turn(&wireguard, s(17)));
        assert!(keys.is_others_turn(&wireguard, s(18)), "the endpoint has heard of the own key");
        wireguard.tries_join_key = false;
        assert!(keys.note_heard(&wireguard, s(22)));
        assert!(!keys.note_heard(&wireguard, s(23)), "once is enough");
        assert!(!keys.is_others_turn(&wireguard, s(9999)), "a silent endpoint is waited for with the own key");
        wireguard.endpoint.as_mut().unwrap().host = "b".into();
        assert!(keys.is_others_turn(&wireguard, s(9999)), "another endpoint may know the text's alone");
    }

    #[test]
    fn a_new_join_key_is_tried_first_and_a_known_one_as_before() {
        let (own, both) = (settings(TEXT), settings(&format!("{TEXT}{JOIN_KEY}")));
        let tried = |read: &Settings, in_force: Option<&Settings>| {
            let mut read = read.clone();
            retain_key(&mut read, in_force);
            wireguard(&read).key() != &wireguard(&read).private_key
        };
        assert!(tried(&both, Some(&own)));
        assert!(!tried(&both, None) && !tried(&both, Some(&both)), "after a start, and when it has been answered");
        let mut joining = both.clone();
        retain_key(&mut joining, Some(&own));
        assert!(tried(&both, Some(&joining)) && !tried(&own, Some(&joining)));
    }
}
