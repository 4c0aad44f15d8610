//! The data plane as the other components see it: sessions, sockets and TUN interface together.

use std::net::Ipv4Addr;

use super::dataplane::DataPlane;
use super::dataplane::driver::{ArrivalEffect, Driver, PassedPacket};
use super::dataplane::session_report::SessionReport;
use super::dataplane::totals::{DelayTotals, Totals};
use super::error::Error;
use super::state::State;
#[cfg(feature = "endpoint")]
use crate::config::model::Key;
use crate::config::model::Settings;
use crate::core::CellKind;
#[cfg(feature = "endpoint")]
use crate::core::Stats;
use crate::sys::Tun;
use crate::sys::epoll::Poll;
use crate::tunnel;
use crate::units::Nanos;
use crate::wire::control::ShapingRequest;
use crate::wire::size::{CellSize, Encapsulation};

/// The data plane of this thread with its descriptors.
pub struct Planes {
    local: DataPlane,
    driver: Driver,
}

impl Planes {
    /// No sessions and no descriptors yet.
    pub fn new() -> Planes {
        Planes { local: DataPlane::new(), driver: Driver::new() }
    }

    /// The data plane of this thread.
    pub fn local(&self) -> &DataPlane {
        &self.local
    }

    /// The data plane of this thread, mutable.
    pub fn local_mut(&mut self) -> &mut DataPlane {
        &mut self.local
    }

    /// See [`Driver::run_departures`].
    pub fn run_departures(&mut self) -> Result<(), Error> {
        self.driver.run_departures(&mut self.local)
    }

    /// See [`Driver::unhandled_cells`].
    pub fn unhandled_cells(&self) -> Option<CellKind> {
        self.driver.unhandled_cells()
    }

    /// Moves many cells and packets by one system call, or one by each, as the sessions need it.
    pub fn update_batching(&mut self) {
        self.driver.set_batched(self.local.has_trains());
    }

    /// See [`DataPlane::missing_trains`].
    pub fn missing_trains(&self) -> Option<String> {
        self.local.missing_trains()
    }

    /// See [`Driver::receive_packets`].
    pub fn receive_packets(&mut self, poll: &Poll, observe: impl FnMut(PassedPacket)) -> ArrivalEffect {
        self.driver.receive_packets(&mut self.local, poll, observe)
    }

    /// See [`Driver::receive_cells`].
    pub fn receive_cells(&mut self, kind: CellKind, observe: impl FnMut(PassedPacket)) -> ArrivalEffect {
        self.driver.receive_cells(kind, &mut self.local, observe)
    }

    /// See [`DataPlane::handle_tick`].
    pub fn handle_tick(&mut self, now: Nanos) -> Vec<(Ipv4Addr, Nanos)> {
        self.local.handle_tick(now)
    }

    /// The best state of any session.
    pub fn state(&self, now: Nanos) -> State {
        self.local.state(now)
    }

    /// See [`DataPlane::has_gap`].
    pub fn has_gap(&mut self, now: Nanos) -> bool {
        self.local.has_gap(now)
    }

    /// The bytes that passed through all present sessions.
    pub fn totals(&self) -> Totals {
        self.local.sessions().totals()
    }

    /// The delays of the packets sent, over all present sessions.
    pub fn delays(&self) -> DelayTotals {
        self.local.sessions().delays()
    }

    /// See [`DataPlane::granted`].
    pub fn granted(&self) -> Option<&ShapingRequest> {
        self.local.granted()
    }

    /// See [`DataPlane::size`].
    pub fn size(&self) -> Option<CellSize> {
        self.local.size()
    }

    /// Whether no settings are in force yet.
    pub fn is_empty(&self) -> bool {
        self.local.sessions().all().is_empty()
    }

    /// Every session, in the order of the settings.
    pub fn reports(&self) -> Vec<SessionReport> {
        self.local.sessions().all().iter().map(SessionReport::new).collect()
    }

    /// The sums of these sessions and of those that were removed since the start: statistics, and bytes on the wire of
    /// their cells, sent and received.
    #[cfg(feature = "endpoint")]
    pub fn sums(&self, sessions: &[SessionReport]) -> (Stats, [u64; 2]) {
        let (mut stats, mut wire_bytes) = self.local.sessions().removed();
        for session in sessions {
            stats.add(&session.stats);
            wire_bytes = [wire_bytes[0] + session.wire_bytes[0], wire_bytes[1] + session.wire_bytes[1]];
        }
        (stats, wire_bytes)
    }

    /// The peers from which no cells come, and how long each has been silent.
    pub fn silent(&self, now: Nanos) -> Vec<(Ipv4Addr, Nanos)> {
        let sessions = self.local.sessions().all().iter().filter(|session| !session.state(now).is_up());
        sessions.map(|session| (session.peer(), session.silence(now).unwrap_or(Nanos::ZERO))).collect()
    }

    /// The public keys that homes have announced as their own since the last call.
    #[cfg(feature = "endpoint")]
    pub fn poll_key_updates(&mut self) -> Vec<(Ipv4Addr, Key)> {
        let sessions = self.local.sessions_mut().iter_mut();
        sessions.filter_map(|session| Some((session.peer(), session.poll_key_update()?))).collect()
    }

    /// See [`DataPlane::read_lateness`].
    #[cfg(feature = "endpoint")]
    pub fn read_lateness(&mut self, from: u32, peer: Option<Ipv4Addr>, now: Nanos) -> Result<String, String> {
        self.local.read_lateness(from, peer, now)
    }

    /// Whether both TUN interface and sockets are open.
    pub fn has_tunnel(&self) -> bool {
        self.driver.io.is_complete()
    }

    /// Whether the TUN interface is open.
    pub fn has_tun(&self) -> bool {
        self.driver.io.has_tun()
    }

    /// Takes over the TUN interface, in place of the one before.
    pub fn set_tun(&mut self, tun: Tun, poll: &Poll) -> Result<(), Error> {
        self.driver.io.set_tun(tun, poll)
    }

    /// Binds the sockets to the tunnel's interface, which has this index, unless they are bound to it already. Returns
    /// whether they were reopened.
    pub fn bind(&mut self, settings: &Settings, interface: u32, poll: &Poll) -> Result<bool, Error> {
        self.driver.io.bind(tunnel::interface(settings), interface, poll)
    }

    /// The same for an interface with that name.
    #[cfg(feature = "lab")]
    pub fn bind_to(&mut self, name: &str, interface: u32, poll: &Poll) -> Result<bool, Error> {
        self.driver.io.bind(name, interface, poll)
    }

    /// Closes the sockets.
    pub fn unbind(&mut self, poll: &Poll) {
        self.driver.io.unbind(poll);
    }

    /// See [`DataPlane::update`].
    pub fn update(
        &mut self,
        settings: &Settings,
        encapsulation: Encapsulation,
        is_new: bool,
        now: Nanos,
    ) -> Result<(), Error> {
        self.local.update(settings, encapsulation, is_new, now)
    }

    /// See [`DataPlane::update_limits`].
    pub fn update_limits(&mut self, settings: &Settings, now: Nanos) -> bool {
        self.local.update_limits(settings, now)
    }
}
