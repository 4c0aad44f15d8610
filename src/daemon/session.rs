//! One session: the engine towards one peer, the cell that is about to leave, and what the two ends say to each other.

use std::net::Ipv4Addr;

use super::liveness::{Liveness, State, StateSince};
use super::negotiation::{self, HomeLimits, RequestState};
use crate::config::model::Key;
use crate::core::{CellKind, Engine, Limits, Pace, Params, Transmit};
use crate::units::Nanos;
use crate::wire::MAX_PACKET_BYTES;
use crate::wire::control::{ControlMessage, ShapingGrant, ShapingRequest};

/// A cell is built so long before it leaves. Building takes less than half of it on a 24Kc, and a packet that comes
/// later has, at 40 cells a second, a chance of one in sixty to miss its cell.
pub const LEAD: Nanos = Nanos::from_micros(400);

/// An endpoint goes on towards a home that has fallen silent for this long, then rests until its next cell.
const ABANDON_TIMEOUT: Nanos = Nanos::from_secs(300);

/// Cells come all the time. Of a peer that has been silent for so long, WireGuard is told anew: both ends then begin with
/// a handshake at once, and whatever time the peer's clock shows now. (WireGuard takes no handshake that is, by its
/// sender's clock, older than the last: whitepaper, section 5.1. A clock that was years ahead for a moment would part the
/// two for years.)
const REHANDSHAKE_AFTER: Nanos = Nanos::from_secs(6);
/// And again, so often, while the silence lasts. Handshakes need a few seconds in which nobody disturbs them.
const REHANDSHAKE_PERIOD: Nanos = Nanos::from_secs(30);

/// How one direction is sent.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Shaping {
    /// Law, mean interval and spread.
    pub pace: Pace,
    /// Length of a cell, UDP payload.
    pub payload_bytes: usize,
    /// Whether cells leave that carry nothing.
    pub cover: bool,
    /// Whether the devices' packets pass at all.
    pub passes: bool,
}

/// One peer and the traffic to and from it.
pub struct Session {
    name: String,
    peer: Ipv4Addr,
    engine: Engine,
    /// The interval at which the peer's cells should come.
    expected: Nanos,
    sending: bool,
    cover: bool,
    passes: bool,
    built: Option<Transmit>,
    cell: Box<[u8; MAX_PACKET_BYTES]>,
    liveness: Liveness,
    /// When WireGuard was last told anew of the peer, in this silence.
    retold: Option<Nanos>,
    state_since: StateSince,
    side: Side,
    /// Cells so far, sent and received, and what they came to on the wire.
    counted: [u64; 2],
    wire: [u64; 2],
}

enum Side {
    /// A router asks.
    Router(RequestState),
    /// An endpoint grants what one home asks for. `key_update`: the public key that it would like to be known by.
    Endpoint { limits: HomeLimits, granted: Option<ShapingRequest>, key_update: Option<Key> },
}

/// What a session did when its moment came.
pub enum Action<'a> {
    /// The next cell stands ready.
    Built,
    /// There is none this time.
    Rested,
    /// This cell is to leave now, in this band.
    Send {
        /// When it should leave.
        scheduled: Nanos,
        /// Which PRIO band it takes.
        kind: CellKind,
        /// The cell.
        cell: &'a [u8],
    },
}

/// What a cell from the peer changed about a session's own sending.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    /// Nothing.
    None,
    /// It rested and sends now: [`Session::next`] has something to say.
    Begun,
    /// It sends in another way.
    Regranted,
}

impl Session {
    /// A router's session to its endpoint, sending from now on, and requesting `request` for the way down.
    pub fn router(peer: Ipv4Addr, shaping: Shaping, request: ShapingRequest, seed: [u8; 32], now: Nanos) -> Session {
        let expected = expected(&request);
        let side = Side::Router(RequestState::new(request, now));
        Session { sending: true, expected, ..Session::resting("endpoint".into(), peer, shaping, side, seed, now) }
    }

    /// An endpoint's session to a home. It rests until the home has said what it wants.
    pub fn endpoint(name: String, peer: Ipv4Addr, limits: HomeLimits, seed: [u8; 32], now: Nanos) -> Session {
        let pace = Pace { law: Default::default(), mean: Nanos::from_secs(1), spread_percent: 33 };
        let shaping = Shaping { pace, payload_bytes: 0, cover: true, passes: true };
        Session::resting(name, peer, shaping, Side::Endpoint { limits, granted: None, key_update: None }, seed, now)
    }

    fn resting(name: String, peer: Ipv4Addr, shaping: Shaping, side: Side, seed: [u8; 32], now: Nanos) -> Session {
        let Shaping { pace, payload_bytes, cover, passes } = shaping;
        let params = Params { payload_bytes, pace, lead: LEAD, limits: Limits::default() };
        let mut engine = Engine::new(params, seed, now);
        engine.set_cover(cover);
        Session {
            name,
            peer,
            engine,
            expected: pace.mean,
            sending: false,
            cover,
            passes,
            built: None,
            cell: Box::new([0; MAX_PACKET_BYTES]),
            liveness: Liveness::default(),
            retold: None,
            state_since: StateSince::new(now),
            side,
            counted: [0; 2],
            wire: [0; 2],
        }
    }

    /// The peer's name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The peer's address inside the tunnel.
    pub fn peer(&self) -> Ipv4Addr {
        self.peer
    }

    /// The engine, to look at.
    pub fn engine(&self) -> &Engine {
        &self.engine
    }

    /// Begins anew with what is known of each device.
    pub fn forget_devices(&mut self) {
        self.engine.forget_devices();
    }

    /// What the session is doing.
    pub fn state(&self, now: Nanos) -> State {
        match (&self.side, self.sending) {
            (Side::Endpoint { .. }, false) => State::Starting,
            _ => match self.liveness.state(now, self.expected) {
                State::Shaping if !self.cover => State::Paused,
                state => state,
            },
        }
    }

    /// Whether cells leave that carry nothing.
    pub fn covers(&self) -> bool {
        self.cover
    }

    /// How this end sends, and how the other should, as far as that is known.
    pub fn paces(&self) -> [Option<Pace>; 2] {
        let other = match &self.side {
            Side::Router(request_state) => {
                let request = request_state.request();
                Some(Pace { law: request.law, mean: self.expected, spread_percent: request.spread_percent })
            }
            Side::Endpoint { .. } => None,
        };
        [Some(self.engine.pace()), other]
    }

    /// Whether the devices' packets pass at all.
    pub fn passes(&self) -> bool {
        self.passes
    }

    /// The state when it was last looked at by [`Session::tick`], and since when it held.
    pub fn state_since(&self) -> StateSince {
        self.state_since
    }

    /// When the session wants to act; `None` while it rests.
    pub fn next(&self) -> Option<Nanos> {
        match self.built {
            Some(transmit) => Some(transmit.scheduled),
            None => self.sending.then(|| self.engine.poll_timeout().0),
        }
    }

    /// Does what is due at [`Session::next`].
    pub fn act(&mut self, now: Nanos) -> Action<'_> {
        let Some(Transmit { scheduled, len, kind }) = self.built.take() else {
            self.built = self.engine.poll_transmit(now, &mut self.cell[..]);
            return if self.built.is_some() { Action::Built } else { Action::Rested };
        };
        Action::Send { scheduled, kind, cell: &self.cell[..len] }
    }

    /// Notes when a cell has left.
    pub fn handle_departure(&mut self, scheduled: Nanos, actual: Nanos) {
        self.engine.handle_departure(scheduled, actual);
    }

    /// Takes a packet for the peer. While the session rests there is nobody to send it to.
    pub fn handle_packet(&mut self, now: Nanos, packet: &[u8]) {
        if self.sending && self.passes {
            self.engine.handle_packet(now, packet);
        }
    }

    /// Takes a cell from the peer. Tells what it changed about the session's own sending.
    pub fn handle_cell(&mut self, now: Nanos, cell: &[u8]) -> Change {
        self.liveness.note_cell(now);
        self.engine.handle_cell(cell);
        match self.engine.poll_control() {
            Some(ControlMessage::ShapingRequest(request)) => self.handle_request(now, request, cell.len()),
            Some(ControlMessage::ShapingGrant(grant)) => {
                if let Side::Router(request_state) = &mut self.side {
                    request_state.handle_grant(&grant);
                }
                Change::None
            }
            Some(ControlMessage::KeyUpdate(key)) => {
                if let Side::Endpoint { key_update, .. } = &mut self.side {
                    *key_update = Some(Key(key));
                }
                Change::None
            }
            None => Change::None,
        }
    }

    /// The public key by which a home would like to be known, if it has said so since the last time.
    #[cfg(feature = "endpoint")]
    pub fn poll_key_update(&mut self) -> Option<Key> {
        match &mut self.side {
            Side::Router(_) => None,
            Side::Endpoint { key_update, .. } => key_update.take(),
        }
    }

    /// Sets the public key that a router announces as its own, or none.
    pub fn set_key_update(&mut self, key_update: Option<Key>) {
        if let Side::Router(request_state) = &mut self.side {
            request_state.set_key_update(key_update);
        }
    }

    /// The next packet from the peer for the devices.
    pub fn poll_packet(&mut self, buf: &mut [u8]) -> Option<usize> {
        self.engine.poll_packet(buf)
    }

    /// To be called about once a second: repeats what the peer may have missed.
    pub fn tick(&mut self, now: Nanos) {
        self.weigh();
        let state = self.liveness.state(now, self.expected);
        match &mut self.side {
            Side::Router(request_state) => {
                if let Some(message) = request_state.poll(now, !state.is_up()) {
                    self.engine.send_control(message);
                }
            }
            Side::Endpoint { granted, .. } => {
                if self.liveness.silence(now).is_some_and(|silence| silence > ABANDON_TIMEOUT) {
                    self.sending = false;
                    self.built = None;
                    *granted = None;
                }
            }
        }
        self.state_since.note(self.state(now), now);
    }

    /// Whether WireGuard is to be told anew of the peer, who has fallen silent. Says so once, and again now and then.
    pub fn poll_lost(&mut self, now: Nanos) -> bool {
        let is_long = self.liveness.silence(now).is_some_and(|silence| silence >= REHANDSHAKE_AFTER);
        if !is_long || self.state(now) != State::Degraded {
            self.retold = None;
            return false;
        }
        let is_due = self.retold.is_none_or(|last| now.saturating_since(last) >= REHANDSHAKE_PERIOD);
        if is_due {
            self.retold = Some(now);
        }
        is_due
    }

    /// Bytes of cells on the wire until the last tick, sent and received. Other ends' sizes are as agreed.
    pub fn wire_bytes(&self) -> [u64; 2] {
        self.wire
    }

    fn weigh(&mut self) {
        let agreed = match &self.side {
            Side::Router(request_state) => Some(request_state.request()),
            Side::Endpoint { granted, .. } => granted.as_ref(),
        };
        let cell_bytes = agreed.map_or(0, |request| u64::from(request.cell_bytes));
        let stats = self.engine.stats();
        let counts = [stats.cells_data + stats.cells_cover, stats.cells_received];
        for ((wire, counted), count) in self.wire.iter_mut().zip(&mut self.counted).zip(counts) {
            *wire += (count - *counted) * cell_bytes;
            *counted = count;
        }
    }

    /// Changes a router's session in place: the way up from the next interval on, the way down as soon as the endpoint
    /// has heard of it.
    pub fn reshape(&mut self, shaping: Shaping, request: ShapingRequest, now: Nanos) {
        if shaping.pace != self.engine.pace() {
            self.engine.set_pace(shaping.pace);
        }
        self.engine.set_payload_bytes(shaping.payload_bytes);
        self.engine.set_cover(shaping.cover);
        if shaping.cover && !self.cover {
            // Its silence was as agreed.
            self.liveness.note_cell(now);
        }
        (self.cover, self.passes) = (shaping.cover, shaping.passes);
        self.expected = expected(&request);
        if let Side::Router(request_state) = &mut self.side {
            request_state.change(request, now);
            // Both directions together: the request leaves with the next cell.
            if let Some(message) = request_state.poll(now, false) {
                self.engine.send_control(message);
            }
        }
    }

    /// Changes what a home may ask for; it takes hold with the home's next request.
    pub fn set_limits(&mut self, new: HomeLimits) {
        if let Side::Endpoint { limits, .. } = &mut self.side {
            *limits = new;
        }
    }

    /// What an endpoint has granted this home; `None` on a router and before the home's first request.
    pub fn granted(&self) -> Option<&ShapingRequest> {
        match &self.side {
            Side::Router(_) => None,
            Side::Endpoint { granted, .. } => granted.as_ref(),
        }
    }

    /// Grants a home's request, for cells as long as the one that brought it: the two ways have one size.
    fn handle_request(&mut self, now: Nanos, request: ShapingRequest, payload_bytes: usize) -> Change {
        let Side::Endpoint { limits, granted, .. } = &mut self.side else { return Change::None };
        let possible = usize::from(request.cell_bytes) > payload_bytes;
        let Some(grant) = negotiation::grant(&request, *limits).filter(|_| possible) else {
            return Change::None;
        };
        let mean = grant.rate.interval(usize::from(grant.cell_bytes));
        let pace = Pace { law: grant.law, mean, spread_percent: grant.spread_percent };
        let change = if !self.sending {
            self.engine.restart(pace, now);
            self.sending = true;
            Change::Begun
        } else if *granted != Some(grant) {
            self.engine.set_pace(pace);
            Change::Regranted
        } else {
            Change::None
        };
        *granted = Some(grant);
        self.expected = expected(&grant);
        self.cover = grant.cover;
        self.engine.set_cover(grant.cover);
        self.engine.set_payload_bytes(payload_bytes);
        let stats = self.engine.stats();
        self.engine.send_control(ControlMessage::ShapingGrant(ShapingGrant {
            id: grant.id,
            law: grant.law,
            cell_bytes: grant.cell_bytes,
            rate: grant.rate,
            cells_received: stats.cells_received,
            cells_lost: stats.cells_lost,
        }));
        change
    }
}

/// The mean interval of the cells that come back. Without cover there are few but for the answers to requests.
fn expected(request: &ShapingRequest) -> Nanos {
    if request.cover { request.rate.interval(usize::from(request.cell_bytes)) } else { negotiation::REFRESH_PERIOD }
}

#[cfg(test)]
mod tests;
