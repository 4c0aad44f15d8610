//! How the two ends agree on the way down: the router wishes until the endpoint has answered, and now and then
//! afterwards, so that a restarted endpoint learns of it. All inside ordinary cells: the wire shows none of it.

use crate::config::model::Key;
use crate::units::{BitsPerSec, Nanos};
use crate::wire::control::{Control, Report, Wish};

/// Until there is an answer, or while no cells come.
const URGENT: Nanos = Nanos::from_secs(1);
/// Afterwards.
pub const RELAXED: Nanos = Nanos::from_secs(30);

/// The smallest and largest cell that an endpoint makes, in bytes on the wire.
const CELL_BYTES: std::ops::RangeInclusive<u16> = 128..=1500;
/// An endpoint sends to one home at least every minute and at most every 100 µs.
const SLOWEST_CELLS_PER_MINUTE: u64 = 1;
const FASTEST: Nanos = Nanos::from_micros(100);

/// The router's side.
#[derive(Debug)]
pub struct Asking {
    wish: Wish,
    answered: bool,
    due: Nanos,
    /// The router's public key, for an endpoint that knows it by a join text's.
    claim: Option<Key>,
}

impl Asking {
    /// Asks for the first time at once.
    pub fn new(wish: Wish, now: Nanos) -> Asking {
        Asking { wish, answered: false, due: now, claim: None }
    }

    /// Asks for something else. The wish's own id is ignored: it gets the next one.
    pub fn change(&mut self, wish: Wish, now: Nanos) {
        let same = Wish { id: self.wish.id, ..wish };
        if same != self.wish {
            let claim = self.claim.take();
            *self = Asking { claim, ..Asking::new(Wish { id: self.wish.id.wrapping_add(1), ..wish }, now) };
        }
    }

    /// Claims that public key from now on, or none.
    pub fn set_claim(&mut self, claim: Option<Key>) {
        self.claim = claim;
    }

    /// What is asked for.
    pub fn wish(&self) -> &Wish {
        &self.wish
    }

    /// Takes the endpoint's answer.
    pub fn handle_report(&mut self, report: &Report) {
        self.answered |= report.id == self.wish.id;
    }

    /// The message to send now, if it is time: the wish, and between wishes that are answered the claim, every time.
    pub fn poll(&mut self, now: Nanos, peer_is_silent: bool) -> Option<Control> {
        let period = if self.answered && !peer_is_silent { RELAXED } else { URGENT };
        self.due = self.due.min(now + period);
        if now < self.due {
            return self.claim.as_ref().map(|key| Control::Claim(key.0)).filter(|_| !peer_is_silent);
        }
        self.due = now + period;
        Some(Control::Wish(self.wish))
    }
}

/// What the operator allows a home to ask for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Allowance {
    /// The most that may be sent to it, on the wire.
    pub max_download: BitsPerSec,
    /// Whether it may have the law `kernel`. The tunnel interface has one HTB class, which paces all that leaves
    /// there: only an endpoint with a single home can offer it. Others get `constant` instead, and are told so.
    pub kernel_law: bool,
}

/// What the endpoint makes of a wish: within what the operator allows, and within what a line can be.
/// `None` where the wish cannot be met at all.
pub fn grant(wish: &Wish, allowance: Allowance) -> Option<Wish> {
    if !CELL_BYTES.contains(&wish.cell_bytes) {
        return None;
    }
    let cell_bits = u64::from(wish.cell_bytes) * 8;
    let slowest = BitsPerSec((cell_bits * SLOWEST_CELLS_PER_MINUTE / 60).max(1));
    let fastest = BitsPerSec(cell_bits * 1_000_000_000 / FASTEST.0);
    let rate = wish.rate.clamp(slowest, fastest).min(allowance.max_download);
    let law = if allowance.kernel_law { wish.law } else { wish.law.without_kernel_pacing() };
    let spread_percent = wish.spread_percent.clamp(1, *law.spread_range().end());
    Some(Wish { law, rate, spread_percent, ..*wish })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::law::Law;

    const WISH: Wish =
        Wish { id: 1, law: Law::Gamma, spread_percent: 33, cell_bytes: 508, rate: BitsPerSec(320_000), cover: true };

    fn report(id: u16) -> Report {
        Report { id, law: Law::Gamma, cell_bytes: 508, rate: BitsPerSec(1), cells_received: 0, cells_lost: 0 }
    }

    #[test]
    fn wishes_are_repeated_until_answered() {
        let mut asking = Asking::new(WISH, Nanos::ZERO);
        let sent = |asking: &mut Asking, from: u64, silent: bool| {
            (from..from + 60).filter(|s| asking.poll(Nanos::from_secs(*s), silent).is_some()).count()
        };
        assert_eq!(sent(&mut asking, 0, false), 60);
        asking.handle_report(&report(7));
        assert_eq!(sent(&mut asking, 60, false), 60, "an answer to another wish is none");
        asking.handle_report(&report(1));
        assert_eq!(sent(&mut asking, 120, false), 2, "every half minute");
        assert_eq!(sent(&mut asking, 180, true), 60, "a silent endpoint may have restarted");
    }

    #[test]
    fn a_claim_is_repeated_while_it_is_heard() {
        let mut asking = Asking::new(WISH, Nanos::ZERO);
        asking.set_claim(Some(Key([7; 32])));
        let s = Nanos::from_secs;
        assert_eq!(asking.poll(s(0), false), Some(Control::Wish(WISH)), "who asks for nothing gets no answer");
        asking.handle_report(&report(1));
        asking.change(Wish { rate: BitsPerSec(1), ..WISH }, s(0));
        asking.handle_report(&report(2));
        assert!(matches!(asking.poll(s(1), false), Some(Control::Wish(_))));
        assert_eq!(asking.poll(s(2), false), Some(Control::Claim([7; 32])));
        assert_eq!(asking.poll(s(3), false), Some(Control::Claim([7; 32])));
        assert_eq!(asking.poll(s(4), true), None, "nobody hears it");
        assert!(matches!(asking.poll(s(5), true), Some(Control::Wish(_))));
        asking.set_claim(None);
        assert_eq!(asking.poll(s(5), false), None);
    }

    #[test]
    fn only_a_changed_wish_gets_a_new_number() {
        let mut asking = Asking::new(WISH, Nanos::ZERO);
        asking.handle_report(&report(1));
        asking.change(Wish { id: 99, ..WISH }, Nanos::ZERO);
        assert!(asking.answered);
        asking.change(Wish { rate: BitsPerSec(1), ..WISH }, Nanos::ZERO);
        assert!(!asking.answered && asking.wish.id == 2);
    }

    #[test]
    fn impossible_wishes_are_bounded_or_refused() {
        let allowance = Allowance { max_download: BitsPerSec(4_000_000), kernel_law: false };
        let of = |wish: Wish| grant(&wish, allowance).map(|granted| (granted.rate.0, granted.spread_percent));
        assert_eq!(of(WISH), Some((320_000, 33)));
        assert_eq!(of(Wish { rate: BitsPerSec(u64::MAX), ..WISH }), Some((4_000_000, 33)));
        assert_eq!(of(Wish { rate: BitsPerSec(1), spread_percent: 0, ..WISH }), Some((67, 1)));
        assert_eq!(of(Wish { law: Law::Normal, spread_percent: 100, ..WISH }), Some((320_000, 20)));
        assert_eq!(of(Wish { cell_bytes: 5, ..WISH }), None);
        let kernel = Wish { law: Law::Kernel, ..WISH };
        assert_eq!(grant(&kernel, allowance).unwrap().law, Law::Constant);
        assert_eq!(grant(&kernel, Allowance { kernel_law: true, ..allowance }).unwrap().law, Law::Kernel);
        let unlimited = Allowance { max_download: BitsPerSec(u64::MAX), ..allowance };
        let unlimited = grant(&Wish { rate: BitsPerSec(u64::MAX), ..WISH }, unlimited).unwrap();
        assert_eq!(unlimited.rate.interval(508), FASTEST);
    }
}
