//! A serializer for blobmsg. Integers become INT32 if they fit, else INT64; booleans INT8; fractions DOUBLE.

use serde::ser::{Impossible, SerializeSeq, SerializeStruct, SerializeTuple};
use serde::{Serialize, Serializer};
use ubus::BlobBuilder;
use ubus::wire::MAX_MSG_LEN;

use super::error::EncodeError;

/// Maximum bytes of a name: blobmsg has 16 bits for its length.
const MAX_NAME_BYTES: usize = u16::MAX as usize;
/// Bytes of an attribute's header, of its name's length and end, and of the padding after name and value, at most.
const MAX_HEADER_BYTES: usize = 4 + 3 + 3 + 3;

/// The table under construction.
pub struct Sink<'b> {
    builder: &'b mut BlobBuilder,
    /// An upper bound of the bytes so far. The builder panics beyond the limit of blobmsg.
    bytes: usize,
}

/// Where a value goes.
#[derive(Clone, Copy)]
pub enum Place<'n> {
    /// The members of a struct go into the table itself.
    Top,
    /// A member with this name.
    Member(&'n str),
    /// An item of an array.
    Item,
}

/// Writes one value.
pub struct Blob<'s, 'b, 'n> {
    /// Where to write.
    pub sink: &'s mut Sink<'b>,
    /// The value's place.
    pub place: Place<'n>,
}

/// Writes the parts of an open array or table, and closes it when dropped, after an error too.
pub struct Container<'s, 'b> {
    sink: &'s mut Sink<'b>,
    is_top: bool,
}

impl<'b> Sink<'b> {
    /// Writes into `builder`.
    pub fn new(builder: &'b mut BlobBuilder) -> Sink<'b> {
        Sink { builder, bytes: 0 }
    }
}

impl<'s, 'b, 'n> Blob<'s, 'b, 'n> {
    /// Checks that a value of `bytes` bytes may be written here. Returns the builder and the name.
    fn open(self, bytes: usize) -> Result<(&'s mut Sink<'b>, Option<&'n str>), EncodeError> {
        let name = match self.place {
            Place::Top => return Err(EncodeError::unsupported("an answer that is not a struct")),
            Place::Member(name) => Some(name),
            Place::Item => None,
        };
        let name_bytes = name.map_or(0, str::len);
        if name_bytes > MAX_NAME_BYTES {
            return Err(EncodeError::new(format!("a name has {name_bytes} bytes, more than {MAX_NAME_BYTES}")));
        }
        self.sink.bytes = self.sink.bytes.saturating_add(MAX_HEADER_BYTES + name_bytes).saturating_add(bytes);
        if self.sink.bytes > MAX_MSG_LEN {
            return Err(EncodeError::new(format!("it is longer than {MAX_MSG_LEN} bytes, the maximum of ubus")));
        }
        Ok((self.sink, name))
    }

    fn integer(self, value: i64) -> Result<(), EncodeError> {
        let (sink, name) = self.open(8)?;
        match i32::try_from(value) {
            Ok(value) => sink.builder.put_i32(name, value),
            Err(_) => sink.builder.put_i64(name, value),
        }
        Ok(())
    }

    fn null(self) -> Result<(), EncodeError> {
        let (sink, name) = self.open(0)?;
        sink.builder.put_null(name);
        Ok(())
    }

    fn array(self) -> Result<Container<'s, 'b>, EncodeError> {
        let (sink, name) = self.open(0)?;
        sink.builder.open_array(name);
        Ok(Container { sink, is_top: false })
    }
}

impl Container<'_, '_> {
    fn write(&mut self, place: Place<'_>, value: &(impl Serialize + ?Sized)) -> Result<(), EncodeError> {
        value.serialize(Blob { sink: self.sink, place })
    }
}

impl Drop for Container<'_, '_> {
    fn drop(&mut self) {
        if !self.is_top {
            // The same for an array and a table.
            self.sink.builder.close_table();
        }
    }
}

impl<'s, 'b> Serializer for Blob<'s, 'b, '_> {
    type Ok = ();
    type Error = EncodeError;
    type SerializeSeq = Container<'s, 'b>;
    type SerializeTuple = Container<'s, 'b>;
    type SerializeStruct = Container<'s, 'b>;
    type SerializeTupleStruct = Impossible<(), EncodeError>;
    type SerializeTupleVariant = Impossible<(), EncodeError>;
    type SerializeMap = Impossible<(), EncodeError>;
    type SerializeStructVariant = Impossible<(), EncodeError>;

    fn serialize_bool(self, value: bool) -> Result<(), EncodeError> {
        let (sink, name) = self.open(1)?;
        sink.builder.put_bool(name, value);
        Ok(())
    }

    fn serialize_i8(self, value: i8) -> Result<(), EncodeError> {
        self.integer(value.into())
    }

    fn serialize_i16(self, value: i16) -> Result<(), EncodeError> {
        self.integer(value.into())
    }

    fn serialize_i32(self, value: i32) -> Result<(), EncodeError> {
        self.integer(value.into())
    }

    fn serialize_i64(self, value: i64) -> Result<(), EncodeError> {
        self.integer(value)
    }

    fn serialize_u8(self, value: u8) -> Result<(), EncodeError> {
        self.integer(value.into())
    }

    fn serialize_u16(self, value: u16) -> Result<(), EncodeError> {
        self.integer(value.into())
    }

    fn serialize_u32(self, value: u32) -> Result<(), EncodeError> {
        self.integer(value.into())
    }

    /// blobmsg has no unsigned integers: numbers beyond `i64::MAX` become `i64::MAX`.
    fn serialize_u64(self, value: u64) -> Result<(), EncodeError> {
        self.integer(i64::try_from(value).unwrap_or(i64::MAX))
    }

    fn serialize_f32(self, value: f32) -> Result<(), EncodeError> {
        self.serialize_f64(value.into())
    }

    /// Infinity and NaN become null, as in JSON.
    fn serialize_f64(self, value: f64) -> Result<(), EncodeError> {
        if !value.is_finite() {
            return self.null();
        }
        let (sink, name) = self.open(8)?;
        sink.builder.put_double(name, value);
        Ok(())
    }

    fn serialize_char(self, value: char) -> Result<(), EncodeError> {
        self.serialize_str(value.encode_utf8(&mut [0; 4]))
    }

    fn serialize_str(self, value: &str) -> Result<(), EncodeError> {
        let (sink, name) = self.open(value.len() + 1)?;
        sink.builder.put_str(name, value);
        Ok(())
    }

    fn serialize_bytes(self, _: &[u8]) -> Result<(), EncodeError> {
        Err(EncodeError::unsupported("bytes"))
    }

    fn serialize_none(self) -> Result<(), EncodeError> {
        self.null()
    }

    fn serialize_some<T: Serialize + ?Sized>(self, value: &T) -> Result<(), EncodeError> {
        value.serialize(self)
    }

    fn serialize_unit(self) -> Result<(), EncodeError> {
        self.null()
    }

    fn serialize_unit_struct(self, _: &'static str) -> Result<(), EncodeError> {
        self.null()
    }

    fn serialize_unit_variant(self, _: &'static str, _: u32, name: &'static str) -> Result<(), EncodeError> {
        self.serialize_str(name)
    }

    fn serialize_newtype_struct<T: Serialize + ?Sized>(self, _: &'static str, value: &T) -> Result<(), EncodeError> {
        value.serialize(self)
    }

    fn serialize_newtype_variant<T: Serialize + ?Sized>(
        self,
        _: &'static str,
        _: u32,
        _: &'static str,
        _: &T,
    ) -> Result<(), EncodeError> {
        Err(EncodeError::unsupported("an enum with values"))
    }

    fn serialize_seq(self, _: Option<usize>) -> Result<Self::SerializeSeq, EncodeError> {
        self.array()
    }

    fn serialize_tuple(self, _: usize) -> Result<Self::SerializeTuple, EncodeError> {
        self.array()
    }

    fn serialize_tuple_struct(self, _: &'static str, _: usize) -> Result<Self::SerializeTupleStruct, EncodeError> {
        Err(EncodeError::unsupported("a tuple struct"))
    }

    fn serialize_tuple_variant(
        self,
        _: &'static str,
        _: u32,
        _: &'static str,
        _: usize,
    ) -> Result<Self::SerializeTupleVariant, EncodeError> {
        Err(EncodeError::unsupported("an enum with values"))
    }

    fn serialize_map(self, _: Option<usize>) -> Result<Self::SerializeMap, EncodeError> {
        Err(EncodeError::unsupported("a map"))
    }

    fn serialize_struct(self, _: &'static str, _: usize) -> Result<Self::SerializeStruct, EncodeError> {
        if let Place::Top = self.place {
            return Ok(Container { sink: self.sink, is_top: true });
        }
        let (sink, name) = self.open(0)?;
        sink.builder.open_table(name);
        Ok(Container { sink, is_top: false })
    }

    fn serialize_struct_variant(
        self,
        _: &'static str,
        _: u32,
        _: &'static str,
        _: usize,
    ) -> Result<Self::SerializeStructVariant, EncodeError> {
        Err(EncodeError::unsupported("an enum with values"))
    }
}

impl SerializeSeq for Container<'_, '_> {
    type Ok = ();
    type Error = EncodeError;

    fn serialize_element<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), EncodeError> {
        self.write(Place::Item, value)
    }

    fn end(self) -> Result<(), EncodeError> {
        Ok(())
    }
}

impl SerializeTuple for Container<'_, '_> {
    type Ok = ();
    type Error = EncodeError;

    fn serialize_element<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), EncodeError> {
        self.write(Place::Item, value)
    }

    fn end(self) -> Result<(), EncodeError> {
        Ok(())
    }
}

impl SerializeStruct for Container<'_, '_> {
    type Ok = ();
    type Error = EncodeError;

    fn serialize_field<T: Serialize + ?Sized>(&mut self, name: &'static str, value: &T) -> Result<(), EncodeError> {
        self.write(Place::Member(name), value)
    }

    fn end(self) -> Result<(), EncodeError> {
        Ok(())
    }
}
