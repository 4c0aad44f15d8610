//! Packet captures: reads pcap and pcapng, decodes the headers that the laboratory needs, accounts for the packets that
//! its commands read, writes pcap.

mod format;
mod frame;
mod link;
mod read;
mod recording;
mod survey;
mod tally;
mod write;

#[cfg(test)]
mod tests;

pub use frame::{Frame, IpHeader, Mac, UdpDatagram};
pub use link::LinkType;
pub use read::{CapturedPacket, Extent, Reading, read};
pub use recording::{ContinuousReading, read_recording};
pub use tally::{PacketTally, PacketUse, account_lines, remark};
pub use write::PcapWriter;
