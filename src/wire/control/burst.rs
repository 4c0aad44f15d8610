//! The messages about bursts.

use crate::law::MAX_TRAIN;
use crate::units::BitsPerSec;

/// Kind 4, from the router, several times in each slot: whether the next slot is a burst.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct BurstPlan {
    /// Number of that slot; it increases by one and wraps.
    pub number: u16,
    /// Whether it is a burst.
    pub bursts: bool,
    /// Cells in each train of the endpoint in a burst, 1..=[`MAX_TRAIN`].
    pub train: u8,
    /// Rate of the endpoint's cells in a burst, on the wire, greater than zero; 32 bits in bits per second.
    pub rate: BitsPerSec,
    /// From the scheduled departure of the cell with this message to the beginning of the slot, in microseconds.
    pub starts_in_us: u32,
    /// Length of the slot in milliseconds, greater than zero.
    pub slot_ms: u32,
}

/// Kind 5, from the endpoint: it has understood the plan of that slot. Without such an answer there are no bursts.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct BurstGrant {
    /// Number of the slot.
    pub number: u16,
    /// The endpoint's rate in bursts; it may be lower than the requested one because of its limits.
    pub rate: BitsPerSec,
}

impl BurstPlan {
    pub(super) const BYTES: usize = 16;

    pub(super) fn emit(&self, body: &mut [u8]) {
        body[..2].copy_from_slice(&self.number.to_be_bytes());
        body[2] = u8::from(self.bursts);
        body[3] = self.train.clamp(1, MAX_TRAIN) - 1;
        body[4..8].copy_from_slice(&rate(self.rate));
        body[8..12].copy_from_slice(&self.starts_in_us.to_be_bytes());
        body[12..16].copy_from_slice(&self.slot_ms.to_be_bytes());
    }

    /// Reads a body; `None` if a value is out of range.
    pub(super) fn read(body: &[u8; BurstPlan::BYTES]) -> Option<BurstPlan> {
        let [high, low, flags, train, rest @ ..] = *body;
        let [rate, starts_in_us, slot_ms] =
            [0, 4, 8].map(|at| rest[at..at + 4].iter().fold(0, |number, byte| number << 8 | u32::from(*byte)));
        let is_valid = rate > 0 && slot_ms > 0 && train < MAX_TRAIN;
        let number = u16::from_be_bytes([high, low]);
        let (rate, train) = (BitsPerSec(rate.into()), train.saturating_add(1));
        is_valid.then_some(BurstPlan { number, bursts: flags & 1 == 1, train, rate, starts_in_us, slot_ms })
    }
}

impl BurstGrant {
    pub(super) const BYTES: usize = 8;

    pub(super) fn emit(&self, body: &mut [u8]) {
        body[..2].copy_from_slice(&self.number.to_be_bytes());
        body[4..8].copy_from_slice(&rate(self.rate));
    }

    pub(super) fn read(body: &[u8; BurstGrant::BYTES]) -> BurstGrant {
        let [high, low, _, _, rate @ ..] = *body;
        BurstGrant { number: u16::from_be_bytes([high, low]), rate: BitsPerSec(u32::from_be_bytes(rate).into()) }
    }
}

fn rate(rate: BitsPerSec) -> [u8; 4] {
    u32::try_from(rate.0).unwrap_or(u32::MAX).to_be_bytes()
}

#[cfg(test)]
mod tests {
    use super::super::{ControlMessage, Malformed};
    use super::*;

    #[test]
    fn messages_about_bursts_survive_a_round_trip() {
        let plan = BurstPlan {
            number: 0x0102,
            bursts: true,
            train: 64,
            rate: BitsPerSec(320_000),
            starts_in_us: 9_999_999,
            slot_ms: 10_000,
        };
        let grant = BurstGrant { number: u16::MAX, rate: BitsPerSec(1) };
        for message in [
            ControlMessage::BurstPlan(plan),
            ControlMessage::BurstPlan(BurstPlan { bursts: false, train: 1, ..plan }),
            ControlMessage::BurstGrant(grant),
        ] {
            let mut block = vec![0xff; message.buffer_len()];
            message.emit(&mut block);
            assert_eq!(ControlMessage::parse(&block), Ok(message));
            assert!(message.buffer_len() <= super::super::MAX_BYTES);
        }
        let mut block = vec![0; ControlMessage::BurstPlan(plan).buffer_len()];
        ControlMessage::BurstPlan(plan).emit(&mut block);
        assert_eq!(block, [0xc1, 4, 0, 20, 1, 2, 1, 63, 0, 4, 0xe2, 0, 0, 0x98, 0x96, 0x7f, 0, 0, 0x27, 0x10]);
        for (at, to) in [(7, 64), (18, 0), (8, 0)] {
            let mut wrong = block.clone();
            wrong[at] = to;
            let zeroed = match at {
                18 => 19,
                8 => 9,
                _ => at,
            };
            if zeroed != at {
                wrong[zeroed] = 0;
                wrong[zeroed + usize::from(at == 8)] = 0;
            }
            assert_eq!(ControlMessage::parse(&wrong), Err(Malformed::Value), "{wrong:?}");
        }
    }
}
