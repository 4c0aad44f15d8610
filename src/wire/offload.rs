//! Packets that the kernel left unfinished for a TUN interface with a packet header (`IFF_VNET_HDR`): TCP segments that
//! are still one packet, and checksums that are still to be computed (virtio 1.2, section 5.1.6).

#[cfg(feature = "endpoint")]
mod join;

#[cfg(feature = "endpoint")]
pub use self::join::SegmentJoiner;
use super::ip::{self, IPV4_HEADER_BYTES};

/// Length of the header before each packet, in bytes.
pub const HEADER_BYTES: usize = 10;

/// `VIRTIO_NET_HDR_F_NEEDS_CSUM`, and the kinds of `gso_type` without the flag for ECN.
const NEEDS_CHECKSUM: u8 = 1;
const GSO_NONE: u8 = 0;
const GSO_TCP4: u8 = 1;
const GSO_TCP6: u8 = 4;
const GSO_ECN: u8 = 0x80;

const TCP_HEADER_BYTES: usize = 20;
const TCP_CHECKSUM: usize = 16;
const TCP_FLAGS: usize = 13;
/// FIN and PSH belong to the last segment, CWR to the first.
const LAST_FLAGS: u8 = 0x09;
const FIRST_FLAGS: u8 = 0x80;
const PROTOCOL_TCP: u8 = 6;

/// What is left to do to a packet. All numbers in the header are in the host's byte order.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Offload {
    needs_checksum: bool,
    /// `gso_type` without its flag.
    segments: u8,
    segment_bytes: usize,
    checksum_start: usize,
    checksum_offset: usize,
}

impl Offload {
    /// Parses the header.
    pub fn parse(header: &[u8; HEADER_BYTES]) -> Offload {
        let number = |at: usize| usize::from(u16::from_ne_bytes([header[at], header[at + 1]]));
        Offload {
            needs_checksum: header[0] & NEEDS_CHECKSUM != 0,
            segments: header[1] & !GSO_ECN,
            segment_bytes: number(4),
            checksum_start: number(6),
            checksum_offset: number(8),
        }
    }

    /// Whether the packet is complete as it is.
    pub fn is_complete(&self) -> bool {
        !self.needs_checksum && self.segments == GSO_NONE
    }

    /// Completes `packet` and passes it to `sink`: as it is, or as the TCP segments that it stands for, each built in
    /// `scratch`. Returns whether the packet was understood; otherwise `sink` gets nothing more.
    pub fn complete(&self, packet: &mut [u8], scratch: &mut [u8], mut sink: impl FnMut(&[u8])) -> bool {
        match self.segments {
            GSO_NONE => {
                let is_done = !self.needs_checksum || self.set_checksum(packet).is_some();
                if is_done {
                    sink(packet);
                }
                is_done
            }
            GSO_TCP4 | GSO_TCP6 => self.cut(packet, scratch, sink).is_some(),
            _ => false,
        }
    }

    /// Adds the bytes from `checksum_start` on to the sum of the pseudo header that the field holds.
    fn set_checksum(&self, packet: &mut [u8]) -> Option<()> {
        let at = self.checksum_start + self.checksum_offset;
        let sum = fold(sum(0, packet.get(self.checksum_start..)?));
        let field = packet.get_mut(at..at + 2)?;
        // UDP writes a checksum of zero as ones (RFC 768); for TCP both mean the same.
        field.copy_from_slice(&(if sum == 0xffff { sum } else { !sum }).to_be_bytes());
        Some(())
    }

    fn cut(&self, packet: &[u8], scratch: &mut [u8], mut sink: impl FnMut(&[u8])) -> Option<()> {
        let is_v4 = self.segments == GSO_TCP4;
        let ip_bytes = if is_v4 { usize::from(packet.first()? & 0x0f) * 4 } else { self.checksum_start };
        let tcp = packet.get(ip_bytes..).filter(|tcp| tcp.len() >= TCP_HEADER_BYTES)?;
        let header_bytes = ip_bytes + usize::from(tcp[12] >> 4) * 4;
        let is_whole = ip_bytes >= if is_v4 { IPV4_HEADER_BYTES } else { ip::IPV6_HEADER_BYTES }
            && header_bytes >= ip_bytes + TCP_HEADER_BYTES
            && header_bytes < packet.len()
            && packet[0] >> 4 == if is_v4 { 4 } else { 6 }
            && self.segment_bytes > 0;
        if !is_whole {
            return None;
        }
        let (header, payload) = packet.split_at(header_bytes);
        let sequence = u32::from_be_bytes(*tcp[4..].first_chunk()?);
        let id = u16::from_be_bytes([header[4], header[5]]);
        let addresses = if is_v4 { &header[12..20] } else { &header[8..40] };
        let pseudo = sum(u64::from(PROTOCOL_TCP), addresses);
        let count = payload.len().div_ceil(self.segment_bytes);
        for (index, part) in payload.chunks(self.segment_bytes).enumerate() {
            let segment = scratch.get_mut(..header_bytes + part.len())?;
            segment[..header_bytes].copy_from_slice(header);
            segment[header_bytes..].copy_from_slice(part);
            let total = segment.len();
            if is_v4 {
                segment[2..4].copy_from_slice(&(total as u16).to_be_bytes());
                segment[4..6].copy_from_slice(&id.wrapping_add(index as u16).to_be_bytes());
                segment[10..12].fill(0);
                let checksum = !fold(sum(0, &segment[..ip_bytes]));
                segment[10..12].copy_from_slice(&checksum.to_be_bytes());
            } else {
                segment[4..6].copy_from_slice(&((total - ip::IPV6_HEADER_BYTES) as u16).to_be_bytes());
            }
            let tcp = &mut segment[ip_bytes..];
            let start = sequence.wrapping_add((index * self.segment_bytes) as u32);
            tcp[4..8].copy_from_slice(&start.to_be_bytes());
            if index + 1 < count {
                tcp[TCP_FLAGS] &= !LAST_FLAGS;
            }
            if index > 0 {
                tcp[TCP_FLAGS] &= !FIRST_FLAGS;
            }
            tcp[TCP_CHECKSUM..TCP_CHECKSUM + 2].fill(0);
            let checksum = !fold(sum(pseudo + tcp.len() as u64, tcp));
            tcp[TCP_CHECKSUM..TCP_CHECKSUM + 2].copy_from_slice(&checksum.to_be_bytes());
            sink(&segment[..total]);
        }
        Some(())
    }
}

/// Adds the bytes to a sum of 16-bit numbers in network order (RFC 1071).
fn sum(start: u64, bytes: &[u8]) -> u64 {
    let mut chunks = bytes.chunks_exact(4);
    let words: u64 =
        (&mut chunks).map(|word| u64::from(u32::from_be_bytes([word[0], word[1], word[2], word[3]]))).sum();
    let rest = match *chunks.remainder() {
        [a, b, c] => u64::from(u16::from_be_bytes([a, b])) + (u64::from(c) << 8),
        [a, b] => u64::from(u16::from_be_bytes([a, b])),
        [a] => u64::from(a) << 8,
        _ => 0,
    };
    start + words + rest
}

fn fold(mut sum: u64) -> u16 {
    while sum > 0xffff {
        sum = (sum >> 16) + (sum & 0xffff);
    }
    sum as u16
}

#[cfg(test)]
mod tests;
