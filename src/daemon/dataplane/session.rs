//! A session: the engine towards one peer, the next cell to leave, and the negotiation with the peer.

mod burst_state;
mod line;
mod step;

use std::net::Ipv4Addr;

pub use self::burst_state::BurstReport;
use self::burst_state::BurstState;
pub use self::step::{Change, SessionStep};
use crate::config::model::Key;
use crate::core::{Engine, Limits, Pace, Params};
use crate::daemon::dataplane::key_watch::KeyWatch;
use crate::daemon::dataplane::liveness::Liveness;
use crate::daemon::dataplane::negotiation::{self, HomeLimits, RequestState};
use crate::daemon::dataplane::rehandshake::Rehandshake;
use crate::daemon::dataplane::train::Train;
use crate::daemon::shape::{LEAD, Shaping, lead};
use crate::daemon::state::{State, StateSince};
use crate::units::Nanos;
use crate::wire::control::{ControlMessage, ShapingGrant, ShapingRequest};

/// An endpoint keeps sending to a silent home for this long, then stops until the next valid request. A router looks
/// for another address of its endpoint after a little more. It may come back over the other IP version, for which the
/// cells would be too large. After 50 s WireGuard may have no keys, and would keep the cells and send them in one burst
/// (`key_watch`).
const ABANDON_TIMEOUT: Nanos = Nanos::from_secs(5);
/// The same without cover: longer than between two requests of a home that has nothing to say.
const QUIET_ABANDON_TIMEOUT: Nanos = Nanos::from_secs(40);

/// One peer and the traffic to and from it.
pub struct Session {
    name: String,
    peer: Ipv4Addr,
    engine: Engine,
    /// The mean interval of the peer's cells.
    expected_interval: Nanos,
    sending: bool,
    cover: bool,
    forwards: bool,
    /// The next train, from the time it is built until it leaves.
    built: Option<Train>,
    liveness: Liveness,
    rehandshake: Rehandshake,
    key_watch: Option<KeyWatch>,
    /// Whether the next cell is the only one, while others are held back.
    knocks: bool,
    /// A router's bursts, if the settings have any.
    bursts: Option<BurstState>,
    state_since: StateSince,
    side: Side,
    /// Bytes that a cell has on the wire besides its UDP payload.
    overhead_bytes: u64,
    /// Cells sent that `wire_bytes` includes.
    counted_cells: u64,
    /// Bytes of the cells on the wire, sent and received.
    wire_bytes: [u64; 2],
}

enum Side {
    /// A router sends a request.
    Router(RequestState),
    /// An endpoint grants the request of one home. `key_update` is the public key that the home announced as its own.
    Endpoint { limits: HomeLimits, granted: Option<ShapingRequest>, key_update: Option<Key> },
}

impl Session {
    /// A router's session to its endpoint. It sends from now on, and sends `request` for the download direction.
    pub fn router(peer: Ipv4Addr, shaping: Shaping, request: ShapingRequest, seed: [u8; 32], now: Nanos) -> Session {
        let overhead_bytes = overhead(&request, shaping.payload_bytes);
        let mut request_state = RequestState::new(request, now);
        request_state.set_upload(shaping);
        let expected_interval = request_state.expected_interval();
        // Until the endpoint has granted trains, cells leave one by one.
        let (pace, train) = shaping.without_trains();
        let (side, shaping) = (Side::Router(request_state), Shaping { pace, train, ..shaping });
        let idle = Session::idle("endpoint".into(), peer, shaping, side, seed, now);
        Session { sending: true, expected_interval, overhead_bytes, ..idle }
    }

    /// An endpoint's session to a home. It sends nothing until the home's first request.
    pub fn endpoint(name: String, peer: Ipv4Addr, limits: HomeLimits, seed: [u8; 32], now: Nanos) -> Session {
        let pace = Pace { law: Default::default(), mean: Nanos::from_secs(1), spread_percent: 33 };
        let shaping = Shaping { pace, train: 1, payload_bytes: 0, cover: true, forwards: true };
        let side = Side::Endpoint { limits, granted: None, key_update: None };
        let overhead_bytes = limits.encapsulation.wire_bytes(0) as u64;
        Session { overhead_bytes, ..Session::idle(name, peer, shaping, side, seed, now) }
    }

    fn idle(name: String, peer: Ipv4Addr, shaping: Shaping, side: Side, seed: [u8; 32], now: Nanos) -> Session {
        let Shaping { pace, payload_bytes, cover, forwards, .. } = shaping;
        let params = Params { payload_bytes, pace, lead: LEAD, limits: Limits::default() };
        let mut engine = Engine::new(params, seed, now);
        engine.set_cover(cover);
        Session {
            name,
            peer,
            engine,
            expected_interval: pace.mean,
            sending: false,
            cover,
            forwards,
            built: None,
            liveness: Liveness::default(),
            rehandshake: Rehandshake::default(),
            key_watch: None,
            knocks: false,
            bursts: None,
            state_since: StateSince::new(now),
            side,
            overhead_bytes: 0,
            counted_cells: 0,
            wire_bytes: [0; 2],
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

    /// The engine, read-only.
    pub fn engine(&self) -> &Engine {
        &self.engine
    }

    /// The engine, for what concerns devices only.
    pub fn engine_mut(&mut self) -> &mut Engine {
        &mut self.engine
    }

    /// Continues all counters from these, before the first cell: a test need not wait for large ones.
    #[cfg(feature = "lab")]
    pub fn count_from(&mut self, stats: crate::core::Stats, wire_bytes: [u64; 2]) {
        (self.counted_cells, self.wire_bytes) = (stats.cells_data + stats.cells_cover, wire_bytes);
        self.engine.count_from(stats);
    }

    /// The session's state at `now`.
    pub fn state(&self, now: Nanos) -> State {
        match (&self.side, self.sending) {
            (Side::Endpoint { .. }, false) => State::Starting,
            _ => match self.liveness.state(now, self.expected_interval) {
                State::Shaping if !self.cover => State::Paused,
                state => state,
            },
        }
    }

    /// Whether cover cells are sent.
    pub fn covers(&self) -> bool {
        self.cover
    }

    /// The pace of this end, and the expected pace of the peer if it is known.
    pub fn paces(&self) -> [Option<Pace>; 2] {
        let peer = match &self.side {
            Side::Router(request_state) => {
                let request = request_state.request();
                let (law, spread_percent) = (request.law, request.spread_percent);
                Some(Pace { law, mean: self.expected_interval, spread_percent })
            }
            Side::Endpoint { .. } => None,
        };
        [Some(self.engine.pace()), peer]
    }

    /// Whether the devices' packets are forwarded at all.
    pub fn forwards(&self) -> bool {
        self.forwards
    }

    /// The state at the last [`Session::handle_tick`], and when it began.
    pub fn state_since(&self) -> StateSince {
        self.state_since
    }

    /// When [`Session::handle_timeout`] is due next; `None` while the session sends nothing.
    pub fn next_timeout(&self) -> Option<Nanos> {
        match &self.built {
            Some(train) => Some(train.scheduled),
            None => self.sending.then(|| self.engine.poll_timeout().0),
        }
    }

    /// Builds the next train, or hands out the built one to be sent. To be called at [`Session::next_timeout`]. The
    /// train takes its buffer from `spare`, where the caller puts trains that have left.
    pub fn handle_timeout(&mut self, now: Nanos, spare: &mut Vec<Train>) -> SessionStep {
        if let Some(train) = self.built.take() {
            self.sending &= !std::mem::take(&mut self.knocks);
            return SessionStep::Depart(train);
        }
        if !self.sending {
            return SessionStep::Idle;
        }
        let mut train = spare.pop().unwrap_or_else(Train::new);
        if train.build(&mut self.engine, self.peer, now) {
            self.built = Some(train);
            SessionStep::Built
        } else {
            spare.push(train);
            SessionStep::Idle
        }
    }

    /// Records when a cell has left.
    pub fn handle_departure(&mut self, scheduled: Nanos, actual: Nanos) {
        self.engine.handle_departure(scheduled, actual);
    }

    /// Queues a packet for the peer. The packet is dropped if the session does not send or does not forward.
    pub fn handle_packet(&mut self, now: Nanos, packet: &[u8]) {
        if self.sending && self.forwards {
            self.engine.handle_packet(now, packet);
        }
    }

    /// Handles a cell from the peer. Returns its effect on the session's own sending.
    pub fn handle_cell(&mut self, now: Nanos, cell: &[u8]) -> Change {
        self.liveness.note_cell(now);
        self.wire_bytes[1] += self.overhead_bytes + cell.len() as u64;
        self.engine.handle_cell(cell);
        self.key_watch.iter_mut().for_each(|watch| watch.note_cell(now));
        let change = if self.sending { Change::None } else { self.update_hold(now) };
        match self.engine.poll_control() {
            Some(ControlMessage::ShapingRequest(request)) => self.handle_request(now, request, cell.len()),
            Some(ControlMessage::ShapingGrant(grant)) => {
                if let Side::Router(request_state) = &mut self.side {
                    request_state.handle_grant(&grant);
                    self.expected_interval = request_state.expected_interval();
                    self.update_upload();
                }
                change
            }
            Some(ControlMessage::KeyUpdate(key)) => {
                let Side::Endpoint { key_update, .. } = &mut self.side else { return change };
                *key_update = Some(Key(key));
                change
            }
            Some(ControlMessage::BurstPlan(plan)) => self.handle_burst_plan(now, &plan, change),
            Some(ControlMessage::BurstGrant(grant)) => self.handle_burst_grant(now, grant, change),
            None => change,
        }
    }

    /// The next packet from the peer for the devices.
    pub fn poll_packet(&mut self, buf: &mut [u8]) -> Option<usize> {
        self.engine.poll_packet(buf)
    }

    /// Repeats messages that the peer may have missed, and updates counters and state. To be called about once a
    /// second.
    pub fn handle_tick(&mut self, now: Nanos) {
        self.count_wire_bytes();
        let state = self.liveness.state(now, self.expected_interval);
        match &mut self.side {
            Side::Router(request_state) => {
                if let Some(message) = request_state.poll(now, !state.is_up()) {
                    self.engine.send_control(message);
                }
            }
            Side::Endpoint { granted, .. } => {
                let timeout = if self.cover { ABANDON_TIMEOUT } else { QUIET_ABANDON_TIMEOUT };
                if self.liveness.silence(now).is_some_and(|silence| silence > timeout) {
                    self.sending = false;
                    self.built = None;
                    *granted = None;
                }
            }
        }
        self.tick_bursts(state.is_up(), now);
        self.state_since.note(self.state(now), now);
    }

    /// Bytes on the wire of the cells sent, up to the last tick, and received.
    pub fn wire_bytes(&self) -> [u64; 2] {
        self.wire_bytes
    }

    /// Counts the cells sent so far. To be called before their size changes.
    fn count_wire_bytes(&mut self) {
        let sent = self.engine.stats().cells_data + self.engine.stats().cells_cover;
        let cell_bytes = self.overhead_bytes + self.engine.payload_bytes() as u64;
        self.wire_bytes[0] += (sent - self.counted_cells) * cell_bytes;
        self.counted_cells = sent;
    }

    /// Changes a router's session in place: the upload from the next interval on, the download once the endpoint has
    /// received the request.
    pub fn reshape(&mut self, shaping: Shaping, request: ShapingRequest, now: Nanos) {
        if let Side::Router(request_state) = &mut self.side {
            request_state.set_upload(shaping);
        }
        self.update_upload();
        self.count_wire_bytes();
        self.overhead_bytes = overhead(&request, shaping.payload_bytes);
        self.engine.set_payload_bytes(shaping.payload_bytes);
        self.engine.set_cover(shaping.cover);
        if shaping.cover && !self.cover {
            // Without cover the peer's silence was expected.
            self.liveness.note_cell(now);
        }
        (self.cover, self.forwards) = (shaping.cover, shaping.forwards);
        if let Side::Router(request_state) = &mut self.side {
            request_state.change(request, now);
            self.expected_interval = request_state.expected_interval();
            // Both directions change together: the request leaves with the next cell.
            if let Some(message) = request_state.poll(now, false) {
                self.engine.send_control(message);
            }
        }
    }

    /// Gives a router's engine the pace and the train in force.
    fn update_upload(&mut self) {
        let Side::Router(request_state) = &self.side else { return };
        if let Some((pace, train)) = request_state.upload() {
            if pace != self.engine.pace() {
                self.engine.set_pace(pace);
            }
            self.engine.set_train(train);
            self.engine.set_lead(lead(pace, train));
        }
    }

    /// Changes a home's limits, from its next request on.
    pub fn set_limits(&mut self, new: HomeLimits) {
        if let Side::Endpoint { limits, .. } = &mut self.side {
            *limits = new;
        }
    }

    /// The request as granted to this home; `None` on a router and before the home's first request.
    pub fn granted(&self) -> Option<&ShapingRequest> {
        match &self.side {
            Side::Router(_) => None,
            Side::Endpoint { granted, .. } => granted.as_ref(),
        }
    }

    /// Grants a home's request. Cells to the home get the size of the cell that brought the request: both directions
    /// use one size.
    fn handle_request(&mut self, now: Nanos, request: ShapingRequest, payload_bytes: usize) -> Change {
        let Side::Endpoint { limits, granted, .. } = &mut self.side else { return Change::None };
        let Some(grant) = negotiation::grant(&request, payload_bytes, *limits) else { return Change::None };
        let [_, train] = grant.trains;
        let pace = Pace::of_trains(grant.law, grant.spread_percent, grant.rate, grant.cell_bytes.into(), train);
        self.engine.set_train(train);
        self.engine.set_lead(lead(pace, train));
        let change = if !self.sending {
            self.engine.restart(pace, now);
            self.sending = true;
            Change::Started
        } else if *granted != Some(grant) {
            self.engine.set_pace(pace);
            Change::Regranted
        } else {
            Change::None
        };
        *granted = Some(grant);
        self.expected_interval = negotiation::expected_interval(&grant);
        self.cover = grant.cover;
        self.engine.set_cover(grant.cover);
        self.count_wire_bytes();
        self.overhead_bytes = overhead(&grant, payload_bytes);
        self.engine.set_payload_bytes(payload_bytes);
        let stats = self.engine.stats();
        self.engine.send_control(ControlMessage::ShapingGrant(ShapingGrant {
            id: grant.id,
            law: grant.law,
            cell_bytes: grant.cell_bytes,
            rate: grant.rate,
            cells_received: stats.cells_received,
            cells_lost: stats.cells_lost,
            trains: grant.trains,
        }));
        change
    }
}

/// Bytes that a cell of `payload_bytes` has on the wire besides its payload.
fn overhead(request: &ShapingRequest, payload_bytes: usize) -> u64 {
    u64::from(request.cell_bytes).saturating_sub(payload_bytes as u64)
}

#[cfg(test)]
mod tests;
