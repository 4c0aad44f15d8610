//! How large a cell can be under a limit on the wire.

/// IP version of the packets that carry the tunnel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum IpVersion {
    /// 20 bytes of header.
    V4,
    /// 40 bytes of header.
    V6,
}

/// The sizes of one cell, from the outside in, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CellSize {
    /// On the wire, from the outer IP header on.
    pub wire_bytes: usize,
    /// The packet inside the tunnel, from its IPv4 header on.
    pub inner_bytes: usize,
    /// The UDP payload of that packet: the cell.
    pub payload_bytes: usize,
    /// What of it blocks can use.
    pub block_bytes: usize,
}

/// What a tunnel puts around the packet inside it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Encapsulation {
    /// Bytes around it on the wire, outer IP header included.
    pub overhead_bytes: usize,
    /// It is padded to a multiple of this, at least 1.
    pub padding: usize,
}

/// IPv4 and UDP headers of the packet inside the tunnel.
const INNER_HEADERS: usize = 20 + 8;
/// UDP header, type, receiver index and counter before the encrypted packet, tag after it (WireGuard paper, 5.4.6).
const WIREGUARD_OVERHEAD: usize = 8 + 16 + 16;
/// WireGuard pads the packet inside to a multiple of this.
const WIREGUARD_PADDING: usize = 16;
/// UDP header, then of a `P_DATA_V2` packet with an AEAD cipher: opcode and peer id, packet id, tag. Nothing is padded
/// (doxygen/doc_protocol_overview.h and src/openvpn/crypto.h of OpenVPN 2.6).
const OPENVPN_OVERHEAD: usize = 8 + 4 + 4 + 16;

impl IpVersion {
    /// Bytes of its header, without options.
    pub const fn header_bytes(self) -> usize {
        match self {
            IpVersion::V4 => 20,
            IpVersion::V6 => 40,
        }
    }
}

impl Encapsulation {
    /// WireGuard's.
    pub const fn wireguard(outer: IpVersion) -> Encapsulation {
        Encapsulation { overhead_bytes: WIREGUARD_OVERHEAD + outer.header_bytes(), padding: WIREGUARD_PADDING }
    }

    /// OpenVPN's, over UDP and with an AEAD cipher.
    pub const fn openvpn(outer: IpVersion) -> Encapsulation {
        Encapsulation::plain(OPENVPN_OVERHEAD + outer.header_bytes())
    }

    /// Always `overhead_bytes`.
    pub const fn plain(overhead_bytes: usize) -> Encapsulation {
        Encapsulation { overhead_bytes, padding: 1 }
    }

    /// The largest cell that fits into at most `max_wire_bytes` on the wire. `None` where not even one block byte fits.
    pub fn largest_cell(self, max_wire_bytes: usize) -> Option<CellSize> {
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
    fn default_cell_is_that_of_the_design() {
        let size = Encapsulation::wireguard(IpVersion::V4).largest_cell(512).unwrap();
        assert_eq!(size, CellSize { wire_bytes: 508, inner_bytes: 448, payload_bytes: 420, block_bytes: 412 });
        assert_eq!(Encapsulation::wireguard(IpVersion::V6).largest_cell(512).unwrap().wire_bytes, 512);
    }

    /// Seen in captures of OpenVPN 2.6: an IPv4 packet of 460 bytes leaves as a UDP payload of 484.
    #[test]
    fn openvpn_meets_the_limit_exactly() {
        let size = Encapsulation::openvpn(IpVersion::V4).largest_cell(512).unwrap();
        assert_eq!(size, CellSize { wire_bytes: 512, inner_bytes: 460, payload_bytes: 432, block_bytes: 424 });
        let size = Encapsulation::openvpn(IpVersion::V6).largest_cell(512).unwrap();
        assert_eq!((size.wire_bytes, size.inner_bytes), (512, 440));
    }

    #[test]
    fn nothing_fits_under_the_overhead() {
        let each = |kind: fn(IpVersion) -> Encapsulation| [IpVersion::V4, IpVersion::V6].map(kind);
        for encapsulation in each(Encapsulation::wireguard).into_iter().chain(each(Encapsulation::openvpn)) {
            for limit in 0..=2000 {
                match encapsulation.largest_cell(limit) {
                    Some(size) => {
                        assert!(size.wire_bytes <= limit && size.wire_bytes + encapsulation.padding > limit);
                        assert!(size.block_bytes > 0);
                    }
                    None => assert!(limit < 140, "{limit}"),
                }
            }
        }
    }
}
