//! What happens when in the year.

use crate::calendar::{CLOCK_CHANGES, DAY_S, START_S};
use crate::world::{DOWN, UP};

/// A hundred reloads, one every 3.6 days, at 13:00 UTC.
pub const RELOADS: i64 = 100;
pub const RELOAD_S: i64 = 13 * 3_600;
/// An outage of the path each day, with one of these lengths. After 10 s an endpoint stops sending, after 50 s a router,
/// after 180 s keys end.
pub const OUTAGE_S: i64 = 15 * 3_600 + 600;
pub const OUTAGES: [i64; 6] = [3, 20, 45, 70, 170, 400];
/// Each of these happens once in 30 days.
pub const EVERY_DAYS: i64 = 30;
pub const ROUTER_RESTARTS: (i64, i64) = (10, 18 * 3_600);
pub const ENDPOINT_RESTARTS: (i64, i64) = (20, 18 * 3_600);
pub const PEER_CHANGES: (i64, i64) = (25, 19 * 3_600);
/// A burst of packets each day, above what the cells carry.
pub const BURST_S: i64 = 20 * 3_600;
pub const BURST_LENGTH_S: i64 = 30;
/// The data usage is compared at this time of each day.
pub const USAGE_S: i64 = 21 * 3_600;
/// Longer than a packet can wait and arrive, and than a session needs to begin again.
pub const SETTLE_S: i64 = 20;
pub const RECOVERY_S: i64 = 130;

/// What the year must survive.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event {
    Outage,
    Restart(usize),
    PeerChange,
    Burst,
}

/// What begins at that time.
pub fn event(unix_s: i64) -> Option<Event> {
    let (day, second) = ((unix_s - START_S) / DAY_S, (unix_s - START_S) % DAY_S);
    let is_monthly = |(of_month, at)| day % EVERY_DAYS == of_month && second == at;
    if second == OUTAGE_S {
        Some(Event::Outage)
    } else if second == BURST_S {
        Some(Event::Burst)
    } else if is_monthly(ROUTER_RESTARTS) {
        Some(Event::Restart(UP))
    } else if is_monthly(ENDPOINT_RESTARTS) {
        Some(Event::Restart(DOWN))
    } else {
        is_monthly(PEER_CHANGES).then_some(Event::PeerChange)
    }
}

/// Whether a run with pauses simulates this second.
pub fn is_awake(unix_s: i64) -> bool {
    let since = unix_s - START_S;
    let (day, second) = (since / DAY_S, since % DAY_S);
    let is_in = |(start, length): (i64, i64)| (start - 60..start + length).contains(&second);
    let outage = OUTAGES[(day as usize) % OUTAGES.len()];
    let is_monthly = |(of_month, at)| day % EVERY_DAYS == of_month && is_in((at, RECOVERY_S + 2 * SETTLE_S));
    // Half past eleven in the evening, in summer and in winter.
    let is_boundary = day % 7 == 0 && [21, 22].iter().any(|hour| is_in((hour * 3_600 + 1_200, 1_300)));
    since < 7_200
        || reload_of(unix_s / 60 * 60 + 60).is_some()
        || reload_of(unix_s / 60 * 60).is_some()
        || is_in((OUTAGE_S, outage + RECOVERY_S + 2 * SETTLE_S))
        || day % 10 == 3 && is_in((BURST_S, BURST_LENGTH_S + 3 * SETTLE_S))
        || is_in((USAGE_S, 62))
        || is_monthly(ROUTER_RESTARTS)
        || is_monthly(ENDPOINT_RESTARTS)
        || is_monthly(PEER_CHANGES)
        || is_boundary
        || CLOCK_CHANGES.iter().any(|change| (change - 7_200..change + 9_000).contains(&unix_s))
}

/// The number of the reload at that time, if there is one.
pub fn reload_of(unix_s: i64) -> Option<i64> {
    let (day, second) = ((unix_s - START_S) / DAY_S, (unix_s - START_S) % DAY_S);
    let number = (day * 10 + 35) / 36;
    let is_day = second == RELOAD_S && number * 36 / 10 == day;
    is_day.then_some(number).filter(|number| (1..=RELOADS).contains(number))
}
