//! The body of a netlink message: a fixed header, then attributes.
//!
//! Only the needed attributes are decoded, by number, so that an unexpected attribute of some driver cannot break a
//! dump.

use netlink_packet_core::{DefaultNla, Emitable, NLA_F_NESTED, NlasIterator};

/// A message body: a fixed header, then attributes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Body(pub Vec<u8>);

impl Body {
    /// A body with a header whose length is a multiple of four.
    pub fn new(header: &[u8]) -> Body {
        Body(header.to_vec())
    }

    /// Adds an attribute.
    pub fn attribute(mut self, kind: u16, value: &[u8]) -> Body {
        self.push(&DefaultNla::new(kind, value.to_vec()));
        self
    }

    /// Adds a 32-bit number in the host's byte order.
    pub fn number(self, kind: u16, value: u32) -> Body {
        self.attribute(kind, &value.to_ne_bytes())
    }

    /// Adds a string with its zero byte.
    pub fn string(self, kind: u16, value: &str) -> Body {
        let mut bytes = value.as_bytes().to_vec();
        bytes.push(0);
        self.attribute(kind, &bytes)
    }

    /// Adds a nested attribute.
    pub fn nest(self, kind: u16, inner: Body) -> Body {
        self.attribute(kind | NLA_F_NESTED, &inner.0)
    }

    fn push(&mut self, item: &impl Emitable) {
        let start = self.0.len();
        self.0.resize(start + item.buffer_len(), 0);
        item.emit(&mut self.0[start..]);
    }
}

/// Size of `struct nlmsghdr`.
pub const NLMSG_HEADER_BYTES: usize = 16;

/// Appends a message to a datagram; the length of its body is a multiple of four.
pub fn put_message(datagram: &mut Vec<u8>, kind: u16, flags: u16, sequence: u32, body: &Body) {
    datagram.extend(((NLMSG_HEADER_BYTES + body.0.len()) as u32).to_ne_bytes());
    datagram.extend(kind.to_ne_bytes());
    datagram.extend(flags.to_ne_bytes());
    datagram.extend(sequence.to_ne_bytes());
    // The sender's port: the kernel knows it.
    datagram.extend(0u32.to_ne_bytes());
    datagram.extend(&body.0);
}

/// Number and value of each attribute in a message; a malformed attribute ends the list.
pub fn attributes(bytes: &[u8]) -> impl Iterator<Item = (u16, &[u8])> {
    let mut rest = bytes;
    NlasIterator::new(bytes).map_while(move |attribute| {
        let attribute = attribute.ok()?;
        // The iterator's own value() borrows from the attribute; this value borrows from the message.
        let value = rest.get(4..usize::from(attribute.length()))?;
        rest = rest.get((usize::from(attribute.length()) + 3) & !3..).unwrap_or(&[]);
        Some((attribute.kind(), value))
    })
}

/// The value of attribute `kind`.
pub fn attribute(bytes: &[u8], kind: u16) -> Option<&[u8]> {
    attributes(bytes).find(|(k, _)| *k == kind).map(|(_, value)| value)
}

/// The 32-bit number in attribute `kind`.
pub fn number(bytes: &[u8], kind: u16) -> Option<u32> {
    attribute(bytes, kind).and_then(u32_at_start)
}

/// The string in attribute `kind`, without its zero byte.
pub fn string(bytes: &[u8], kind: u16) -> Option<String> {
    let value = attribute(bytes, kind)?;
    let end = value.iter().position(|b| *b == 0).unwrap_or(value.len());
    String::from_utf8(value[..end].to_vec()).ok()
}

/// The first four bytes as a number in the host's byte order.
pub fn u32_at_start(bytes: &[u8]) -> Option<u32> {
    bytes.first_chunk().map(|chunk| u32::from_ne_bytes(*chunk))
}
#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn attributes_are_padded_and_read_back() {
        let body = Body::default().string(3, "mp0").number(4, 1500).nest(18, Body::default().string(1, "tun"));
        #[rustfmt::skip]
        let golden: &[u8] = &[
            8, 0, 3, 0, b'm', b'p', b'0', 0,
            8, 0, 4, 0, 0xdc, 5, 0, 0,
            12, 0, 18, 0x80, 8, 0, 1, 0, b't', b'u', b'n', 0,
        ];
        #[cfg(target_endian = "little")]
        assert_eq!(body.0, golden);
        assert_eq!(string(&body.0, 3).as_deref(), Some("mp0"));
        assert_eq!(number(&body.0, 4), Some(1500));
        assert_eq!(attribute(&body.0, 18).and_then(|info| string(info, 1)).as_deref(), Some("tun"));
    }

    #[test]
    fn a_malformed_attribute_ends_the_list() {
        assert_eq!(attributes(&[9, 0, 1, 0, 1]).count(), 0);
    }
}
