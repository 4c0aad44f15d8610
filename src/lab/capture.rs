//! Packet captures: reading pcap and pcapng, decoding frames as far as the laboratory needs, writing pcap.

mod frame;
mod read;
mod write;

#[cfg(test)]
mod tests;

pub use frame::{Frame, IpHeader, Mac, UdpDatagram};
pub use read::{Extent, Packet, read};
pub use write::{LinkType, Writer};
