//! Where the endpoint is. WireGuard resolves its name once and follows an endpoint that calls from elsewhere; one that
//! moved and cannot call has to be looked up again.

use std::net::{IpAddr, SocketAddr};

use super::debounce::backoff;
use crate::config::model::{HostPort, Role, Settings, Tunnel};
use crate::units::Nanos;

/// Cells come all the time: without any for this long the endpoint may have moved.
const LOOKUP_AFTER_SILENCE: Nanos = Nanos::from_secs(15);
/// With cells always flowing a handshake comes every two minutes: without one for this long it may have moved, too.
const LOOKUP_AFTER_HANDSHAKE: Nanos = Nanos::from_secs(150);

/// The endpoint's name, and the address in use.
#[derive(Debug)]
pub struct Endpoint {
    host: Option<HostPort>,
    address: Option<SocketAddr>,
    /// Whether `host` is a name, which may come to mean another address.
    is_name: bool,
    /// Whether `address` is news that WireGuard has not been told.
    moved: bool,
    /// When cells last came.
    heard: Nanos,
    handshake: Handshake,
    lookups: u32,
    due: Nanos,
}

/// The last handshake. Its own time is by a wall clock, which may jump: it only tells one from another.
#[derive(Clone, Copy, Debug)]
struct Handshake {
    time_s: u64,
    /// When it was first seen, and when last.
    first: Nanos,
    last: Nanos,
}

impl Endpoint {
    /// Of these settings. A name is to be looked up at once; without one there is nobody to look up.
    pub fn new(settings: Option<&Settings>, now: Nanos) -> Endpoint {
        let host = settings.and_then(host).cloned();
        let literal = host.as_ref().and_then(|host| Some((host.host.parse::<IpAddr>().ok()?, host.port)));
        Endpoint {
            is_name: host.is_some() && literal.is_none(),
            host,
            moved: literal.is_some(),
            address: literal.map(SocketAddr::from),
            heard: now,
            handshake: Handshake { time_s: 0, first: now, last: now },
            lookups: 0,
            due: now,
        }
    }

    /// Whether these settings mean the same host.
    pub fn is_of(&self, settings: &Settings) -> bool {
        self.host.as_ref() == host(settings)
    }

    /// The name, or the address as it was written.
    pub fn host(&self) -> Option<&HostPort> {
        self.host.as_ref()
    }

    /// The address, once it is known.
    pub fn address(&self) -> Option<SocketAddr> {
        self.address
    }

    /// Whether there is an address still to be found.
    pub fn is_unresolved(&self) -> bool {
        self.is_name && self.address.is_none()
    }

    /// Whether the address is to take the place of the one that WireGuard has. Otherwise WireGuard's holds, which it may
    /// have learnt from the endpoint itself.
    pub fn is_news(&self) -> bool {
        self.moved
    }

    /// When the name is to be looked up; `None` while there is no reason to.
    pub fn due(&self, now: Nanos) -> Option<Nanos> {
        let lost =
            now.saturating_since(self.heard) >= LOOKUP_AFTER_SILENCE || self.handshake.age() >= LOOKUP_AFTER_HANDSHAKE;
        (self.is_name && (self.address.is_none() || lost)).then_some(self.due)
    }

    /// Makes a lookup that waits due at once.
    pub fn trigger_now(&mut self, now: Nanos) {
        self.lookups = 0;
        self.due = now;
    }

    /// Notes that the endpoint's cells come.
    pub fn note_heard(&mut self, now: Nanos) {
        self.heard = now;
        if self.handshake.age() < LOOKUP_AFTER_HANDSHAKE {
            self.lookups = 0;
        }
    }

    /// Notes what WireGuard says: where the endpoint is, and the time of the last handshake, 0 for none. `told`: that it
    /// was told of our address just before.
    pub fn note_wireguard(&mut self, now: Nanos, address: Option<SocketAddr>, handshake_s: u64, told: bool) {
        self.moved &= !told;
        if !self.moved {
            self.address = address.or(self.address);
        }
        if handshake_s != self.handshake.time_s {
            self.handshake = Handshake { time_s: handshake_s, first: now, last: now };
        }
        self.handshake.last = now;
    }

    /// Notes that a lookup begins.
    pub fn note_lookup(&mut self, now: Nanos) {
        self.due = now + backoff(self.lookups);
        self.lookups = self.lookups.saturating_add(1);
    }

    /// Takes a lookup's answer. A name may have several addresses: the first, then with each lookup in vain the next.
    /// Says whether that is news.
    pub fn take(&mut self, addresses: &[SocketAddr]) -> bool {
        let turn = self.lookups.saturating_sub(1) as usize;
        let Some(place) = turn.checked_rem(addresses.len()) else { return false };
        let news = self.address != Some(addresses[place]);
        self.address = Some(addresses[place]);
        self.moved |= news;
        news
    }
}

impl Handshake {
    /// At least so old was it when it was last seen. Handshakes are seen late, never early.
    fn age(self) -> Nanos {
        self.last.saturating_since(self.first)
    }
}

/// The host to look up: a router's, in a tunnel that we make.
fn host(settings: &Settings) -> Option<&HostPort> {
    match &settings.tunnel {
        Some(Tunnel::Wireguard(wireguard)) if settings.role == Role::Router => wireguard.endpoint.as_ref(),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn s(n: u64) -> Nanos {
        Nanos::from_secs(n)
    }

    fn endpoint(host: &str) -> Endpoint {
        let text = format!(
            "config millpond 'main'\n option enabled '1'\nconfig tunnel 'tunnel'\n option private_key \
             'GMAbpM9Ri5vqDJrBGxQSB6bqEPqsxWpS0jRrnLoOAEg='\n option public_key \
             'xTIBA5rboUvnH4htodjb6e697QjLERt1NAB4mZqp8Dg='\n option endpoint '{host}'\n option address '10.77.0.2'\n \
             option peer_address '10.77.0.1'\n"
        );
        let parsed = crate::config::parse(text.as_bytes());
        assert!(parsed.settings.is_some(), "{:?}", parsed.problems);
        Endpoint::new(parsed.settings.as_ref(), s(0))
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
    fn a_name_is_looked_up_until_it_has_an_address_and_again_when_nothing_is_heard() {
        let mut endpoint = endpoint("vpn.example.org:51820");
        assert_eq!(endpoint.due(s(0)), Some(s(0)));
        endpoint.note_lookup(s(0));
        assert_eq!(endpoint.due(s(0)), Some(s(2)));
        endpoint.note_lookup(s(2));
        assert_eq!(endpoint.due(s(2)), Some(s(6)));
        assert!(endpoint.take(&[address("203.0.113.9:51820")]));
        for second in 7..100 {
            endpoint.note_heard(s(second));
            assert_eq!(endpoint.due(s(second)), None);
        }
        assert_eq!(endpoint.due(s(113)), None);
        assert!(endpoint.due(s(114)).is_some_and(|due| due <= s(114)));
        endpoint.note_lookup(s(114));
        assert!(!endpoint.take(&[address("203.0.113.9:51820")]), "the same is no news");
        assert_eq!(endpoint.due(s(115)), Some(s(116)));
        endpoint.note_lookup(s(116));
        assert!(endpoint.take(&[address("203.0.113.10:51820")]));
    }

    #[test]
    fn old_handshakes_are_judged_by_our_clock() {
        let mut endpoint = endpoint("vpn.example.org:51820");
        endpoint.note_lookup(s(0));
        endpoint.take(&[address("203.0.113.9:51820")]);
        endpoint.note_wireguard(s(10), None, 1_700_000_000, true);
        for (at, handshake_s) in [(100, 5), (200, 4_000_000_000)] {
            endpoint.note_wireguard(s(at), None, handshake_s, false);
            endpoint.note_heard(s(at));
            assert_eq!(endpoint.due(s(at)), None, "a clock that jumped is no reason");
        }
        for (at, is_old) in [(230, false), (340, false), (350, true)] {
            endpoint.note_wireguard(s(at), None, 4_000_000_000, false);
            endpoint.note_heard(s(at + 5));
            assert_eq!(endpoint.due(s(at + 5)).is_some(), is_old, "at {at} s");
        }
    }

    #[test]
    fn several_addresses_take_turns() {
        let mut endpoint = endpoint("vpn.example.org:51820");
        let both = [address("203.0.113.9:1"), address("203.0.113.10:1")];
        let mut seen = Vec::new();
        for second in 0..4 {
            endpoint.note_lookup(s(second));
            endpoint.take(&both);
            seen.extend(endpoint.address());
        }
        assert_eq!(seen, [both[0], both[1], both[0], both[1]]);
        endpoint.note_heard(s(5));
        let elsewhere = Some(address("203.0.113.77:2"));
        endpoint.note_wireguard(s(6), elsewhere, 1, false);
        assert!(endpoint.is_news() && endpoint.address() == Some(both[1]), "WireGuard has not been told yet");
        endpoint.note_wireguard(s(7), elsewhere, 1, true);
        assert_eq!(endpoint.address(), elsewhere, "WireGuard follows an endpoint that moved");
        endpoint.note_lookup(s(30));
        assert!(endpoint.take(&both));
        assert!(!endpoint.take(&[]), "no address is no news");
    }
}
