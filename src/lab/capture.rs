//! CapturedPacket captures: reading pcap and pcapng, decoding frames as far as the laboratory needs, writing pcap.

mod frame;
mod read;
mod write;

#[cfg(test)]
mod tests;

pub use frame::{Frame, IpHeader, Mac, UdpDatagram};
pub use read::{CapturedPacket, Extent, read};
pub use write::{LinkType, PcapWriter};
