//! The fields of a join text, one after the other.

/// Writes fields.
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

    /// Bytes of a number that both ends know.
    pub fn bytes(&mut self, bytes: &[u8]) -> &mut FieldWriter {
        self.bytes.extend(bytes);
        self
    }

    /// Whether there is something, and then that.
    pub fn option(&mut self, bytes: Option<&[u8]>) -> &mut FieldWriter {
        self.u8(bytes.is_some().into()).bytes(bytes.unwrap_or_default())
    }

    /// A text of at most 256 bytes, as all names in the settings are.
    pub fn text(&mut self, text: &str) -> &mut FieldWriter {
        self.u16(text.len() as u16).bytes(text.as_bytes())
    }

    pub fn finish(self) -> Vec<u8> {
        self.bytes
    }
}

/// Reads fields; each is `None` where the bytes end too early or cannot be that.
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

    /// As many as the byte before them says.
    pub fn list<T>(&mut self, read: impl Fn(&mut FieldReader<'a>) -> Option<T>) -> Option<Vec<T>> {
        (0..self.u8()?).map(|_| read(self)).collect()
    }
}
