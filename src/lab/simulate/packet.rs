//! Packets that can be told apart and checked when they come out at the other end.
//!
//! IPv4 of protocol 253 (RFC 3692 experiments): header, eight bytes of number, then a filling that follows from the
//! number.

use crate::core::DEVICES;

const HEADER_BYTES: usize = 20;
const NUMBER_BYTES: usize = 8;
const PROTOCOL: u8 = 253;
/// A server of TEST-NET-1; each device has a server of its own so that it is a flow of its own.
const SERVER: [u8; 3] = [192, 0, 2];
const DEVICE: [u8; 3] = [192, 168, 1];

/// Writes packet `number` of a device (1..[`DEVICES`]) in `buf`, whose length becomes the packet's. DSCP is the device.
pub(super) fn write(buf: &mut [u8], device: usize, number: u64, up: bool) {
    debug_assert!(device < DEVICES && buf.len() >= HEADER_BYTES + NUMBER_BYTES);
    let (header, rest) = buf.split_at_mut(HEADER_BYTES);
    let [high, low] = (header.len() as u16 + rest.len() as u16).to_be_bytes();
    header.copy_from_slice(&[
        0x45,
        (device as u8) << 2,
        high,
        low,
        0,
        0,
        0x40,
        0,
        64,
        PROTOCOL,
        0,
        0,
        0,
        0,
        0,
        0,
        0,
        0,
        0,
        0,
    ]);
    let (inside, outside) = (&mut [0; 4], &mut [0; 4]);
    for (address, network) in [(&mut *inside, DEVICE), (&mut *outside, SERVER)] {
        address[..3].copy_from_slice(&network);
        address[3] = device as u8;
    }
    let (source, destination) = if up { (inside, outside) } else { (outside, inside) };
    header[12..16].copy_from_slice(source);
    header[16..20].copy_from_slice(destination);
    let checksum = !ones_complement_sum(header);
    header[10..12].copy_from_slice(&checksum.to_be_bytes());
    let (head, filling) = rest.split_at_mut(NUMBER_BYTES);
    head.copy_from_slice(&number.to_be_bytes());
    filling.fill(filling_of(number));
}

/// The number of a packet that arrived, if it is in every byte one that `write` wrote, but for the device's number
/// in DSCP, which must be gone.
pub(super) fn read(packet: &[u8]) -> Option<u64> {
    let header = packet.get(..HEADER_BYTES)?;
    let number = u64::from_be_bytes(*packet.get(HEADER_BYTES..)?.first_chunk()?);
    let length = usize::from(u16::from_be_bytes([header[2], header[3]]));
    let filling = &packet[HEADER_BYTES + NUMBER_BYTES..];
    let sound = header[..2] == [0x45, 0]
        && length == packet.len()
        && ones_complement_sum(header) == 0xffff
        && filling.iter().all(|byte| *byte == filling_of(number));
    sound.then_some(number)
}

fn filling_of(number: u64) -> u8 {
    (number.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 56) as u8
}

/// RFC 1071 over an even number of bytes.
fn ones_complement_sum(bytes: &[u8]) -> u16 {
    let sum: u32 = bytes.chunks_exact(2).map(|pair| u32::from(u16::from_be_bytes([pair[0], pair[1]]))).sum();
    let folded = (sum & 0xffff) + (sum >> 16);
    ((folded & 0xffff) + (folded >> 16)) as u16
}
