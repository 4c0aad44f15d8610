//! Answers as blobmsg. Integers become INT32 if they fit, else INT64; booleans INT8; fractions DOUBLE.

use ubus::BlobBuilder;
use ubus::wire::MAX_MSG_LEN;

use super::error::EncodeError;
use super::serializer::{Part, Sink};

/// Maximum bytes of a name: blobmsg has 16 bits for its length.
const MAX_NAME_BYTES: usize = u16::MAX as usize;
/// Bytes of an attribute's header, of its name's length and end, and of the padding after name and value, at most.
const MAX_HEADER_BYTES: usize = 4 + 3 + 3 + 3;

/// The table under construction. The members of the answer's own struct go into the table itself.
pub struct BlobSink<'b> {
    builder: &'b mut BlobBuilder,
    /// An upper bound of the bytes so far. The builder panics beyond the limit of blobmsg.
    bytes: usize,
    /// The number of open structs and arrays.
    depth: usize,
}

impl<'b> BlobSink<'b> {
    /// Writes into `builder`.
    pub fn new(builder: &'b mut BlobBuilder) -> BlobSink<'b> {
        BlobSink { builder, bytes: 0, depth: 0 }
    }

    /// Checks that a value of `bytes` bytes may be written.
    fn reserve(&mut self, name: Option<&str>, bytes: usize) -> Result<(), EncodeError> {
        let name_bytes = name.map_or(0, str::len);
        if name_bytes > MAX_NAME_BYTES {
            return Err(EncodeError::new(format!("a name has {name_bytes} bytes, more than {MAX_NAME_BYTES}")));
        }
        self.bytes = self.bytes.saturating_add(MAX_HEADER_BYTES + name_bytes).saturating_add(bytes);
        if self.bytes > MAX_MSG_LEN {
            return Err(EncodeError::new(format!("it is longer than {MAX_MSG_LEN} bytes, the maximum of ubus")));
        }
        Ok(())
    }

    fn put_integer(&mut self, name: Option<&str>, value: i64) {
        match i32::try_from(value) {
            Ok(value) => self.builder.put_i32(name, value),
            Err(_) => self.builder.put_i64(name, value),
        }
    }
}

impl Sink for BlobSink<'_> {
    fn write(&mut self, name: Option<&str>, part: Part<'_>) -> Result<(), EncodeError> {
        if self.depth == 0 {
            let Part::Struct = part else { return Err(EncodeError::unsupported("an answer that is not a struct")) };
            self.depth = 1;
            return Ok(());
        }
        // Only texts have more than eight bytes.
        self.reserve(name, if let Part::Text(text) = part { text.len() + 1 } else { 8 })?;
        match part {
            Part::Null => self.builder.put_null(name),
            Part::Flag(value) => self.builder.put_bool(name, value),
            Part::Integer(value) => self.put_integer(name, value),
            // blobmsg has no unsigned integers.
            Part::Unsigned(value) => self.put_integer(name, i64::try_from(value).unwrap_or(i64::MAX)),
            Part::Fraction(value) => self.builder.put_double(name, value),
            Part::Text(text) => self.builder.put_str(name, text),
            Part::Array => self.builder.open_array(name),
            Part::Struct => self.builder.open_table(name),
        }
        if matches!(part, Part::Array | Part::Struct) {
            self.depth += 1;
        }
        Ok(())
    }

    fn close(&mut self) {
        self.depth -= 1;
        if self.depth > 0 {
            // The same for an array and a table.
            self.builder.close_table();
        }
    }
}
