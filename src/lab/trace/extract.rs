//! Extracts the traces of devices from a capture.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::path::Path;

use super::{Direction, MAX_PACKET_BYTES, MIN_PACKET_BYTES, PacketRecord, StationPacket, Stations, Trace};
use crate::lab::capture::{CapturedPacket, ContinuousReading, Extent, Frame, Mac, read_recording};
use crate::lab::error::Error;
use crate::units::Nanos;

/// TCP and IPv4 headers, which every segment of an offloaded packet has on the wire.
const HEADERS_BYTES: usize = 40;
/// Why packets are skipped.
pub(in crate::lab) const NOT_IP: &str = "without IP";
pub(in crate::lab) const NOT_INTERNET: &str = "not between a device and the Internet";
const OTHER_DEVICES: &str = "of other devices";

/// The traces that [`extract`] found in a capture.
#[derive(Debug)]
pub struct Extracted {
    /// One trace per requested device, in the order of the request. Times count from `extent.first_ns`.
    pub traces: Vec<Trace>,
    /// Number of packets, and first and last time of the capture.
    pub extent: Extent,
    /// The error that stopped the reading before the end of the capture.
    pub damage: Option<Error>,
}

/// Extracts the IP packets between the devices and the Internet from the capture at `path`.
///
/// Packets between hosts of the home (both addresses private, link-local or unique local), multicast and broadcast are
/// left out. The length comes from the IP header if it is plausible (a frame shorter than 60 bytes is padded), or else
/// from the frame. Packets that the capturing host had merged (offloading) are divided into segments again. A damaged
/// capture yields the packets before the damage.
pub fn extract(path: &Path, devices: &[(String, Mac)]) -> Result<Extracted, Error> {
    let by_mac: BTreeMap<Mac, usize> = devices.iter().enumerate().map(|(index, (_, mac))| (*mac, index)).collect();
    let mut packets: Vec<Vec<StationPacket>> = vec![Vec::new(); devices.len()];
    let mut stations = Stations::default();
    let ContinuousReading { mut reading, .. } = read_recording(path, |packet| {
        let frame = packet.frame().ok_or(NOT_IP)?;
        let ip = frame.ip().ok_or(NOT_IP)?;
        stations.learn(&frame, &ip);
        let bytes = internet_bytes(&packet, &frame).ok_or(NOT_INTERNET)?;
        let mut used = Err(OTHER_DEVICES);
        let ends = [(frame.source, ip.source, Direction::Up), (frame.destination, ip.destination, Direction::Down)];
        for (mac, address, direction) in ends {
            let packet = (packet.time_ns, direction, bytes);
            match mac.map(|mac| by_mac.get(&mac)) {
                Some(Some(&index)) => packets[index].push(packet),
                None if is_home(address) => stations.keep(address, packet),
                Some(None) | None => continue,
            }
            used = Ok(());
        }
        used
    })?;
    stations.finish(path, &mut reading.tally, |mac, mut own| {
        packets[*by_mac.get(&mac).ok_or(OTHER_DEVICES)?].append(&mut own);
        Ok(())
    })?;
    let extent = reading.extent;
    let trace = |((name, _), packets): (&(String, Mac), _)| Trace {
        device: name.clone(),
        packets: segments(packets, extent.first_ns),
    };
    let traces = devices.iter().zip(packets).map(trace).collect();
    Ok(Extracted { traces, extent, damage: reading.damage.take() })
}

/// The IP length of a packet to or from the Internet; `None` for other packets.
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

/// Sorts packets by time, counts times from `first_ns`, and divides packets that the capturing host had merged into
/// segments.
pub(in crate::lab) fn segments(mut packets: Vec<StationPacket>, first_ns: u64) -> Vec<PacketRecord> {
    // A file that merges the captures of several interfaces is not always in order of time.
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
