//! Serialises and parses the fields of a join text.

/// Appends fields to a buffer.
#[derive(Default)]
pub(super) struct FieldWriter {
    bytes: Vec<u8>,
}

impl FieldWriter {
    pub fn u8(&mut self, value: u8) -> &mut FieldWriter {
        self.bytes(&[value])
    }

    pub fn u16(&mut self, value: u16) -> &mut FieldWriter {
        self.bytes(&value.to_be_bytes())
    }

    pub fn u32(&mut self, value: u32) -> &mut FieldWriter {
        self.bytes(&value.to_be_bytes())
    }

    /// Bytes without a length; the reader knows how many.
    pub fn bytes(&mut self, bytes: &[u8]) -> &mut FieldWriter {
        self.bytes.extend(bytes);
        self
    }

    /// One byte, 1 if the value is present and 0 if not, then the value.
    pub fn option(&mut self, bytes: Option<&[u8]>) -> &mut FieldWriter {
        self.u8(bytes.is_some().into()).bytes(bytes.unwrap_or_default())
    }

    /// A text and its length in 16 bits. All names in the settings have at most 256 bytes.
    pub fn text(&mut self, text: &str) -> &mut FieldWriter {
        self.u16(text.len() as u16).bytes(text.as_bytes())
    }

    pub fn finish(self) -> Vec<u8> {
        self.bytes
    }
}

/// Reads fields. Each method returns `None` if the bytes end too early or do not form the field.
pub(super) struct FieldReader<'a> {
    rest: &'a [u8],
}

impl<'a> FieldReader<'a> {
    pub fn new(bytes: &'a [u8]) -> FieldReader<'a> {
        FieldReader { rest: bytes }
    }

    pub fn is_empty(&self) -> bool {
        self.rest.is_empty()
    }

    pub fn u8(&mut self) -> Option<u8> {
        self.array().map(u8::from_be_bytes)
    }

    pub fn u16(&mut self) -> Option<u16> {
        self.array().map(u16::from_be_bytes)
    }

    pub fn u32(&mut self) -> Option<u32> {
        self.array().map(u32::from_be_bytes)
    }

    pub fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (array, rest) = self.rest.split_first_chunk()?;
        self.rest = rest;
        Some(*array)
    }

    pub fn text(&mut self) -> Option<String> {
        let length = self.u16()?.into();
        let (text, rest) = self.rest.split_at_checked(length)?;
        self.rest = rest;
        String::from_utf8(text.to_vec()).ok()
    }

    pub fn option<T>(&mut self, read: impl Fn(&mut FieldReader<'a>) -> Option<T>) -> Option<Option<T>> {
        match self.u8()? {
            0 => Some(None),
            1 => read(self).map(Some),
            _ => None,
        }
    }

    /// A byte with the number of items, then the items.
    pub fn list<T>(&mut self, read: impl Fn(&mut FieldReader<'a>) -> Option<T>) -> Option<Vec<T>> {
        (0..self.u8()?).map(|_| read(self)).collect()
    }
}
