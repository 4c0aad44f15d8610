//! Memory for waiting packets: chained chunks of one size, all allocated at the start.

#[cfg(test)]
mod tests;

use super::packet::{Meta, NIL, PacketId, Store};
use crate::core::params::Limits;
use crate::units::DeviceTag;
use crate::wire::ip::Packet;

/// Size of a chunk. It is small because most packets of smart-home devices are small: a packet wastes at most 127
/// bytes.
pub const CHUNK_BYTES: usize = 128;

/// A position inside a packet that is being copied out.
#[derive(Clone, Copy, Debug)]
pub struct Cursor {
    chunk: u16,
    offset: usize,
}

/// The chunks. Memory pages that were never needed are never touched, so an idle home costs no memory.
pub struct PacketPool {
    data: Vec<u8>,
    next: Vec<u16>,
    /// One entry for every chunk that was ever used.
    meta: Vec<Meta>,
    /// Head of the list of freed chunks.
    free: u16,
    in_use: usize,
    /// The devices whose bytes are counted, bit N for number N.
    listed: u64,
    listed_bytes: u64,
}

impl PacketPool {
    /// A pool of `bytes` bytes, limited to [`Limits::MAX_BYTES`].
    pub fn new(bytes: usize) -> PacketPool {
        let chunks = (bytes.min(Limits::MAX_BYTES) / CHUNK_BYTES).max(1);
        PacketPool {
            data: vec![0; chunks * CHUNK_BYTES],
            next: vec![0; chunks],
            meta: Vec::with_capacity(chunks),
            free: NIL,
            in_use: 0,
            listed: 0,
            listed_bytes: 0,
        }
    }

    /// Counts the bytes of these devices' packets from now on, and grows to `bytes` if it is smaller.
    pub fn list_devices(&mut self, devices: u64, bytes: usize) {
        if devices != self.listed {
            (self.listed, self.listed_bytes) = (devices, 0);
        }
        let chunks = bytes.min(Limits::MAX_BYTES) / CHUNK_BYTES;
        if chunks > self.next.len() {
            self.data.resize(chunks * CHUNK_BYTES, 0);
            self.next.resize(chunks, 0);
            self.meta.reserve(chunks - self.meta.len());
        }
    }

    /// Bytes of the listed devices' packets.
    pub fn listed_bytes(&self) -> u64 {
        self.listed_bytes
    }

    fn listed(&self, meta: &Meta) -> u64 {
        if meta.device.is_in(self.listed) { meta.bytes.into() } else { 0 }
    }

    /// Stores a copy of a packet without the number that `tag` may hold. Returns `None` if there is no room.
    pub fn insert(&mut self, packet: &Packet<'_>, tag: DeviceTag, bytes: &[u8], meta: Meta) -> Option<PacketId> {
        if !self.has_room(bytes.len()) {
            return None;
        }
        let mut first = NIL;
        let mut last = NIL;
        for part in bytes.chunks(CHUNK_BYTES) {
            let chunk = self.allocate_chunk();
            let start = usize::from(chunk) * CHUNK_BYTES;
            self.data[start..start + part.len()].copy_from_slice(part);
            self.next[usize::from(chunk)] = NIL;
            match first {
                NIL => first = chunk,
                _ => self.next[usize::from(last)] = chunk,
            }
            last = chunk;
        }
        let header = packet.start_without_tag(tag);
        let start = usize::from(first) * CHUNK_BYTES;
        self.data[start..start + header.len()].copy_from_slice(&header);
        self.listed_bytes += self.listed(&meta);
        self.meta[usize::from(first)] = meta;
        Some(PacketId(first))
    }

    /// A cursor at the start of a packet.
    pub fn cursor(&self, id: PacketId) -> Cursor {
        Cursor { chunk: id.0, offset: 0 }
    }

    /// Fills `buf` with the bytes at `cursor` and moves the cursor past them. The packet must have that many bytes
    /// left.
    pub fn read(&self, cursor: &mut Cursor, buf: &mut [u8]) {
        let mut done = 0;
        while done < buf.len() {
            if cursor.offset == CHUNK_BYTES {
                *cursor = Cursor { chunk: self.next[usize::from(cursor.chunk)], offset: 0 };
            }
            let count = (CHUNK_BYTES - cursor.offset).min(buf.len() - done);
            let start = usize::from(cursor.chunk) * CHUNK_BYTES + cursor.offset;
            buf[done..done + count].copy_from_slice(&self.data[start..start + count]);
            cursor.offset += count;
            done += count;
        }
    }

    fn allocate_chunk(&mut self) -> u16 {
        self.in_use += 1;
        match self.free {
            NIL => {
                self.meta.push(Meta::default());
                (self.meta.len() - 1) as u16
            }
            chunk => {
                self.free = self.next[usize::from(chunk)];
                chunk
            }
        }
    }
}

impl Store for PacketPool {
    fn meta(&self, id: PacketId) -> Meta {
        self.meta[usize::from(id.0)]
    }

    fn link(&mut self, id: PacketId, next: PacketId) {
        self.meta[usize::from(id.0)].next = next.0;
    }

    fn has_room(&self, bytes: usize) -> bool {
        self.in_use + chunks(bytes) <= self.next.len()
    }

    fn remove(&mut self, id: PacketId) {
        // A packet may have come before its device was listed.
        self.listed_bytes = self.listed_bytes.saturating_sub(self.listed(&self.meta(id)));
        let mut chunk = id.0;
        while chunk != NIL {
            let next = self.next[usize::from(chunk)];
            self.next[usize::from(chunk)] = self.free;
            self.free = chunk;
            self.in_use -= 1;
            chunk = next;
        }
    }
}

/// Number of chunks that a packet of `bytes` bytes takes.
pub fn chunks(bytes: usize) -> usize {
    bytes.div_ceil(CHUNK_BYTES)
}
