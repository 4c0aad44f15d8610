//! RecordLink types: what each record of a capture starts with.

use super::frame::{Mac, be16};

/// Ethernet, the usual one, as the capture file numbers it (the pcap registry of link types).
const NUMBER_ETHERNET: u32 = 1;
/// The upper bits of a pcap file's link type: a flag, and a length of the frame check sequence.
const FCS_PRESENT: u32 = 0x0400_0000;
const FCS_LENGTH: u32 = 0xf000_0000;
/// Length of Ethernet's frame check sequence in bytes.
const ETHERNET_FCS_BYTES: usize = 4;
const ETHERTYPE_IPV4: u16 = 0x0800;
const ETHERTYPE_IPV6: u16 = 0x86dd;
/// Linux cooked headers: the packet was sent by the capturing host, so the source address is that of the host itself.
const COOKED_OUTGOING: u16 = 4;
/// Hardware type of Ethernet in cooked headers (ARPHRD_ETHER of Linux).
const COOKED_ETHERNET: u16 = 1;

/// RecordLink type of a record: the header that it starts with. The value is the number in pcap files.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum LinkType {
    /// An Ethernet frame.
    Ethernet = 1,
    /// An IPv4 or IPv6 packet.
    RawIp = 101,
    /// Linux cooked capture, as of `tcpdump -i any`: no destination address.
    LinuxCooked = 113,
    /// Linux cooked capture, version 2.
    LinuxCooked2 = 276,
}

/// The link header of a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct LinkHeader {
    /// Source address, if it is that of the sending device.
    pub(super) source: Option<Mac>,
    /// Destination address.
    pub(super) destination: Option<Mac>,
    /// EtherType of what follows.
    pub(super) ethertype: u16,
    /// Length of the header in bytes.
    pub(super) bytes: usize,
}

/// How the records of a file or of an interface start and end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct RecordLink {
    /// The link type, or else the number of an unsupported one.
    pub(super) kind: Result<LinkType, u32>,
    /// Bytes of the frame check sequence at the end of each frame. They are no part of the packet.
    pub(super) fcs_bytes: usize,
}

impl RecordLink {
    /// Decodes the link type of a pcap file: the lower 16 bits are the type, the upper ones tell whether frames end
    /// with a frame check sequence. Its length is given as 2 (words) by some tools and as 4 (bytes) by others.
    pub(super) fn of_file(field: u32) -> RecordLink {
        let has_fcs = field & FCS_PRESENT != 0 && field & FCS_LENGTH != 0;
        RecordLink::of_interface(field & 0xffff, has_fcs)
    }

    /// Decodes the link type of a pcapng interface.
    pub(super) fn of_interface(number: u32, has_fcs: bool) -> RecordLink {
        let kind = match number {
            NUMBER_ETHERNET => Ok(LinkType::Ethernet),
            // 12 and 14 are what BSD systems write for 101; 228 and 229 are those for one version of IP.
            12 | 14 | 101 | 228 | 229 => Ok(LinkType::RawIp),
            113 => Ok(LinkType::LinuxCooked),
            276 => Ok(LinkType::LinuxCooked2),
            other => Err(other),
        };
        let fcs_bytes = if has_fcs && kind == Ok(LinkType::Ethernet) { ETHERNET_FCS_BYTES } else { 0 };
        RecordLink { kind, fcs_bytes }
    }
}

impl LinkType {
    /// Parses the link header of a record; `None` if it is truncated.
    pub(super) fn header(self, data: &[u8]) -> Option<LinkHeader> {
        let mac = |at: usize| Some(Mac(*data.get(at..)?.first_chunk()?));
        // A cooked header has room for addresses of any length; only those of Ethernet are of use here.
        let sender = |hardware: u16, kind: u16, length: u16, at: usize| {
            let usable = hardware == COOKED_ETHERNET && kind != COOKED_OUTGOING && length == 6;
            if usable { mac(at) } else { None }
        };
        Some(match self {
            LinkType::Ethernet => {
                LinkHeader { source: Some(mac(6)?), destination: Some(mac(0)?), ethertype: be16(data, 12)?, bytes: 14 }
            }
            LinkType::RawIp => {
                let ethertype = if data.first()? >> 4 == 6 { ETHERTYPE_IPV6 } else { ETHERTYPE_IPV4 };
                LinkHeader { source: None, destination: None, ethertype, bytes: 0 }
            }
            LinkType::LinuxCooked => LinkHeader {
                source: sender(be16(data, 2)?, be16(data, 0)?, be16(data, 4)?, 6),
                destination: None,
                ethertype: be16(data, 14)?,
                bytes: 16,
            },
            LinkType::LinuxCooked2 => LinkHeader {
                source: sender(be16(data, 8)?, u16::from(*data.get(10)?), u16::from(*data.get(11)?), 12),
                destination: None,
                ethertype: be16(data, 0)?,
                bytes: 20,
            },
        })
    }
}

/// The name of an unsupported link type, as a person who captured with it knows it.
pub(super) fn unsupported_name(number: u32) -> &'static str {
    match number {
        0 | 108 => "BSD loopback",
        9 | 50 | 51 | 166 => "PPP",
        105 => "802.11 (Wi-Fi)",
        119 | 127 | 163 => "802.11 (Wi-Fi) in monitor mode, with radiotap or a similar header",
        147..=162 => "private to its author",
        189 | 220 | 249 => "USB",
        201 | 187 | 251 | 272 => "Bluetooth",
        195 | 230 | 283 => "802.15.4",
        239 => "Netfilter log",
        _ => "unknown here",
    }
}
