//! Negotiation of the download direction. The router sends its request until the endpoint has answered, and then
//! periodically, so that a restarted endpoint receives it. All messages travel inside ordinary cells, so the wire shows
//! none of it.

use crate::config::model::Key;
use crate::units::{BitsPerSec, Nanos};
use crate::wire::control::{ControlMessage, ShapingGrant, ShapingRequest};
use crate::wire::size::Encapsulation;

/// Period of the requests until one is answered, and while no cells come.
const UNANSWERED_PERIOD: Nanos = Nanos::from_secs(1);
/// Period of the requests after an answer.
pub const REFRESH_PERIOD: Nanos = Nanos::from_secs(30);

/// The smallest and largest cell that an endpoint sends, in bytes on the wire.
const CELL_BYTES: std::ops::RangeInclusive<u16> = 128..=1500;
/// An endpoint sends a cell to a home at least once a minute, and at most every 100 µs.
const MIN_CELLS_PER_MINUTE: u64 = 1;
const MIN_CELL_INTERVAL: Nanos = Nanos::from_micros(100);

/// The router's side of the negotiation.
#[derive(Debug)]
pub struct RequestState {
    request: ShapingRequest,
    answered: bool,
    due: Nanos,
    /// The router's public key, for an endpoint that still knows the router by the key of a join text.
    key_update: Option<Key>,
}

impl RequestState {
    /// A request that is due at once.
    pub fn new(request: ShapingRequest, now: Nanos) -> RequestState {
        RequestState { request, answered: false, due: now, key_update: None }
    }

    /// Replaces the request. Its `id` is ignored: a changed request gets the next id.
    pub fn change(&mut self, request: ShapingRequest, now: Nanos) {
        let same = ShapingRequest { id: self.request.id, ..request };
        if same != self.request {
            let key_update = self.key_update.take();
            *self = RequestState {
                key_update,
                ..RequestState::new(ShapingRequest { id: self.request.id.wrapping_add(1), ..request }, now)
            };
        }
    }

    /// Sets the public key to announce, or none.
    pub fn set_key_update(&mut self, key_update: Option<Key>) {
        self.key_update = key_update;
    }

    /// The current request.
    pub fn request(&self) -> &ShapingRequest {
        &self.request
    }

    /// Handles the endpoint's answer. An answer to another request is ignored.
    pub fn handle_grant(&mut self, grant: &ShapingGrant) {
        self.answered |= grant.id == self.request.id;
    }

    /// The message to send now, if any: the request if it is due, otherwise the key update if there is one and the peer
    /// is not silent.
    pub fn poll(&mut self, now: Nanos, peer_is_silent: bool) -> Option<ControlMessage> {
        let period = if self.answered && !peer_is_silent { REFRESH_PERIOD } else { UNANSWERED_PERIOD };
        self.due = self.due.min(now + period);
        if now < self.due {
            return self.key_update.as_ref().map(|key| ControlMessage::KeyUpdate(key.0)).filter(|_| !peer_is_silent);
        }
        self.due = now + period;
        Some(ControlMessage::ShapingRequest(self.request))
    }
}

/// The operator's limits for a home's requests.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HomeLimits {
    /// Maximum rate towards the home, in bits per second on the wire.
    pub max_download: BitsPerSec,
    /// The smallest encapsulation of the home's cells.
    pub encapsulation: Encapsulation,
    /// Whether the home may have the law `kernel`. The tunnel interface has one HTB class, which paces everything that
    /// leaves there, so only an endpoint with a single home can offer it. Others get `constant`, and the grant says so.
    pub kernel_law: bool,
}

/// The endpoint's grant for a request that came in a cell of `payload_bytes`: the request, clamped to the operator's
/// limits and to the possible intervals. `None` if the cell size is out of range.
///
/// The endpoint's cells have that payload. Their size on the wire is what it takes at least to carry the payload,
/// whatever the request says. It may be larger, because only the home knows over which IP version its cells travel.
pub fn grant(request: &ShapingRequest, payload_bytes: usize, limits: HomeLimits) -> Option<ShapingRequest> {
    let least = u16::try_from(limits.encapsulation.wire_bytes(payload_bytes)).ok()?;
    let cell_bytes = request.cell_bytes.max(least);
    if !CELL_BYTES.contains(&cell_bytes) {
        return None;
    }
    let cell_bits = u64::from(cell_bytes) * 8;
    let slowest = BitsPerSec((cell_bits * MIN_CELLS_PER_MINUTE / 60).max(1));
    let fastest = BitsPerSec(cell_bits * 1_000_000_000 / MIN_CELL_INTERVAL.0);
    let rate = request.rate.clamp(slowest, fastest).min(limits.max_download);
    let law = if limits.kernel_law { request.law } else { request.law.without_kernel_pacing() };
    let spread_percent = request.spread_percent.clamp(1, *law.spread_range().end());
    Some(ShapingRequest { law, rate, spread_percent, cell_bytes, ..*request })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::law::Law;
    use crate::wire::size::IpVersion;

    const LIMITS: HomeLimits = HomeLimits {
        max_download: BitsPerSec(4_000_000),
        encapsulation: Encapsulation::wireguard(IpVersion::V4),
        kernel_law: false,
    };
    const REQUEST: ShapingRequest = ShapingRequest {
        id: 1,
        law: Law::Gamma,
        spread_percent: 33,
        cell_bytes: 508,
        rate: BitsPerSec(320_000),
        cover: true,
    };

    fn answer_to(id: u16) -> ShapingGrant {
        ShapingGrant { id, law: Law::Gamma, cell_bytes: 508, rate: BitsPerSec(1), cells_received: 0, cells_lost: 0 }
    }

    #[test]
    fn requests_are_repeated_until_answered() {
        let mut request_state = RequestState::new(REQUEST, Nanos::ZERO);
        let sent = |request_state: &mut RequestState, from: u64, silent: bool| {
            (from..from + 60).filter(|s| request_state.poll(Nanos::from_secs(*s), silent).is_some()).count()
        };
        assert_eq!(sent(&mut request_state, 0, false), 60);
        request_state.handle_grant(&answer_to(7));
        assert_eq!(sent(&mut request_state, 60, false), 60, "an answer to another request does not count");
        request_state.handle_grant(&answer_to(1));
        assert_eq!(sent(&mut request_state, 120, false), 2, "every half minute");
        assert_eq!(sent(&mut request_state, 180, true), 60, "a silent endpoint may have restarted");
    }

    #[test]
    fn a_key_update_is_repeated_while_the_peer_is_not_silent() {
        let mut request_state = RequestState::new(REQUEST, Nanos::ZERO);
        request_state.set_key_update(Some(Key([7; 32])));
        let s = Nanos::from_secs;
        assert_eq!(
            request_state.poll(s(0), false),
            Some(ControlMessage::ShapingRequest(REQUEST)),
            "the request comes before the key update"
        );
        request_state.handle_grant(&answer_to(1));
        request_state.change(ShapingRequest { rate: BitsPerSec(1), ..REQUEST }, s(0));
        request_state.handle_grant(&answer_to(2));
        assert!(matches!(request_state.poll(s(1), false), Some(ControlMessage::ShapingRequest(_))));
        assert_eq!(request_state.poll(s(2), false), Some(ControlMessage::KeyUpdate([7; 32])));
        assert_eq!(request_state.poll(s(3), false), Some(ControlMessage::KeyUpdate([7; 32])));
        assert_eq!(request_state.poll(s(4), true), None, "a silent peer would not receive it");
        assert!(matches!(request_state.poll(s(5), true), Some(ControlMessage::ShapingRequest(_))));
        request_state.set_key_update(None);
        assert_eq!(request_state.poll(s(5), false), None);
    }

    #[test]
    fn only_a_changed_request_gets_a_new_id() {
        let mut request_state = RequestState::new(REQUEST, Nanos::ZERO);
        request_state.handle_grant(&answer_to(1));
        request_state.change(ShapingRequest { id: 99, ..REQUEST }, Nanos::ZERO);
        assert!(request_state.answered);
        request_state.change(ShapingRequest { rate: BitsPerSec(1), ..REQUEST }, Nanos::ZERO);
        assert!(!request_state.answered && request_state.request.id == 2);
    }

    #[test]
    fn impossible_requests_are_bounded_or_refused() {
        let grant = |request: &ShapingRequest, limits: HomeLimits| grant(request, 420, limits);
        let limits = LIMITS;
        let granted =
            |request: ShapingRequest| grant(&request, limits).map(|granted| (granted.rate.0, granted.spread_percent));
        assert_eq!(granted(REQUEST), Some((320_000, 33)));
        assert_eq!(granted(ShapingRequest { rate: BitsPerSec(u64::MAX), ..REQUEST }), Some((4_000_000, 33)));
        assert_eq!(granted(ShapingRequest { rate: BitsPerSec(1), spread_percent: 0, ..REQUEST }), Some((67, 1)));
        assert_eq!(granted(ShapingRequest { law: Law::Normal, spread_percent: 100, ..REQUEST }), Some((320_000, 20)));
        assert_eq!(granted(ShapingRequest { cell_bytes: 1501, ..REQUEST }), None);
        let kernel = ShapingRequest { law: Law::Kernel, ..REQUEST };
        assert_eq!(grant(&kernel, limits).unwrap().law, Law::Constant);
        assert_eq!(grant(&kernel, HomeLimits { kernel_law: true, ..limits }).unwrap().law, Law::Kernel);
        let unlimited = HomeLimits { max_download: BitsPerSec(u64::MAX), ..limits };
        let unlimited = grant(&ShapingRequest { rate: BitsPerSec(u64::MAX), ..REQUEST }, unlimited).unwrap();
        assert_eq!(unlimited.rate.interval(508), MIN_CELL_INTERVAL);
    }

    #[test]
    fn a_grant_counts_what_the_wire_carries() {
        let granted = |payload_bytes, cell_bytes| {
            let request = ShapingRequest { cell_bytes, rate: BitsPerSec(u64::MAX), ..REQUEST };
            grant(&request, payload_bytes, LIMITS).map(|granted| (granted.cell_bytes, granted.rate.0))
        };
        // 127 bytes of payload are 155 inside the tunnel, padded to 160.
        assert_eq!(granted(127, 128), Some((220, 4_000_000)), "a home cannot call its cells smaller than they are");
        assert_eq!(granted(420, 1), Some((508, 4_000_000)));
        assert_eq!(granted(420, 508), Some((508, 4_000_000)));
        assert_eq!(granted(404, 512), Some((512, 4_000_000)), "over IPv6 the same payload takes more");
        assert_eq!(granted(24, 64), None, "too small for the answer");
        assert_eq!(granted(1500, 508), None, "does not fit into a packet");
    }
}
