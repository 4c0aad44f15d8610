//! Reads pcap (either byte order, microseconds or nanoseconds) and pcapng as a stream, in bounded memory.

use std::fs::File;
use std::path::Path;

use pcap_parser::traits::PcapReaderIterator;
use pcap_parser::{Block, LegacyPcapReader, Linktype, PcapBlockOwned, PcapError, PcapNGReader};

use crate::lab::error::Error;

/// Size of the read buffer: several times the largest record, which is a jumbo frame or a full GRO batch.
const BUFFER_BYTES: usize = 1 << 20;

/// First bytes of a pcapng file, equal in both byte orders.
const PCAPNG_MAGIC: [u8; 4] = [0x0a, 0x0d, 0x0d, 0x0a];

/// One captured Ethernet frame.
#[derive(Clone, Copy, Debug)]
pub struct CapturedPacket<'a> {
    /// Timestamp in nanoseconds of Unix time.
    pub time_ns: u64,
    /// Length on the wire in bytes, including the link header; `data` may be shorter.
    pub orig_len: usize,
    /// Captured bytes.
    pub data: &'a [u8],
}

/// The number of packets in a capture and its time span.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Extent {
    /// Number of packets read.
    pub packets: u64,
    /// Timestamp of the first packet in nanoseconds of Unix time; 0 without packets.
    pub first_ns: u64,
    /// Timestamp of the last packet read, in nanoseconds of Unix time; 0 without packets.
    pub last_ns: u64,
}

/// Calls `each` for every packet of the capture at `path`, in file order.
///
/// A damaged file gives [`Error::Damaged`] *after* `each` has received all packets before the damage, so a caller may
/// keep these packets and report the error as a warning.
/// Only Ethernet is supported: another link type is an error. A capture without packets is not an error.
pub fn read(path: &Path, each: impl FnMut(CapturedPacket<'_>)) -> Result<Extent, Error> {
    let file = File::open(path).map_err(Error::io("opening capture", path))?;
    if file.metadata().map_err(Error::io("reading capture", path))?.len() == 0 {
        return Err(damaged(path, 0, "the file is empty and lacks even a header"));
    }
    let mut magic = [0; 4];
    {
        use std::os::unix::fs::FileExt;
        file.read_exact_at(&mut magic, 0).map_err(|_| damaged(path, 0, "the file ends inside its header"))?;
    }
    let mut reader: Box<dyn PcapReaderIterator> = if magic == PCAPNG_MAGIC {
        Box::new(PcapNGReader::new(BUFFER_BYTES, file).map_err(|error| header_error(path, error))?)
    } else {
        Box::new(LegacyPcapReader::new(BUFFER_BYTES, file).map_err(|error| header_error(path, error))?)
    };
    let mut decoder = Decoder { path, clock: FractionUnit::Micros, interfaces: Vec::new(), extent: None, each };
    loop {
        let offset = reader.consumed() as u64;
        match reader.next() {
            Ok((length, block)) => {
                decoder.block(offset, block)?;
                reader.consume(length);
            }
            Err(PcapError::Eof) => break,
            Err(PcapError::Incomplete(_)) => {
                reader.refill().map_err(|_| damaged(path, offset, "the system failed to read further"))?;
            }
            Err(error) => return Err(damaged(path, offset, cause(&error))),
        }
    }
    Ok(decoder.extent.unwrap_or(Extent { packets: 0, first_ns: 0, last_ns: 0 }))
}

struct Decoder<'a, F> {
    path: &'a Path,
    clock: FractionUnit,
    interfaces: Vec<PcapngInterface>,
    extent: Option<Extent>,
    each: F,
}

#[derive(Clone, Copy)]
enum FractionUnit {
    Micros,
    Nanos,
}

/// A pcapng interface: its link type, its maximum captured length, and the resolution and offset of its timestamps.
struct PcapngInterface {
    link: Linktype,
    resolution: u8,
    offset_s: i64,
    snap_bytes: u32,
}

impl<F: FnMut(CapturedPacket<'_>)> Decoder<'_, F> {
    fn block(&mut self, offset: u64, block: PcapBlockOwned<'_>) -> Result<(), Error> {
        match block {
            PcapBlockOwned::LegacyHeader(header) => {
                self.ethernet(offset, header.network)?;
                self.clock = if header.is_nanosecond_precision() { FractionUnit::Nanos } else { FractionUnit::Micros };
            }
            PcapBlockOwned::Legacy(record) => {
                let fraction_ns = match self.clock {
                    FractionUnit::Micros => u64::from(record.ts_usec) * 1_000,
                    FractionUnit::Nanos => u64::from(record.ts_usec),
                };
                if fraction_ns >= 1_000_000_000 {
                    return Err(damaged(self.path, offset, "a timestamp with a fraction of a second or more"));
                }
                let time_ns = u64::from(record.ts_sec) * 1_000_000_000 + fraction_ns;
                self.packet(CapturedPacket { time_ns, orig_len: record.origlen as usize, data: record.data });
            }
            PcapBlockOwned::NG(Block::SectionHeader(_)) => self.interfaces.clear(),
            PcapBlockOwned::NG(Block::InterfaceDescription(interface)) => self.interfaces.push(PcapngInterface {
                link: interface.linktype,
                resolution: interface.if_tsresol,
                offset_s: interface.if_tsoffset,
                snap_bytes: interface.snaplen,
            }),
            PcapBlockOwned::NG(Block::EnhancedPacket(record)) => {
                let interface = self
                    .interfaces
                    .get(record.if_id as usize)
                    .ok_or_else(|| damaged(self.path, offset, "a packet of an interface without a description"))?;
                let ticks = u64::from(record.ts_high) << 32 | u64::from(record.ts_low);
                let time_ns = interface
                    .time_ns(ticks)
                    .ok_or_else(|| damaged(self.path, offset, "a timestamp outside 1970 to 2554"))?;
                self.ethernet(offset, interface.link)?;
                let data = record.data.get(..record.caplen as usize).unwrap_or(record.data);
                self.packet(CapturedPacket { time_ns, orig_len: record.origlen as usize, data });
            }
            PcapBlockOwned::NG(Block::SimplePacket(record)) => {
                let interface = self
                    .interfaces
                    .first()
                    .ok_or_else(|| damaged(self.path, offset, "a packet before the first interface description"))?;
                self.ethernet(offset, interface.link)?;
                // A simple packet block has no timestamp, so use that of the packet before it.
                let time_ns = self.extent.map_or(0, |extent| extent.last_ns);
                let kept = if interface.snap_bytes == 0 { u32::MAX } else { interface.snap_bytes };
                let data = record.data.get(..record.origlen.min(kept) as usize).unwrap_or(record.data);
                self.packet(CapturedPacket { time_ns, orig_len: record.origlen as usize, data });
            }
            PcapBlockOwned::NG(_) => {}
        }
        Ok(())
    }

    fn ethernet(&self, offset: u64, link: Linktype) -> Result<(), Error> {
        if link == Linktype::ETHERNET {
            return Ok(());
        }
        Err(damaged(self.path, offset, format!("link type {}, but only Ethernet (1) is supported", link.0)))
    }

    fn packet(&mut self, packet: CapturedPacket<'_>) {
        let time_ns = packet.time_ns;
        let extent = self.extent.get_or_insert(Extent { packets: 0, first_ns: time_ns, last_ns: time_ns });
        extent.packets += 1;
        extent.last_ns = time_ns;
        (self.each)(packet);
    }
}

impl PcapngInterface {
    /// `if_tsresol` is a negative power of ten, or of two with the top bit set (pcapng draft, section 4.2).
    fn time_ns(&self, ticks: u64) -> Option<u64> {
        let exponent = u32::from(self.resolution & 0x7f);
        let ticks = u128::from(ticks);
        let span_ns = if self.resolution & 0x80 != 0 {
            (ticks * 1_000_000_000).checked_shr(exponent)?
        } else if exponent <= 9 {
            ticks * 10u128.pow(9 - exponent)
        } else {
            ticks / 10u128.checked_pow(exponent - 9)?
        };
        let offset_ns = i128::from(self.offset_s) * 1_000_000_000;
        u64::try_from(i128::try_from(span_ns).ok()? + offset_ns).ok()
    }
}

fn header_error(path: &Path, error: PcapError<&[u8]>) -> Error {
    match error {
        PcapError::Incomplete(_) | PcapError::UnexpectedEof => damaged(path, 0, "the file ends inside its header"),
        _ => damaged(path, 0, "neither pcap nor pcapng, judging by its first bytes"),
    }
}

fn cause(error: &PcapError<&[u8]>) -> String {
    match error {
        PcapError::UnexpectedEof => "the file ends inside a record (truncated)".to_owned(),
        PcapError::BufferTooSmall => format!("a record claims more than {BUFFER_BYTES} bytes (corrupt)"),
        PcapError::ReadError => "the system failed to read further".to_owned(),
        PcapError::NomError(_, kind) | PcapError::OwnedNomError(_, kind) => {
            format!("a block that violates the file format ({kind:?})")
        }
        other => format!("{other:?}").to_lowercase(),
    }
}

fn damaged(path: &Path, offset: u64, cause: impl Into<String>) -> Error {
    Error::Damaged { path: path.to_owned(), offset, cause: cause.into() }
}
