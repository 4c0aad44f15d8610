//! A serializer that passes the parts of an answer to a [`Sink`], one after the other. The forms differ in their sinks
//! only, so the program contains the code that serde generates for an answer once.

use serde::ser::{Impossible, SerializeSeq, SerializeStruct, SerializeTuple};
use serde::{Serialize, Serializer};

use super::error::EncodeError;

/// A part of an answer.
#[derive(Clone, Copy, Debug)]
pub enum Part<'a> {
    /// Nothing, for a value that is absent.
    Null,
    /// A boolean.
    Flag(bool),
    /// An integer.
    Integer(i64),
    /// An integer that may exceed [`i64::MAX`].
    Unsigned(u64),
    /// A finite fraction.
    Fraction(f64),
    /// A text.
    Text(&'a str),
    /// The beginning of an array, whose items follow up to [`Sink::close`].
    Array,
    /// The beginning of a struct, whose members follow up to [`Sink::close`].
    Struct,
}

/// Writes the parts of an answer in one form.
pub trait Sink {
    /// Writes a part. A member of a struct has a name.
    ///
    /// # Errors
    /// A part that this form cannot express here.
    fn write(&mut self, name: Option<&str>, part: Part<'_>) -> Result<(), EncodeError>;

    /// Ends the latest open array or struct.
    fn close(&mut self);
}

/// Writes one value.
pub struct ValueSerializer<'s, 'n> {
    /// Where to write.
    pub sink: &'s mut dyn Sink,
    /// The value's name, if it is a member of a struct.
    pub name: Option<&'n str>,
}

/// Writes the parts of an open array or struct, and closes it when dropped, after an error too.
pub struct Container<'s>(&'s mut dyn Sink);

impl<'s> ValueSerializer<'s, '_> {
    fn write(self, part: Part<'_>) -> Result<(), EncodeError> {
        self.sink.write(self.name, part)
    }

    fn open(self, part: Part<'_>) -> Result<Container<'s>, EncodeError> {
        self.sink.write(self.name, part)?;
        Ok(Container(self.sink))
    }
}

impl Container<'_> {
    fn write(&mut self, name: Option<&str>, value: &(impl Serialize + ?Sized)) -> Result<(), EncodeError> {
        value.serialize(ValueSerializer { sink: self.0, name })
    }
}

impl Drop for Container<'_> {
    fn drop(&mut self) {
        self.0.close();
    }
}

impl<'s> Serializer for ValueSerializer<'s, '_> {
    type Ok = ();
    type Error = EncodeError;
    type SerializeSeq = Container<'s>;
    type SerializeTuple = Container<'s>;
    type SerializeStruct = Container<'s>;
    type SerializeTupleStruct = Impossible<(), EncodeError>;
    type SerializeTupleVariant = Impossible<(), EncodeError>;
    type SerializeMap = Impossible<(), EncodeError>;
    type SerializeStructVariant = Impossible<(), EncodeError>;

    fn serialize_bool(self, value: bool) -> Result<(), EncodeError> {
        self.write(Part::Flag(value))
    }

    fn serialize_i8(self, value: i8) -> Result<(), EncodeError> {
        self.serialize_i64(value.into())
    }

    fn serialize_i16(self, value: i16) -> Result<(), EncodeError> {
        self.serialize_i64(value.into())
    }

    fn serialize_i32(self, value: i32) -> Result<(), EncodeError> {
        self.serialize_i64(value.into())
    }

    fn serialize_i64(self, value: i64) -> Result<(), EncodeError> {
        self.write(Part::Integer(value))
    }

    fn serialize_u8(self, value: u8) -> Result<(), EncodeError> {
        self.serialize_u64(value.into())
    }

    fn serialize_u16(self, value: u16) -> Result<(), EncodeError> {
        self.serialize_u64(value.into())
    }

    fn serialize_u32(self, value: u32) -> Result<(), EncodeError> {
        self.serialize_u64(value.into())
    }

    fn serialize_u64(self, value: u64) -> Result<(), EncodeError> {
        self.write(Part::Unsigned(value))
    }

    fn serialize_f32(self, value: f32) -> Result<(), EncodeError> {
        self.serialize_f64(value.into())
    }

    /// Infinity and NaN become null: JSON has neither.
    fn serialize_f64(self, value: f64) -> Result<(), EncodeError> {
        self.write(if value.is_finite() { Part::Fraction(value) } else { Part::Null })
    }

    fn serialize_char(self, value: char) -> Result<(), EncodeError> {
        self.serialize_str(value.encode_utf8(&mut [0; 4]))
    }

    fn serialize_str(self, value: &str) -> Result<(), EncodeError> {
        self.write(Part::Text(value))
    }

    fn serialize_bytes(self, _: &[u8]) -> Result<(), EncodeError> {
        Err(EncodeError::unsupported("bytes"))
    }

    fn serialize_none(self) -> Result<(), EncodeError> {
        self.serialize_unit()
    }

    fn serialize_some<T: Serialize + ?Sized>(self, value: &T) -> Result<(), EncodeError> {
        value.serialize(self)
    }

    fn serialize_unit(self) -> Result<(), EncodeError> {
        self.write(Part::Null)
    }

    fn serialize_unit_struct(self, _: &'static str) -> Result<(), EncodeError> {
        self.serialize_unit()
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
        self.open(Part::Array)
    }

    fn serialize_tuple(self, _: usize) -> Result<Self::SerializeTuple, EncodeError> {
        self.open(Part::Array)
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
        self.open(Part::Struct)
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

impl SerializeSeq for Container<'_> {
    type Ok = ();
    type Error = EncodeError;

    fn serialize_element<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), EncodeError> {
        self.write(None, value)
    }

    fn end(self) -> Result<(), EncodeError> {
        Ok(())
    }
}

impl SerializeTuple for Container<'_> {
    type Ok = ();
    type Error = EncodeError;

    fn serialize_element<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), EncodeError> {
        self.write(None, value)
    }

    fn end(self) -> Result<(), EncodeError> {
        Ok(())
    }
}

impl SerializeStruct for Container<'_> {
    type Ok = ();
    type Error = EncodeError;

    fn serialize_field<T: Serialize + ?Sized>(&mut self, name: &'static str, value: &T) -> Result<(), EncodeError> {
        self.write(Some(name), value)
    }

    fn end(self) -> Result<(), EncodeError> {
        Ok(())
    }
}
