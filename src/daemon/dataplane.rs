//! The data plane: packets and cells, one session for each peer, and the times at which cells leave.
//!
//! [`DataPlane`] has no descriptor and no clock. [`driver`] moves packets and cells between it and the kernel.

mod bursts;
mod departure_queue;
pub mod device_traffic;
pub mod driver;
mod gap;
pub mod io;
mod key_watch;
#[cfg(feature = "endpoint")]
mod lateness_record;
mod liveness;
mod negotiation;
mod rehandshake;
pub mod session;
pub mod session_report;
pub mod sessions;
pub mod share;
mod spin_window;
pub mod totals;
mod train;

use std::net::Ipv4Addr;

use self::departure_queue::DepartureQueue;
use self::device_traffic::TrafficByDevice;
use self::gap::{GapWait, is_idle};
#[cfg(feature = "endpoint")]
use self::lateness_record::LatenessRecorder;
#[cfg(any(feature = "endpoint", feature = "lab"))]
use self::session::Session;
use self::session::{Change, SessionStep};
use self::sessions::Sessions;
#[cfg(feature = "endpoint")]
use self::share::Share;
use self::train::Train;
use crate::config::model::Settings;
use crate::daemon::error::Error;
use crate::daemon::shape;
use crate::daemon::state::State;
use crate::plan::device_tag;
use crate::plan::qdisc_tree::ShaperLimits;
use crate::units::{DeviceId, Nanos};
use crate::wire::control::ShapingRequest;
use crate::wire::size::{CellSize, Encapsulation};

/// With more sessions than this, some cell is always built and waiting. The loop then does not block on a cell that is
/// not due yet.
const MANY_SESSIONS: usize = 8;

/// With many sessions, departures within this window are handled together. Random intervals hide a lateness of this
/// order, and the window does not depend on traffic.
const COALESCE_WINDOW: Nanos = Nanos::from_micros(100);

/// Minimum time between two changes of the queueing tree's limits that homes cause.
const MIN_LIMITS_PERIOD: Nanos = Nanos::from_secs(1);

/// The sessions and the times of their departures.
pub struct DataPlane {
    sessions: Sessions,
    departures: DepartureQueue,
    device_traffic: TrafficByDevice,
    size: Option<CellSize>,
    /// The limits last given to the queueing tree.
    limits: Option<ShaperLimits>,
    /// When the limits may change again because of a home's request.
    limits_due: Nanos,
    /// The index of the session whose train leaves now, and the train.
    departing: Option<(usize, Train)>,
    /// Trains that have left, for their buffers.
    spare: Vec<Train>,
    gap: GapWait,
    #[cfg(feature = "endpoint")]
    recorder: LatenessRecorder,
}

/// The result of [`DataPlane::handle_timeout`].
pub enum Departure<'a> {
    /// A train was built. It leaves soon.
    Built,
    /// No cell was due.
    Idle,
    /// This train must leave now. [`DataPlane::handle_departure`] must follow.
    Train(&'a Train),
}

/// A packet for the devices, in the caller's buffer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Delivery {
    /// Its length in bytes.
    pub length: usize,
    /// The device that it is for.
    pub device: DeviceId,
    /// Whether it may be forwarded.
    pub is_accepted: bool,
}

impl DataPlane {
    /// No sessions yet.
    pub fn new() -> DataPlane {
        DataPlane {
            sessions: Sessions::none(),
            departures: DepartureQueue::default(),
            device_traffic: TrafficByDevice::default(),
            size: None,
            limits: None,
            limits_due: Nanos::ZERO,
            departing: None,
            spare: Vec::new(),
            gap: GapWait::default(),
            #[cfg(feature = "endpoint")]
            recorder: LatenessRecorder::default(),
        }
    }

    /// All sessions.
    pub fn sessions(&self) -> &Sessions {
        &self.sessions
    }

    /// All sessions, mutable. Their departures stay as they are.
    #[cfg(any(feature = "endpoint", feature = "lab"))]
    pub fn sessions_mut(&mut self) -> &mut [Box<Session>] {
        self.sessions.all_mut()
    }

    /// Serves only these homes of an endpoint, from the next update on.
    #[cfg(feature = "endpoint")]
    pub fn set_share(&mut self, share: Share) {
        self.sessions.set_share(share);
    }

    /// Takes the seeds of new engines from this source instead of the kernel.
    #[cfg(any(test, feature = "lab"))]
    pub fn set_seed_source(&mut self, draw_seed: self::sessions::SeedSource) {
        self.sessions.set_seed_source(draw_seed);
    }

    /// The traffic of each device from the Internet.
    pub fn device_traffic(&self) -> &TrafficByDevice {
        &self.device_traffic
    }

    /// Reads the record of departures to the peer with that address, or to the only peer; see
    /// [`LatenessRecorder::read`].
    ///
    /// # Errors
    /// Why there are no values, in one line.
    #[cfg(feature = "endpoint")]
    pub fn read_lateness(&mut self, from: u32, peer: Option<Ipv4Addr>, now: Nanos) -> Result<String, String> {
        let sessions = self.sessions.all();
        let session = match (peer, sessions) {
            (Some(peer), _) => {
                self.sessions.of_peer(peer).map(|index| &sessions[index]).ok_or("no home has that address")
            }
            (None, [session]) => Ok(session),
            (None, []) => Err("there is no tunnel yet: see millpond status"),
            (None, _) => Err("there are several homes: name one"),
        }?;
        self.recorder.read(from, session, now)
    }

    /// The size of a cell, once it is known.
    pub fn size(&self) -> Option<CellSize> {
        self.size
    }

    /// When [`DataPlane::handle_timeout`] is due next; `None` while nothing is sent.
    pub fn next_timeout(&self) -> Option<Nanos> {
        self.departures.next()
    }

    /// Builds the earliest train, or hands it out at its departure. To be called at [`DataPlane::next_timeout`]. With
    /// few sessions, nothing else may run between the build and the departure.
    pub fn handle_timeout(&mut self, now: Nanos) -> Departure<'_> {
        let Some((_, index)) = self.departures.pop() else { return Departure::Idle };
        match self.sessions.session_mut(index).handle_timeout(now, &mut self.spare) {
            SessionStep::Depart(train) => Departure::Train(&self.departing.insert((index, train)).1),
            step => {
                self.schedule(index);
                if matches!(step, SessionStep::Built) { Departure::Built } else { Departure::Idle }
            }
        }
    }

    /// Records that the train left at `now`, and schedules the session's next one.
    pub fn handle_departure(&mut self, now: Nanos) {
        let Some((index, train)) = self.departing.take() else { return };
        self.sessions.session_mut(index).handle_departure(train.scheduled, now);
        #[cfg(feature = "endpoint")]
        self.recorder.note(&self.sessions.all()[index], train.scheduled, now);
        self.spare.push(train);
        self.schedule(index);
    }

    /// Queues a packet from the devices. Returns the number of the device that sent it; `None` if the packet is for no
    /// peer.
    pub fn handle_packet(&mut self, now: Nanos, packet: &[u8]) -> Option<DeviceId> {
        let index = self.sessions.of_packet(packet)?;
        let device = self.device_traffic.note_upload(packet);
        self.sessions.session_mut(index).handle_packet(now, packet);
        Some(device)
    }

    /// Handles a cell from the peer with that address. Returns the index of its session, for
    /// [`DataPlane::poll_packet`], and the cell's effect on what the session sends; `None` for an unknown sender.
    pub fn handle_cell(&mut self, now: Nanos, from: Ipv4Addr, cell: &[u8]) -> Option<(usize, Change)> {
        let index = self.sessions.of_peer(from)?;
        let change = self.sessions.session_mut(index).handle_cell(now, cell);
        if change == Change::Started {
            self.departures.remove(index);
            self.schedule(index);
        }
        Some((index, change))
    }

    /// Copies the next packet that the session has for the devices into `buffer`.
    pub fn poll_packet(&mut self, index: usize, buffer: &mut [u8]) -> Option<Delivery> {
        let length = self.sessions.session_mut(index).poll_packet(buffer)?;
        let packet = &buffer[..length];
        let device = self.device_traffic.note_download(packet);
        Some(Delivery { length, device, is_accepted: self.sessions.accepts(index, packet) })
    }

    /// Whether a router holds its cells back because WireGuard may have no keys. [`DataPlane::note_handshake`] must
    /// then learn of a new handshake.
    pub fn holds_cells(&self, now: Nanos) -> bool {
        self.sessions.all().iter().any(|session| session.holds(now))
    }

    /// Records the time of the router's last WireGuard handshake, in Unix seconds; 0 for none. `None`: it is not known.
    pub fn note_handshake(&mut self, handshake_s: Option<u64>, now: Nanos) {
        for session in self.sessions.all_mut() {
            if let Some((watch, handshake_s)) = session.key_watch().zip(handshake_s) {
                watch.note_handshake(handshake_s, now);
            }
        }
        self.update_holds(now);
    }

    /// Lets no cell leave a router from now on, because WireGuard is about to get another peer, or another address for
    /// it. Cells in WireGuard's hands would leave later, and with a wrong size.
    pub fn pause_cells(&mut self, now: Nanos) {
        self.sessions.all_mut().iter_mut().filter_map(|session| session.key_watch()).for_each(|watch| watch.pause(now));
        self.update_holds(now);
    }

    /// Lets cells leave again as soon as WireGuard has keys.
    pub fn resume_cells(&mut self, now: Nanos) {
        let watches = self.sessions.all_mut().iter_mut().filter_map(|session| session.key_watch());
        if watches.filter_map(|watch| watch.resume(now).then_some(())).count() > 0 {
            self.update_holds(now);
        }
    }

    fn update_holds(&mut self, now: Nanos) {
        let sessions = self.sessions.all_mut().iter_mut();
        if sessions.filter_map(|session| (session.update_hold(now) == Change::Started).then_some(())).count() > 0 {
            self.departures = self.sessions.departures();
        }
    }

    /// Lets every session repeat its messages and update its state. Returns the tunnel addresses of the silent peers
    /// whose WireGuard handshakes need a look, and how long each is silent. To be called about once a second.
    pub fn handle_tick(&mut self, now: Nanos) -> Vec<(Ipv4Addr, Nanos)> {
        self.sessions.all_mut().iter_mut().for_each(|session| session.handle_tick(now));
        self.update_holds(now);
        self.sessions.poll_rehandshakes(now)
    }

    /// Updates the sessions to settings that are in force now, unless neither they nor the cell size changed. A peer
    /// that stays keeps its session and its schedule.
    ///
    /// # Errors
    /// [`Error::Unfit`] if no cell fits around the tunnel's headers. [`Error::System`] without random numbers.
    pub fn update(
        &mut self,
        settings: &Settings,
        encapsulation: Encapsulation,
        is_new: bool,
        now: Nanos,
    ) -> Result<(), Error> {
        let size = shape::cell_size(settings, encapsulation)?;
        if is_new || self.size != Some(size) {
            self.update_sessions(settings, size, encapsulation, now)?;
        }
        let granted = self.granted().copied();
        self.note_size(settings, size, granted.as_ref());
        Ok(())
    }

    /// Records the size of a cell, and the limits of the queueing tree that follow from it.
    pub fn note_size(&mut self, settings: &Settings, size: CellSize, granted: Option<&ShapingRequest>) {
        self.size = Some(size);
        self.limits = Some(shape::limits(settings, size, granted));
    }

    /// Updates the sessions to `settings` with cells of `size` in this encapsulation.
    pub fn update_sessions(
        &mut self,
        settings: &Settings,
        size: CellSize,
        encapsulation: Encapsulation,
        now: Nanos,
    ) -> Result<(), Error> {
        self.device_traffic.set_device_tag(crate::plan::device_tag(settings));
        self.sessions.update(settings, size, encapsulation, now)?;
        self.departures = self.sessions.departures();
        Ok(())
    }

    /// [`DataPlane::update_limits_to`] the grant of one of these sessions.
    #[cfg(any(test, feature = "lab"))]
    pub fn update_limits(&mut self, settings: &Settings, now: Nanos) -> bool {
        let granted = self.granted().copied();
        self.update_limits_to(settings, granted.as_ref(), now)
    }

    /// Updates the limits of the queueing tree to the rate and law granted to a home. Returns whether they changed, at
    /// most once a second: each change costs a reconcile job, and a home may send another request in each cell.
    pub fn update_limits_to(&mut self, settings: &Settings, granted: Option<&ShapingRequest>, now: Nanos) -> bool {
        let Some(size) = self.size else { return false };
        let limits = Some(shape::limits(settings, size, granted));
        if self.limits == limits || now < self.limits_due {
            return false;
        }
        self.limits = limits;
        self.limits_due = now + MIN_LIMITS_PERIOD;
        true
    }

    /// The grant with the longest train of all homes, of several such the first in the settings; `None` on a router.
    pub fn granted(&self) -> Option<&ShapingRequest> {
        self.sessions.all().iter().rev().filter_map(|session| session.granted()).max_by_key(|granted| granted.trains[1])
    }

    /// Whether cells leave or arrive in trains.
    pub fn has_trains(&self) -> bool {
        self.sessions.all().iter().any(|session| session.has_trains())
    }

    /// Lets no number of a device leave while the rules of these settings are loaded, before the settings are in force.
    pub fn expect_devices(&mut self, settings: &Settings) {
        let tag = device_tag(settings);
        self.sessions.all_mut().iter_mut().for_each(|session| session.engine_mut().clear_device_tag(tag));
    }

    /// Clears what is known about each device, because the numbers now mean other devices.
    pub fn forget_devices(&mut self) {
        self.device_traffic.clear();
        self.sessions.all_mut().iter_mut().for_each(|session| session.engine_mut().reset_device_stats());
    }

    /// Why the trains in the settings are not in force, on a router whose endpoint has answered without them.
    pub fn missing_trains(&self) -> Option<String> {
        self.sessions.all().iter().find_map(|session| session.missing_trains())
    }

    /// The best state of any session, so that an absent home does not degrade its endpoint.
    pub fn state(&self, now: Nanos) -> State {
        State::best(self.sessions.all().iter().map(|session| session.state(now)))
    }

    /// Whether a departure is due, so that the loop must not read further packets or cells.
    pub fn is_due(&self, now: Nanos) -> bool {
        self.departures.next().is_some_and(|next| next + self.slack() <= now)
    }

    /// Whether the next departure is far enough away for housekeeping.
    pub fn is_idle(&self, now: Nanos) -> bool {
        is_idle(self.departures.next(), now)
    }

    /// Whether housekeeping may run now: in a gap between departures, or after it has waited for long. The caller tries
    /// again later if not.
    pub fn has_gap(&mut self, now: Nanos) -> bool {
        self.gap.has_gap(self.departures.next(), now)
    }

    /// How long a departure may wait so that others are handled with it.
    pub fn slack(&self) -> Nanos {
        if self.has_many_sessions() { COALESCE_WINDOW } else { Nanos::ZERO }
    }

    /// Whether there are so many sessions that some cell is always built and waiting.
    pub fn has_many_sessions(&self) -> bool {
        self.sessions.all().len() > MANY_SESSIONS
    }

    fn schedule(&mut self, index: usize) {
        if let Some(next) = self.sessions.session_mut(index).next_timeout() {
            self.departures.add(next, index);
        }
    }
}

#[cfg(test)]
mod tests;
