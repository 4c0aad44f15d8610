//! From a capture to the trace of a device.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::path::Path;

use super::{Direction, MAX_PACKET_BYTES, MIN_PACKET_BYTES, PacketRecord, Trace};
use crate::lab::capture::{self, CapturedPacket, Extent, Frame, Mac};
use crate::lab::error::Error;
use crate::units::Nanos;

/// TCP and IPv4 headers, which every piece of an offloaded segment has on the wire.
const HEADERS_BYTES: usize = 40;

/// What a capture says of some devices.
#[derive(Debug)]
pub struct Extracted {
    /// One trace per device that was asked for, in that order. Times count from `extent.first_ns`.
    pub traces: Vec<Trace>,
    /// The whole capture.
    pub extent: Extent,
    /// Why the capture was not read to its end, if it was not.
    pub damage: Option<Error>,
}

/// The Internet-bound IP packets of the devices in the capture at `path`.
///
/// Left out: packets between hosts of the home (both ends private, link-local or unique local), multicast and
/// broadcast. The length is the IP header's own where it is credible (a frame shorter than 60 bytes is padded),
/// else what the frame leaves; packets that the capturing host had merged are cut back to segments.
/// A damaged capture gives what came before the damage.
pub fn extract(path: &Path, devices: &[(String, Mac)]) -> Result<Extracted, Error> {
    let by_mac: BTreeMap<Mac, usize> = devices.iter().enumerate().map(|(index, (_, mac))| (*mac, index)).collect();
    let mut packets: Vec<Vec<(u64, Direction, usize)>> = vec![Vec::new(); devices.len()];
    let mut first_ns = u64::MAX;
    let result = capture::read(path, |packet| {
        first_ns = first_ns.min(packet.time_ns);
        let Some(frame) = Frame::parse(packet.data) else { return };
        let ends = [(frame.source, Direction::Up), (frame.destination, Direction::Down)];
        for (mac, direction) in ends {
            let Some(&index) = by_mac.get(&mac) else { continue };
            if let Some(bytes) = internet_bytes(&packet, &frame) {
                packets[index].push((packet.time_ns, direction, bytes));
            }
        }
    });
    let (extent, damage) = match result {
        Ok(extent) => (extent, None),
        Err(error @ Error::Damaged { .. }) if first_ns != u64::MAX => {
            (Extent { packets: 0, first_ns, last_ns: first_ns }, Some(error))
        }
        Err(error) => return Err(error),
    };
    let traces = devices
        .iter()
        .zip(packets)
        .map(|((name, _), packets)| Trace { device: name.clone(), packets: segments(packets, first_ns) })
        .collect();
    Ok(Extracted { traces, extent: Extent { first_ns: extent.first_ns.min(first_ns), ..extent }, damage })
}

/// The packet's IP length if it goes to, or comes from, the Internet.
pub(in crate::lab) fn internet_bytes(packet: &CapturedPacket<'_>, frame: &Frame<'_>) -> Option<usize> {
    let ip = frame.ip()?;
    if !is_unicast(ip.source) || !is_unicast(ip.destination) || (is_home(ip.source) && is_home(ip.destination)) {
        return None;
    }
    let on_wire = packet.orig_len.checked_sub(frame.header_bytes)?;
    Some(ip.length.filter(|&length| length <= on_wire).unwrap_or(on_wire))
}

fn is_unicast(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(v4) => !(v4.is_multicast() || v4.is_broadcast() || v4.is_unspecified()),
        IpAddr::V6(v6) => !(v6.is_multicast() || v6.is_unspecified()),
    }
}

pub(in crate::lab) fn is_home(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(v4) => v4.is_private() || v4.is_link_local() || v4.is_loopback(),
        IpAddr::V6(v6) => v6.is_unique_local() || v6.is_unicast_link_local() || v6.is_loopback(),
    }
}

/// Events in order of time from `first_ns` on, what the capturing host had merged cut back to segments.
pub(in crate::lab) fn segments(mut packets: Vec<(u64, Direction, usize)>, first_ns: u64) -> Vec<PacketRecord> {
    // Captures of several interfaces merged into one file are not always in order.
    packets.sort_by_key(|&(time_ns, ..)| time_ns);
    let mut segments = Vec::with_capacity(packets.len());
    for (time_ns, direction, bytes) in packets {
        let time = Nanos(time_ns - first_ns);
        let mut left = bytes;
        let full = usize::from(MAX_PACKET_BYTES);
        while left > full {
            segments.push(PacketRecord { time, direction, bytes: MAX_PACKET_BYTES });
            left = left - full + HEADERS_BYTES;
        }
        let bytes = u16::try_from(left).unwrap_or(MAX_PACKET_BYTES).max(MIN_PACKET_BYTES);
        segments.push(PacketRecord { time, direction, bytes });
    }
    segments
}
