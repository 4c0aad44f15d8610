//! A DNS server for a few names (RFC 1035), over UDP and TCP, and a client.

use std::io::{Read, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::thread;
use std::time::Duration;

use argh::FromArgs;

/// The names of this world with their IPv4 address and the last group of their IPv6 address, 0 for none. The cloud
/// names are invented, but resemble those of real devices.
const NAMES: [(&str, Ipv4Addr, u16); 6] = [
    ("www.example.org", Ipv4Addr::new(192, 0, 2, 80), 0x80),
    ("camera.cloud.example", Ipv4Addr::new(192, 0, 2, 10), 0x10),
    ("voice.cloud.example", Ipv4Addr::new(192, 0, 2, 10), 0x10),
    ("plug.cloud.example", Ipv4Addr::new(192, 0, 2, 10), 0x10),
    ("echo.example.org", Ipv4Addr::new(192, 0, 2, 7), 0x7),
    ("vpn.example.org", Ipv4Addr::new(198, 51, 100, 2), 0),
];
const HEADER_BYTES: usize = 12;
const TYPE_A: u16 = 1;
const TYPE_AAAA: u16 = 28;

/// run a DNS server for the names of this world
#[derive(FromArgs)]
#[argh(subcommand, name = "dns")]
pub struct Dns {
    /// address to listen on, port 53
    #[argh(option)]
    address: IpAddr,
}

/// resolve a name and print its address
#[derive(FromArgs)]
#[argh(subcommand, name = "ask")]
pub struct Ask {
    /// address of the resolver
    #[argh(option)]
    server: IpAddr,
    /// query over TCP
    #[argh(switch)]
    tcp: bool,
    /// query the IPv6 address
    #[argh(switch)]
    aaaa: bool,
    /// the name
    #[argh(positional)]
    name: String,
}

impl Dns {
    /// Runs until it is killed.
    pub fn run(self) -> Result<(), String> {
        let failed = |err| format!("listening on {} port 53: {err}", self.address);
        let socket = UdpSocket::bind((self.address, 53)).map_err(failed)?;
        let listener = TcpListener::bind((self.address, 53)).map_err(failed)?;
        thread::spawn(move || {
            for mut stream in listener.incoming().flatten() {
                let _ = stream.set_read_timeout(Some(Duration::from_secs(5)));
                let reply = read_framed(&mut stream).ok().and_then(|query| answer(&query));
                if let Some(reply) = reply {
                    let _ = write_framed(&mut stream, &reply);
                }
            }
        });
        let mut buf = [0; 1500];
        loop {
            let Ok((len, from)) = socket.recv_from(&mut buf) else { continue };
            if let Some(reply) = answer(&buf[..len]) {
                let _ = socket.send_to(&reply, from);
            }
        }
    }
}

/// The reply to a query, with the address if the name is known; `None` if `query` is not a valid query.
fn answer(query: &[u8]) -> Option<Vec<u8>> {
    let (name, kind, end) = question(query)?;
    let known = NAMES.iter().find(|(known, ..)| *known == name);
    let data: Vec<u8> = match (known, kind) {
        (Some(&(_, address, _)), TYPE_A) => address.octets().to_vec(),
        (Some(&(_, _, host)), TYPE_AAAA) if host != 0 => {
            Ipv6Addr::new(0x2001, 0xdb8, 3, 0, 0, 0, 0, host).octets().to_vec()
        }
        _ => Vec::new(),
    };
    Some(reply(&query[..end], kind, &data, known.is_some()))
}

/// The reply to a query for any name: the client's address as the server sees it.
pub fn answer_with_source(query: &[u8], from: IpAddr) -> Option<Vec<u8>> {
    let (_, kind, end) = question(query)?;
    let data = match (kind, from.to_canonical()) {
        (TYPE_A, IpAddr::V4(address)) => address.octets().to_vec(),
        (TYPE_AAAA, IpAddr::V6(address)) => address.octets().to_vec(),
        _ => Vec::new(),
    };
    Some(reply(&query[..end], kind, &data, true))
}

/// The reply to a query, which must end with its question: one record with `data`, or none if `data` is empty.
fn reply(query: &[u8], kind: u16, data: &[u8], known: bool) -> Vec<u8> {
    let mut reply = query.to_vec();
    let code = if known { 0 } else { 3 };
    reply[2..4].copy_from_slice(&[0x84 | query[2] & 1, code]);
    reply[4..HEADER_BYTES].copy_from_slice(&[0, 1, 0, u8::from(!data.is_empty()), 0, 0, 0, 0]);
    if !data.is_empty() {
        // The name as a pointer to the question, type, class IN, 60 s to live, length.
        reply.extend_from_slice(&[0xc0, HEADER_BYTES as u8, 0, kind as u8, 0, 1, 0, 0, 0, 60, 0, data.len() as u8]);
        reply.extend_from_slice(data);
    }
    reply
}

/// Name and type of the only question, and the offset of its end.
fn question(query: &[u8]) -> Option<(String, u16, usize)> {
    if query.len() < HEADER_BYTES || query[2] & 0x80 != 0 || query[4..6] != [0, 1] {
        return None;
    }
    let mut labels = Vec::new();
    let mut at = HEADER_BYTES;
    loop {
        let len = usize::from(*query.get(at)?);
        at += 1;
        match len {
            0 => break,
            1..64 => labels.push(String::from_utf8_lossy(query.get(at..at + len)?).to_lowercase()),
            _ => return None,
        }
        at += len;
    }
    let kind = u16::from_be_bytes([*query.get(at)?, *query.get(at + 1)?]);
    query.get(at + 3)?;
    Some((labels.join("."), kind, at + 4))
}

impl Ask {
    /// Prints the address; fails if there is none.
    pub fn run(self) -> Result<(), String> {
        let operation = format!("asking {} for {}", self.server, self.name);
        let timeout = Duration::from_secs(3);
        let resolver = Resolver { server: self.server, tcp: self.tcp, aaaa: self.aaaa, timeout };
        let answer = resolver.resolve(&self.name).map_err(|err| format!("{operation}: {err}"))?;
        println!("{}", answer.ok_or(format!("{operation}: the name has no address of that type"))?);
        Ok(())
    }
}

/// A resolver, and how to query it.
pub struct Resolver {
    /// Address of the resolver.
    pub server: IpAddr,
    /// TCP instead of UDP.
    pub tcp: bool,
    /// AAAA records instead of A records.
    pub aaaa: bool,
    /// How long to wait for an answer.
    pub timeout: Duration,
}

impl Resolver {
    /// Returns the address of `name`, or `None` if it has none.
    pub fn resolve(&self, name: &str) -> std::io::Result<Option<IpAddr>> {
        let query = query(name, if self.aaaa { TYPE_AAAA } else { TYPE_A });
        let reply = self.exchange(&query)?;
        let Some(record) = reply.get(query.len()..).filter(|record| record.len() >= 12) else { return Ok(None) };
        Ok(match record[12..] {
            [a, b, c, d] => Some(IpAddr::from([a, b, c, d])),
            ref octets => <[u8; 16]>::try_from(octets).ok().map(IpAddr::from),
        })
    }

    fn exchange(&self, query: &[u8]) -> std::io::Result<Vec<u8>> {
        let server = SocketAddr::new(self.server, 53);
        if self.tcp {
            let mut stream = TcpStream::connect_timeout(&server, self.timeout)?;
            stream.set_read_timeout(Some(self.timeout))?;
            write_framed(&mut stream, query)?;
            return read_framed(&mut stream);
        }
        let any: IpAddr = if server.is_ipv4() { Ipv4Addr::UNSPECIFIED.into() } else { Ipv6Addr::UNSPECIFIED.into() };
        let socket = UdpSocket::bind((any, 0))?;
        socket.set_read_timeout(Some(self.timeout))?;
        socket.connect(server)?;
        socket.send(query)?;
        let mut buf = vec![0; 1500];
        let len = socket.recv(&mut buf)?;
        buf.truncate(len);
        Ok(buf)
    }
}

fn query(name: &str, kind: u16) -> Vec<u8> {
    let mut query = vec![0x4d, 0x50, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0];
    for label in name.split('.').filter(|label| !label.is_empty()) {
        query.push(label.len().min(63) as u8);
        query.extend_from_slice(&label.as_bytes()[..label.len().min(63)]);
    }
    query.extend_from_slice(&[0, 0, kind as u8, 0, 1]);
    query
}

/// Reads a message with its length in front (RFC 1035, 4.2.2).
pub fn read_framed(stream: &mut TcpStream) -> std::io::Result<Vec<u8>> {
    let mut len = [0; 2];
    stream.read_exact(&mut len)?;
    let mut message = vec![0; usize::from(u16::from_be_bytes(len))];
    stream.read_exact(&mut message)?;
    Ok(message)
}

/// Writes a message with its length in front.
pub fn write_framed(stream: &mut TcpStream, message: &[u8]) -> std::io::Result<()> {
    let mut frame = (message.len() as u16).to_be_bytes().to_vec();
    frame.extend_from_slice(message);
    stream.write_all(&frame)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_names_are_answered_and_others_do_not_exist() {
        let request = query("www.example.org", TYPE_A);
        let reply = answer(&request).unwrap();
        assert_eq!(reply[..2], request[..2]);
        assert_eq!(reply[reply.len() - 4..], [192, 0, 2, 80]);
        assert_eq!(answer(&query("nowhere.example", TYPE_A)).unwrap()[3] & 15, 3);
        let v6 = answer(&query("ECHO.example.org", TYPE_AAAA)).unwrap();
        assert_eq!(v6[v6.len() - 2..], [0, 7]);
    }

    #[test]
    fn the_source_is_answered_in_its_own_family_only() {
        let reply = answer_with_source(&query("any.example", TYPE_A), IpAddr::from([198, 51, 100, 2])).unwrap();
        assert_eq!(reply[reply.len() - 4..], [198, 51, 100, 2]);
        let request = query("any.example", TYPE_AAAA);
        let reply = answer_with_source(&request, IpAddr::from([198, 51, 100, 2])).unwrap();
        assert_eq!(reply.len(), request.len());
    }

    #[test]
    fn truncated_queries_and_replies_are_not_answered() {
        let request = query("www.example.org", TYPE_A);
        for len in 0..request.len() {
            assert_eq!(answer(&request[..len]), None, "{len} bytes");
        }
        let reply = answer(&request).unwrap();
        assert_eq!(answer(&reply), None, "a reply is not a query");
    }
}
