//! The cells of the virtual shapers.

use crate::core::params::Limits;
use crate::law::Law;
use crate::units::Nanos;

/// The parameters that all steps share.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct CellShape {
    /// How intervals are drawn; `kernel` is treated as `constant`.
    pub law: Law,
    /// Standard deviation of the intervals in percent of their mean.
    pub spread_percent: u8,
    /// Cells that leave together; `None` if the rate decides, see [`Law::train`].
    pub train: Option<u8>,
    /// Length of a cell on the wire, in bytes.
    pub wire_bytes: usize,
    /// Bytes of a cell that packets can use.
    pub block_bytes: usize,
    /// How long before its departure a cell is built.
    pub lead: Nanos,
    /// The limits of the queue.
    pub limits: Limits,
}
