//! The blocks of a cell (RFC 9347 section 6.1.3): what stands at the start of one, and how long it is.

use super::{control, ip};

/// First byte of a control block: this type in the high half, the message version in the low one. RFC 9347 leaves
/// the value free.
pub const CONTROL_TYPE: u8 = 0xc;

/// Bytes from which the length of any block can be told.
pub const LENGTH_KNOWN_BYTES: usize = 6;

/// What begins at a place in the cell.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Block {
    /// Zeros up to the end of the cell.
    Pad,
    /// An IPv4 or IPv6 packet of so many bytes.
    Ip(usize),
    /// A control message of so many bytes, its header included.
    ControlMessage(usize),
    /// The length lies beyond the bytes at hand.
    Unknown,
}

/// Why no block can begin with these bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Malformed {
    /// A type that is neither padding, IP nor control.
    Type,
    /// A length shorter than its own header, or a packet above [`super::MAX_PACKET_BYTES`].
    Length,
}

/// Tells the block that begins with `bytes`. No bytes are padding.
pub fn classify(bytes: &[u8]) -> Result<Block, Malformed> {
    let Some(first) = bytes.first() else { return Ok(Block::Pad) };
    match first >> 4 {
        0 => Ok(Block::Pad),
        4 | 6 => match ip::total_bytes(bytes) {
            Some(length) if !(ip::MIN_BYTES..=super::MAX_PACKET_BYTES).contains(&length) => Err(Malformed::Length),
            Some(length) => Ok(Block::Ip(length)),
            None => Ok(Block::Unknown),
        },
        CONTROL_TYPE => match *bytes {
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
    fn the_first_bytes_tell_type_and_length() {
        assert_eq!(classify(&[]), Ok(Block::Pad));
        assert_eq!(classify(&[0, 9, 9]), Ok(Block::Pad));
        assert_eq!(classify(&[0x45, 0, 1, 2]), Ok(Block::Ip(258)));
        assert_eq!(classify(&[0x45, 0, 1]), Ok(Block::Unknown));
        assert_eq!(classify(&[0x60, 0, 0, 0, 0, 60]), Ok(Block::Ip(100)));
        assert_eq!(classify(&[0xc1, 1, 0, 20]), Ok(Block::ControlMessage(20)));
    }

    #[test]
    fn impossible_blocks_are_refused() {
        assert_eq!(classify(&[0x45, 0, 0, 19]), Err(Malformed::Length));
        assert_eq!(classify(&[0x45, 0, 0xff, 0xff]), Err(Malformed::Length));
        assert_eq!(classify(&[0xc1, 1, 0, 3]), Err(Malformed::Length));
        assert_eq!(classify(&[0x70, 1, 0, 3]), Err(Malformed::Type));
    }
}
