//! Reads pcap (either byte order, microseconds or nanoseconds) and pcapng as a stream, in bounded memory, with the link
//! types that homes and their lines are captured with.

use std::fs::File;
use std::path::Path;

use pcap_parser::traits::PcapReaderIterator;
use pcap_parser::{Block, LegacyPcapReader, PcapBlockOwned, PcapError, PcapNGReader};

use super::format;
use super::frame::Frame;
use super::link::{LinkType, RecordLink, unsupported_name};
use super::tally::{PacketTally, PacketUse};
use crate::lab::error::Error;

/// Size of the read buffer: several times the largest record, which is a jumbo frame or a full GRO batch.
const BUFFER_BYTES: usize = 1 << 20;

/// First bytes of a pcapng file, equal in both byte orders.
const PCAPNG_MAGIC: [u8; 4] = [0x0a, 0x0d, 0x0d, 0x0a];

/// Code of a pcapng interface's option with the length of the frame check sequence.
const OPTION_FCS_LENGTH: u16 = 13;
const OTHER_LINK: &str = "of an unsupported link type";

/// One captured packet with its link header.
#[derive(Clone, Copy, Debug)]
pub struct CapturedPacket<'a> {
    /// Timestamp in nanoseconds of Unix time.
    pub time_ns: u64,
    /// Length on the wire in bytes, including the link header, without a frame check sequence; `data` may be shorter.
    pub orig_len: usize,
    /// What `data` starts with.
    pub link: LinkType,
    /// Captured bytes.
    pub data: &'a [u8],
}

/// The number of packets in a capture and its time span.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Extent {
    /// Number of packets read.
    pub packets: u64,
    /// Timestamp of the earliest packet in nanoseconds of Unix time; 0 without packets.
    pub first_ns: u64,
    /// Timestamp of the latest packet in nanoseconds of Unix time; 0 without packets.
    pub last_ns: u64,
}

/// What was read of a capture. When it is dropped, its packets count as read by this process.
#[derive(Debug)]
pub struct Reading {
    /// Number and time span of the packets read.
    pub extent: Extent,
    /// How many packets were used and skipped.
    pub tally: PacketTally,
    /// The error that stopped the reading before the end of the capture, after at least one packet.
    pub damage: Option<Error>,
}

impl<'a> CapturedPacket<'a> {
    /// Parses the packet as a frame; `None` if its header is truncated.
    pub fn frame(&self) -> Option<Frame<'a>> {
        Frame::parse(self.link, self.data)
    }
}

impl Reading {
    /// Fails if a part of the capture could not be read.
    pub fn complete(mut self) -> Result<(), Error> {
        self.damage.take().map_or(Ok(()), Err)
    }
}

impl Drop for Reading {
    fn drop(&mut self) {
        self.tally.publish();
    }
}

/// Calls `each` for every packet of the capture at `path`, in file order; `each` tells whether it used the packet.
///
/// Each packet has the link type of its own interface. Packets of an unsupported link type are skipped, but it is an
/// error if there are no others. A capture without packets is not an error. An error after the first packet is part of
/// the result, so that a caller may use the packets before it.
pub fn read(path: &Path, each: impl FnMut(CapturedPacket<'_>) -> PacketUse) -> Result<Reading, Error> {
    let file = File::open(path).map_err(Error::io("opening capture", path))?;
    if file.metadata().map_err(Error::io("reading capture", path))?.len() == 0 {
        return Err(damaged(path, 0, "the file is empty and lacks even a header"));
    }
    let mut magic = [0; 4];
    {
        use std::os::unix::fs::FileExt;
        file.read_exact_at(&mut magic, 0).map_err(|_| damaged(path, 0, "the file ends inside its header"))?;
    }
    if let Some(kind) = format::unsupported(&magic) {
        return Err(Error::content(path, 0, kind));
    }
    let mut reader: Box<dyn PcapReaderIterator> = if magic == PCAPNG_MAGIC {
        Box::new(PcapNGReader::new(BUFFER_BYTES, file).map_err(|error| header_error(path, error))?)
    } else {
        Box::new(LegacyPcapReader::new(BUFFER_BYTES, file).map_err(|error| header_error(path, error))?)
    };
    let reading = Reading { extent: Extent::default(), tally: PacketTally::of_one_capture(), damage: None };
    let mut decoder = Decoder {
        path,
        clock: FractionUnit::Micros,
        file_link: RecordLink { kind: Ok(LinkType::Ethernet), fcs_bytes: 0 },
        interfaces: Vec::new(),
        previous_ns: 0,
        unsupported: None,
        reading,
        each,
    };
    let result = decoder.run(&mut *reader);
    let (mut reading, unsupported) = (decoder.reading, decoder.unsupported);
    match (result, unsupported) {
        (_, Some(number)) if reading.extent.packets == 0 => {
            let name = unsupported_name(number);
            Err(Error::content(
                path,
                0,
                format!(
                    "link type {number} ({name}) is not supported; capture Ethernet, Linux cooked or raw IP packets, \
                     such as with `tcpdump -i br-lan`"
                ),
            ))
        }
        (Err(damage), _) if reading.extent.packets > 0 => {
            reading.damage = Some(damage);
            Ok(reading)
        }
        (Err(damage), _) => Err(damage),
        (Ok(()), _) => Ok(reading),
    }
}

/// Like [`read`], but the packets do not count as read by this process, because they are read again.
pub(super) fn read_quietly(path: &Path, each: impl FnMut(CapturedPacket<'_>) -> PacketUse) -> Result<(), Error> {
    let mut reading = read(path, each)?;
    reading.tally = PacketTally::default();
    Ok(())
}

struct Decoder<'a, F> {
    path: &'a Path,
    clock: FractionUnit,
    file_link: RecordLink,
    interfaces: Vec<PcapngInterface>,
    previous_ns: u64,
    /// The first unsupported link type of a packet.
    unsupported: Option<u32>,
    reading: Reading,
    each: F,
}

#[derive(Clone, Copy)]
enum FractionUnit {
    Micros,
    Nanos,
}

/// A pcapng interface: its link, its maximum captured length, and the resolution and offset of its timestamps.
struct PcapngInterface {
    link: RecordLink,
    resolution: u8,
    offset_s: i64,
    snap_bytes: u32,
}

impl<F: FnMut(CapturedPacket<'_>) -> PacketUse> Decoder<'_, F> {
    fn run(&mut self, reader: &mut dyn PcapReaderIterator) -> Result<(), Error> {
        loop {
            let offset = reader.consumed() as u64;
            match reader.next() {
                Ok((length, block)) => {
                    self.block(offset, block)?;
                    reader.consume(length);
                }
                Err(PcapError::Eof) => return Ok(()),
                Err(PcapError::Incomplete(_)) => {
                    reader.refill().map_err(|_| damaged(self.path, offset, "the system failed to read further"))?;
                }
                Err(error) => return Err(damaged(self.path, offset, cause(&error))),
            }
        }
    }

    fn block(&mut self, offset: u64, block: PcapBlockOwned<'_>) -> Result<(), Error> {
        match block {
            PcapBlockOwned::LegacyHeader(header) => {
                self.file_link = RecordLink::of_file(header.network.0 as u32);
                self.unsupported = self.file_link.kind.err();
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
                self.packet(self.file_link, time_ns, record.origlen as usize, record.data);
            }
            PcapBlockOwned::NG(Block::SectionHeader(_)) => self.interfaces.clear(),
            PcapBlockOwned::NG(Block::InterfaceDescription(interface)) => {
                let fcs = interface.options.iter().find(|option| option.code.0 == OPTION_FCS_LENGTH);
                let has_fcs = fcs.and_then(|option| option.value().first()).is_some_and(|length| *length > 0);
                self.interfaces.push(PcapngInterface {
                    link: RecordLink::of_interface(interface.linktype.0 as u32, has_fcs),
                    resolution: interface.if_tsresol,
                    offset_s: interface.if_tsoffset,
                    snap_bytes: interface.snaplen,
                });
            }
            PcapBlockOwned::NG(Block::EnhancedPacket(record)) => {
                let interface = self
                    .interfaces
                    .get(record.if_id as usize)
                    .ok_or_else(|| damaged(self.path, offset, "a packet of an interface without a description"))?;
                let ticks = u64::from(record.ts_high) << 32 | u64::from(record.ts_low);
                let time_ns = interface
                    .time_ns(ticks)
                    .ok_or_else(|| damaged(self.path, offset, "a timestamp outside 1970 to 2554"))?;
                let data = record.data.get(..record.caplen as usize).unwrap_or(record.data);
                self.packet(interface.link, time_ns, record.origlen as usize, data);
            }
            PcapBlockOwned::NG(Block::SimplePacket(record)) => {
                let interface = self
                    .interfaces
                    .first()
                    .ok_or_else(|| damaged(self.path, offset, "a packet before the first interface description"))?;
                let kept = if interface.snap_bytes == 0 { u32::MAX } else { interface.snap_bytes };
                let data = record.data.get(..record.origlen.min(kept) as usize).unwrap_or(record.data);
                // A simple packet block has no timestamp, so use that of the packet before it.
                self.packet(interface.link, self.previous_ns, record.origlen as usize, data);
            }
            PcapBlockOwned::NG(_) => {}
        }
        Ok(())
    }

    fn packet(&mut self, link: RecordLink, time_ns: u64, orig_len: usize, data: &[u8]) {
        self.previous_ns = time_ns;
        let kind = match link.kind {
            Ok(kind) => kind,
            Err(number) => {
                self.unsupported.get_or_insert(number);
                return self.reading.tally.count(Err(OTHER_LINK));
            }
        };
        let (orig_len, data) = match link.fcs_bytes {
            0 => (orig_len, data),
            fcs_bytes => {
                let orig_len = orig_len.saturating_sub(fcs_bytes);
                (orig_len, &data[..data.len().min(orig_len)])
            }
        };
        let extent = &mut self.reading.extent;
        if extent.packets == 0 {
            extent.first_ns = time_ns;
        }
        extent.packets += 1;
        extent.first_ns = extent.first_ns.min(time_ns);
        extent.last_ns = extent.last_ns.max(time_ns);
        let result = (self.each)(CapturedPacket { time_ns, orig_len, link: kind, data });
        self.reading.tally.count(result);
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
