//! The blocks of a cell (RFC 9347 section 6.1.3): the type and length of the block that starts at a position.

use super::{control, ip};

/// Number of bytes that suffice to determine the length of any block.
pub const LENGTH_KNOWN_BYTES: usize = 6;

/// The block that starts at a position in the cell.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Block {
    /// Zeros up to the end of the cell.
    Pad,
    /// An IPv4 or IPv6 packet of that length in bytes.
    Ip(usize),
    /// A control message of that length in bytes, header included.
    ControlMessage(usize),
    /// A packet or message whose length field is not within the given bytes.
    Unknown,
}

/// Why the bytes are not a valid start of a block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Malformed {
    /// A type that is neither padding, IP nor control.
    Type,
    /// A length shorter than the header, or a packet longer than [`super::MAX_PACKET_BYTES`].
    Length,
}

/// Determines the block that starts with `bytes`. An empty slice counts as padding.
pub fn classify(bytes: &[u8]) -> Result<Block, Malformed> {
    let Some(first) = bytes.first() else { return Ok(Block::Pad) };
    match first >> 4 {
        0 => Ok(Block::Pad),
        4 | 6 => match ip::total_bytes(bytes) {
            Some(length) if !(ip::MIN_BYTES..=super::MAX_PACKET_BYTES).contains(&length) => Err(Malformed::Length),
            Some(length) => Ok(Block::Ip(length)),
            None => Ok(Block::Unknown),
        },
        control::BLOCK_TYPE => match *bytes {
            [_, _, high, low, ..] => match usize::from(u16::from_be_bytes([high, low])) {
                length if length < control::HEADER_BYTES => Err(Malformed::Length),
                length => Ok(Block::ControlMessage(length)),
            },
            _ => Ok(Block::Unknown),
        },
        _ => Err(Malformed::Type),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn first_bytes_give_type_and_length() {
        assert_eq!(classify(&[]), Ok(Block::Pad));
        assert_eq!(classify(&[0, 9, 9]), Ok(Block::Pad));
        assert_eq!(classify(&[0x45, 0, 1, 2]), Ok(Block::Ip(258)));
        assert_eq!(classify(&[0x45, 0, 1]), Ok(Block::Unknown));
        assert_eq!(classify(&[0x60, 0, 0, 0, 0, 60]), Ok(Block::Ip(100)));
        assert_eq!(classify(&[0xc1, 1, 0, 20]), Ok(Block::ControlMessage(20)));
    }

    #[test]
    fn invalid_blocks_are_rejected() {
        assert_eq!(classify(&[0x45, 0, 0, 19]), Err(Malformed::Length));
        assert_eq!(classify(&[0x45, 0, 0xff, 0xff]), Err(Malformed::Length));
        assert_eq!(classify(&[0xc1, 1, 0, 3]), Err(Malformed::Length));
        assert_eq!(classify(&[0x70, 1, 0, 3]), Err(Malformed::Type));
    }
}
