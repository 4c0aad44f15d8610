//! Writes pcap with nanosecond timestamps (magic number 0xa1b23c4d, little-endian).

use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

use super::link::LinkType;
use crate::lab::error::Error;

const MAGIC_NANOSECONDS: u32 = 0xa1b2_3c4d;
const SNAP_BYTES: u32 = 65_535;

/// A capture file being written.
pub struct PcapWriter {
    path: PathBuf,
    file: BufWriter<File>,
}

impl PcapWriter {
    /// Creates (or empties) the file and writes its header.
    pub fn create(path: &Path, link: LinkType) -> Result<PcapWriter, Error> {
        let file = File::create(path).map_err(Error::io("creating capture", path))?;
        let mut writer = PcapWriter { path: path.to_owned(), file: BufWriter::new(file) };
        writer.header(link).map_err(Error::io("writing capture", path))?;
        Ok(writer)
    }

    /// Appends a packet with `orig_len` bytes on the wire, of which `data` was captured. Timestamps after 2106 wrap.
    pub fn packet(&mut self, time_ns: u64, orig_len: usize, data: &[u8]) -> Result<(), Error> {
        let result = self.record(time_ns, orig_len, data);
        result.map_err(Error::io("writing capture", &self.path))
    }

    /// Flushes the buffer. Without this call, errors at the end of the file go unnoticed.
    pub fn finish(mut self) -> Result<(), Error> {
        self.file.flush().map_err(Error::io("writing capture", &self.path))
    }

    fn header(&mut self, link: LinkType) -> io::Result<()> {
        self.file.write_all(&MAGIC_NANOSECONDS.to_le_bytes())?;
        self.file.write_all(&2u16.to_le_bytes())?;
        self.file.write_all(&4u16.to_le_bytes())?;
        self.file.write_all(&[0; 8])?;
        self.file.write_all(&SNAP_BYTES.to_le_bytes())?;
        self.file.write_all(&(link as u32).to_le_bytes())
    }

    fn record(&mut self, time_ns: u64, orig_len: usize, data: &[u8]) -> io::Result<()> {
        let words =
            [(time_ns / 1_000_000_000) as u32, (time_ns % 1_000_000_000) as u32, data.len() as u32, orig_len as u32];
        for word in words {
            self.file.write_all(&word.to_le_bytes())?;
        }
        self.file.write_all(data)
    }
}
