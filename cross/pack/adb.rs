//! Writes "adb", the binary tree in which apk 3 stores packages and indexes: apk-v3(5) in apk-tools' documentation.
//!
//! A value is a little-endian word: its kind in the upper 4 bits, and in the lower 28 bits a small number or the offset
//! of its content. Objects and arrays are a count of slots, which includes the count, then one value for each slot.

use std::collections::BTreeMap;

use sha2::{Digest, Sha512};

use crate::error::Result;
use crate::sign::ApkKey;

const INT: u32 = 0x1000_0000;
const INT_32: u32 = 0x2000_0000;
const INT_64: u32 = 0x3000_0000;
const BLOB_8: u32 = 0x8000_0000;
const BLOB_16: u32 = 0x9000_0000;
const BLOB_32: u32 = 0xa000_0000;
const ARRAY: u32 = 0xd000_0000;
const OBJECT: u32 = 0xe000_0000;

/// The kinds of blocks in a file.
const BLOCK_ADB: u32 = 0;
const BLOCK_SIGNATURE: u32 = 1;
const BLOCK_DATA: u32 = 2;

/// apk's number for SHA-512.
const SHA512: u8 = 4;

/// A word of the tree.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Value(u32);

impl Value {
    /// An empty slot. Trailing empty slots are not written.
    pub const NULL: Value = Value(0);
}

/// A tree being written. Equal contents are stored once.
#[derive(Debug)]
pub struct Adb {
    bytes: Vec<u8>,
    /// Offsets of the contents written so far.
    offsets: BTreeMap<Vec<u8>, u32>,
}

impl Adb {
    pub fn new() -> Adb {
        // Version 0, a reserved half-word, and room for the root, which `finish` fills in.
        Adb { bytes: vec![0; 8], offsets: BTreeMap::new() }
    }

    pub fn int(&mut self, number: u64) -> Value {
        match number {
            0..0x1000_0000 => Value(INT | number as u32),
            0x1000_0000..=0xffff_ffff => self.store(INT_32, (number as u32).to_le_bytes().to_vec(), 4),
            _ => self.store(INT_64, number.to_le_bytes().to_vec(), 4),
        }
    }

    /// Text or bytes; null if empty.
    pub fn blob(&mut self, content: &[u8]) -> Value {
        let length = content.len();
        let (kind, prefix) = match length {
            0 => return Value::NULL,
            1..=0xff => (BLOB_8, vec![length as u8]),
            0x100..=0xffff => (BLOB_16, (length as u16).to_le_bytes().to_vec()),
            _ => (BLOB_32, (length as u32).to_le_bytes().to_vec()),
        };
        let alignment = prefix.len();
        self.store(kind, [&prefix, content].concat(), alignment)
    }

    /// An object of the given slots, from the first; null if all of them are null.
    pub fn object(&mut self, slots: &[Value]) -> Value {
        self.slots(OBJECT, slots)
    }

    /// An array of the given items, already in the order that its schema requires; null if there are none.
    pub fn array(&mut self, items: &[Value]) -> Value {
        self.slots(ARRAY, items)
    }

    /// Returns the tree's bytes, with this root.
    pub fn finish(mut self, root: Value) -> Vec<u8> {
        self.bytes[4..8].copy_from_slice(&root.0.to_le_bytes());
        self.bytes
    }

    fn slots(&mut self, kind: u32, slots: &[Value]) -> Value {
        let used = slots.iter().rposition(|slot| *slot != Value::NULL).map_or(0, |last| last + 1);
        if used == 0 {
            return Value::NULL;
        }
        let words = [used as u32 + 1].into_iter().chain(slots[..used].iter().map(|slot| slot.0));
        self.store(kind, words.flat_map(u32::to_le_bytes).collect(), 4)
    }

    fn store(&mut self, kind: u32, content: Vec<u8>, alignment: usize) -> Value {
        if let Some(offset) = self.offsets.get(&content).filter(|offset| **offset as usize % alignment == 0) {
            return Value(kind | offset);
        }
        self.bytes.resize(self.bytes.len().next_multiple_of(alignment), 0);
        let offset = self.bytes.len() as u32;
        self.bytes.extend(&content);
        self.offsets.insert(content, offset);
        Value(kind | offset)
    }
}

/// The number of a folder, the number of a file in that folder (both from 1), and the file's content.
pub type Data<'a> = ([u32; 2], &'a [u8]);

/// An uncompressed file: the tree, whose root follows the schema with this four-letter name, its signature if there is
/// a key, and the content of files.
pub fn file(schema: &[u8; 4], tree: &[u8], data: &[Data], key: Option<&ApkKey>) -> Result<Vec<u8>> {
    let mut file = [b"ADB.", schema.as_slice()].concat();
    block(&mut file, BLOCK_ADB, &[tree]);
    if let Some(key) = key {
        let header = [&[0, SHA512], key.id().as_slice()].concat();
        let signed = [schema.as_slice(), &header, &Sha512::digest(tree)].concat();
        block(&mut file, BLOCK_SIGNATURE, &[&header, &key.sign(&signed)?]);
    }
    for ([folder, index], content) in data {
        block(&mut file, BLOCK_DATA, &[&folder.to_le_bytes(), &index.to_le_bytes(), content]);
    }
    Ok(file)
}

/// Appends a block: a word of kind and length, which includes the word; the parts; zeros up to a multiple of 8.
fn block(file: &mut Vec<u8>, kind: u32, parts: &[&[u8]]) {
    let length = 4 + parts.iter().map(|part| part.len()).sum::<usize>();
    file.extend((kind << 30 | length as u32).to_le_bytes());
    parts.iter().for_each(|part| file.extend(*part));
    file.resize(file.len().next_multiple_of(8), 0);
}
