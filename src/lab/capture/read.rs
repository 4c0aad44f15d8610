//! Reading pcap (either byte order, micro- or nanoseconds) and pcapng, as a stream in bounded memory.

use std::fs::File;
use std::path::Path;

use pcap_parser::traits::PcapReaderIterator;
use pcap_parser::{Block, LegacyPcapReader, Linktype, PcapBlockOwned, PcapError, PcapNGReader};

use crate::lab::error::Error;

/// Room for the largest record: a jumbo frame or a whole GRO batch, several times over.
const BUFFER_BYTES: usize = 1 << 20;

/// The magic number that opens a pcapng file, the same in either byte order.
const PCAPNG_MAGIC: [u8; 4] = [0x0a, 0x0d, 0x0d, 0x0a];

/// One captured Ethernet frame.
#[derive(Clone, Copy, Debug)]
pub struct CapturedPacket<'a> {
    /// Time stamp in nanoseconds since 1970.
    pub time_ns: u64,
    /// Length on the wire in bytes, link header included; `data` may be shorter.
    pub orig_len: usize,
    /// What was captured of it.
    pub data: &'a [u8],
}

/// What a capture held.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Extent {
    /// Packets read.
    pub packets: u64,
    /// Time stamp of the first in nanoseconds since 1970; 0 without packets.
    pub first_ns: u64,
    /// Time stamp of the last read.
    pub last_ns: u64,
}

/// Hands every packet of the capture at `path` to `each`, in the order of the file.
///
/// A damaged file gives [`Error::Damaged`] *after* every packet before the damage has been handed over,
/// so a caller who wants those keeps them and reports the error as a warning.
/// Only Ethernet is understood; another link type is an error, an empty capture is not.
pub fn read(path: &Path, each: impl FnMut(CapturedPacket<'_>)) -> Result<Extent, Error> {
    let file = File::open(path).map_err(Error::io("opening capture", path))?;
    if file.metadata().map_err(Error::io("reading capture", path))?.len() == 0 {
        return Err(damaged(path, 0, "the file is empty, not even a header"));
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
                reader.refill().map_err(|_| damaged(path, offset, "the system could not read on"))?;
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

/// A pcapng interface: its link type and what its time stamps count.
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
                    return Err(damaged(self.path, offset, "a time stamp with more than a second of fraction"));
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
                    .ok_or_else(|| damaged(self.path, offset, "a packet of an interface that was never described"))?;
                let ticks = u64::from(record.ts_high) << 32 | u64::from(record.ts_low);
                let time_ns = interface
                    .time_ns(ticks)
                    .ok_or_else(|| damaged(self.path, offset, "a time stamp that lies outside 1970 to 2554"))?;
                self.ethernet(offset, interface.link)?;
                let data = record.data.get(..record.caplen as usize).unwrap_or(record.data);
                self.packet(CapturedPacket { time_ns, orig_len: record.origlen as usize, data });
            }
            PcapBlockOwned::NG(Block::SimplePacket(record)) => {
                let interface = self
                    .interfaces
                    .first()
                    .ok_or_else(|| damaged(self.path, offset, "a packet before any interface was described"))?;
                self.ethernet(offset, interface.link)?;
                // It has no time stamp of its own: it shares the one before.
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
        Err(damaged(self.path, offset, format!("link type {}, but only Ethernet (1) is understood", link.0)))
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
        _ => damaged(path, 0, "neither pcap nor pcapng by its first bytes"),
    }
}

fn cause(error: &PcapError<&[u8]>) -> String {
    match error {
        PcapError::UnexpectedEof => "the file ends inside a record (truncated)".to_owned(),
        PcapError::BufferTooSmall => format!("a record claims more than {BUFFER_BYTES} bytes (corrupt)"),
        PcapError::ReadError => "the system could not read on".to_owned(),
        PcapError::NomError(_, kind) | PcapError::OwnedNomError(_, kind) => {
            format!("a block that breaks the format's rules ({kind:?})")
        }
        other => format!("{other:?}").to_lowercase(),
    }
}

fn damaged(path: &Path, offset: u64, cause: impl Into<String>) -> Error {
    Error::Damaged { path: path.to_owned(), offset, cause: cause.into() }
}
