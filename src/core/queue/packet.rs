//! A waiting packet as its queue sees it: a number, its metadata, and the storage that holds both.

use crate::units::{DeviceId, Nanos};

/// Index that means "no chunk", "no packet" or "no flow".
pub const NIL: u16 = u16::MAX;

/// A waiting packet: its position in a [`Store`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PacketId(pub u16);

/// The metadata of a waiting packet.
#[derive(Clone, Copy, Debug, Default)]
pub struct Meta {
    /// When it arrived.
    pub arrived: Nanos,
    /// Its length in bytes.
    pub bytes: u16,
    /// The next packet of its flow, or [`NIL`].
    pub next: u16,
    /// The device that sent it.
    pub device: DeviceId,
}

/// Storage of the packets in a queue: the engine's [`PacketPool`](super::pool::PacketPool), which holds their bytes, or
/// the record of sizes and arrivals in [`crate::core::what_if`].
pub trait Store {
    /// The metadata of a waiting packet.
    fn meta(&self, id: PacketId) -> Meta;
    /// Makes `next` the successor of `id`.
    fn link(&mut self, id: PacketId, next: PacketId);
    /// Whether there is room for a packet of `bytes` bytes.
    fn has_room(&self, bytes: usize) -> bool;
    /// Removes a packet.
    fn remove(&mut self, id: PacketId);
}
