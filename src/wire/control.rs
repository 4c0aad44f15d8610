//! Control messages between router and endpoint. Each is one block inside an ordinary cell; the wire does not show
//! them.
//!
//! ```text
//! 0             1      2        4
//! +------+------+------+--------+---------------------+
//! | 0xc  | vers | kind | length | body of that kind   |
//! +------+------+------+--------+---------------------+
//! 1 ShapingRequest: id u16, law u8, spread u8, cell u16, flags u16, rate u32                        (12 bytes)
//! 2 ShapingGrant:   id u16, law u8, zero u8, cell u16, flags u16, rate u32, received u64, lost u64 (28 bytes)
//! 3 KeyUpdate:      public key, 32 bytes                                                           (32 bytes)
//! 4 BurstPlan:      number u16, burst u8, train - 1 u8, rate u32, starts in us u32, slot in ms u32 (16 bytes)
//! 5 BurstGrant:     number u16, zero u16, rate u32                                                  (8 bytes)
//! ```
//!
//! Flags, from bit 0, the least significant: 0 without cover (request only); 1 to 3 zero; 4 to 9 the download's train
//! minus one; 10 to 15 the upload's train minus one.
//!
//! All numbers are big-endian. The length counts the whole block, header included. Type and version share the first
//! byte, four bits each. A message must be complete within its cell. Bodies may grow at the end: a reader ignores
//! additional bytes, so the version changes only if the meaning of a field changes. A reader skips messages of other
//! versions and of unknown kinds.
//!
//! Exchange: the router sends a [`ShapingRequest`] every second until it receives a [`ShapingGrant`] with the same id,
//! and while it receives no cells; otherwise every 30 seconds, so that a restarted endpoint receives it again. The
//! endpoint answers every valid request with a grant in its next cell. A router that uses the key of a join text also
//! sends a [`KeyUpdate`](ControlMessage::KeyUpdate) between its requests until the endpoint accepts its own key.

mod burst;

pub use self::burst::{BurstGrant, BurstPlan};
use crate::law::{Law, MAX_TRAIN};
use crate::units::BitsPerSec;

/// Type of a control block: the upper four bits of its first byte. The lower four bits are the version. RFC 9347 does
/// not assign this value.
pub const BLOCK_TYPE: u8 = 0xc;

/// Version of the messages that this code reads and writes.
pub const VERSION: u8 = 1;

/// Length of the header in bytes; the body follows.
pub const HEADER_BYTES: usize = 4;

/// Length in bytes of the longest message that this code writes, header included.
pub const MAX_BYTES: usize = HEADER_BYTES + KEY_UPDATE_BYTES;

const KIND_REQUEST: u8 = 1;
const KIND_GRANT: u8 = 2;
const KIND_KEY_UPDATE: u8 = 3;
const KIND_BURST_PLAN: u8 = 4;
const KIND_BURST_GRANT: u8 = 5;
const REQUEST_BYTES: usize = 12;
/// Bit 0 of a request's flags: the endpoint is to send no cover cells. Bits 1 to 3 are ignored.
const WITHOUT_COVER: u16 = 1;
/// The lowest bit of each direction's train in the flags, upload first. An end that knows no trains ignores and sends
/// zeros, which mean single cells.
const TRAIN_SHIFTS: [u32; 2] = [10, 4];
const TRAIN_MASK: u16 = 0x3f;
const _: () = assert!(TRAIN_MASK as u8 + 1 == MAX_TRAIN);
const GRANT_BYTES: usize = 28;
const KEY_UPDATE_BYTES: usize = 32;

/// A control message.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum ControlMessage {
    /// Kind 1, from the router: the shaping that it requests from the endpoint for the download direction.
    ShapingRequest(ShapingRequest),
    /// Kind 2, from the endpoint: the answer to a request, with the shaping in force and the cells received.
    ShapingGrant(ShapingGrant),
    /// Kind 3, from a router that connected with a join text's key: the WireGuard public key (Curve25519, 32 bytes)
    /// that replaces the join text's key as this home's key. The endpoint does not answer it; the router repeats it
    /// while it uses the join text's key.
    KeyUpdate([u8; 32]),
    /// Kind 4, from a router whose settings have bursts.
    BurstPlan(BurstPlan),
    /// Kind 5, from the endpoint: the answer to a plan.
    BurstGrant(BurstGrant),
}

/// The shaping that the router requests for the cells from the endpoint.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ShapingRequest {
    /// Number of the request, by which a grant refers to it. It increases by one with every changed request and wraps;
    /// a repeated request keeps its number.
    pub id: u16,
    /// How intervals are drawn; on the wire [`Law::number`].
    pub law: Law,
    /// Standard deviation of the intervals in percent of their mean, 0..=100.
    pub spread_percent: u8,
    /// Length of a cell on the wire in bytes, tunnel and outer IP header included. The endpoint computes intervals from
    /// it. The UDP payload of its cells has the length of the cell that carries this message.
    pub cell_bytes: u16,
    /// Rate on the wire, greater than zero; 32 bits in bits per second.
    pub rate: BitsPerSec,
    /// Whether the endpoint sends cover cells; without cover nothing is hidden.
    pub cover: bool,
    /// Cells that leave together in each direction, upload first; each 1..=[`MAX_TRAIN`].
    pub trains: [u8; 2],
}

/// The endpoint's answer to a [`ShapingRequest`].
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ShapingGrant {
    /// Number of the request in force. Law and rate may differ from the requested ones because of the endpoint's
    /// limits.
    pub id: u16,
    /// The law in force.
    pub law: Law,
    /// Length of a cell on the wire in force, in bytes.
    pub cell_bytes: u16,
    /// The rate in force, on the wire.
    pub rate: BitsPerSec,
    /// Cells from the router that the endpoint has received.
    pub cells_received: u64,
    /// Sequence numbers that are missing among these cells.
    pub cells_lost: u64,
    /// The trains in force, as in the request. Both are 1 if the endpoint knows no trains.
    pub trains: [u8; 2],
}

/// Why a control block cannot be used. Its length is still valid, so that the reader can skip the block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Malformed {
    /// Another version than [`VERSION`].
    Version,
    /// A kind that this version does not know.
    Kind,
    /// A body shorter than its kind requires, or a length field that differs from the number of bytes.
    Length,
    /// An unknown law, a spread above 100 or a rate of 0.
    Value,
}

impl ControlMessage {
    /// Parses a complete block, header included.
    pub fn parse(block: &[u8]) -> Result<ControlMessage, Malformed> {
        let [first, kind, high, low, body @ ..] = block else { return Err(Malformed::Length) };
        if usize::from(u16::from_be_bytes([*high, *low])) != block.len() || first >> 4 != BLOCK_TYPE {
            return Err(Malformed::Length);
        }
        if first & 0x0f != VERSION {
            return Err(Malformed::Version);
        }
        let mut reader = BodyReader(body);
        match *kind {
            KIND_REQUEST => reader.request().map(ControlMessage::ShapingRequest),
            KIND_GRANT => reader.grant().map(ControlMessage::ShapingGrant),
            KIND_KEY_UPDATE => reader.read().map(ControlMessage::KeyUpdate),
            KIND_BURST_PLAN => BurstPlan::read(&reader.read()?).map(ControlMessage::BurstPlan).ok_or(Malformed::Value),
            KIND_BURST_GRANT => Ok(ControlMessage::BurstGrant(BurstGrant::read(&reader.read()?))),
            _ => Err(Malformed::Kind),
        }
    }

    /// Number of bytes that [`ControlMessage::emit`] writes.
    pub fn buffer_len(&self) -> usize {
        HEADER_BYTES
            + match self {
                ControlMessage::ShapingRequest(_) => REQUEST_BYTES,
                ControlMessage::ShapingGrant(_) => GRANT_BYTES,
                ControlMessage::KeyUpdate(_) => KEY_UPDATE_BYTES,
                ControlMessage::BurstPlan(_) => BurstPlan::BYTES,
                ControlMessage::BurstGrant(_) => BurstGrant::BYTES,
            }
    }

    /// Writes the block to the start of `buf`, which must have at least [`ControlMessage::buffer_len`] bytes.
    pub fn emit(&self, buf: &mut [u8]) {
        let length = self.buffer_len();
        buf[..length].fill(0);
        buf[0] = BLOCK_TYPE << 4 | VERSION;
        buf[2..4].copy_from_slice(&(length as u16).to_be_bytes());
        let body = &mut buf[HEADER_BYTES..length];
        let (kind, id, law, spread_percent, cell_bytes, rate) = match self {
            ControlMessage::ShapingRequest(request) => {
                let flags = train_flags(request.trains) | if request.cover { 0 } else { WITHOUT_COVER };
                body[6..8].copy_from_slice(&flags.to_be_bytes());
                (KIND_REQUEST, request.id, request.law, request.spread_percent, request.cell_bytes, request.rate)
            }
            ControlMessage::ShapingGrant(grant) => {
                body[6..8].copy_from_slice(&train_flags(grant.trains).to_be_bytes());
                body[12..20].copy_from_slice(&grant.cells_received.to_be_bytes());
                body[20..28].copy_from_slice(&grant.cells_lost.to_be_bytes());
                (KIND_GRANT, grant.id, grant.law, 0, grant.cell_bytes, grant.rate)
            }
            ControlMessage::KeyUpdate(key) => {
                body.copy_from_slice(key);
                buf[1] = KIND_KEY_UPDATE;
                return;
            }
            ControlMessage::BurstPlan(plan) => {
                plan.emit(body);
                buf[1] = KIND_BURST_PLAN;
                return;
            }
            ControlMessage::BurstGrant(grant) => {
                grant.emit(body);
                buf[1] = KIND_BURST_GRANT;
                return;
            }
        };
        body[..2].copy_from_slice(&id.to_be_bytes());
        body[2] = law.number();
        body[3] = spread_percent;
        body[4..6].copy_from_slice(&cell_bytes.to_be_bytes());
        body[8..12].copy_from_slice(&u32::try_from(rate.0).unwrap_or(u32::MAX).to_be_bytes());
        buf[1] = kind;
    }
}

fn train_flags(trains: [u8; 2]) -> u16 {
    let flags = trains.map(|train| u16::from(train.clamp(1, MAX_TRAIN) - 1));
    flags[0] << TRAIN_SHIFTS[0] | flags[1] << TRAIN_SHIFTS[1]
}

/// Reads the fields of a body in order.
struct BodyReader<'a>(&'a [u8]);

impl BodyReader<'_> {
    fn request(&mut self) -> Result<ShapingRequest, Malformed> {
        let id = u16::from_be_bytes(self.read()?);
        let [law, spread_percent] = self.read()?;
        let cell_bytes = u16::from_be_bytes(self.read()?);
        let flags = u16::from_be_bytes(self.read()?);
        let rate = BitsPerSec(u64::from(u32::from_be_bytes(self.read()?)));
        let trains = TRAIN_SHIFTS.map(|shift| (flags >> shift & TRAIN_MASK) as u8 + 1);
        let law = Law::from_number(law).ok_or(Malformed::Value)?;
        if spread_percent > 100 || rate.0 == 0 {
            return Err(Malformed::Value);
        }
        Ok(ShapingRequest { id, law, spread_percent, cell_bytes, rate, cover: flags & WITHOUT_COVER == 0, trains })
    }

    fn grant(&mut self) -> Result<ShapingGrant, Malformed> {
        let ShapingRequest { id, law, cell_bytes, rate, trains, .. } = self.request()?;
        let cells_received = u64::from_be_bytes(self.read()?);
        let cells_lost = u64::from_be_bytes(self.read()?);
        Ok(ShapingGrant { id, law, cell_bytes, rate, cells_received, cells_lost, trains })
    }

    fn read<const N: usize>(&mut self) -> Result<[u8; N], Malformed> {
        let (field, rest) = self.0.split_first_chunk().ok_or(Malformed::Length)?;
        self.0 = rest;
        Ok(*field)
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
        trains: [1; 2],
    });
    const GRANT: ControlMessage = ControlMessage::ShapingGrant(ShapingGrant {
        id: 7,
        law: Law::Gamma,
        cell_bytes: 512,
        rate: BitsPerSec(1),
        cells_received: u64::MAX,
        cells_lost: 5,
        trains: [1; 2],
    });

    fn emitted(message: ControlMessage) -> Vec<u8> {
        let mut block = vec![0xff; message.buffer_len()];
        message.emit(&mut block);
        block
    }

    #[test]
    fn messages_survive_a_round_trip() {
        assert_eq!(emitted(REQUEST), [0xc1, 1, 0, 16, 1, 2, 3, 33, 2, 0, 0, 0, 0, 4, 0xe2, 0]);
        let ControlMessage::ShapingRequest(request) = REQUEST else { panic!("not a request") };
        let without_cover = ControlMessage::ShapingRequest(ShapingRequest { cover: false, ..request });
        assert_eq!(emitted(without_cover)[10..12], [0, 1]);
        let with_trains = ControlMessage::ShapingRequest(ShapingRequest { cover: false, trains: [64, 2], ..request });
        assert_eq!(emitted(with_trains)[10..12], [0xfc, 0x11]);
        let ControlMessage::ShapingGrant(grant) = GRANT else { panic!("not a grant") };
        let grant_of_trains = ControlMessage::ShapingGrant(ShapingGrant { trains: [1, 64], ..grant });
        assert_eq!(
            (emitted(GRANT)[10..12].to_vec(), emitted(grant_of_trains)[10..12].to_vec()),
            (vec![0; 2], vec![3, 0xf0])
        );
        for message in [
            REQUEST,
            without_cover,
            with_trains,
            GRANT,
            grant_of_trains,
            ControlMessage::KeyUpdate(*b"a public key has thirty-two byte"),
        ] {
            assert_eq!(ControlMessage::parse(&emitted(message)), Ok(message));
            assert!(message.buffer_len() <= MAX_BYTES);
        }
    }

    #[test]
    fn a_longer_body_of_the_same_version_is_accepted() {
        let mut block = emitted(REQUEST);
        block.extend([9; 5]);
        block[3] += 5;
        assert_eq!(ControlMessage::parse(&block), Ok(REQUEST));
    }

    #[test]
    fn other_versions_unknown_kinds_and_malformed_messages_are_rejected() {
        let change = |at: usize, to: u8| {
            let mut block = emitted(REQUEST);
            block[at] = to;
            ControlMessage::parse(&block)
        };
        assert_eq!(change(0, 0xc2), Err(Malformed::Version));
        assert_eq!(change(1, 99), Err(Malformed::Kind));
        assert_eq!(change(3, 15), Err(Malformed::Length));
        assert_eq!(change(6, u8::MAX), Err(Malformed::Value));
        assert_eq!(change(7, 101), Err(Malformed::Value));
        for length in 0..16 {
            assert!(ControlMessage::parse(&emitted(REQUEST)[..length]).is_err());
        }
    }
}
