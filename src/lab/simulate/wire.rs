//! The provider's capture of simulated cells: WireGuard data packets, with headers only.

use super::SentCell;
use crate::lab::capture::PcapWriter;
use crate::lab::error::Error;
use crate::lab::trace::Direction;

/// Addresses in TEST-NET-2 and -3, and WireGuard's usual port.
const ROUTER: [u8; 4] = [198, 51, 100, 10];
const ENDPOINT: [u8; 4] = [203, 0, 113, 7];
const PORT: u16 = 51_820;
const ETHERNET_BYTES: usize = 14;
/// Outer IPv4 and UDP headers, WireGuard's header and tag, inner IPv4 and UDP headers.
const OVERHEAD_BYTES: usize = 28 + 32 + 28;
const TYPE_DATA: u8 = 4;

/// Appends a departing cell to the capture.
pub fn record(writer: &mut PcapWriter, departure: &SentCell<'_>) -> Result<(), Error> {
    let ip_bytes = (departure.payload.len() + OVERHEAD_BYTES) as u16;
    let [high, low] = ip_bytes.to_be_bytes();
    let [udp_high, udp_low] = (ip_bytes - 20).to_be_bytes();
    let [port_high, port_low] = PORT.to_be_bytes();
    let up = departure.direction == Direction::Up;
    let (source, destination) = if up { (ROUTER, ENDPOINT) } else { (ENDPOINT, ROUTER) };
    let mut frame = Vec::with_capacity(60);
    frame.extend([2, 0, 0, 0, 0, 2 - u8::from(up), 2, 0, 0, 0, 0, 1 + u8::from(up), 0x08, 0x00]);
    frame.extend([0x45, 0, high, low, 0, 0, 0x40, 0, 64, 17, 0, 0]);
    frame.extend(source);
    frame.extend(destination);
    frame.extend([port_high, port_low, port_high, port_low, udp_high, udp_low, 0, 0]);
    frame.extend([TYPE_DATA, 0, 0, 0]);
    writer.packet(departure.time.0, ETHERNET_BYTES + usize::from(ip_bytes), &frame)
}
