//! Joins TCP segments that follow each other into one packet for the kernel, as a network card's receive offload does:
//! what the kernel does with a packet costs far more than what it does with the packet's bytes.

#[cfg(test)]
mod tests;

use super::{GSO_TCP4, GSO_TCP6, HEADER_BYTES, NEEDS_CHECKSUM, PROTOCOL_TCP, TCP_CHECKSUM, TCP_FLAGS};
use super::{TCP_HEADER_BYTES, fold, sum};
use crate::wire::ip::{self, IPV4_HEADER_BYTES, IPV6_HEADER_BYTES};

/// Connections whose segments are joined at the same time. The cells of one train seldom carry more.
const MAX_FLOWS: usize = 8;
/// The longest packet that a TUN interface takes.
const MAX_JOINED_BYTES: usize = 65_535;

const ACK: u8 = 0x10;
const PSH: u8 = 0x08;

/// Segments that wait for those that follow them.
#[derive(Debug, Default)]
pub struct SegmentJoiner {
    flows: Vec<JoinedSegments>,
    /// Emptied ones, for their memory.
    spare: Vec<JoinedSegments>,
}

/// The segments of one connection, as one packet.
#[derive(Debug, Default)]
struct JoinedSegments {
    packet: Vec<u8>,
    ip_bytes: usize,
    header_bytes: usize,
    /// Payload of each segment but the last.
    segment_bytes: usize,
    count: usize,
    /// The sequence number that follows.
    next: u32,
    /// Whether nothing can follow: the last segment was shorter or asked for delivery.
    is_closed: bool,
}

/// A segment with nothing but payload to tell.
struct Segment<'a> {
    packet: &'a [u8],
    ip_bytes: usize,
    header_bytes: usize,
    sequence: u32,
}

impl SegmentJoiner {
    /// Takes a packet for the kernel. `sink` gets what must go to the kernel before the packets that follow: each with
    /// the header that says what is left to do to it. The packets of a connection keep their order.
    pub fn handle(&mut self, packet: &[u8], sink: &mut impl FnMut(&[u8; HEADER_BYTES], &[u8])) {
        let Some(segment) = Segment::parse(packet) else {
            self.flush_where(|flow| flow.has_addresses_of(packet), sink);
            return sink(&[0; HEADER_BYTES], packet);
        };
        let found = self.flows.iter_mut().find(|flow| flow.is_of(&segment));
        if found.is_some_and(|flow| flow.append(&segment)) {
            return;
        }
        self.flush_where(|flow| flow.is_of(&segment), sink);
        if self.flows.len() == MAX_FLOWS {
            let mut oldest = self.flows.remove(0);
            oldest.finish(sink);
            self.spare.push(oldest);
        }
        let mut flow = self.spare.pop().unwrap_or_default();
        flow.start(&segment);
        self.flows.push(flow);
    }

    /// Passes everything that waits to `sink`.
    pub fn flush(&mut self, sink: &mut impl FnMut(&[u8; HEADER_BYTES], &[u8])) {
        self.flush_where(|_| true, sink);
    }

    fn flush_where(
        &mut self,
        must_go: impl Fn(&JoinedSegments) -> bool,
        sink: &mut impl FnMut(&[u8; HEADER_BYTES], &[u8]),
    ) {
        let mut index = 0;
        while index < self.flows.len() {
            if must_go(&self.flows[index]) {
                let mut flow = self.flows.remove(index);
                flow.finish(sink);
                self.spare.push(flow);
            } else {
                index += 1;
            }
        }
    }
}

impl JoinedSegments {
    fn start(&mut self, segment: &Segment<'_>) {
        self.packet.clear();
        self.packet.extend_from_slice(segment.packet);
        (self.ip_bytes, self.header_bytes) = (segment.ip_bytes, segment.header_bytes);
        self.segment_bytes = segment.payload().len();
        self.count = 1;
        self.next = segment.end();
        self.is_closed = segment.flags() & PSH != 0;
    }

    /// Whether the packet is between the same addresses, in this direction.
    fn has_addresses_of(&self, packet: &[u8]) -> bool {
        packet.first().is_some_and(|first| first >> 4 == self.packet[0] >> 4)
            && packet.get(addresses(self.ip_bytes)) == self.packet.get(addresses(self.ip_bytes))
    }

    /// Whether the segment is of this connection.
    fn is_of(&self, segment: &Segment<'_>) -> bool {
        let ports = self.ip_bytes..self.ip_bytes + 4;
        self.ip_bytes == segment.ip_bytes
            && self.has_addresses_of(segment.packet)
            && self.packet[ports.clone()] == segment.packet[ports]
    }

    /// Appends the segment, if it follows and differs in nothing but its payload.
    fn append(&mut self, segment: &Segment<'_>) -> bool {
        let payload = segment.payload();
        let is_next = !self.is_closed
            && segment.sequence == self.next
            && segment.header_bytes == self.header_bytes
            && payload.len() <= self.segment_bytes
            && self.packet.len() + payload.len() <= MAX_JOINED_BYTES
            && self.has_header_of(segment);
        if is_next {
            self.packet.extend_from_slice(payload);
            self.count += 1;
            self.next = segment.end();
            self.packet[self.ip_bytes + TCP_FLAGS] |= segment.flags();
            self.is_closed = payload.len() < self.segment_bytes || segment.flags() & PSH != 0;
        }
        is_next
    }

    /// Whether the kernel would write this header, too, when it cuts the packet: all but lengths, identification,
    /// checksums, sequence number and PSH.
    fn has_header_of(&self, segment: &Segment<'_>) -> bool {
        let same = |from: usize, to: usize| self.packet[from..to] == segment.packet[from..to];
        let tcp = self.ip_bytes;
        let is_same_ip = if tcp == IPV4_HEADER_BYTES {
            let id = |packet: &[u8]| u16::from_be_bytes([packet[4], packet[5]]);
            // The kernel counts the identification up. Under DF it means nothing (RFC 6864).
            let is_counted = id(segment.packet) == id(&self.packet).wrapping_add(self.count as u16);
            same(1, 2) && same(6, 10) && (is_counted || self.packet[6] & 0x40 != 0)
        } else {
            same(0, 4) && same(6, 8)
        };
        is_same_ip && same(tcp + 8, tcp + 13) && same(tcp + 14, tcp + 16) && same(tcp + 18, self.header_bytes)
    }

    fn finish(&mut self, sink: &mut impl FnMut(&[u8; HEADER_BYTES], &[u8])) {
        let mut header = [0; HEADER_BYTES];
        if self.count > 1 {
            let (total, tcp) = (self.packet.len(), self.ip_bytes);
            let is_v4 = tcp == IPV4_HEADER_BYTES;
            if is_v4 {
                self.packet[2..4].copy_from_slice(&(total as u16).to_be_bytes());
                self.packet[10..12].fill(0);
                let checksum = !fold(sum(0, &self.packet[..tcp]));
                self.packet[10..12].copy_from_slice(&checksum.to_be_bytes());
            } else {
                self.packet[4..6].copy_from_slice(&((total - tcp) as u16).to_be_bytes());
            }
            let pseudo = fold(pseudo_sum(&self.packet, tcp));
            self.packet[tcp + TCP_CHECKSUM..tcp + TCP_CHECKSUM + 2].copy_from_slice(&pseudo.to_be_bytes());
            header[0] = NEEDS_CHECKSUM;
            header[1] = if is_v4 { GSO_TCP4 } else { GSO_TCP6 };
            let numbers = [self.header_bytes, self.segment_bytes, tcp, TCP_CHECKSUM];
            for (field, number) in header[2..].chunks_mut(2).zip(numbers) {
                field.copy_from_slice(&(number as u16).to_ne_bytes());
            }
        }
        sink(&header, &self.packet);
    }
}

impl<'a> Segment<'a> {
    /// The segment in `packet`, if it may be joined. Its checksum is right, because the kernel computes a new one.
    fn parse(packet: &'a [u8]) -> Option<Segment<'a>> {
        let ip_bytes = match *packet.first()? {
            // Without options, and no fragment.
            0x45 if packet.len() > IPV4_HEADER_BYTES && packet[9] == PROTOCOL_TCP => {
                (packet[6] & 0xbf == 0 && packet[7] == 0).then_some(IPV4_HEADER_BYTES)?
            }
            0x60..=0x6f if packet.len() > IPV6_HEADER_BYTES && packet[6] == PROTOCOL_TCP => IPV6_HEADER_BYTES,
            _ => return None,
        };
        let tcp = packet.get(ip_bytes..).filter(|tcp| tcp.len() > TCP_HEADER_BYTES)?;
        let header_bytes = ip_bytes + usize::from(tcp[12] >> 4) * 4;
        let may_be_joined = ip::total_bytes(packet) == Some(packet.len())
            && header_bytes >= ip_bytes + TCP_HEADER_BYTES
            && header_bytes < packet.len()
            && tcp[12] & 0x0f == 0
            && tcp[TCP_FLAGS] & !PSH == ACK
            && fold(pseudo_sum(packet, ip_bytes) + sum(0, tcp)) == 0xffff;
        let sequence = u32::from_be_bytes(*tcp[4..].first_chunk()?);
        may_be_joined.then_some(Segment { packet, ip_bytes, header_bytes, sequence })
    }

    fn payload(&self) -> &'a [u8] {
        &self.packet[self.header_bytes..]
    }

    fn flags(&self) -> u8 {
        self.packet[self.ip_bytes + TCP_FLAGS]
    }

    /// The sequence number after the payload.
    fn end(&self) -> u32 {
        self.sequence.wrapping_add(self.payload().len() as u32)
    }
}

/// Where the addresses are, before a transport header at `ip_bytes`.
fn addresses(ip_bytes: usize) -> std::ops::Range<usize> {
    if ip_bytes == IPV4_HEADER_BYTES { 12..20 } else { 8..40 }
}

/// The sum of the pseudo header of a whole packet.
fn pseudo_sum(packet: &[u8], ip_bytes: usize) -> u64 {
    sum(u64::from(PROTOCOL_TCP) + (packet.len() - ip_bytes) as u64, &packet[addresses(ip_bytes)])
}
