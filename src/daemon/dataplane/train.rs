//! The cells that leave together, in the form in which the kernel takes them.
//!
//! A train lies in one buffer, cell after cell, all of one size: one `sendmsg` with the segment size `cell_bytes`
//! (`UDP_SEGMENT`, udp(7)) sends all of it, and the trains of several peers make one `sendmmsg`.
//!
//! What may leave by one system call: the cells of one train, because its moment was drawn for all of them, and trains
//! of different homes whose moments lie within one coalescing window. What may not: two trains of one peer, because
//! invariant I2 gives each its own moment; a late train with its successor, because that would be a burst (I6); and
//! more cells than the train's fixed number, however many packets wait (I6).

use std::net::Ipv4Addr;

use crate::core::{CellKind, Engine, Transmit};
use crate::units::Nanos;
use crate::wire::MAX_PACKET_BYTES;

/// The cells that leave to one peer at one moment.
#[derive(Debug)]
pub struct Train {
    /// The peer's address inside the tunnel.
    pub peer: Ipv4Addr,
    /// The scheduled departure.
    pub scheduled: Nanos,
    /// `Data` if any cell carries something. It selects the socket, and so the PRIO band.
    pub kind: CellKind,
    /// Bytes of each cell: the UDP payload.
    pub cell_bytes: usize,
    /// Number of cells.
    count: usize,
    buffer: Vec<u8>,
}

impl Train {
    /// An empty train. Reuse trains, because each allocates its buffer.
    pub fn new() -> Train {
        let (peer, kind, buffer) = (Ipv4Addr::UNSPECIFIED, CellKind::Cover, vec![0; MAX_PACKET_BYTES]);
        Train { peer, scheduled: Nanos::ZERO, kind, cell_bytes: 0, count: 0, buffer }
    }

    /// The cells, one after the other, each of `cell_bytes` bytes.
    pub fn cells(&self) -> &[u8] {
        &self.buffer[..self.count * self.cell_bytes]
    }

    /// Builds the cells that `engine` has for `peer` now. Returns whether there are any.
    pub fn build(&mut self, engine: &mut Engine, peer: Ipv4Addr, now: Nanos) -> bool {
        if self.buffer.len() < engine.train_bytes() {
            self.buffer.resize(engine.train_bytes(), 0);
        }
        let Some(Transmit { scheduled, len, cells, kind }) = engine.poll_transmit(now, &mut self.buffer) else {
            return false;
        };
        (self.peer, self.scheduled, self.kind, self.cell_bytes, self.count) = (peer, scheduled, kind, len, cells);
        true
    }
}
