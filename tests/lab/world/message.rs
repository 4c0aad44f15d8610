//! What replayed packets carry: who sent it, which one it is, and bytes that only the right seed explains.
//!
//! ```text
//! kind u8 | device tag u16 | sequence u32 | body
//! ```
//! The head is as short as can be, for bare acknowledgements are the most frequent packets of all; times are in the
//! journals.

use std::fmt;

/// Bytes of the head.
pub const HEAD_BYTES: usize = 7;

/// Which way a packet goes.
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

    /// The direction of that name.
    pub fn from_name(name: &str) -> Option<Direction> {
        [Direction::Up, Direction::Down].into_iter().find(|direction| direction.name() == name)
    }
}

/// What a message is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A device makes its address known.
    Hello,
    /// The server's answer to that.
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

/// The head of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Head {
    /// What it is for.
    pub kind: Kind,
    /// The device, see [`tag`].
    pub tag: u16,
    /// Counts from zero in each direction of a device.
    pub seq: u32,
}

/// What may be wrong with a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// Shorter than its head, or of no known kind.
    NotOurs,
    /// The body is not what this seed, device and number make.
    Corrupt,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Fault::NotOurs => "is no message of this laboratory",
            Fault::Corrupt => "carries other bytes than were sent",
        })
    }
}

/// A device's name in two bytes (FNV-1a, folded).
pub fn tag(name: &str) -> u16 {
    let hash = name.bytes().fold(0x811c_9dc5u32, |hash, byte| (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193));
    (hash >> 16) as u16 ^ hash as u16
}

impl Head {
    /// Writes a message of `len` bytes (at least [`HEAD_BYTES`]) to `buf`.
    pub fn emit(self, seed: u64, len: usize, buf: &mut Vec<u8>) {
        buf.clear();
        buf.push(self.kind.code());
        buf.extend_from_slice(&self.tag.to_be_bytes());
        buf.extend_from_slice(&self.seq.to_be_bytes());
        let mut body = self.body(seed);
        buf.resize_with(len.max(HEAD_BYTES), || body.next_byte());
    }

    /// Reads a message and checks its body.
    pub fn parse(seed: u64, message: &[u8]) -> Result<Head, Fault> {
        let (head, body) = message.split_at_checked(HEAD_BYTES).ok_or(Fault::NotOurs)?;
        let head = Head {
            kind: Kind::from_code(head[0]).ok_or(Fault::NotOurs)?,
            tag: u16::from_be_bytes([head[1], head[2]]),
            seq: u32::from_be_bytes([head[3], head[4], head[5], head[6]]),
        };
        let mut wanted = head.body(seed);
        if body.iter().all(|&byte| byte == wanted.next_byte()) { Ok(head) } else { Err(Fault::Corrupt) }
    }

    fn body(self, seed: u64) -> Body {
        let place = u64::from(self.kind.code()) << 48 | u64::from(self.tag) << 32 | u64::from(self.seq);
        Body { state: seed ^ place.wrapping_mul(0x9e37_79b9_7f4a_7c15), word: 0, left: 0 }
    }
}

/// Bytes of SplitMix64.
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
    fn a_changed_byte_anywhere_is_noticed() {
        let head = Head { kind: Kind::Data(Direction::Down), tag: tag("echo"), seq: 70_000 };
        let mut message = Vec::new();
        head.emit(7, 100, &mut message);
        assert_eq!(message.len(), 100);
        assert_eq!(Head::parse(7, &message), Ok(head));
        assert_eq!(Head::parse(8, &message), Err(Fault::Corrupt));
        for at in 0..message.len() {
            message[at] ^= 0x10;
            assert_ne!(Head::parse(7, &message), Ok(head), "byte {at}");
            message[at] ^= 0x10;
        }
        assert_eq!(Head::parse(7, &message[..HEAD_BYTES - 1]), Err(Fault::NotOurs));
    }

    #[test]
    fn the_devices_of_the_captures_have_tags_of_their_own() {
        let names = ["echo", "xiaomi-cam", "dlink-cam", "tplink-plug", "tuya-motion", "philips-hue", "smartthings-hub"];
        let mut tags: Vec<u16> = names.iter().map(|name| tag(name)).collect();
        tags.sort_unstable();
        tags.dedup();
        assert_eq!(tags.len(), names.len());
    }
}
