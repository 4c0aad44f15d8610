//! Bursts: slots in which cells leave faster, by a randomised response to one bit of need.
//!
//! Slots lie on a grid that is drawn once. At each boundary a coin that was drawn beforehand decides whether the slot
//! after the one that begins is a burst, with a probability that depends on two bits: whether the one that begins is a
//! burst, and whether the listed devices need one. Nothing else of the traffic has any effect, and inside a slot every
//! departure is as blind as ever.
//!
//! `machine` throws the coins, `plan` changes an engine's pace at the boundaries, [`odds`] computes what an
//! observer can learn.

mod machine;
pub mod odds;
mod params;
mod plan;

pub use self::machine::{BurstRules, SlotMachine};
pub use self::params::{AnnouncedSlot, BurstParams, SlotPace};
pub(super) use self::plan::EngineBursts;
