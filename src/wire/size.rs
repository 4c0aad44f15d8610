//! The largest cell under a limit on the wire.

/// IP version of the tunnel's outer packets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum IpVersion {
    /// 20 bytes of header.
    V4,
    /// 40 bytes of header.
    V6,
}

/// The sizes of a cell at each layer in bytes, from the outermost to the innermost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CellSize {
    /// Packet on the wire, outer IP header included.
    pub wire_bytes: usize,
    /// Packet inside the tunnel, its IPv4 header included.
    pub inner_bytes: usize,
    /// UDP payload of that packet: the cell.
    pub payload_bytes: usize,
    /// Part of the cell that blocks can use.
    pub block_bytes: usize,
}

/// The overhead and padding that a tunnel adds to a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Encapsulation {
    /// Bytes added on the wire, outer IP header included.
    pub overhead_bytes: usize,
    /// The inner packet is padded to a multiple of this number of bytes; at least 1.
    pub padding: usize,
    /// The longest packet that the way to the peer is known to carry whole, in bytes, outer IP header included.
    pub mtu: u16,
}

/// IPv4 and UDP headers of the packet inside the tunnel.
const INNER_HEADERS: usize = 20 + 8;
/// UDP header; type, receiver index and counter before the encrypted packet; tag after it (WireGuard paper, 5.4.6).
const WIREGUARD_OVERHEAD: usize = 8 + 16 + 16;
/// WireGuard pads the inner packet to a multiple of this number of bytes.
const WIREGUARD_PADDING: usize = 16;

impl IpVersion {
    /// Length of the IP header in bytes, without options.
    pub const fn header_bytes(self) -> usize {
        match self {
            IpVersion::V4 => 20,
            IpVersion::V6 => 40,
        }
    }
}

impl Encapsulation {
    /// The encapsulation of WireGuard.
    pub const fn wireguard(outer: IpVersion) -> Encapsulation {
        let overhead_bytes = WIREGUARD_OVERHEAD + outer.header_bytes();
        Encapsulation { overhead_bytes, padding: WIREGUARD_PADDING, mtu: u16::MAX }
    }

    /// An encapsulation that adds `overhead_bytes` and does not pad.
    pub const fn plain(overhead_bytes: usize) -> Encapsulation {
        Encapsulation { overhead_bytes, padding: 1, mtu: u16::MAX }
    }

    /// Bytes on the wire of a packet whose UDP payload inside the tunnel has `payload_bytes`.
    pub fn wire_bytes(self, payload_bytes: usize) -> usize {
        (payload_bytes + INNER_HEADERS).next_multiple_of(self.padding) + self.overhead_bytes
    }

    /// The largest cell with at most `max_wire_bytes` on the wire, never a fragment. `None` if there is no room for a
    /// single block byte.
    pub fn largest_cell(self, max_wire_bytes: usize) -> Option<CellSize> {
        let max_wire_bytes = max_wire_bytes.min(self.mtu.into());
        let inner_bytes = max_wire_bytes.checked_sub(self.overhead_bytes)? / self.padding * self.padding;
        let payload_bytes = inner_bytes.checked_sub(INNER_HEADERS)?;
        let block_bytes = payload_bytes.checked_sub(super::cell::HEADER_BYTES)?;
        (block_bytes > 0).then_some(CellSize {
            wire_bytes: inner_bytes + self.overhead_bytes,
            inner_bytes,
            payload_bytes,
            block_bytes,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn default_cell_has_the_documented_sizes() {
        let size = Encapsulation::wireguard(IpVersion::V4).largest_cell(512).unwrap();
        assert_eq!(size, CellSize { wire_bytes: 508, inner_bytes: 448, payload_bytes: 420, block_bytes: 412 });
        assert_eq!(Encapsulation::wireguard(IpVersion::V6).largest_cell(512).unwrap().wire_bytes, 512);
    }

    #[test]
    fn no_cell_is_larger_than_the_way_carries_whole() {
        for outer in [IpVersion::V4, IpVersion::V6] {
            let narrow = Encapsulation { mtu: 1280, ..Encapsulation::wireguard(outer) };
            let size = narrow.largest_cell(1400).unwrap();
            assert!((1265..=1280).contains(&size.wire_bytes), "{size:?}");
            assert_eq!(narrow.largest_cell(512), Encapsulation::wireguard(outer).largest_cell(512));
        }
    }

    #[test]
    fn no_cell_fits_below_the_overhead() {
        let padded = [IpVersion::V4, IpVersion::V6].map(Encapsulation::wireguard);
        for encapsulation in padded.into_iter().chain([20, 52, 72].map(Encapsulation::plain)) {
            for limit in 0..=2000 {
                match encapsulation.largest_cell(limit) {
                    Some(size) => {
                        assert!(size.wire_bytes <= limit && size.wire_bytes + encapsulation.padding > limit);
                        assert!(size.block_bytes > 0);
                        assert_eq!(encapsulation.wire_bytes(size.payload_bytes), size.wire_bytes);
                        assert!(encapsulation.wire_bytes(size.payload_bytes + 1) > limit);
                    }
                    None => assert!(limit < 140, "{limit}"),
                }
            }
        }
    }
}
