//! Numbered test packets that are verifiable at the other end.
//!
//! A packet is IPv4 with protocol 253 (RFC 3692 experiments): header, eight bytes with the number, then padding that is
//! derived from the number.

use super::MAX_DEVICES;

const HEADER_BYTES: usize = 20;
const NUMBER_BYTES: usize = 8;
const PROTOCOL: u8 = 253;
/// Servers in TEST-NET-1. Each device has a separate server, so that its packets form one flow.
const SERVER: [u8; 3] = [192, 0, 2];
const DEVICE: [u8; 3] = [192, 168, 1];

/// Fills `buf` with packet `number` of a device (1..=[`MAX_DEVICES`]). DSCP holds the device number.
pub(super) fn write(buf: &mut [u8], device: usize, number: u64, up: bool) {
    debug_assert!(device <= MAX_DEVICES && buf.len() >= HEADER_BYTES + NUMBER_BYTES);
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
    let (head, padding) = rest.split_at_mut(NUMBER_BYTES);
    head.copy_from_slice(&number.to_be_bytes());
    padding.fill(padding_of(number));
}

/// The number of an arrived packet; `None` if any byte differs from the output of `write`. DSCP must be 0, because the
/// engine removes the device number.
pub(super) fn read(packet: &[u8]) -> Option<u64> {
    let header = packet.get(..HEADER_BYTES)?;
    let number = u64::from_be_bytes(*packet.get(HEADER_BYTES..)?.first_chunk()?);
    let length = usize::from(u16::from_be_bytes([header[2], header[3]]));
    let padding = &packet[HEADER_BYTES + NUMBER_BYTES..];
    let sound = header[..2] == [0x45, 0]
        && length == packet.len()
        && ones_complement_sum(header) == 0xffff
        && padding.iter().all(|byte| *byte == padding_of(number));
    sound.then_some(number)
}

fn padding_of(number: u64) -> u8 {
    (number.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 56) as u8
}

/// The RFC 1071 sum of an even number of bytes.
fn ones_complement_sum(bytes: &[u8]) -> u16 {
    let sum: u32 = bytes.chunks_exact(2).map(|pair| u32::from(u16::from_be_bytes([pair[0], pair[1]]))).sum();
    let folded = (sum & 0xffff) + (sum >> 16);
    ((folded & 0xffff) + (folded >> 16)) as u16
}
