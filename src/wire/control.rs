//! Control messages between the two ends, as a block inside an ordinary cell.
//!
//! ```text
//! 0             1      2        4
//! +------+------+------+--------+---------------------+
//! | 0xc  | vers | kind | length | body of that kind   |
//! +------+------+------+--------+---------------------+
//! request:    id u16, law u8, spread u8, cell u16, flags u16, rate u32
//! grant:  id u16, law u8, (zero u8), cell u16, (zero u16), rate u32, received u64, lost u64
//! key_update:   public key, 32 bytes
//! ```
//!
//! All numbers are big-endian. Bodies may grow at the end: a reader ignores what it does not know, so the version
//! only changes when the meaning of a field does.

use super::block::CONTROL_TYPE;
use crate::law::Law;
use crate::units::BitsPerSec;

/// Version of the messages that this code speaks.
pub const VERSION: u8 = 1;

/// Bytes before the body.
pub const HEADER_BYTES: usize = 4;

/// No message that this code writes is longer, header included.
pub const MAX_BYTES: usize = HEADER_BYTES + KEY_UPDATE_BYTES;

const KIND_REQUEST: u8 = 1;
const KIND_GRANT: u8 = 2;
const KIND_KEY_UPDATE: u8 = 3;
const REQUEST_BYTES: usize = 12;
/// The flag of a request without cover. Others are ignored.
const WITHOUT_COVER: u16 = 1;
const GRANT_BYTES: usize = 28;
const KEY_UPDATE_BYTES: usize = 32;

/// One message.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum ControlMessage {
    /// From the router: how it would like the endpoint to send.
    ShapingRequest(ShapingRequest),
    /// From the endpoint: how it sends, and what reached it.
    ShapingGrant(ShapingGrant),
    /// From a router that came with a join text's key: the public key, which is to be the home's from now on.
    KeyUpdate([u8; 32]),
}

/// How one end wants the other to send.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ShapingRequest {
    /// Changes with every new request, so that a grant can name it.
    pub id: u16,
    /// How intervals are drawn.
    pub law: Law,
    /// Standard deviation of the intervals in percent of their mean.
    pub spread_percent: u8,
    /// Bytes of one cell on the wire, tunnel included; the cell's own length is that of the cell with this message.
    pub cell_bytes: u16,
    /// On the wire.
    pub rate: BitsPerSec,
    /// Whether cells leave that carry nothing; without them nothing is hidden.
    pub cover: bool,
}

/// What the endpoint does and has seen.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ShapingGrant {
    /// The request that is in force; the rest may differ from it where the endpoint has limits.
    pub id: u16,
    /// Law in force.
    pub law: Law,
    /// Bytes of one cell on the wire, in force.
    pub cell_bytes: u16,
    /// Rate in force.
    pub rate: BitsPerSec,
    /// Cells that have reached the endpoint.
    pub cells_received: u64,
    /// Cells that are missing in the sequence.
    pub cells_lost: u64,
}

/// Why a block is no message that this version can use. The block's length is still good: skip it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Malformed {
    /// Written by a newer version.
    Version,
    /// A kind that this version does not know.
    Kind,
    /// Shorter than its kind's body, or its length field does not fit the bytes.
    Length,
    /// A law, spread, cell size or rate out of range.
    Value,
}

impl ControlMessage {
    /// Reads a whole block, header included.
    pub fn parse(block: &[u8]) -> Result<ControlMessage, Malformed> {
        let [first, kind, high, low, body @ ..] = block else { return Err(Malformed::Length) };
        if usize::from(u16::from_be_bytes([*high, *low])) != block.len() || first >> 4 != CONTROL_TYPE {
            return Err(Malformed::Length);
        }
        if first & 0x0f != VERSION {
            return Err(Malformed::Version);
        }
        let mut reader = BodyReader(body);
        match *kind {
            KIND_REQUEST => reader.request().map(ControlMessage::ShapingRequest),
            KIND_GRANT => reader.grant().map(ControlMessage::ShapingGrant),
            KIND_KEY_UPDATE => reader.take().map(ControlMessage::KeyUpdate),
            _ => Err(Malformed::Kind),
        }
    }

    /// Bytes that [`ControlMessage::emit`] writes.
    pub fn buffer_len(&self) -> usize {
        HEADER_BYTES
            + match self {
                ControlMessage::ShapingRequest(_) => REQUEST_BYTES,
                ControlMessage::ShapingGrant(_) => GRANT_BYTES,
                ControlMessage::KeyUpdate(_) => KEY_UPDATE_BYTES,
            }
    }

    /// Writes the block to the start of `buf`, which must hold [`ControlMessage::buffer_len`] bytes.
    pub fn emit(&self, buf: &mut [u8]) {
        let length = self.buffer_len();
        buf[..length].fill(0);
        buf[0] = CONTROL_TYPE << 4 | VERSION;
        buf[2..4].copy_from_slice(&(length as u16).to_be_bytes());
        let body = &mut buf[HEADER_BYTES..length];
        let (kind, id, law, spread_percent, cell_bytes, rate) = match self {
            ControlMessage::ShapingRequest(request) => {
                (KIND_REQUEST, request.id, request.law, request.spread_percent, request.cell_bytes, request.rate)
            }
            ControlMessage::ShapingGrant(grant) => {
                body[12..20].copy_from_slice(&grant.cells_received.to_be_bytes());
                body[20..28].copy_from_slice(&grant.cells_lost.to_be_bytes());
                (KIND_GRANT, grant.id, grant.law, 0, grant.cell_bytes, grant.rate)
            }
            ControlMessage::KeyUpdate(key) => {
                buf[1] = KIND_KEY_UPDATE;
                buf[HEADER_BYTES..length].copy_from_slice(key);
                return;
            }
        };
        body[..2].copy_from_slice(&id.to_be_bytes());
        body[2] = law.number();
        body[3] = spread_percent;
        body[4..6].copy_from_slice(&cell_bytes.to_be_bytes());
        body[8..12].copy_from_slice(&u32::try_from(rate.0).unwrap_or(u32::MAX).to_be_bytes());
        if let ControlMessage::ShapingRequest(ShapingRequest { cover: false, .. }) = self {
            body[6..8].copy_from_slice(&WITHOUT_COVER.to_be_bytes());
        }
        buf[1] = kind;
    }
}

/// Takes fields off the front of a body.
struct BodyReader<'a>(&'a [u8]);

impl BodyReader<'_> {
    fn request(&mut self) -> Result<ShapingRequest, Malformed> {
        let id = u16::from_be_bytes(self.take()?);
        let [law, spread_percent] = self.take()?;
        let cell_bytes = u16::from_be_bytes(self.take()?);
        let flags = u16::from_be_bytes(self.take()?);
        let rate = BitsPerSec(u64::from(u32::from_be_bytes(self.take()?)));
        let law = Law::from_number(law).ok_or(Malformed::Value)?;
        if spread_percent > 100 || rate.0 == 0 {
            return Err(Malformed::Value);
        }
        Ok(ShapingRequest { id, law, spread_percent, cell_bytes, rate, cover: flags & WITHOUT_COVER == 0 })
    }

    fn grant(&mut self) -> Result<ShapingGrant, Malformed> {
        let ShapingRequest { id, law, cell_bytes, rate, .. } = self.request()?;
        let cells_received = u64::from_be_bytes(self.take()?);
        let cells_lost = u64::from_be_bytes(self.take()?);
        Ok(ShapingGrant { id, law, cell_bytes, rate, cells_received, cells_lost })
    }

    fn take<const N: usize>(&mut self) -> Result<[u8; N], Malformed> {
        let (taken, rest) = self.0.split_first_chunk().ok_or(Malformed::Length)?;
        self.0 = rest;
        Ok(*taken)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const REQUEST: ControlMessage = ControlMessage::ShapingRequest(ShapingRequest {
        id: 0x0102,
        law: Law::Kernel,
        spread_percent: 33,
        cell_bytes: 512,
        rate: BitsPerSec(320_000),
        cover: true,
    });
    const GRANT: ControlMessage = ControlMessage::ShapingGrant(ShapingGrant {
        id: 7,
        law: Law::Gamma,
        cell_bytes: 512,
        rate: BitsPerSec(1),
        cells_received: u64::MAX,
        cells_lost: 5,
    });

    fn emitted(message: ControlMessage) -> Vec<u8> {
        let mut block = vec![0xff; message.buffer_len()];
        message.emit(&mut block);
        block
    }

    #[test]
    fn messages_come_back_as_they_were_written() {
        assert_eq!(emitted(REQUEST), [0xc1, 1, 0, 16, 1, 2, 3, 33, 2, 0, 0, 0, 0, 4, 0xe2, 0]);
        let ControlMessage::ShapingRequest(request) = REQUEST else { panic!("it is one") };
        let without_cover = ControlMessage::ShapingRequest(ShapingRequest { cover: false, ..request });
        assert_eq!(emitted(without_cover)[10..12], [0, 1]);
        for message in [REQUEST, without_cover, GRANT, ControlMessage::KeyUpdate(*b"a public key has thirty-two byte")]
        {
            assert_eq!(ControlMessage::parse(&emitted(message)), Ok(message));
            assert!(message.buffer_len() <= MAX_BYTES);
        }
    }

    #[test]
    fn a_longer_body_of_the_same_version_is_read() {
        let mut block = emitted(REQUEST);
        block.extend([9; 5]);
        block[3] += 5;
        assert_eq!(ControlMessage::parse(&block), Ok(REQUEST));
    }

    #[test]
    fn newer_unknown_and_broken_messages_are_named() {
        let change = |at: usize, to: u8| {
            let mut block = emitted(REQUEST);
            block[at] = to;
            ControlMessage::parse(&block)
        };
        assert_eq!(change(0, 0xc2), Err(Malformed::Version));
        assert_eq!(change(1, 99), Err(Malformed::Kind));
        assert_eq!(change(3, 15), Err(Malformed::Length));
        assert_eq!(change(6, 4), Err(Malformed::Value));
        assert_eq!(change(7, 101), Err(Malformed::Value));
        for length in 0..16 {
            assert!(ControlMessage::parse(&emitted(REQUEST)[..length]).is_err());
        }
    }
}
