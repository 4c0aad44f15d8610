//! Control messages between the two ends, as a block inside an ordinary cell.
//!
//! ```text
//! 0             1      2        4
//! +------+------+------+--------+---------------------+
//! | 0xc  | vers | kind | length | body of that kind   |
//! +------+------+------+--------+---------------------+
//! wish:    id u16, law u8, spread u8, cell u16, flags u16, rate u32
//! report:  id u16, law u8, (zero u8), cell u16, (zero u16), rate u32, received u64, lost u64
//! claim:   public key, 32 bytes
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
pub const MAX_BYTES: usize = HEADER_BYTES + CLAIM_BYTES;

const KIND_WISH: u8 = 1;
const KIND_REPORT: u8 = 2;
const KIND_CLAIM: u8 = 3;
const WISH_BYTES: usize = 12;
/// The flag of a wish without cover. Others are ignored.
const WITHOUT_COVER: u16 = 1;
const REPORT_BYTES: usize = 28;
const CLAIM_BYTES: usize = 32;

/// One message.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Control {
    /// From the router: how it would like the endpoint to send.
    Wish(Wish),
    /// From the endpoint: how it sends, and what reached it.
    Report(Report),
    /// From a router that came with a join text's key: the public key, which is to be the home's from now on.
    Claim([u8; 32]),
}

/// How one end wants the other to send.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Wish {
    /// Changes with every new wish, so that a report can name it.
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
pub struct Report {
    /// The wish that is in force; the rest may differ from it where the endpoint has limits.
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

impl Control {
    /// Reads a whole block, header included.
    pub fn parse(block: &[u8]) -> Result<Control, Malformed> {
        let [first, kind, high, low, body @ ..] = block else { return Err(Malformed::Length) };
        if usize::from(u16::from_be_bytes([*high, *low])) != block.len() || first >> 4 != CONTROL_TYPE {
            return Err(Malformed::Length);
        }
        if first & 0x0f != VERSION {
            return Err(Malformed::Version);
        }
        let mut reader = Reader(body);
        match *kind {
            KIND_WISH => reader.wish().map(Control::Wish),
            KIND_REPORT => reader.report().map(Control::Report),
            KIND_CLAIM => reader.take().map(Control::Claim),
            _ => Err(Malformed::Kind),
        }
    }

    /// Bytes that [`Control::emit`] writes.
    pub fn buffer_len(&self) -> usize {
        HEADER_BYTES
            + match self {
                Control::Wish(_) => WISH_BYTES,
                Control::Report(_) => REPORT_BYTES,
                Control::Claim(_) => CLAIM_BYTES,
            }
    }

    /// Writes the block to the start of `buf`, which must hold [`Control::buffer_len`] bytes.
    pub fn emit(&self, buf: &mut [u8]) {
        let length = self.buffer_len();
        buf[..length].fill(0);
        buf[0] = CONTROL_TYPE << 4 | VERSION;
        buf[2..4].copy_from_slice(&(length as u16).to_be_bytes());
        let body = &mut buf[HEADER_BYTES..length];
        let (kind, id, law, spread_percent, cell_bytes, rate) = match self {
            Control::Wish(wish) => (KIND_WISH, wish.id, wish.law, wish.spread_percent, wish.cell_bytes, wish.rate),
            Control::Report(report) => {
                body[12..20].copy_from_slice(&report.cells_received.to_be_bytes());
                body[20..28].copy_from_slice(&report.cells_lost.to_be_bytes());
                (KIND_REPORT, report.id, report.law, 0, report.cell_bytes, report.rate)
            }
            Control::Claim(key) => {
                buf[1] = KIND_CLAIM;
                buf[HEADER_BYTES..length].copy_from_slice(key);
                return;
            }
        };
        body[..2].copy_from_slice(&id.to_be_bytes());
        body[2] = law.number();
        body[3] = spread_percent;
        body[4..6].copy_from_slice(&cell_bytes.to_be_bytes());
        body[8..12].copy_from_slice(&u32::try_from(rate.0).unwrap_or(u32::MAX).to_be_bytes());
        if let Control::Wish(Wish { cover: false, .. }) = self {
            body[6..8].copy_from_slice(&WITHOUT_COVER.to_be_bytes());
        }
        buf[1] = kind;
    }
}

/// Takes fields off the front of a body.
struct Reader<'a>(&'a [u8]);

impl Reader<'_> {
    fn wish(&mut self) -> Result<Wish, Malformed> {
        let id = u16::from_be_bytes(self.take()?);
        let [law, spread_percent] = self.take()?;
        let cell_bytes = u16::from_be_bytes(self.take()?);
        let flags = u16::from_be_bytes(self.take()?);
        let rate = BitsPerSec(u64::from(u32::from_be_bytes(self.take()?)));
        let law = Law::from_number(law).ok_or(Malformed::Value)?;
        if spread_percent > 100 || rate.0 == 0 {
            return Err(Malformed::Value);
        }
        Ok(Wish { id, law, spread_percent, cell_bytes, rate, cover: flags & WITHOUT_COVER == 0 })
    }

    fn report(&mut self) -> Result<Report, Malformed> {
        let Wish { id, law, cell_bytes, rate, .. } = self.wish()?;
        let cells_received = u64::from_be_bytes(self.take()?);
        let cells_lost = u64::from_be_bytes(self.take()?);
        Ok(Report { id, law, cell_bytes, rate, cells_received, cells_lost })
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

    const WISH: Control = Control::Wish(Wish {
        id: 0x0102,
        law: Law::Kernel,
        spread_percent: 33,
        cell_bytes: 512,
        rate: BitsPerSec(320_000),
        cover: true,
    });
    const REPORT: Control = Control::Report(Report {
        id: 7,
        law: Law::Gamma,
        cell_bytes: 512,
        rate: BitsPerSec(1),
        cells_received: u64::MAX,
        cells_lost: 5,
    });

    fn emitted(message: Control) -> Vec<u8> {
        let mut block = vec![0xff; message.buffer_len()];
        message.emit(&mut block);
        block
    }

    #[test]
    fn messages_come_back_as_they_were_written() {
        assert_eq!(emitted(WISH), [0xc1, 1, 0, 16, 1, 2, 3, 33, 2, 0, 0, 0, 0, 4, 0xe2, 0]);
        let Control::Wish(wish) = WISH else { panic!("it is one") };
        let without_cover = Control::Wish(Wish { cover: false, ..wish });
        assert_eq!(emitted(without_cover)[10..12], [0, 1]);
        for message in [WISH, without_cover, REPORT, Control::Claim(*b"a public key has thirty-two byte")] {
            assert_eq!(Control::parse(&emitted(message)), Ok(message));
            assert!(message.buffer_len() <= MAX_BYTES);
        }
    }

    #[test]
    fn a_longer_body_of_the_same_version_is_read() {
        let mut block = emitted(WISH);
        block.extend([9; 5]);
        block[3] += 5;
        assert_eq!(Control::parse(&block), Ok(WISH));
    }

    #[test]
    fn newer_unknown_and_broken_messages_are_named() {
        let change = |at: usize, to: u8| {
            let mut block = emitted(WISH);
            block[at] = to;
            Control::parse(&block)
        };
        assert_eq!(change(0, 0xc2), Err(Malformed::Version));
        assert_eq!(change(1, 99), Err(Malformed::Kind));
        assert_eq!(change(3, 15), Err(Malformed::Length));
        assert_eq!(change(6, 4), Err(Malformed::Value));
        assert_eq!(change(7, 101), Err(Malformed::Value));
        for length in 0..16 {
            assert!(Control::parse(&emitted(WISH)[..length]).is_err());
        }
    }
}
