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

/// IPv4 and UDP headers of the packet inside the tunnel.
const INNER_HEADERS: usize = 20 + 8;
/// UDP header, type, receiver index and counter before the encrypted packet, tag after it (WireGuard paper, 5.4.6).
const WIREGUARD_OVERHEAD: usize = 8 + 16 + 16;
/// WireGuard pads the packet inside to a multiple of this.
const WIREGUARD_PADDING: usize = 16;

/// The largest cell that WireGuard over `outer` can carry in at most `max_wire_bytes` on the wire.
/// `None` where not even one block byte fits.
pub fn wireguard(max_wire_bytes: usize, outer: IpVersion) -> Option<CellSize> {
    let overhead = WIREGUARD_OVERHEAD
        + match outer {
            IpVersion::V4 => 20,
            IpVersion::V6 => 40,
        };
    let inner_bytes = max_wire_bytes.checked_sub(overhead)? / WIREGUARD_PADDING * WIREGUARD_PADDING;
    let payload_bytes = inner_bytes.checked_sub(INNER_HEADERS)?;
    let block_bytes = payload_bytes.checked_sub(super::cell::HEADER_BYTES)?;
    (block_bytes > 0).then_some(CellSize {
        wire_bytes: inner_bytes + overhead,
        inner_bytes,
        payload_bytes,
        block_bytes,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn default_cell_is_that_of_the_design() {
        let size = wireguard(512, IpVersion::V4).unwrap();
        assert_eq!(size, CellSize { wire_bytes: 508, inner_bytes: 448, payload_bytes: 420, block_bytes: 412 });
        assert_eq!(wireguard(512, IpVersion::V6).unwrap().wire_bytes, 512);
    }

    #[test]
    fn nothing_fits_under_the_overhead() {
        for outer in [IpVersion::V4, IpVersion::V6] {
            for limit in 0..=2000 {
                match wireguard(limit, outer) {
                    Some(size) => {
                        assert!(size.wire_bytes <= limit && size.wire_bytes + 16 > limit && size.block_bytes > 0)
                    }
                    None => assert!(limit < 140, "{limit}"),
                }
            }
        }
    }
}
