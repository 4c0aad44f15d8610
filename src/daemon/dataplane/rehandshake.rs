//! When the WireGuard handshakes with a silent home need a look. The endpoint then lets WireGuard forget them if it
//! must.

use crate::units::Nanos;

/// After a silence of this length the reconcile job looks at the peer's handshakes.
const AFTER: Nanos = Nanos::from_secs(6);
/// The job looks again at this period while the silence lasts. A handshake needs a few undisturbed seconds.
const PERIOD: Nanos = Nanos::from_secs(30);
/// A peer that has been silent for longer is switched off, or its line is down. Its handshakes are not looked at again
/// before it has sent a cell.
const UNTIL: Nanos = Nanos::from_secs(300);

/// The looks at the handshakes with one peer.
#[derive(Debug, Default)]
pub struct Rehandshake {
    /// The last look in the current silence.
    last: Option<Nanos>,
}

impl Rehandshake {
    /// How long the peer has been silent, if its handshakes need a look now. `silence` is the time since its last cell;
    /// `None` if none is missing.
    pub fn poll(&mut self, silence: Option<Nanos>, now: Nanos) -> Option<Nanos> {
        let Some(silence) = silence.filter(|silence| *silence >= AFTER) else {
            self.last = None;
            return None;
        };
        let is_due = silence <= UNTIL && self.last.is_none_or(|last| now.saturating_since(last) >= PERIOD);
        is_due.then(|| {
            self.last = Some(now);
            silence
        })
    }
}
