//! The endpoint's address. WireGuard takes an address once, and follows an endpoint that sends from a new one. An
//! endpoint that moved and cannot send needs a new name lookup.

use std::net::{IpAddr, SocketAddr};

use super::debounce::backoff;
use super::lookup::{self, LookupWay};
use crate::config::model::{HostPort, Settings};
use crate::tunnel;
use crate::units::Nanos;

/// The endpoint may have moved, or the way to this address may be dead, if no cell has come for this long. A healthy
/// endpoint sends continuously, and stops soon after the home's last cell (`ABANDON_TIMEOUT` of a session), because an
/// address of the other IP version needs cells of another size.
const LOOKUP_AFTER_SILENCE: Nanos = Nanos::from_secs(5);
/// An address has this long to answer before the next one is tried: a reconcile job and a handshake.
const MIN_TRIAL: Nanos = Nanos::from_secs(6);
/// The endpoint may have moved if the last handshake is this old. With steady cells a handshake comes every two
/// minutes.
const LOOKUP_AFTER_HANDSHAKE: Nanos = Nanos::from_secs(150);

/// The endpoint's name, and the address in use.
#[derive(Debug)]
pub struct Endpoint {
    host: Option<HostPort>,
    address: Option<SocketAddr>,
    /// Whether `host` is a name, whose address may change.
    is_name: bool,
    /// Whether `address` is new and not set in WireGuard yet.
    moved: bool,
    last_cell: Nanos,
    /// Whether no cells came at the last lookup, so that another address may be the one that works.
    is_silent: bool,
    handshake: Handshake,
    lookups: u32,
    due: Nanos,
    lookup_way: LookupWay,
}

/// The last handshake. WireGuard's time for it comes from the wall clock, which may jump, so it only tells one
/// handshake from another.
#[derive(Clone, Copy, Debug)]
struct Handshake {
    time_s: u64,
    first_seen: Nanos,
    last_seen: Nanos,
}

impl Endpoint {
    /// The endpoint of these settings. A name is due for a lookup at once; an address needs none.
    pub fn new(settings: Option<&Settings>, now: Nanos) -> Endpoint {
        let host = settings.and_then(host).cloned();
        let literal = host.as_ref().and_then(|host| Some((host.host.parse::<IpAddr>().ok()?, host.port)));
        Endpoint {
            is_name: host.is_some() && literal.is_none(),
            host,
            moved: literal.is_some(),
            address: literal.map(SocketAddr::from),
            last_cell: now,
            is_silent: false,
            handshake: Handshake { time_s: 0, first_seen: now, last_seen: now },
            lookups: 0,
            due: now,
            lookup_way: lookup::way(settings),
        }
    }

    /// How to look the name up.
    pub fn lookup_way(&self) -> &LookupWay {
        &self.lookup_way
    }

    /// Whether these settings name the same host, and look it up in the same way.
    pub fn matches(&self, settings: &Settings) -> bool {
        self.host.as_ref() == host(settings) && self.lookup_way == lookup::way(Some(settings))
    }

    /// The name or address, as configured.
    pub fn host(&self) -> Option<&HostPort> {
        self.host.as_ref()
    }

    /// The address, once it is known.
    pub fn address(&self) -> Option<SocketAddr> {
        self.address
    }

    /// Whether the name still has to be resolved.
    pub fn is_unresolved(&self) -> bool {
        self.is_name && self.address.is_none()
    }

    /// Whether the address must replace the one in WireGuard. If not, WireGuard's address holds, which it may have
    /// learned from the endpoint itself.
    pub fn has_moved(&self) -> bool {
        self.moved
    }

    /// When the next name lookup is due; `None` if none is needed.
    pub fn due(&self, now: Nanos) -> Option<Nanos> {
        let lost = self.silence(now) >= LOOKUP_AFTER_SILENCE || self.handshake.age() >= LOOKUP_AFTER_HANDSHAKE;
        (self.is_name && (self.address.is_none() || lost)).then_some(self.due)
    }

    /// Makes a pending lookup due at once, and resets the backoff.
    pub fn trigger_now(&mut self, now: Nanos) {
        self.lookups = 0;
        self.due = now;
    }

    /// Records that cells come from the endpoint.
    pub fn note_cells(&mut self, now: Nanos) {
        self.last_cell = now;
        if self.handshake.age() < LOOKUP_AFTER_HANDSHAKE {
            self.lookups = 0;
        }
    }

    /// Records the endpoint's address and the time of the last handshake (0 for none) from WireGuard. `was_set` says
    /// whether our address was set in WireGuard just before.
    pub fn note_wireguard(&mut self, now: Nanos, address: Option<SocketAddr>, handshake_s: u64, was_set: bool) {
        self.moved &= !was_set;
        if !self.moved {
            self.address = address.or(self.address);
        }
        if handshake_s != self.handshake.time_s {
            self.handshake = Handshake { time_s: handshake_s, first_seen: now, last_seen: now };
        }
        self.handshake.last_seen = now;
    }

    fn silence(&self, now: Nanos) -> Nanos {
        now.saturating_since(self.last_cell)
    }

    /// Records the start of a lookup.
    pub fn note_lookup(&mut self, now: Nanos) {
        let trial = if self.address.is_some() { MIN_TRIAL } else { Nanos::ZERO };
        self.due = now + backoff(self.lookups).max(trial);
        self.is_silent = self.silence(now) >= LOOKUP_AFTER_SILENCE;
        self.lookups = self.lookups.saturating_add(1);
    }

    /// Uses the result of a lookup. If the name has several addresses, each lookup in a silence moves on to the next
    /// one, so that both IP versions are tried. A name with new addresses keeps the IP version. Returns whether the
    /// address changed.
    pub fn handle_lookup(&mut self, addresses: &[SocketAddr]) -> bool {
        let used = self.address;
        let position = addresses.iter().position(|address| Some(*address) == used);
        let has_same_version = |address: &&SocketAddr| used.is_some_and(|used| used.is_ipv4() == address.is_ipv4());
        let next = match position {
            Some(position) if self.is_silent => addresses.iter().cycle().nth(position + 1),
            Some(position) => addresses.get(position),
            None => addresses.iter().find(has_same_version).or(addresses.first()),
        };
        let Some(next) = next else { return false };
        let changed = used != Some(*next);
        self.address = Some(*next);
        self.moved |= changed;
        changed
    }

    /// Why the address in use, which does not answer, may be a mistake: it is private, and the last lookup was not the
    /// first one.
    pub fn doubt(&self) -> Option<String> {
        let address = self.address.map(|address| address.ip()).filter(|address| is_private(*address));
        let address = address.filter(|_| self.is_silent && self.lookups > 1)?;
        Some(format!("got {address}, a private address, which does not answer; want one of the Internet"))
    }
}

impl Handshake {
    /// Minimum age of the handshake when it was last seen. Handshakes are seen late, never early.
    fn age(self) -> Nanos {
        self.last_seen.saturating_since(self.first_seen)
    }
}

/// Whether hosts on the Internet cannot have the address (RFC 1918, 3927, 4193, 6598).
fn is_private(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(v4) => {
            let [a, b, ..] = v4.octets();
            v4.is_private() || v4.is_loopback() || v4.is_link_local() || (a, b & 0xc0) == (100, 64)
        }
        IpAddr::V6(v6) => v6.is_loopback() || matches!(v6.segments()[0], 0xfc00..=0xfdff | 0xfe80..=0xfebf),
    }
}

/// The host to look up: the endpoint of a router whose tunnel millpond makes.
fn host(settings: &Settings) -> Option<&HostPort> {
    tunnel::properties(settings)?.endpoint
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::example;

    const fn s(n: u64) -> Nanos {
        Nanos::from_secs(n)
    }

    fn endpoint(host: &str) -> Endpoint {
        let settings = example::settings(&example::ROUTER.replace("203.0.113.9:51820", host));
        Endpoint::new(Some(&settings), s(0))
    }

    fn address(text: &str) -> SocketAddr {
        text.parse().unwrap()
    }

    #[test]
    fn an_address_needs_no_lookup() {
        let endpoint = endpoint("203.0.113.9:51820");
        assert!(!endpoint.is_unresolved() && endpoint.address() == Some(address("203.0.113.9:51820")));
        assert_eq!(endpoint.due(s(1000)), None);
    }

    #[test]
    fn a_name_is_looked_up_until_it_resolves_and_again_after_a_silence() {
        let mut endpoint = endpoint("vpn.example.org:51820");
        assert_eq!(endpoint.due(s(0)), Some(s(0)));
        endpoint.note_lookup(s(0));
        assert_eq!(endpoint.due(s(0)), Some(s(2)));
        endpoint.note_lookup(s(2));
        assert_eq!(endpoint.due(s(2)), Some(s(6)));
        assert!(endpoint.handle_lookup(&[address("203.0.113.9:51820")]));
        for second in 7..100 {
            endpoint.note_cells(s(second));
            assert_eq!(endpoint.due(s(second)), None);
        }
        assert_eq!(endpoint.due(s(103)), None);
        assert!(endpoint.due(s(104)).is_some_and(|due| due <= s(104)));
        endpoint.note_lookup(s(104));
        assert!(!endpoint.handle_lookup(&[address("203.0.113.9:51820")]), "the address is the same");
        assert_eq!(endpoint.due(s(105)), Some(s(110)));
        endpoint.note_lookup(s(110));
        assert!(endpoint.handle_lookup(&[address("203.0.113.10:51820")]));
    }

    #[test]
    fn the_age_of_a_handshake_is_measured_by_the_monotonic_clock() {
        let mut endpoint = endpoint("vpn.example.org:51820");
        endpoint.note_lookup(s(0));
        endpoint.handle_lookup(&[address("203.0.113.9:51820")]);
        endpoint.note_wireguard(s(10), None, 1_700_000_000, true);
        for (at, handshake_s) in [(100, 5), (200, 4_000_000_000)] {
            endpoint.note_wireguard(s(at), None, handshake_s, false);
            endpoint.note_cells(s(at));
            assert_eq!(endpoint.due(s(at)), None, "a jump of the wall clock causes no lookup");
        }
        for (at, is_old) in [(230, false), (340, false), (350, true)] {
            endpoint.note_wireguard(s(at), None, 4_000_000_000, false);
            endpoint.note_cells(s(at + 5));
            assert_eq!(endpoint.due(s(at + 5)).is_some(), is_old, "at {at} s");
        }
    }

    #[test]
    fn lookups_go_through_all_addresses_of_a_name() {
        let mut endpoint = endpoint("vpn.example.org:51820");
        let both = [address("203.0.113.9:1"), address("203.0.113.10:1")];
        let mut used = Vec::new();
        for second in [0, 5, 11, 19] {
            endpoint.note_lookup(s(second));
            endpoint.handle_lookup(&both);
            used.extend(endpoint.address());
        }
        assert_eq!(used, [both[0], both[1], both[0], both[1]]);
        endpoint.note_cells(s(20));
        let roamed = Some(address("203.0.113.77:2"));
        endpoint.note_wireguard(s(21), roamed, 1, false);
        assert!(endpoint.has_moved() && endpoint.address() == Some(both[1]), "the address is not set in WireGuard yet");
        endpoint.note_wireguard(s(22), roamed, 1, true);
        assert_eq!(endpoint.address(), roamed, "WireGuard follows an endpoint that moved");
        endpoint.note_lookup(s(30));
        assert!(endpoint.handle_lookup(&both));
        assert!(!endpoint.handle_lookup(&[]), "an empty answer changes nothing");
    }

    /// A home whose provider has lost one of the two, at the start or later.
    #[test]
    fn both_ip_versions_are_tried_within_seconds_and_the_one_that_works_is_kept() {
        let mut endpoint = endpoint("vpn.example.org:51820");
        let both = [address("203.0.113.9:1"), address("[2001:db8::9]:1")];
        let lookups = |endpoint: &mut Endpoint, seconds: std::ops::Range<u64>, works: Option<SocketAddr>| {
            let mut changes = Vec::new();
            for second in seconds {
                if works.is_some() && endpoint.address() == works {
                    endpoint.note_cells(s(second));
                }
                if endpoint.due(s(second)).is_some_and(|due| due <= s(second)) {
                    endpoint.note_lookup(s(second));
                    if endpoint.handle_lookup(&both) {
                        changes.push((second, endpoint.address() == Some(both[1])));
                    }
                }
            }
            changes
        };
        assert_eq!(lookups(&mut endpoint, 0..100, Some(both[1])), [(0, false), (5, true)]);
        assert_eq!(lookups(&mut endpoint, 100..200, Some(both[0])), [(104, false)]);
        let tried: Vec<u64> = lookups(&mut endpoint, 200..300, None).iter().map(|(second, _)| *second).collect();
        assert_eq!(tried, [204, 210, 216, 224, 240, 270]);
        // The name gets new addresses: those of the IP version that worked come first.
        let new = [address("203.0.113.8:1"), address("[2001:db8::8]:1")];
        (endpoint.address, endpoint.is_silent) = (Some(both[1]), true);
        assert!(endpoint.handle_lookup(&new) && endpoint.address() == Some(new[1]));
    }

    #[test]
    fn a_private_address_that_does_not_answer_is_doubted() {
        for (text, is_doubted) in [
            ("192.168.1.5:1", true),
            ("100.64.0.1:1", true),
            ("[fd00::1]:1", true),
            ("127.0.0.1:1", true),
            ("100.128.0.1:1", false),
            ("[2001:db8::1]:1", false),
        ] {
            let mut endpoint = endpoint("vpn.example.org:51820");
            endpoint.note_lookup(s(0));
            endpoint.handle_lookup(&[address(text)]);
            assert_eq!(endpoint.doubt(), None, "it has had no time to answer");
            endpoint.note_lookup(s(5));
            assert_eq!(endpoint.doubt().is_some(), is_doubted, "{text}");
        }
    }
}
