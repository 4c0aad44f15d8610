//! The identifiers of devices that no packet outside the tunnel may bear.

use std::net::IpAddr;

use super::packet_view::{ICMP, PacketView};
use crate::units::DeviceId;

/// An identifier of a device.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Identifier {
    /// Its Ethernet address.
    Mac([u8; 6]),
    /// One of its addresses in the home.
    Address(IpAddr),
}

/// Identifiers with the numbers of their devices.
pub(super) struct Identifiers {
    list: Vec<(Vec<u8>, DeviceId)>,
    /// One bit for each hash of two bytes with which an identifier starts, so that a packet is read once.
    starts: [u32; 32],
}

impl Identifiers {
    pub fn new(identifiers: impl IntoIterator<Item = (Identifier, DeviceId)>) -> Identifiers {
        let bytes = |identifier| match identifier {
            Identifier::Mac(mac) => mac.to_vec(),
            Identifier::Address(IpAddr::V4(address)) => address.octets().to_vec(),
            Identifier::Address(IpAddr::V6(address)) => address.octets().to_vec(),
        };
        let list: Vec<(Vec<u8>, DeviceId)> =
            identifiers.into_iter().map(|(identifier, device)| (bytes(identifier), device)).collect();
        let mut starts = [0; 32];
        for (bytes, _) in &list {
            let [word, bit] = start(bytes);
            starts[word] |= 1 << bit;
        }
        Identifiers { list, starts }
    }

    /// The device whose identifier is in the packet.
    pub fn find(&self, view: &PacketView<'_>) -> Option<DeviceId> {
        let is_end = |bytes: &[u8]| bytes == view.source || bytes == view.destination;
        let ends = self.list.iter().find(|(bytes, _)| is_end(bytes));
        // Four bytes recur by chance, but not where ICMP quotes a header.
        let shortest = if view.protocol == ICMP { 4 } else { 6 };
        let inside = || {
            let body = view.transport_bytes();
            (0..body.len().saturating_sub(shortest - 1)).find_map(|at| {
                let [word, bit] = start(&body[at..]);
                let is_candidate = self.starts[word] >> bit & 1 != 0;
                let is_here = |bytes: &Vec<u8>| bytes.len() >= shortest && body[at..].starts_with(bytes);
                self.list.iter().filter(|_| is_candidate).find(|(bytes, _)| is_here(bytes))
            })
        };
        ends.or_else(inside).map(|(_, device)| *device)
    }
}

/// Word and bit of the first two bytes.
fn start(bytes: &[u8]) -> [usize; 2] {
    let hash = usize::from(bytes[0]) * 33 + usize::from(bytes[1]);
    [hash / 32 % 32, hash % 32]
}
