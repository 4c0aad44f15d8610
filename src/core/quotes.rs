//! Finds packets that leave the router outside the tunnel and quote what a confined device sent within the second
//! before, in fixed memory.
//!
//! [`QuoteDetector`] takes the packets that devices send to the router, and judges those that leave towards the
//! Internet. It keeps hashes, not content. Two ends of a home can have the same server, and two programs the same
//! bytes: weak traces are excused by what other devices did, and bytes count only if chance cannot repeat them.

mod hash;
mod identifiers;
mod kind;
mod packet_view;
#[cfg(test)]
mod tests;
mod traces;

use self::hash::{Hash, WINDOW, find_window, is_telling, rolling_hash};
pub use self::identifiers::Identifier;
use self::identifiers::Identifiers;
pub use self::kind::QuoteKind;
use self::packet_view::{PacketView, protocol_name};
use self::traces::{Background, RecentTraces};
use crate::units::{DeviceId, Nanos};

/// Maximum pieces that are remembered of one packet; a packet of 100 bytes has as many.
const MAX_WINDOWS: usize = 12;
/// Distance of those pieces: each run of 23 bytes contains one.
const STEP: usize = 8;
/// Services that everybody uses at the same few servers (DNS, NTP, DNS over TLS): the server alone says nothing.
const SHARED_PORTS: [u16; 3] = [53, 123, 853];
/// Ports below are fixed, not drawn, so different devices use the same one.
const FIRST_DRAWN_PORT: u16 = 1024;

/// A packet outside the tunnel that quotes a device.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Quote {
    /// The device's number, as its packets were noted.
    pub device: DeviceId,
    /// What the packet repeats.
    pub kind: QuoteKind,
    /// The packet's protocol and, with ports, its destination port: `UDP port 53`.
    pub service: String,
}

/// The traces of all devices.
pub struct QuoteDetector {
    traces: RecentTraces,
    background: Background,
    identifiers: Identifiers,
}

impl QuoteDetector {
    /// A detector that knows these identifiers of devices, and has seen no packet yet.
    pub fn new(identifiers: impl IntoIterator<Item = (Identifier, DeviceId)>) -> QuoteDetector {
        let identifiers = Identifiers::new(identifiers);
        QuoteDetector { traces: RecentTraces::new(), background: Background::new(), identifiers }
    }

    /// Notes an IP packet that the confined device sends to the router. `names` says whether its DNS questions must not
    /// leave outside the tunnel.
    pub fn note_confined(&mut self, at: Nanos, device: DeviceId, packet: &[u8], names: bool) {
        let Some(view) = PacketView::parse(packet) else { return };
        for (kind, hash) in weak_traces(&view, Way::In) {
            if kind != QuoteKind::Name || names {
                self.traces.insert(halves(hash), at, device, kind);
            }
        }
        if view.is_multicast() {
            return;
        }
        if let Some(header) = quotable_header(&view) {
            self.insert_window(header, at, device, QuoteKind::Header);
        }
        // Of DNS only the name counts: its other bytes are the same from everybody.
        if view.ports().is_some_and(|ports| ports[1] == SHARED_PORTS[0]) {
            return;
        }
        let windows = view.content().windows(WINDOW).step_by(STEP).filter(|window| is_telling(window));
        windows.take(MAX_WINDOWS).for_each(|window| self.insert_window(window, at, device, QuoteKind::Content));
    }

    /// Notes an IP packet that any other device sends to the router.
    pub fn note_other(&mut self, packet: &[u8]) {
        let Some(view) = PacketView::parse(packet) else { return };
        weak_traces(&view, Way::In).for_each(|(_, hash)| self.background.insert(halves(hash)));
    }

    /// Judges an IP packet that leaves the router outside the tunnel.
    pub fn judge(&mut self, at: Nanos, packet: &[u8]) -> Option<Quote> {
        let view = PacketView::parse(packet)?;
        let identified = self.identifiers.find(&view).map(|device| (device, QuoteKind::Address));
        let found = identified.or_else(|| self.quoted(&view, at)).or_else(|| self.repeated(&view, at));
        let (device, kind) = found?;
        let mut service = protocol_name(view.protocol);
        if let Some([_, port]) = view.ports() {
            service += &format!(" port {port}");
        }
        Some(Quote { device, kind, service })
    }

    /// The device whose bytes the packet contains.
    fn quoted(&self, view: &PacketView<'_>, at: Nanos) -> Option<(DeviceId, QuoteKind)> {
        let is_dns = view.ports().is_some_and(|ports| ports[1] == SHARED_PORTS[0]);
        let body = if is_dns { &[][..] } else { view.transport_bytes() };
        find_window(body, |rolling, window| self.traces.find(rolling, || check(window), at))
    }

    /// The device of which the packet repeats a weak trace that nothing excuses. A trace that nobody at home has left
    /// within the last second is the router's own, and excuses later packets.
    fn repeated(&mut self, view: &PacketView<'_>, at: Nanos) -> Option<(DeviceId, QuoteKind)> {
        let mut found = None;
        for (kind, hash) in weak_traces(view, Way::Out) {
            let halves = halves(hash);
            if self.background.contains(halves) {
                continue;
            }
            match self.traces.find(halves[0], || halves[1], at) {
                Some(trace) => found = found.or(Some(trace)),
                None if kind.is_excusable() => self.background.insert(halves),
                None => {}
            }
        }
        found
    }

    fn insert_window(&mut self, window: &[u8], at: Nanos, device: DeviceId, kind: QuoteKind) {
        self.traces.insert([rolling_hash(window), check(window)], at, device, kind);
    }
}

/// The last bytes of the IP header and the first eight after it. An ICMP error quotes both.
fn quotable_header<'a>(view: &PacketView<'a>) -> Option<&'a [u8]> {
    let end = view.transport + WINDOW / 2;
    view.bytes.get(end - WINDOW..end)
}

/// The way of a packet through the router.
#[derive(Clone, Copy)]
enum Way {
    /// From a device.
    In,
    /// Towards the Internet.
    Out,
}

/// The traces that a packet leaves besides its bytes, the strongest first. A device's packet is answered at its source,
/// and the answer has that address as its destination and the two ports exchanged.
fn weak_traces<'a>(view: &PacketView<'a>, way: Way) -> impl Iterator<Item = (QuoteKind, Hash)> + use<'a> {
    let hash = {
        let protocol = view.protocol;
        move |kind: QuoteKind, address: &[u8], ports: &[u16]| {
            let start = Hash::new(kind as u8).with(&[protocol]).with(address);
            (kind, ports.iter().fold(start, |hash, port| hash.with(&port.to_be_bytes())))
        }
    };
    let destination = view.destination;
    let answered = if matches!(way, Way::In) { view.source } else { destination };
    let unicast = view.ports().filter(|_| !view.is_multicast());
    let answer = unicast.map(|[from, to]| {
        let ports = if matches!(way, Way::In) { [from, to] } else { [to, from] };
        hash(QuoteKind::Answer, answered, &ports)
    });
    let echo = |kind, address| {
        let (kind, hash) = hash(kind, address, &[]);
        view.echo().map(|number| (kind, hash.with(number)))
    };
    let echoes = [echo(QuoteKind::Answer, answered), echo(QuoteKind::Connection, destination)];
    let is_drawn = |ports: &[u16; 2]| ports[0] >= FIRST_DRAWN_PORT && ports[0] != ports[1];
    let connection = unicast.filter(is_drawn).map(|ports| hash(QuoteKind::Connection, destination, &ports));
    let name = view.question().map(|name| (QuoteKind::Name, name));
    let groups = view.groups().map(move |group| hash(QuoteKind::Group, group, &[]));
    let server = unicast.filter(|ports| !SHARED_PORTS.contains(&ports[1]));
    let server = server.map(|[_, to]| hash(QuoteKind::Server, destination, &[to]));
    answer.into_iter().chain(echoes.into_iter().flatten()).chain(connection).chain(name).chain(groups).chain(server)
}

fn halves(hash: Hash) -> [u32; 2] {
    [(hash.0 >> 32) as u32, hash.0 as u32]
}

fn check(window: &[u8]) -> u32 {
    Hash::new(0).with(window).0 as u32
}
