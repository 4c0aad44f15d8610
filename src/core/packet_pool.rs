//! Memory for waiting packets: chunks of one size, chained, all allocated once.

use super::params::Limits;
use super::queue::Store;
use crate::units::Nanos;
use crate::wire::ip::Packet;

/// Small, because most packets of smart-home devices are: 128 bytes waste less than half on the smallest ones.
pub const CHUNK_BYTES: usize = 128;

/// No chunk, no packet.
pub const NIL: u16 = u16::MAX;

/// A packet in the pool: the index of its first chunk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PacketId(pub u16);

/// What is known of a waiting packet.
#[derive(Clone, Copy, Debug, Default)]
pub struct Meta {
    /// When it came.
    pub arrived: Nanos,
    /// Its length.
    pub bytes: u16,
    /// The packet after it in its flow, or [`NIL`].
    pub next: u16,
    /// The device that sent it.
    pub device: u8,
}

/// A place inside a packet that is being copied out.
#[derive(Clone, Copy, Debug)]
pub struct Cursor {
    chunk: u16,
    offset: usize,
}

/// The chunks. Pages that were never needed are never touched, so an idle home costs no memory.
pub struct PacketPool {
    data: Vec<u8>,
    next: Vec<u16>,
    /// One for every chunk that was ever used.
    meta: Vec<Meta>,
    /// Head of the list of chunks that were used and freed.
    free: u16,
    in_use: usize,
}

impl PacketPool {
    /// A pool of `bytes`, at most [`Limits::MAX_BYTES`].
    pub fn new(bytes: usize) -> PacketPool {
        let chunks = (bytes.min(Limits::MAX_BYTES) / CHUNK_BYTES).max(1);
        PacketPool {
            data: vec![0; chunks * CHUNK_BYTES],
            next: vec![0; chunks],
            meta: Vec::with_capacity(chunks),
            free: NIL,
            in_use: 0,
        }
    }

    /// Copies a packet in, its DSCP cleared. `None` without room.
    pub fn insert(&mut self, packet: &Packet<'_>, bytes: &[u8], meta: Meta) -> Option<PacketId> {
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
        let header = packet.start_without_dscp();
        let start = usize::from(first) * CHUNK_BYTES;
        self.data[start..start + header.len()].copy_from_slice(&header);
        self.meta[usize::from(first)] = meta;
        Some(PacketId(first))
    }

    /// The start of a packet.
    pub fn cursor(&self, id: PacketId) -> Cursor {
        Cursor { chunk: id.0, offset: 0 }
    }

    /// Copies the bytes at `cursor` into `buf` and moves it past them. The packet must have that many left.
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

/// Chunks that a packet of `bytes` takes.
pub fn chunks(bytes: usize) -> usize {
    bytes.div_ceil(CHUNK_BYTES)
}
