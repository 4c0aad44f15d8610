//! Packet captures: reads pcap and pcapng, decodes the frame headers that the laboratory needs, writes pcap.

mod frame;
mod read;
mod write;

#[cfg(test)]
mod tests;

pub use frame::{Frame, IpHeader, Mac, UdpDatagram};
pub use read::{CapturedPacket, Extent, read};
pub use write::{LinkType, PcapWriter};
