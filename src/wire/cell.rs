//! The cell's header: sequence number and AGGFRAG header (RFC 9347 section 6.1.1).

/// Offsets of the header's fields.
mod field {
    use std::ops::Range;

    pub const SEQUENCE: Range<usize> = 0..4;
    pub const SUB_TYPE: usize = 4;
    pub const RESERVED: usize = 5;
    pub const BLOCK_OFFSET: Range<usize> = 6..8;
}

/// Length of the header in bytes; blocks follow.
pub const HEADER_BYTES: usize = 8;

/// Whether a cell has a sequence number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SubType {
    /// RFC 9347's AGGFRAG payload without congestion control. The cell takes part in reordering and loss counting.
    Sequenced,
    /// Cover that carries nothing and may be lost or reordered without consequence. Used under the law `kernel` for the
    /// low PRIO band, where the queue discipline drops the cells that it cannot send in time.
    Unsequenced,
}

/// The fields of the header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    /// Sequence number of the cell in its direction. It starts at any value, increases by one and wraps.
    pub sequence: u32,
    /// See [`SubType`].
    pub sub_type: SubType,
    /// Number of bytes before the first block that starts in this cell; they continue a packet that an earlier cell
    /// began. A value beyond the cell's end means that no block starts here.
    ///
    /// This format adds one case to RFC 9347: if the value is *smaller* than the rest of the open packet, that packet
    /// is suspended. The blocks that follow are complete in this cell, and the packet continues at the start of the
    /// next cell. A small packet can thus overtake a large one that needs several cells.
    pub block_offset: u16,
}

/// Why the bytes are not a valid cell.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Malformed {
    /// Shorter than a header plus one block byte.
    Short,
    /// A sub-type that this version does not know.
    SubType,
}

const SUB_TYPE_SEQUENCED: u8 = 0;
const SUB_TYPE_UNSEQUENCED: u8 = 0x80;

impl Header {
    /// Parses the header and returns it with the blocks that follow.
    pub fn parse(cell: &[u8]) -> Result<(Header, &[u8]), Malformed> {
        if cell.len() <= HEADER_BYTES {
            return Err(Malformed::Short);
        }
        let (header, blocks) = cell.split_at(HEADER_BYTES);
        let sub_type = match header[field::SUB_TYPE] {
            SUB_TYPE_SEQUENCED => SubType::Sequenced,
            SUB_TYPE_UNSEQUENCED => SubType::Unsequenced,
            _ => return Err(Malformed::SubType),
        };
        let [a, b, c, d] = header[field::SEQUENCE] else { return Err(Malformed::Short) };
        let [high, low] = header[field::BLOCK_OFFSET] else { return Err(Malformed::Short) };
        let block_offset = u16::from_be_bytes([high, low]);
        Ok((Header { sequence: u32::from_be_bytes([a, b, c, d]), sub_type, block_offset }, blocks))
    }

    /// Writes the header to the start of `cell`, which must have at least [`HEADER_BYTES`] bytes.
    pub fn emit(&self, cell: &mut [u8]) {
        cell[field::SEQUENCE].copy_from_slice(&self.sequence.to_be_bytes());
        cell[field::SUB_TYPE] = match self.sub_type {
            SubType::Sequenced => SUB_TYPE_SEQUENCED,
            SubType::Unsequenced => SUB_TYPE_UNSEQUENCED,
        };
        cell[field::RESERVED] = 0;
        cell[field::BLOCK_OFFSET].copy_from_slice(&self.block_offset.to_be_bytes());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn header_survives_a_round_trip() {
        let header = Header { sequence: 0xfedc_ba98, sub_type: SubType::Unsequenced, block_offset: 411 };
        let mut cell = [7; 20];
        header.emit(&mut cell);
        assert_eq!(cell[..8], [0xfe, 0xdc, 0xba, 0x98, 0x80, 0, 1, 155]);
        assert_eq!(Header::parse(&cell), Ok((header, &[7; 12][..])));
    }

    #[test]
    fn short_cells_and_unknown_sub_types_are_rejected() {
        assert_eq!(Header::parse(&[0; 8]), Err(Malformed::Short));
        assert_eq!(Header::parse(&[1; 20]), Err(Malformed::SubType));
    }
}
