//! Assigns packets to the devices of a home by Ethernet address. Cooked and raw captures lack some or all of these
//! addresses, so the other packets of the same capture tell which device has which IP address.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::path::Path;

use super::Direction;
use crate::lab::capture::{Frame, IpHeader, Mac, PacketTally};
use crate::lab::error::Error;

const NO_MAC: &str = "without a MAC address";

/// Time in nanoseconds of Unix time, direction and length in bytes of a packet.
pub(in crate::lab) type StationPacket = (u64, Direction, usize);

/// The packets without a MAC address, by the home's IP address in them, and what is known about these addresses.
#[derive(Default)]
pub(in crate::lab) struct Stations {
    macs: BTreeMap<IpAddr, Mac>,
    waiting: BTreeMap<IpAddr, Vec<StationPacket>>,
}

impl Stations {
    /// Learns from a packet that a device of the home sent.
    pub(in crate::lab) fn learn(&mut self, frame: &Frame<'_>, ip: &IpHeader<'_>) {
        if let Some(mac) = frame.source.filter(|_| super::is_home(ip.source)) {
            self.macs.entry(ip.source).or_insert(mac);
        }
    }

    /// Keeps a packet of the device with this IP address until its MAC address is known.
    pub(in crate::lab) fn keep(&mut self, address: IpAddr, packet: StationPacket) {
        self.waiting.entry(address).or_default().push(packet);
    }

    /// Passes the kept packets of devices with a known MAC address to `assign`, which tells whether it has a use for
    /// them, and counts the others as skipped. Fails if no packet of the capture has a MAC address.
    pub(in crate::lab) fn finish(
        self,
        path: &Path,
        tally: &mut PacketTally,
        mut assign: impl FnMut(Mac, Vec<StationPacket>) -> Result<(), &'static str>,
    ) -> Result<(), Error> {
        if !self.waiting.is_empty() && self.macs.is_empty() {
            tally.reclassify(self.waiting.values().map(|packets| packets.len() as u64).sum(), NO_MAC);
            return Err(Error::content(
                path,
                0,
                "the packets have no MAC addresses (raw IP or Linux cooked packets of `-i any`), so devices cannot be \
                 told apart; capture on one interface of the LAN, such as with `tcpdump -i br-lan`",
            ));
        }
        for (address, packets) in self.waiting {
            let count = packets.len() as u64;
            let result = self.macs.get(&address).map_or(Err(NO_MAC), |mac| assign(*mac, packets));
            if let Err(reason) = result {
                tally.reclassify(count, reason);
            }
        }
        Ok(())
    }
}
