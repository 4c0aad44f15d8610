//! The format of a file of numbers.

/// Writes numbers, most of which are small or zero: seven bits a byte, the lowest first, and the eighth bit if more
/// follow. After a zero follows the number of further zeros.
#[derive(Default)]
pub(super) struct NumberWriter {
    bytes: Vec<u8>,
    zeros: u64,
}

/// Reads what [`NumberWriter`] wrote.
pub(super) struct NumberReader<'a> {
    bytes: &'a [u8],
    zeros: u64,
    is_broken: bool,
}

impl NumberWriter {
    pub fn put(&mut self, number: u64) {
        if number == 0 {
            self.zeros += 1;
            return;
        }
        self.end_zeros();
        self.put_digits(number);
    }

    /// Everything written.
    pub fn finish(mut self) -> Vec<u8> {
        self.end_zeros();
        self.bytes
    }

    fn end_zeros(&mut self) {
        if self.zeros > 0 {
            self.bytes.push(0);
            self.put_digits(self.zeros - 1);
            self.zeros = 0;
        }
    }

    fn put_digits(&mut self, mut number: u64) {
        while number > 0x7f {
            self.bytes.push(number as u8 | 0x80);
            number >>= 7;
        }
        self.bytes.push(number as u8);
    }
}

impl<'a> NumberReader<'a> {
    pub fn new(bytes: &'a [u8]) -> NumberReader<'a> {
        NumberReader { bytes, zeros: 0, is_broken: false }
    }

    /// The next number, 0 after the end.
    pub fn get(&mut self) -> u64 {
        if self.zeros > 0 {
            self.zeros -= 1;
            return 0;
        }
        let number = self.digits();
        if number == 0 {
            self.zeros = self.digits();
        }
        number
    }

    /// Whether every number was read, and none beyond the end.
    pub fn is_complete(&self) -> bool {
        !self.is_broken && self.bytes.is_empty() && self.zeros == 0
    }

    fn digits(&mut self) -> u64 {
        let mut number = 0;
        for shift in (0..64).step_by(7) {
            let Some((byte, rest)) = self.bytes.split_first() else { break };
            self.bytes = rest;
            number |= u64::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                return number;
            }
        }
        self.is_broken = true;
        0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_read_as_they_were_written() {
        let numbers = [0, 0, 0, 1, 127, 128, 0, u64::MAX, 300, 0, 0];
        let mut writer = NumberWriter::default();
        numbers.iter().for_each(|number| writer.put(*number));
        let bytes = writer.finish();
        assert_eq!(bytes.len(), 2 + 1 + 1 + 2 + 2 + 10 + 2 + 2);
        let mut reader = NumberReader::new(&bytes);
        assert_eq!(numbers.map(|_| reader.get()), numbers);
        assert!(reader.is_complete());
        reader.get();
        assert!(!reader.is_complete(), "read beyond the end");
        for length in 0..bytes.len() {
            let mut reader = NumberReader::new(&bytes[..length]);
            numbers.iter().for_each(|_| _ = reader.get());
            assert!(!reader.is_complete(), "cut after {length} bytes");
        }
    }
}
