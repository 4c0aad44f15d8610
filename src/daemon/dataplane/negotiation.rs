//! Negotiation of the download direction. The router sends its request until the endpoint has answered, and then
//! periodically, so that a restarted endpoint receives it. All messages travel inside ordinary cells, so the wire shows
//! none of it.

use crate::config::model::Key;
use crate::core::Pace;
use crate::daemon::shape::Shaping;
use crate::law::{MAX_INTERVAL, MIN_INTERVAL};
use crate::units::{BitsPerSec, Nanos};
use crate::wire::control::{ControlMessage, ShapingGrant, ShapingRequest};
use crate::wire::size::Encapsulation;

/// Period of the requests until one is answered, and while no cells come.
const UNANSWERED_PERIOD: Nanos = Nanos::from_secs(1);
/// Period of the requests after an answer.
const REFRESH_PERIOD: Nanos = Nanos::from_secs(30);

/// The smallest and largest cell that an endpoint sends, in bytes on the wire.
const CELL_BYTES: std::ops::RangeInclusive<u16> = 128..=1500;

/// The router's side of the negotiation.
#[derive(Debug)]
pub struct RequestState {
    request: ShapingRequest,
    answered: bool,
    /// How this end is to send, once the endpoint has granted trains; `None` if nobody has said so yet.
    upload: Option<Shaping>,
    /// Whether the endpoint has ever granted trains. It stays, so that no endpoint can move departures to and fro.
    had_trains: bool,
    /// Whether the endpoint's last answer was without the requested trains.
    lacks_trains: bool,
    due: Nanos,
    /// The router's public key, for an endpoint that still knows the router by the key of a join text.
    key_update: Option<Key>,
}

impl RequestState {
    /// A request that is due at once.
    pub fn new(request: ShapingRequest, now: Nanos) -> RequestState {
        let (answered, had_trains, lacks_trains) = (false, false, false);
        RequestState { request, answered, upload: None, had_trains, lacks_trains, due: now, key_update: None }
    }

    /// Replaces the request. Its `id` is ignored: a changed request gets the next id.
    pub fn change(&mut self, request: ShapingRequest, now: Nanos) {
        let same = ShapingRequest { id: self.request.id, ..request };
        if same != self.request {
            let key_update = self.key_update.take();
            *self = RequestState {
                key_update,
                upload: self.upload,
                had_trains: self.had_trains,
                lacks_trains: self.lacks_trains,
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
        if grant.id == self.request.id {
            self.answered = true;
            self.lacks_trains = grant.trains != self.request.trains;
            self.had_trains |= !self.lacks_trains && grant.trains != [1; 2];
        }
    }

    /// Sets how this end is to send.
    pub fn set_upload(&mut self, upload: Shaping) {
        self.upload = Some(upload);
    }

    /// How this end sends now: single cells until the endpoint has granted trains.
    pub fn upload(&self) -> Option<(Pace, u8)> {
        let upload = self.upload.as_ref()?;
        Some(if self.had_trains { (upload.pace, upload.train) } else { upload.without_trains() })
    }

    /// Cells in each train of the endpoint.
    pub fn peer_train(&self) -> u8 {
        if self.lacks_trains { 1 } else { self.request.trains[1] }
    }

    /// Why the requested trains are not in force in both directions; `None` if they are, or were not requested.
    pub fn missing_trains(&self) -> Option<String> {
        if !self.lacks_trains {
            return None;
        }
        let wanted = self.request.trains;
        let bits = u64::from(self.request.cell_bytes) * 8 * 1_000_000_000;
        let most = BitsPerSec(bits / MIN_INTERVAL.0);
        let text = format!(
            "the endpoint knows no trains (got single cells, want trains of {} up and {} down): with single cells, no \
             direction is faster than {most}",
            wanted[0], wanted[1]
        );
        Some(text)
    }

    /// The mean interval between departures of the endpoint.
    pub fn expected_interval(&self) -> Nanos {
        let request = ShapingRequest { trains: [1, self.peer_train()], ..self.request };
        let interval = expected_interval(&request);
        if self.lacks_trains { interval.max(MIN_INTERVAL) } else { interval }
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
    let law = if limits.kernel_law { request.law } else { request.law.without_kernel_pacing() };
    let trains = if request.law.paced_by_kernel() { [1; 2] } else { request.trains };
    let train_bits = u64::from(cell_bytes) * 8 * u64::from(trains[1].max(1));
    let slowest = BitsPerSec((train_bits * 1_000_000_000 / MAX_INTERVAL.0).max(1));
    let fastest = BitsPerSec(train_bits * 1_000_000_000 / MIN_INTERVAL.0);
    let rate = request.rate.clamp(slowest, fastest).min(limits.max_download);
    let spread_percent = request.spread_percent.clamp(1, *law.spread_range().end());
    Some(ShapingRequest { law, rate, spread_percent, cell_bytes, trains, ..*request })
}

/// The mean interval between departures of the peer. Without cover, hardly any come except the answers to requests.
pub fn expected_interval(request: &ShapingRequest) -> Nanos {
    let cells = usize::from(request.trains[0].max(request.trains[1]).max(1));
    if request.cover { request.rate.interval(cells * usize::from(request.cell_bytes)) } else { REFRESH_PERIOD }
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
        trains: [1; 2],
    };

    fn answer_to(id: u16) -> ShapingGrant {
        let (cells_received, cells_lost) = (0, 0);
        ShapingGrant {
            id,
            law: Law::Gamma,
            cell_bytes: 508,
            rate: BitsPerSec(1),
            cells_received,
            cells_lost,
            trains: [1; 2],
        }
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
        assert_eq!(unlimited.rate.interval(508), MIN_INTERVAL);
        let trains = ShapingRequest { rate: BitsPerSec(u64::MAX), trains: [3, 64], ..REQUEST };
        let granted = grant(&trains, HomeLimits { max_download: BitsPerSec(u64::MAX), ..limits }).unwrap();
        assert_eq!((granted.rate.interval(508 * 64), granted.trains), (MIN_INTERVAL, [3, 64]));
        assert_eq!(grant(&ShapingRequest { trains: [3, 64], ..kernel }, limits).unwrap().trains, [1; 2]);
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
