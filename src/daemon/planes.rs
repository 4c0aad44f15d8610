//! The data plane as the other components see it: sessions, sockets and TUN interface together, of this thread on a
//! router, of several threads on an endpoint.

use std::net::Ipv4Addr;

use super::dataplane::DataPlane;
use super::dataplane::driver::{ArrivalEffect, Driver, PassedPacket};
use super::dataplane::session_report::SessionReport;
use super::dataplane::totals::{DelayTotals, Totals};
use super::error::Error;
#[cfg(feature = "endpoint")]
use super::shape;
#[cfg(feature = "endpoint")]
use super::shards::{Inspection, Shards};
use super::state::State;
use crate::config::model::Settings;
#[cfg(feature = "endpoint")]
use crate::config::model::{Key, Role};
use crate::core::CellKind;
use crate::sys::Tun;
use crate::sys::epoll::Poll;
#[cfg(feature = "endpoint")]
use crate::sys::{kernel, realtime};
use crate::tunnel;
use crate::units::Nanos;
use crate::wire::control::ShapingRequest;
use crate::wire::size::{CellSize, Encapsulation};

/// The data plane of this thread with its descriptors, or the threads that serve an endpoint's homes.
pub struct Planes {
    local: DataPlane,
    driver: Driver,
    #[cfg(feature = "endpoint")]
    shards: Shards,
}

impl Planes {
    /// No sessions and no descriptors yet.
    pub fn new() -> Planes {
        Planes {
            local: DataPlane::new(),
            driver: Driver::new(),
            #[cfg(feature = "endpoint")]
            shards: Shards::default(),
        }
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
        self.driver.receive_packets(&mut self.local, poll, observe, |_| {})
    }

    /// See [`Driver::receive_cells`].
    pub fn receive_cells(&mut self, kind: CellKind, observe: impl FnMut(PassedPacket)) -> ArrivalEffect {
        self.driver.receive_cells(kind, &mut self.local, observe)
    }

    /// See [`DataPlane::handle_tick`].
    pub fn handle_tick(&mut self, now: Nanos) -> Vec<(Ipv4Addr, Nanos)> {
        #[cfg(feature = "endpoint")]
        if self.is_sharded() {
            return self.shards.poll_silent();
        }
        self.local.handle_tick(now)
    }

    /// Handles what the threads of an endpoint have reported.
    ///
    /// # Errors
    /// The error that ended a thread.
    #[cfg(feature = "endpoint")]
    pub fn handle_shards(&mut self, now: Nanos) -> Result<ArrivalEffect, Error> {
        self.shards.handle_events(now)
    }

    /// Why this machine is too small for its homes, if it is.
    #[cfg(feature = "endpoint")]
    pub fn overload(&mut self, now: Nanos) -> Option<String> {
        self.shards.overload(now)
    }

    /// Whether other threads serve the homes.
    #[cfg(feature = "endpoint")]
    fn is_sharded(&self) -> bool {
        self.shards.count() > 0
    }

    /// The best state of any session.
    pub fn state(&self, now: Nanos) -> State {
        #[cfg(feature = "endpoint")]
        if self.is_sharded() {
            return self.shards.state();
        }
        self.local.state(now)
    }

    /// See [`DataPlane::has_gap`].
    pub fn has_gap(&mut self, now: Nanos) -> bool {
        self.local.has_gap(now)
    }

    /// The bytes that passed through all present sessions, and the delays of the packets sent.
    pub fn totals(&self) -> (Totals, DelayTotals) {
        #[cfg(feature = "endpoint")]
        if self.is_sharded() {
            return self.shards.totals();
        }
        (self.local.sessions().totals(), self.local.sessions().delays())
    }

    /// See [`DataPlane::granted`].
    pub fn granted(&self) -> Option<&ShapingRequest> {
        #[cfg(feature = "endpoint")]
        if self.is_sharded() {
            return self.shards.granted();
        }
        self.local.granted()
    }

    /// See [`DataPlane::size`].
    pub fn size(&self) -> Option<CellSize> {
        self.local.size()
    }

    /// Whether no settings are in force yet.
    pub fn is_empty(&self) -> bool {
        #[cfg(feature = "endpoint")]
        if self.is_sharded() {
            return self.shards.is_empty();
        }
        self.local.sessions().all().is_empty()
    }

    /// Every session, in the order of the settings.
    pub fn reports(&self) -> Vec<SessionReport> {
        #[cfg(feature = "endpoint")]
        if self.is_sharded() {
            return self.shards.inspect().sessions;
        }
        self.local.sessions().all().iter().map(|session| SessionReport::new(session)).collect()
    }

    /// Every session, in the order of the settings, and the sums of those that were removed.
    #[cfg(feature = "endpoint")]
    pub fn inspect(&self) -> Inspection {
        if self.is_sharded() {
            return self.shards.inspect();
        }
        Inspection { sessions: self.reports(), removed: self.local.sessions().removed() }
    }

    /// The peers from which no cells come, and how long each has been silent.
    pub fn silent(&self, now: Nanos) -> Vec<(Ipv4Addr, Nanos)> {
        #[cfg(feature = "endpoint")]
        if self.is_sharded() {
            let reports = self.reports();
            let silent = reports.iter().filter(|session| !session.state_since.state.is_up());
            return silent.map(|session| (session.peer, now.saturating_since(session.state_since.since))).collect();
        }
        let sessions = self.local.sessions().all().iter().filter(|session| !session.state(now).is_up());
        sessions.map(|session| (session.peer(), session.silence(now).unwrap_or(Nanos::ZERO))).collect()
    }

    /// The public keys that homes have announced as their own since the last call.
    #[cfg(feature = "endpoint")]
    pub fn poll_key_updates(&mut self) -> Vec<(Ipv4Addr, Key)> {
        let sessions = self.local.sessions_mut().iter_mut();
        let own = sessions.filter_map(|session| Some((session.peer(), session.poll_key_update()?)));
        own.chain(self.shards.poll_key_updates()).collect()
    }

    /// See [`DataPlane::read_lateness`].
    #[cfg(feature = "endpoint")]
    pub fn read_lateness(&mut self, from: u32, peer: Option<Ipv4Addr>, now: Nanos) -> Result<String, String> {
        if self.is_sharded() {
            return self.shards.read_lateness(from, peer);
        }
        self.local.read_lateness(from, peer, now)
    }

    /// Whether both TUN interface and sockets are open.
    pub fn has_tunnel(&self) -> bool {
        #[cfg(feature = "endpoint")]
        if self.is_sharded() {
            return self.shards.has_tunnel();
        }
        self.driver.io.is_complete()
    }

    /// Whether the TUN interface is open.
    pub fn has_tun(&self) -> bool {
        #[cfg(feature = "endpoint")]
        if self.shards.has_tun() {
            return true;
        }
        self.driver.io.has_tun()
    }

    /// Takes over the TUN interface, in place of the one before. [`Planes::bind`] must follow.
    pub fn set_tun(&mut self, tun: Tun, poll: &Poll) -> Result<(), Error> {
        self.driver.io.set_tun(tun, poll)
    }

    /// Binds the sockets to the tunnel's interface, which has this index, unless they are bound to it already. Returns
    /// whether they were reopened.
    pub fn bind(&mut self, settings: &Settings, interface: u32, poll: &Poll) -> Result<bool, Error> {
        self.bind_to(settings, tunnel::interface(settings), interface, poll)
    }

    /// The same for an interface with that name.
    pub fn bind_to(&mut self, settings: &Settings, name: &str, interface: u32, poll: &Poll) -> Result<bool, Error> {
        #[cfg(feature = "endpoint")]
        if self.use_threads(settings, poll)? {
            if let Some(tun) = self.driver.io.take_tun(poll) {
                self.shards.set_tun(tun)?;
            }
            return self.shards.bind(name, interface);
        }
        #[cfg(not(feature = "endpoint"))]
        let _ = settings;
        self.driver.io.bind(name, interface, poll)
    }

    /// Starts or ends the threads of an endpoint. Returns whether there are any. A router stays with this thread.
    #[cfg(feature = "endpoint")]
    fn use_threads(&mut self, settings: &Settings, poll: &Poll) -> Result<bool, Error> {
        let processors = kernel::processors();
        let count = match settings.role {
            Role::Router => 0,
            Role::Endpoint => settings.threads.map_or(processors, u32::from).min(processors),
        };
        if self.shards.start(count, poll)? {
            // Other threads carry the cells from now on, and come before this one.
            realtime::leave();
            self.driver.io.unbind(poll);
            self.local = DataPlane::new();
        }
        Ok(count > 0)
    }

    /// Closes the sockets.
    pub fn unbind(&mut self, poll: &Poll) {
        #[cfg(feature = "endpoint")]
        self.shards.unbind();
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
        #[cfg(feature = "endpoint")]
        if self.is_sharded() {
            let size = shape::cell_size(settings, encapsulation)?;
            if is_new || self.local.size() != Some(size) || self.shards.is_empty() {
                self.shards.update(settings, size, encapsulation);
            }
            self.local.note_size(settings, size, self.shards.granted());
            return Ok(());
        }
        self.local.update(settings, encapsulation, is_new, now)
    }

    /// See [`DataPlane::update_limits`].
    pub fn update_limits(&mut self, settings: &Settings, now: Nanos) -> bool {
        let granted = self.granted().copied();
        self.local.update_limits_to(settings, granted.as_ref(), now)
    }
}
