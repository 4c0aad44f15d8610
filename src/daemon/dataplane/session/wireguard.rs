//! What a session does for WireGuard: a router's holds its cells back while WireGuard may have no keys, an endpoint's
//! notes when a home is silent. Both exchange the keys that replace a join text's.

use super::{Change, Session, Side};
use crate::config::model::Key;
use crate::daemon::dataplane::key_watch::KeyWatch;
use crate::units::Nanos;

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
        self.engine.restart(self.engine.pace(), now);
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
}
