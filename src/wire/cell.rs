//! The cell's header: sequence number and AGGFRAG header (RFC 9347 section 6.1.1).

/// Offsets of the header's fields.
mod field {
    use std::ops::Range;

    pub const SEQUENCE: Range<usize> = 0..4;
    pub const SUB_TYPE: usize = 4;
    pub const RESERVED: usize = 5;
    pub const BLOCK_OFFSET: Range<usize> = 6..8;
}

/// Bytes before the first block.
pub const HEADER_BYTES: usize = 8;

/// Whether a cell's place in the sequence counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SubType {
    /// RFC 9347's AGGFRAG payload without congestion control: part of the sequence.
    Sequenced,
    /// Cover that carries nothing and may be lost or overtaken without consequence: the low PRIO band under the law
    /// `kernel`, where the queue discipline drops what it has no time for.
    Unsequenced,
}

/// The header in its own words.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    /// Number of the cell in its direction; starts anywhere, grows by one, wraps.
    pub sequence: u32,
    /// See [`SubType`].
    pub sub_type: SubType,
    /// Bytes before the first block that starts in this cell: the continuation of a packet begun earlier. A value
    /// beyond the cell's end means that none starts here.
    ///
    /// One reading more than RFC 9347's: where it is *smaller* than what the begun packet still lacks, that packet
    /// is suspended. The blocks that follow stand whole in this cell, and the packet goes on at the start of the
    /// next one. So a small packet overtakes a large one that needs several cells.
    pub block_offset: u16,
}

/// Why bytes are no cell.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Malformed {
    /// Shorter than a header and one block byte.
    Short,
    /// A sub-type that this version does not know.
    SubType,
}

const SUB_TYPE_SEQUENCED: u8 = 0;
const SUB_TYPE_UNSEQUENCED: u8 = 0x80;

impl Header {
    /// Splits a cell into header and blocks.
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

    /// Writes the header to the start of `cell`, which must hold at least [`HEADER_BYTES`].
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
    fn header_comes_back_as_it_was_written() {
        let header = Header { sequence: 0xfedc_ba98, sub_type: SubType::Unsequenced, block_offset: 411 };
        let mut cell = [7; 20];
        header.emit(&mut cell);
        assert_eq!(cell[..8], [0xfe, 0xdc, 0xba, 0x98, 0x80, 0, 1, 155]);
        assert_eq!(Header::parse(&cell), Ok((header, &[7; 12][..])));
    }

    #[test]
    fn short_and_foreign_cells_are_refused() {
        assert_eq!(Header::parse(&[0; 8]), Err(Malformed::Short));
        assert_eq!(Header::parse(&[1; 20]), Err(Malformed::SubType));
    }
}
