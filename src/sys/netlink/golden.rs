//! Compares our requests with those that `ip` and `tc` of iproute2 6.1.0 send.
//!
//! The tests hold iproute2's messages in hexadecimal. They were captured on x86_64 in a network namespace where `mpwg0`
//! has index 2, with `strace -e trace=sendmsg,sendto -e write=all ip ...`.

use std::collections::BTreeMap;

use super::message::{NLMSG_HEADER_BYTES, attributes};
use super::request::NetlinkRequest;

/// A message whose attributes are in no particular order.
#[derive(Debug, PartialEq, Eq)]
pub struct GoldenMessage {
    kind: u16,
    flags: u16,
    /// The fixed header after the netlink header.
    pub header: Vec<u8>,
    /// The value of each attribute by its numbers, from the outermost to the innermost.
    pub attributes: BTreeMap<Vec<u16>, Vec<u8>>,
}

/// How to read a message: the length of its fixed header, and the attributes that contain others.
#[derive(Clone, Copy)]
pub struct Layout {
    pub header_bytes: usize,
    pub nested: &'static [u16],
}

impl Layout {
    /// A request of ours.
    pub fn ours(self, request: &NetlinkRequest) -> GoldenMessage {
        self.read(&request.to_bytes(0))
    }

    /// A message of iproute2's.
    pub fn golden(self, hex: &str) -> GoldenMessage {
        self.read(&bytes(hex))
    }

    fn read(self, message: &[u8]) -> GoldenMessage {
        let u16_at = |at: usize| u16::from_ne_bytes([message[at], message[at + 1]]);
        assert_eq!(usize::from(u16_at(0)), message.len(), "the length in the header");
        let (header, rest) = message[NLMSG_HEADER_BYTES..].split_at(self.header_bytes);
        let mut found = BTreeMap::new();
        for (outer, value) in attributes(rest) {
            if !self.nested.contains(&outer) {
                assert_eq!(found.insert(vec![outer], value.to_vec()), None, "attribute {outer} twice");
                continue;
            }
            for (inner, value) in attributes(value) {
                assert_eq!(found.insert(vec![outer, inner], value.to_vec()), None, "attribute {outer}.{inner} twice");
            }
        }
        GoldenMessage { kind: u16_at(4), flags: u16_at(6), header: header.to_vec(), attributes: found }
    }
}

/// Checks that a request is byte for byte the one of iproute2, but for its sequence number.
pub fn assert_same(ours: &NetlinkRequest, golden: &str) {
    let golden = bytes(golden);
    let sequence = u32::from_ne_bytes([golden[8], golden[9], golden[10], golden[11]]);
    assert_eq!(ours.to_bytes(sequence), golden);
}

/// The bytes that `hex` has, white space ignored.
pub fn bytes(hex: &str) -> Vec<u8> {
    let digits: Vec<char> = hex.chars().filter(|c| !c.is_whitespace()).collect();
    assert!(digits.len() % 2 == 0, "half a byte");
    let byte = |pair: &[char]| u8::from_str_radix(&pair.iter().collect::<String>(), 16).expect("hexadecimal");
    digits.chunks(2).map(byte).collect()
}
