//! When WireGuard may forget a peer's newest handshake.
//!
//! WireGuard refuses a handshake whose timestamp, from the sender's clock, is not newer than the newest one
//! (whitepaper, section 5.1). That keeps a recorded handshake from being sent again. But a home whose clock went back
//! is refused too, for as long as the clock was ahead. To remove the peer and add it again makes WireGuard forget the
//! timestamp.

use crate::units::Nanos;

/// Keys end after 180 s (`REJECT_AFTER_TIME` in the kernel's drivers/net/wireguard/messages.h). A home that has been
/// silent for this long has no session that a recorded handshake could disturb. It is then as after a restart of the
/// endpoint, which section 5.1 finds harmless: the home's next handshake is newer than every recorded one.
const LOST_AFTER: Nanos = Nanos::from_secs(180);

/// A handshake that lies further in the future was made before the clock went back.
const CLOCK_TOLERANCE_S: u64 = 60;

/// Whether WireGuard must forget the handshakes of a home that has been silent for `silence`. `last_handshake_s` is
/// when its last handshake was completed by this host's clock, which now shows `unix_s` (both Unix time in seconds).
pub fn must_forget(silence: Nanos, last_handshake_s: u64, unix_s: i64) -> bool {
    let went_back = last_handshake_s > u64::try_from(unix_s).unwrap_or(0) + CLOCK_TOLERANCE_S;
    went_back || silence >= LOST_AFTER
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW_S: i64 = 1_700_000_000;
    const LAST_S: u64 = 1_699_999_900;

    #[test]
    fn a_short_silence_makes_wireguard_forget_nothing() {
        for seconds in [6, 36, 66, 126, 179] {
            assert!(!must_forget(Nanos::from_secs(seconds), LAST_S, NOW_S), "after {seconds} s");
        }
        assert!(must_forget(Nanos::from_secs(180), LAST_S, NOW_S), "the session has ended");
    }

    #[test]
    fn a_clock_that_went_back_makes_wireguard_forget_at_once() {
        let four_years_s = 126_000_000;
        assert!(must_forget(Nanos::from_secs(6), LAST_S + four_years_s, NOW_S));
        assert!(!must_forget(Nanos::from_secs(6), LAST_S + 150, NOW_S), "50 s ahead: the clock is being adjusted");
        assert!(must_forget(Nanos::from_secs(6), LAST_S, 0), "a clock that starts in 1970");
        assert!(!must_forget(Nanos::from_secs(6), 0, NOW_S), "there was no handshake");
    }
}
