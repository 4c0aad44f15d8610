//! The payload of replayed packets: device, sequence number, and a body that depends on a seed.
//!
//! ```text
//! kind u8 | device tag u16 | sequence u32 | body
//! ```
//! The header is as short as possible, because bare acknowledgements are the most frequent packets. Times are in the
//! journals.

use std::fmt;

/// Bytes of the header.
pub const HEADER_BYTES: usize = 7;

/// The direction of a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Direction {
    /// From the device.
    Up,
    /// To the device.
    Down,
}

impl Direction {
    /// The name in traces and tables.
    pub const fn name(self) -> &'static str {
        match self {
            Direction::Up => "up",
            Direction::Down => "down",
        }
    }

    /// Returns the direction with that name.
    pub fn from_name(name: &str) -> Option<Direction> {
        [Direction::Up, Direction::Down].into_iter().find(|direction| direction.name() == name)
    }
}

/// The purpose of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A device makes its address known to the server.
    Hello,
    /// The server's answer to a hello.
    Welcome,
    /// A replayed packet.
    Data(Direction),
}

impl Kind {
    const fn code(self) -> u8 {
        match self {
            Kind::Hello => 1,
            Kind::Welcome => 2,
            Kind::Data(Direction::Up) => 3,
            Kind::Data(Direction::Down) => 4,
        }
    }

    fn from_code(code: u8) -> Option<Kind> {
        [Kind::Hello, Kind::Welcome, Kind::Data(Direction::Up), Kind::Data(Direction::Down)]
            .into_iter()
            .find(|kind| kind.code() == code)
    }
}

/// The header of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    /// The purpose of the message.
    pub kind: Kind,
    /// The device, see [`tag`].
    pub tag: u16,
    /// Sequence number, from 0 for each direction of a device.
    pub seq: u32,
}

/// Why a message is invalid.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// It is shorter than its header, or of an unknown kind.
    NotOurs,
    /// Its body does not match seed, device and sequence number.
    Corrupt,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Fault::NotOurs => "is not a message of this laboratory",
            Fault::Corrupt => "was changed on the way",
        })
    }
}

/// A hash of a device's name in two bytes (FNV-1a, folded).
pub fn tag(name: &str) -> u16 {
    let hash = name.bytes().fold(0x811c_9dc5u32, |hash, byte| (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193));
    (hash >> 16) as u16 ^ hash as u16
}

impl Header {
    /// Writes a message of `len` bytes (at least [`HEADER_BYTES`]) to `buf`.
    pub fn emit(self, seed: u64, len: usize, buf: &mut Vec<u8>) {
        buf.clear();
        buf.push(self.kind.code());
        buf.extend_from_slice(&self.tag.to_be_bytes());
        buf.extend_from_slice(&self.seq.to_be_bytes());
        let mut body = self.body(seed);
        buf.resize_with(len.max(HEADER_BYTES), || body.next_byte());
    }

    /// Reads a message and checks its body.
    pub fn parse(seed: u64, message: &[u8]) -> Result<Header, Fault> {
        let (bytes, body) = message.split_at_checked(HEADER_BYTES).ok_or(Fault::NotOurs)?;
        let header = Header {
            kind: Kind::from_code(bytes[0]).ok_or(Fault::NotOurs)?,
            tag: u16::from_be_bytes([bytes[1], bytes[2]]),
            seq: u32::from_be_bytes([bytes[3], bytes[4], bytes[5], bytes[6]]),
        };
        let mut expected = header.body(seed);
        if body.iter().all(|&byte| byte == expected.next_byte()) { Ok(header) } else { Err(Fault::Corrupt) }
    }

    fn body(self, seed: u64) -> Body {
        let place = u64::from(self.kind.code()) << 48 | u64::from(self.tag) << 32 | u64::from(self.seq);
        Body { state: seed ^ place.wrapping_mul(0x9e37_79b9_7f4a_7c15), word: 0, left: 0 }
    }
}

/// The bytes of a body, from SplitMix64.
struct Body {
    state: u64,
    word: u64,
    left: u8,
}

impl Body {
    fn next_byte(&mut self) -> u8 {
        if self.left == 0 {
            self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
            let mut z = self.state;
            z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
            z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
            self.word = z ^ (z >> 31);
            self.left = 8;
        }
        let byte = self.word as u8;
        self.word >>= 8;
        self.left -= 1;
        byte
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_changed_byte_is_detected() {
        let header = Header { kind: Kind::Data(Direction::Down), tag: tag("echo"), seq: 70_000 };
        let mut message = Vec::new();
        header.emit(7, 100, &mut message);
        assert_eq!(message.len(), 100);
        assert_eq!(Header::parse(7, &message), Ok(header));
        assert_eq!(Header::parse(8, &message), Err(Fault::Corrupt));
        for at in 0..message.len() {
            message[at] ^= 0x10;
            assert_ne!(Header::parse(7, &message), Ok(header), "byte {at}");
            message[at] ^= 0x10;
        }
        assert_eq!(Header::parse(7, &message[..HEADER_BYTES - 1]), Err(Fault::NotOurs));
    }

    #[test]
    fn the_captured_devices_have_different_tags() {
        let names = ["echo", "xiaomi-cam", "dlink-cam", "tplink-plug", "tuya-motion", "philips-hue", "smartthings-hub"];
        let mut tags: Vec<u16> = names.iter().map(|name| tag(name)).collect();
        tags.sort_unstable();
        tags.dedup();
        assert_eq!(tags.len(), names.len());
    }
}
