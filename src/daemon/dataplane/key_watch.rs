//! Whether a router's WireGuard has keys to send with.
//!
//! Without keys WireGuard keeps up to 128 packets and sends them all at once when the next handshake completes
//! (`MAX_STAGED_PACKETS` and `wg_packet_send_staged_packets` in the kernel's drivers/net/wireguard). Such a burst would
//! break invariant I6, and cells that were sized for another address family would break I1. So a session holds its
//! cells back until there are keys. One cell in a while, the *knock*, makes WireGuard start a handshake.

use crate::units::Nanos;

/// Keys last 180 s (`REJECT_AFTER_TIME`), and WireGuard renews them after 120 s. While cells come, a handshake is
/// therefore at most about 125 s old, and the keys outlast the peer's last cell by this time.
const KEYS_OUTLAST_CELLS: Nanos = Nanos::from_secs(50);
/// After a knock WireGuard repeats its handshake for up to 107 s (`MAX_TIMER_HANDSHAKES`, each after 5 s to 5.4 s),
/// then drops the knock. With this period it never keeps more than one.
const KNOCK_PERIOD: Nanos = Nanos::from_secs(110);
/// A knock waits this long for the time of the last handshake, by which a new one is recognised.
const WAIT_FOR_BASELINE: Nanos = Nanos::from_secs(2);
/// Time without an answer before the first new handshake, and between the next ones: each needs a few undisturbed
/// seconds. The last value repeats.
const REHANDSHAKE_AFTER: [Nanos; 4] =
    [Nanos::from_secs(6), Nanos::from_secs(4), Nanos::from_secs(30), Nanos::from_secs(60)];

/// Watches for keys.
#[derive(Debug)]
pub struct KeyWatch {
    /// When cells or a handshake last showed that there are keys.
    shown: Option<Nanos>,
    /// When the cells were last held back.
    held_since: Nanos,
    /// The time of WireGuard's last handshake in Unix seconds, since `held_since`.
    handshake_s: Option<u64>,
    next_knock: Nanos,
    /// Whether WireGuard is being changed, so that not even a knock may leave.
    is_paused: bool,
    /// When a cell or a handshake last came, or the watch began.
    answered: Nanos,
    /// When WireGuard last began a new handshake since then, and how often.
    restarted: (Nanos, usize),
}

impl KeyWatch {
    /// Without keys.
    pub fn new(now: Nanos) -> KeyWatch {
        KeyWatch {
            shown: None,
            held_since: now,
            handshake_s: None,
            next_knock: now,
            is_paused: false,
            answered: now,
            restarted: (now, 0),
        }
    }

    /// The same, without keys.
    fn without_keys(&self, now: Nanos) -> KeyWatch {
        KeyWatch { answered: self.answered, restarted: self.restarted, ..KeyWatch::new(now) }
    }

    /// Whether cells must be held back.
    pub fn holds(&self, now: Nanos) -> bool {
        self.is_paused || self.shown.is_none_or(|shown| now.saturating_since(shown) >= KEYS_OUTLAST_CELLS)
    }

    /// How long nothing has answered, if WireGuard needs a new handshake now. To be asked about once a second until
    /// [`KeyWatch::pause`].
    pub fn poll_rehandshake(&self, now: Nanos) -> Option<Nanos> {
        let (at, count) = self.restarted;
        let after = REHANDSHAKE_AFTER[count.min(REHANDSHAKE_AFTER.len() - 1)];
        let is_due = !self.is_paused && now >= at.max(self.answered) + after;
        is_due.then(|| now.saturating_since(self.answered))
    }

    fn note_answer(&mut self, now: Nanos) {
        self.shown = Some(now);
        (self.answered, self.restarted) = (now, (now, 0));
    }

    /// Records that the session begins to hold back its cells.
    pub fn note_hold(&mut self, now: Nanos) {
        *self = KeyWatch { is_paused: self.is_paused, ..self.without_keys(now) };
    }

    /// Records a cell from the peer.
    pub fn note_cell(&mut self, now: Nanos) {
        self.note_answer(now);
    }

    /// Records the time of WireGuard's last handshake, in Unix seconds; 0 for none. It comes from the wall clock, which
    /// may jump, so it only tells one handshake from another.
    pub fn note_handshake(&mut self, handshake_s: u64, now: Nanos) {
        if self.handshake_s.replace(handshake_s).is_some_and(|before| before != handshake_s) && handshake_s != 0 {
            self.note_answer(now);
        }
    }

    /// Forgets the keys, because WireGuard is about to lose them. Nothing leaves until [`KeyWatch::resume`].
    pub fn pause(&mut self, now: Nanos) {
        let restarted = (now, self.restarted.1 + 1);
        *self = KeyWatch { is_paused: true, restarted, ..self.without_keys(now) };
    }

    /// WireGuard has been changed. Returns whether it was paused.
    pub fn resume(&mut self, now: Nanos) -> bool {
        let was_paused = self.is_paused;
        if was_paused {
            *self = self.without_keys(now);
        }
        was_paused
    }

    /// Whether a knock is due while the cells are held back.
    pub fn poll_knock(&mut self, now: Nanos) -> bool {
        let has_baseline = self.handshake_s.is_some() || now.saturating_since(self.held_since) >= WAIT_FOR_BASELINE;
        let is_due = !self.is_paused && has_baseline && now >= self.next_knock;
        if is_due {
            self.next_knock = now + KNOCK_PERIOD;
        }
        is_due
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn s(seconds: u64) -> Nanos {
        Nanos::from_secs(seconds)
    }

    #[test]
    fn a_new_handshake_shows_keys_and_an_old_one_does_not() {
        let mut watch = KeyWatch::new(s(0));
        watch.note_handshake(1_700_000_000, s(0));
        watch.note_handshake(1_700_000_000, s(1));
        assert!(watch.holds(s(1)), "that handshake was made before; its keys may be gone");
        watch.note_handshake(1_600_000_000, s(2));
        assert!(!watch.holds(s(2)), "another time is another handshake, also after a jump of the clock");
        assert!(!watch.holds(s(51)) && watch.holds(s(52)));
        watch.note_hold(s(52));
        watch.note_handshake(1_600_000_099, s(52));
        assert!(watch.holds(s(52)), "handshakes before the hold do not count");
        watch.note_cell(s(60));
        assert!(!watch.holds(s(109)) && watch.holds(s(110)));
        let mut watch = KeyWatch::new(s(0));
        watch.note_handshake(5, s(0));
        watch.note_handshake(0, s(1));
        assert!(watch.holds(s(1)), "a peer that was added again has no handshake");
    }

    #[test]
    fn knocks_are_rare_and_wait_for_the_baseline() {
        let mut watch = KeyWatch::new(s(0));
        let knocks: Vec<u64> = (0..400).filter(|second| watch.poll_knock(s(*second))).collect();
        assert_eq!(knocks, [2, 112, 222, 332]);
        let mut watch = KeyWatch::new(s(0));
        watch.note_handshake(0, s(0));
        assert!(watch.poll_knock(s(0)) && !watch.poll_knock(s(1)));
    }

    #[test]
    fn new_handshakes_in_vain_become_rare() {
        let mut watch = KeyWatch::new(s(0));
        watch.note_handshake(0, s(0));
        let mut restarts = Vec::new();
        for second in 0..300 {
            if second == 20 {
                watch.note_cell(s(second));
            }
            if let Some(silence) = watch.poll_rehandshake(s(second)) {
                restarts.push((second, silence.as_secs_f64() as u64));
                watch.pause(s(second));
                assert_eq!(watch.poll_rehandshake(s(second + 100)), None, "one is under way");
                watch.resume(s(second));
            }
        }
        let since_cell = [(26, 6), (30, 10), (60, 40), (120, 100), (180, 160), (240, 220)];
        assert_eq!(restarts, [&[(6, 6), (10, 10)][..], &since_cell].concat());
    }

    #[test]
    fn nothing_leaves_while_wireguard_is_changed() {
        let mut watch = KeyWatch::new(s(0));
        watch.note_cell(s(0));
        watch.pause(s(1));
        watch.note_cell(s(2));
        assert!(watch.holds(s(2)) && !watch.poll_knock(s(10)), "a late cell with the old keys shows nothing");
        assert!(watch.resume(s(10)) && !watch.resume(s(10)));
        watch.note_handshake(0, s(10));
        assert!(watch.holds(s(10)) && watch.poll_knock(s(10)));
    }
}
