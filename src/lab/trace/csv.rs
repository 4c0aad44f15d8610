//! The trace file: `t_ns,direction,bytes`, one line per packet, oldest first.

use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use super::{Direction, MAX_PACKET_BYTES, MIN_PACKET_BYTES, PacketRecord, Trace};
use crate::lab::error::Error;
use crate::units::Nanos;

const HEADER: &str = "t_ns,direction,bytes";

/// Reads a trace file. The file name without extension becomes the name of the device.
pub fn read_csv(path: &Path) -> Result<Trace, Error> {
    let text = fs::read_to_string(path).map_err(Error::io("reading trace", path))?;
    let device = path.file_stem().map_or_else(String::new, |stem| stem.to_string_lossy().into_owned());
    let mut lines = text.lines().enumerate().map(|(index, line)| (index + 1, line.trim()));
    match lines.next() {
        Some((_, HEADER)) => {}
        _ => return Err(Error::content(path, 1, format!("expected the header `{HEADER}`"))),
    }
    let mut packets: Vec<PacketRecord> = Vec::new();
    for (number, line) in lines.filter(|(_, line)| !line.is_empty()) {
        let packet = parse(line).map_err(|problem| Error::content(path, number, problem))?;
        if packets.last().is_some_and(|before| before.time > packet.time) {
            return Err(Error::content(path, number, "times must not go backwards"));
        }
        packets.push(packet);
    }
    Ok(Trace { device, packets })
}

/// Writes a trace file.
pub fn write_csv(trace: &Trace, path: &Path) -> Result<(), Error> {
    let mut text = format!("{HEADER}\n");
    for packet in &trace.packets {
        let _ = writeln!(text, "{},{},{}", packet.time.0, packet.direction.name(), packet.bytes);
    }
    fs::write(path, text).map_err(Error::io("writing trace", path))
}

fn parse(line: &str) -> Result<PacketRecord, String> {
    let mut fields = line.split(',').map(str::trim);
    let (Some(time), Some(direction), Some(bytes), None) = (fields.next(), fields.next(), fields.next(), fields.next())
    else {
        return Err(format!("expected three fields, got `{line}`"));
    };
    let time = time.parse().map_err(|_| format!("`{time}` is not a time in nanoseconds"))?;
    let direction = Direction::from_name(direction).ok_or_else(|| format!("`{direction}` is neither up nor down"))?;
    let range = MIN_PACKET_BYTES..=MAX_PACKET_BYTES;
    let bytes =
        bytes.parse().ok().filter(|bytes| range.contains(bytes)).ok_or_else(|| {
            format!("`{bytes}` is not a length in bytes from {MIN_PACKET_BYTES} to {MAX_PACKET_BYTES}")
        })?;
    Ok(PacketRecord { time: Nanos(time), direction, bytes })
}
