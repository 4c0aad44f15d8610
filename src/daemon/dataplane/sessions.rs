//! All sessions of this host: one on a router, one for each home on an endpoint.

use std::io;
use std::net::{Ipv4Addr, Ipv6Addr};

use crate::config::model::{Key, Role, Settings, Tunnel};
#[cfg(feature = "endpoint")]
use crate::core::Stats;
use crate::daemon::dataplane::departure_queue::DepartureQueue;
use crate::daemon::dataplane::negotiation::HomeLimits;
use crate::daemon::dataplane::session::Session;
use crate::daemon::dataplane::share::Share;
use crate::daemon::dataplane::totals::{DelayTotals, Totals};
use crate::daemon::error::Error;
use crate::daemon::shape;
use crate::sys::random;
use crate::tunnel;
use crate::units::{Chance, Nanos};
use crate::wire::size::{CellSize, Encapsulation};

/// The sessions, and their indices by address.
pub struct Sessions {
    /// Boxed, so that an update with many homes moves only pointers.
    all: Vec<Box<Session>>,
    /// Session indices by the source address of the cells, sorted.
    by_peer: Vec<(Ipv4Addr, usize)>,
    /// Session indices by the IPv6 address of a home's devices, sorted.
    by_address6: Vec<(Ipv6Addr, usize)>,
    role: Role,
    /// The homes of an endpoint that these sessions serve.
    share: Share,
    /// The sums of the sessions that were removed, for the metrics.
    #[cfg(feature = "endpoint")]
    removed: Box<RemovedHomes>,
    draw_seed: SeedSource,
    /// The probability `linger` of bursts that follows from what was watched, if there is one.
    linger: Option<Chance>,
}

/// Where the seeds of new engines come from.
pub type SeedSource = fn() -> io::Result<[u8; 32]>;

/// The sums of removed homes. Without them the daemon's counters would go back.
#[cfg(feature = "endpoint")]
#[derive(Default)]
struct RemovedHomes {
    stats: Stats,
    wire_bytes: [u64; 2],
}

impl Sessions {
    /// No sessions yet.
    pub fn none() -> Sessions {
        Sessions {
            all: Vec::new(),
            by_peer: Vec::new(),
            by_address6: Vec::new(),
            role: Role::Router,
            share: Share::ALL,
            #[cfg(feature = "endpoint")]
            removed: Box::default(),
            draw_seed: random::seed,
            linger: None,
        }
    }

    /// Sets the probability `linger` of bursts that follows from what was watched, for the next update.
    pub fn set_linger(&mut self, linger: Option<Chance>) {
        self.linger = linger;
    }

    /// Serves only these homes of an endpoint, from the next update on.
    #[cfg(feature = "endpoint")]
    pub fn set_share(&mut self, share: Share) {
        self.share = share;
    }

    /// Takes the seeds of new engines from this source instead of the kernel.
    #[cfg(any(test, feature = "lab"))]
    pub fn set_seed_source(&mut self, draw_seed: SeedSource) {
        self.draw_seed = draw_seed;
    }

    /// Updates the sessions to changed settings, with cells of `size` in the tunnel's `encapsulation`. A peer that
    /// stays keeps its session and its schedule.
    pub fn update(
        &mut self,
        settings: &Settings,
        size: CellSize,
        encapsulation: Encapsulation,
        now: Nanos,
    ) -> Result<(), Error> {
        if self.role != settings.role {
            self.all.clear();
            self.by_peer.clear();
        }
        self.role = settings.role;
        match settings.role {
            Role::Router => self.update_router(settings, size, now)?,
            Role::Endpoint => self.update_homes(settings, encapsulation, now)?,
        }
        let share = self.share;
        self.by_peer = self.all.iter().enumerate().map(|(index, session)| (session.peer(), index)).collect();
        self.by_peer.sort_unstable();
        let homes = settings.homes.iter().filter(|home| share.owns(home.address)).zip(0..self.all.len());
        self.by_address6 = homes.filter_map(|(home, index)| Some((home.address6?, index))).collect();
        self.by_address6.sort_unstable();
        Ok(())
    }

    /// All sessions, in the order of the settings.
    pub fn all(&self) -> &[Box<Session>] {
        &self.all
    }

    /// All sessions, mutable.
    pub fn all_mut(&mut self) -> &mut [Box<Session>] {
        &mut self.all
    }

    /// Tunnel addresses of the silent peers whose WireGuard handshakes need a look now, and how long each is silent.
    pub fn poll_rehandshakes(&mut self, now: Nanos) -> Vec<(Ipv4Addr, Nanos)> {
        self.all.iter_mut().filter_map(|session| Some((session.peer(), session.poll_rehandshake(now)?))).collect()
    }

    /// The session with that index in the departure queue.
    pub fn session_mut(&mut self, index: usize) -> &mut Session {
        &mut self.all[index]
    }

    /// The index of the session whose cells come from `peer`.
    pub fn of_peer(&self, peer: Ipv4Addr) -> Option<usize> {
        let position = self.by_peer.binary_search_by_key(&peer, |(address, _)| *address).ok()?;
        Some(self.by_peer[position].1)
    }

    /// The index of the session for a packet from the TUN interface. On a router it is the only session. On an endpoint
    /// it is the home with the packet's destination address.
    pub fn of_packet(&self, packet: &[u8]) -> Option<usize> {
        match (self.role, packet) {
            (Role::Router, _) => (!self.all.is_empty()).then_some(0),
            (Role::Endpoint, [0x40..0x50, ..]) => self.of_peer(ipv4_at(packet, 16)?),
            (Role::Endpoint, [0x60..0x70, ..]) => self.of_home6(ipv6_at(packet, 24)?),
            (Role::Endpoint, _) => None,
        }
    }

    /// Whether a packet from a cell of that session may be forwarded. On an endpoint its source must be the home's own
    /// address, or one home could spoof another. On a router the session must forward; the kernel routes the packet.
    pub fn accepts(&self, index: usize, packet: &[u8]) -> bool {
        let sender = match (self.role, packet) {
            (Role::Router, _) => return self.all.get(index).is_some_and(|session| session.forwards()),
            (Role::Endpoint, [0x40..0x50, ..]) => ipv4_at(packet, 12).and_then(|address| self.of_peer(address)),
            (Role::Endpoint, [0x60..0x70, ..]) => ipv6_at(packet, 8).and_then(|address| self.of_home6(address)),
            (Role::Endpoint, _) => None,
        };
        sender == Some(index)
    }

    fn of_home6(&self, address: Ipv6Addr) -> Option<usize> {
        let position = self.by_address6.binary_search_by_key(&address, |(address, _)| *address).ok()?;
        Some(self.by_address6[position].1)
    }

    /// The sums of the sessions that were removed: statistics, and bytes on the wire of their cells, sent and received.
    #[cfg(feature = "endpoint")]
    pub fn removed(&self) -> (Stats, [u64; 2]) {
        (self.removed.stats.clone(), self.removed.wire_bytes)
    }

    /// The bytes that passed through all present sessions.
    pub fn totals(&self) -> Totals {
        let mut totals = Totals::default();
        for session in &self.all {
            let stats = session.engine().stats();
            let [sent, received] = session.wire_bytes();
            let (up, down) = match self.role {
                Role::Router => ((stats.bytes_in, sent), (stats.bytes_out, received)),
                Role::Endpoint => ((stats.bytes_out, received), (stats.bytes_in, sent)),
            };
            totals.home_upload += up.0;
            totals.wire_upload += up.1;
            totals.home_download += down.0;
            totals.wire_download += down.1;
        }
        totals
    }

    /// The delays of the packets sent, over all present sessions.
    pub fn delays(&self) -> DelayTotals {
        let delays = self.all.iter().map(|session| &session.engine().stats().delay);
        delays.fold(DelayTotals::default(), |sum, delay| DelayTotals {
            count: sum.count + delay.count(),
            sum: sum.sum.saturating_add(delay.sum()),
        })
    }

    /// A departure queue with the next action of each session.
    pub fn departures(&self) -> DepartureQueue {
        let mut departures = DepartureQueue::default();
        for (index, session) in self.all.iter().enumerate() {
            session.next_timeout().into_iter().for_each(|next| departures.add(next, index));
        }
        departures
    }

    fn update_router(&mut self, settings: &Settings, size: CellSize, now: Nanos) -> Result<(), Error> {
        let Some(peer) = peer_address(settings) else {
            return Err(Error::Unfit("tunnel.peer_address: missing, a router needs it".into()));
        };
        let (shaping, request) = (shape::shaping(settings, size), shape::request(settings, size));
        match &mut self.all[..] {
            [session] if session.peer() == peer => session.reshape(shaping, request, now),
            _ => self.all = vec![Box::new(Session::router(peer, shaping, request, self.seed()?, now))],
        }
        self.all[0].set_bursts(shape::bursts(settings, size, self.linger), now);
        self.all[0].engine_mut().set_device_tag(crate::plan::device_tag(settings));
        self.all[0].set_key_update(key_update(settings));
        let has_handshakes = tunnel::properties(settings).is_some_and(|tunnel| tunnel.handshake_key.is_some());
        self.all[0].set_key_watch(has_handshakes, now);
        self.all[0].update_hold(now);
        Ok(())
    }

    fn update_homes(&mut self, settings: &Settings, encapsulation: Encapsulation, now: Nanos) -> Result<(), Error> {
        let (homes, encapsulation) = (&settings.homes, tunnel::least_encapsulation(settings, encapsulation));
        let mut before: Vec<_> = std::mem::take(&mut self.all).into_iter().map(Some).collect();
        for home in homes.iter().filter(|home| self.share.owns(home.address)) {
            let kernel_law = homes.len() == 1;
            let limits = HomeLimits { max_download: home.max_download, encapsulation, kernel_law };
            let existing = self.of_peer(home.address).and_then(|index| before.get_mut(index));
            let session = match existing.and_then(|slot| slot.take_if(|session| session.name() == home.name)) {
                Some(mut session) => {
                    session.set_limits(limits);
                    session
                }
                None => {
                    let (name, seed) = (home.name.clone(), self.seed()?);
                    Box::new(Session::endpoint(name, home.address, limits, seed, now))
                }
            };
            self.all.push(session);
        }
        #[cfg(feature = "endpoint")]
        for session in before.iter().flatten() {
            self.removed.stats.add(session.engine().stats());
            self.removed.wire_bytes = sum(self.removed.wire_bytes, session.wire_bytes());
        }
        Ok(())
    }

    fn seed(&self) -> Result<[u8; 32], Error> {
        (self.draw_seed)().map_err(Error::system("reading random bytes from the kernel"))
    }
}

#[cfg(feature = "endpoint")]
fn sum(a: [u64; 2], b: [u64; 2]) -> [u64; 2] {
    [a[0] + b[0], a[1] + b[1]]
}

fn ipv4_at(packet: &[u8], offset: usize) -> Option<Ipv4Addr> {
    packet.get(offset..)?.first_chunk::<4>().map(|bytes| (*bytes).into())
}

fn ipv6_at(packet: &[u8], offset: usize) -> Option<Ipv6Addr> {
    packet.get(offset..)?.first_chunk::<16>().map(|bytes| (*bytes).into())
}

fn peer_address(settings: &Settings) -> Option<Ipv4Addr> {
    tunnel::properties(settings)?.peer_address
}

/// The router's own public key, while the key of a join text is in use.
fn key_update(settings: &Settings) -> Option<Key> {
    match &settings.tunnel {
        Some(Tunnel::Wireguard(wireguard)) if wireguard.is_joining() => Some(wireguard.private_key.public()),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::example;
    use crate::wire::size::IpVersion;

    fn update(sessions: &mut Sessions, settings: &Settings) {
        let encapsulation = Encapsulation::wireguard(IpVersion::V4);
        sessions.update(settings, encapsulation.largest_cell(512).unwrap(), encapsulation, Nanos::ZERO).unwrap();
    }

    fn sessions() -> Sessions {
        let mut sessions = Sessions::none();
        update(&mut sessions, &settings());
        sessions
    }

    fn settings() -> Settings {
        let homes = vec![example::home(3, "fd77::3".parse().ok()), example::home(2, None)];
        Settings { homes, ..example::endpoint() }
    }

    fn ipv4(source: [u8; 4], destination: [u8; 4]) -> Vec<u8> {
        let mut packet = vec![0; 20];
        packet[0] = 0x45;
        packet[12..16].copy_from_slice(&source);
        packet[16..20].copy_from_slice(&destination);
        packet
    }

    fn ipv6(source: &str, destination: &str) -> Vec<u8> {
        let octets = |address: &str| address.parse::<Ipv6Addr>().unwrap().octets();
        let mut packet = vec![0; 40];
        packet[0] = 0x60;
        packet[8..24].copy_from_slice(&octets(source));
        packet[24..40].copy_from_slice(&octets(destination));
        packet
    }

    #[test]
    fn a_home_cannot_spoof_another() {
        let sessions = sessions();
        let server = [198, 51, 100, 7];
        assert!(
            sessions.accepts(0, &ipv4([10, 77, 0, 3], server)) && sessions.accepts(1, &ipv4([10, 77, 0, 2], server))
        );
        assert!(!sessions.accepts(0, &ipv4([10, 77, 0, 2], server)));
        assert!(!sessions.accepts(1, &ipv4([192, 168, 1, 1], server)));
        assert!(sessions.accepts(0, &ipv6("fd77::3", "2001:db8::7")));
        for packet in [ipv6("fd77::3", "2001:db8::7"), ipv6("fe80::1", "ff02::1"), vec![0x45], vec![0x60; 20], vec![]] {
            assert!(!sessions.accepts(1, &packet), "{packet:?}");
        }
    }

    /// A counter that goes back would look like a restart to a reader of the metrics.
    #[cfg(feature = "endpoint")]
    #[test]
    fn a_removed_home_stays_in_the_sums() {
        let mut sessions = sessions();
        sessions.session_mut(1).handle_cell(Nanos::ZERO, &[0; 40]);
        let settings = Settings { homes: settings().homes[..1].to_vec(), ..settings() };
        update(&mut sessions, &settings);
        assert_eq!((sessions.all().len(), sessions.removed().0.cells_received), (1, 1));
    }

    #[test]
    fn answers_find_their_home_over_ipv4_and_ipv6() {
        let sessions = sessions();
        assert_eq!(sessions.of_packet(&ipv4([198, 51, 100, 7], [10, 77, 0, 2])), Some(1));
        assert_eq!(sessions.of_packet(&ipv6("2001:db8::7", "fd77::3")), Some(0));
        assert_eq!(sessions.of_packet(&ipv6("2001:db8::7", "fd77::2")), None);
        assert_eq!(sessions.of_packet(&[0x60; 30]), None);
    }
}
