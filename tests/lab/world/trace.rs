//! A device's trace: time, direction and size of the packets that it sent and received.

use std::fs;
use std::path::Path;

use crate::message::{Direction, HEADER_BYTES};

/// Maximum payload of an Ethernet frame. Larger "packets" in a capture were merged by the network card.
const MTU: usize = 1500;
/// IPv4 and UDP headers.
pub const UDP_HEADERS: usize = 28;
/// IPv4 and TCP headers, with the time stamp option.
pub const TCP_HEADERS: usize = 52;
/// The length field before each message in a TCP stream.
pub const FRAME_BYTES: usize = 2;

/// One packet of a trace.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Packet {
    /// Departure, in nanoseconds from the start of the trace.
    pub at_ns: u64,
    /// Direction.
    pub direction: Direction,
    /// Length of the IP packet.
    pub bytes: usize,
}

/// The transport of a device's packets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Transport {
    /// One datagram each.
    Udp,
    /// One message each in one connection.
    Tcp,
}

impl std::str::FromStr for Transport {
    type Err = String;
    fn from_str(name: &str) -> Result<Transport, String> {
        match name {
            "udp" => Ok(Transport::Udp),
            "tcp" => Ok(Transport::Tcp),
            _ => Err(format!("unknown transport {name}; use udp or tcp")),
        }
    }
}

/// Reads a file of `t_ns,direction,bytes` lines.
pub fn read(path: &Path) -> Result<Vec<Packet>, String> {
    let text = fs::read_to_string(path).map_err(|err| format!("reading trace {}: {err}", path.display()))?;
    parse(&text).map_err(|(line, problem)| format!("reading trace {} line {line}: {problem}", path.display()))
}

fn parse(text: &str) -> Result<Vec<Packet>, (usize, &'static str)> {
    let mut packets = Vec::new();
    for (line, fields) in text.lines().enumerate().skip(1) {
        let mut fields = fields.split(',');
        let mut field = || fields.next().ok_or((line + 1, "it has fewer than three fields"));
        let at_ns = field()?.parse().map_err(|_| (line + 1, "its time is not a number"))?;
        let direction = Direction::from_name(field()?).ok_or((line + 1, "its direction is neither up nor down"))?;
        let mut bytes: usize = field()?.trim().parse().map_err(|_| (line + 1, "its size is not a number"))?;
        while bytes > MTU {
            packets.push(Packet { at_ns, direction, bytes: MTU });
            bytes -= MTU - UDP_HEADERS;
        }
        packets.push(Packet { at_ns, direction, bytes });
    }
    Ok(packets)
}

/// The messages for one direction of a trace: departure and length of each. With TCP the acknowledgements of the trace
/// are left out, because the connection sends its own.
pub fn messages(packets: &[Packet], direction: Direction, transport: Transport) -> Vec<(u64, usize)> {
    packets
        .iter()
        .filter(|packet| packet.direction == direction)
        .filter_map(|packet| match transport {
            Transport::Udp => Some((packet.at_ns, packet.bytes.saturating_sub(UDP_HEADERS).max(HEADER_BYTES))),
            Transport::Tcp => {
                let length = packet.bytes.checked_sub(TCP_HEADERS + FRAME_BYTES)?;
                (length >= HEADER_BYTES).then_some((packet.at_ns, length))
            }
        })
        .collect()
}

/// The length of the IP packet that carries a message of `len` bytes.
pub const fn ip_bytes(len: usize, transport: Transport) -> usize {
    match transport {
        Transport::Udp => len + UDP_HEADERS,
        Transport::Tcp => len + FRAME_BYTES + TCP_HEADERS,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn packets_keep_their_size_unless_they_exceed_the_mtu() {
        let packets = parse("t_ns,direction,bytes\n0,up,40\n5,down,3000\n9,up,1500\n").unwrap();
        let sizes: Vec<usize> = packets.iter().map(|packet| packet.bytes).collect();
        assert_eq!(sizes, [40, 1500, 1500, 56, 1500]);
        let up = messages(&packets, Direction::Up, Transport::Udp);
        assert_eq!(up.iter().map(|&(_, len)| ip_bytes(len, Transport::Udp)).collect::<Vec<_>>(), [40, 1500]);
        let up = messages(&packets, Direction::Up, Transport::Tcp);
        assert_eq!(up, [(9, 1446)]);
    }

    #[test]
    fn a_malformed_line_is_reported_with_its_number() {
        assert_eq!(
            parse("t_ns,direction,bytes\n0,up,40\n1,across,40\n"),
            Err((3, "its direction is neither up nor down"))
        );
        assert_eq!(parse("t_ns,direction,bytes\n0,up\n"), Err((2, "it has fewer than three fields")));
    }
}
