//! The provider's capture of a run.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::path::Path;

use super::run::{RunSettings, TunnelProtocol};
use crate::lab::capture::{self, Frame, IpHeader, UdpDatagram};
use crate::lab::error::Error;
use crate::lab::trace::Direction;
use crate::lab::trains::Trains;

const ETHERTYPE_ARP: u16 = 0x0806;
const PROTOCOL_HOP_BY_HOP: u8 = 0;
const PROTOCOL_ICMPV6: u8 = 58;
/// This many strays are described; further ones are only counted.
const MAX_DESCRIBED_STRAYS: usize = 5;

/// What the provider captured on its link to the home.
#[derive(Clone, Debug, Default)]
pub struct WanCapture {
    lines: [WanDirection; 2],
}

/// One direction of a [`WanCapture`].
#[derive(Clone, Debug, Default)]
pub struct WanDirection {
    /// Time (nanoseconds of Unix time) and length (bytes from the IP header on) of each tunnel data packet.
    pub cells: Vec<(u64, usize)>,
    /// Cells in each train.
    pub train: u8,
    /// Handshake messages of the tunnel: WireGuard's types 1, 2 and 3, or OpenVPN's control channel.
    pub handshakes: usize,
    /// Packets outside the tunnel.
    pub strays: Strays,
    /// ARP and IPv6 neighbour discovery frames between router and provider.
    pub link_layer: usize,
}

/// Packets outside the tunnel, which the provider must never see.
#[derive(Clone, Debug, Default)]
pub struct Strays {
    count: usize,
    /// Descriptions of the first few.
    pub described: Vec<String>,
}

impl Strays {
    /// Number of strays.
    pub fn len(&self) -> usize {
        self.count
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }
}

enum PacketClass {
    Cell,
    Handshake,
    LinkLayer,
    Stray(String),
}

impl WanCapture {
    /// Analyses the packets of the capture at `path` that lie in the run's window.
    ///
    /// The capture is taken on the provider's interface to the home, so every frame in it concerns the home. A damaged
    /// capture is an error, because the missing packets could include a stray.
    pub fn read(path: &Path, settings: &RunSettings) -> Result<WanCapture, Error> {
        let mut capture = WanCapture::default();
        capture.lines.iter_mut().zip(settings.trains).for_each(|(line, train)| line.train = train);
        capture::read(path, |packet| {
            if !(settings.start_ns..settings.stop_ns).contains(&packet.time_ns) {
                return Err("outside the time of the run");
            }
            let frame = packet.frame();
            let ip = frame.as_ref().and_then(Frame::ip);
            let direction = direction(settings, ip.as_ref());
            let line = &mut capture.lines[direction as usize];
            match classify(settings, frame.as_ref(), ip.as_ref()) {
                PacketClass::Cell => {
                    let header_bytes = frame.map_or(0, |frame| frame.header_bytes);
                    line.cells.push((packet.time_ns, packet.orig_len - header_bytes));
                }
                PacketClass::Handshake => line.handshakes += 1,
                PacketClass::LinkLayer => line.link_layer += 1,
                PacketClass::Stray(description) => {
                    line.strays.count += 1;
                    if line.strays.described.len() < MAX_DESCRIBED_STRAYS {
                        line.strays.described.push(description);
                    }
                }
            }
            Ok(())
        })?
        .complete()?;
        Ok(capture)
    }

    /// One direction.
    pub fn line(&self, direction: Direction) -> &WanDirection {
        &self.lines[direction as usize]
    }
}

impl WanDirection {
    /// Number of cells of each length.
    pub fn sizes(&self) -> BTreeMap<usize, usize> {
        let mut sizes = BTreeMap::new();
        for (_, bytes) in &self.cells {
            *sizes.entry(*bytes).or_default() += 1;
        }
        sizes
    }

    /// Mean rate over a window of `seconds`.
    pub fn bits_per_second(&self, seconds: f64) -> f64 {
        self.cells.iter().map(|(_, bytes)| bytes * 8).sum::<usize>() as f64 / seconds
    }

    /// The trains: single cells unless the run says otherwise.
    pub fn trains(&self) -> Trains {
        Trains::of(self.cells.iter().map(|(time_ns, _)| *time_ns), self.train)
    }

    /// Intervals between consecutive trains in milliseconds.
    pub fn intervals_ms(&self) -> Vec<f64> {
        let starts = self.trains().starts_ns;
        starts.windows(2).map(|pair| (pair[1].saturating_sub(pair[0])) as f64 / 1e6).collect()
    }
}

/// The direction of a packet. An unknown direction counts as up, where a stray matters most.
fn direction(settings: &RunSettings, ip: Option<&IpHeader<'_>>) -> Direction {
    match ip {
        Some(ip) if ip.destination == settings.router_wan || ip.source == settings.endpoint => Direction::Down,
        _ => Direction::Up,
    }
}

fn classify(settings: &RunSettings, frame: Option<&Frame<'_>>, ip: Option<&IpHeader<'_>>) -> PacketClass {
    let Some(frame) = frame else { return PacketClass::Stray("a frame too short for Ethernet".to_owned()) };
    let Some(ip) = ip else {
        return match frame.ethertype {
            ETHERTYPE_ARP => PacketClass::LinkLayer,
            other => {
                let ends =
                    [frame.source, frame.destination].map(|mac| mac.map_or("?".to_owned(), |mac| mac.to_string()));
                PacketClass::Stray(format!("{} ethertype {other:#06x}", ends.join(" > ")))
            }
        };
    };
    if is_link_housekeeping(ip) {
        return PacketClass::LinkLayer;
    }
    let (router, endpoint) = (settings.router_wan, settings.endpoint);
    let port_of_endpoint = |udp: UdpDatagram<'_>| match (ip.source, ip.destination) {
        ends if ends == (router, endpoint) => udp.destination_port == settings.tunnel_port,
        ends if ends == (endpoint, router) => udp.source_port == settings.tunnel_port,
        _ => false,
    };
    if let Some(udp) = ip.udp().filter(|udp| port_of_endpoint(*udp)) {
        match (settings.tunnel, udp.payload.first()) {
            // Message types of WireGuard (its paper, section 5.4).
            (TunnelProtocol::Wireguard, Some(4)) => return PacketClass::Cell,
            (TunnelProtocol::Wireguard, Some(1..=3)) => return PacketClass::Handshake,
            // Opcodes of OpenVPN, in the upper five bits (src/openvpn/ssl_pkt.h): the two data opcodes, and those of
            // the control channel.
            (TunnelProtocol::Openvpn, Some(first)) if matches!(first >> 3, 6 | 9) => return PacketClass::Cell,
            (TunnelProtocol::Openvpn, Some(first)) if matches!(first >> 3, 3..=5 | 7 | 8 | 10 | 11) => {
                return PacketClass::Handshake;
            }
            _ => {}
        }
    }
    let length = ip.length.unwrap_or(0);
    let ports = ip.udp().map(|udp| format!(" ports {} > {}", udp.source_port, udp.destination_port));
    PacketClass::Stray(format!(
        "{} > {} protocol {}{}, {length} bytes",
        ip.source,
        ip.destination,
        ip.protocol,
        ports.unwrap_or_default()
    ))
}

/// Whether this is neighbour discovery or a multicast report, which IPv6 hosts send on any link.
fn is_link_housekeeping(ip: &IpHeader<'_>) -> bool {
    let (IpAddr::V6(source), IpAddr::V6(destination)) = (ip.source, ip.destination) else { return false };
    let on_link = |address: std::net::Ipv6Addr| {
        address.is_unicast_link_local() || address.is_unspecified() || address.segments()[0] == 0xff02
    };
    matches!(ip.protocol, PROTOCOL_ICMPV6 | PROTOCOL_HOP_BY_HOP) && on_link(source) && on_link(destination)
}
