//! Writes "adb", the binary tree that apk 3 keeps packages and indexes in: apk-v3(5) in apk-tools' documentation.
//!
//! A value is a little-endian word: its kind in the upper 4 bits; in the lower 28 a small number, or the place where the
//! rest of it is. Objects and arrays are a count of slots (itself among them), then a value for each.

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

/// Kinds of blocks, of which a file consists.
const BLOCK_ADB: u32 = 0;
const BLOCK_SIGNATURE: u32 = 1;
const BLOCK_DATA: u32 = 2;

/// apk's number of SHA-512.
const SHA512: u8 = 4;

/// A word of the tree.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Value(u32);

impl Value {
    /// Nothing there. Trailing ones are left away.
    pub const NULL: Value = Value(0);
}

/// A tree being written. Equal values are kept once.
#[derive(Debug)]
pub struct Adb {
    bytes: Vec<u8>,
    written: BTreeMap<Vec<u8>, u32>,
}

impl Adb {
    pub fn new() -> Adb {
        // Version 0, a reserved half-word, and the root, which is the last to be known.
        Adb { bytes: vec![0; 8], written: BTreeMap::new() }
    }

    pub fn int(&mut self, number: u64) -> Value {
        match number {
            0..0x1000_0000 => Value(INT | number as u32),
            0x1000_0000..=0xffff_ffff => self.place(INT_32, (number as u32).to_le_bytes().to_vec(), 4),
            _ => self.place(INT_64, number.to_le_bytes().to_vec(), 4),
        }
    }

    /// Text or bytes; null if there are none.
    pub fn blob(&mut self, content: &[u8]) -> Value {
        let length = content.len();
        let (kind, prefix) = match length {
            0 => return Value::NULL,
            1..=0xff => (BLOB_8, vec![length as u8]),
            0x100..=0xffff => (BLOB_16, (length as u16).to_le_bytes().to_vec()),
            _ => (BLOB_32, (length as u32).to_le_bytes().to_vec()),
        };
        let alignment = prefix.len();
        self.place(kind, [&prefix, content].concat(), alignment)
    }

    /// An object of the given slots, from the first; null if all are.
    pub fn object(&mut self, slots: &[Value]) -> Value {
        self.slots(OBJECT, slots)
    }

    /// An array of the given items, which are in the order that its schema wants; null if there are none.
    pub fn array(&mut self, items: &[Value]) -> Value {
        self.slots(ARRAY, items)
    }

    /// The tree's bytes, with this root.
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
        self.place(kind, words.flat_map(u32::to_le_bytes).collect(), 4)
    }

    fn place(&mut self, kind: u32, content: Vec<u8>, alignment: usize) -> Value {
        if let Some(at) = self.written.get(&content).filter(|at| **at as usize % alignment == 0) {
            return Value(kind | at);
        }
        self.bytes.resize(self.bytes.len().next_multiple_of(alignment), 0);
        let at = self.bytes.len() as u32;
        self.bytes.extend(&content);
        self.written.insert(content, at);
        Value(kind | at)
    }
}

/// Content of a file, behind the one-based numbers of its folder and of itself therein.
pub type Data<'a> = ([u32; 2], &'a [u8]);

/// A file whose root follows the schema of that four-letter name, before it is compressed: the tree, its signature if
/// there is a key, and the content of files.
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

/// A word of kind and length, itself counted; the parts; zeros up to a multiple of 8.
fn block(file: &mut Vec<u8>, kind: u32, parts: &[&[u8]]) {
    let length = 4 + parts.iter().map(|part| part.len()).sum::<usize>();
    file.extend((kind << 30 | length as u32).to_le_bytes());
    parts.iter().for_each(|part| file.extend(*part));
    file.resize(file.len().next_multiple_of(8), 0);
}
