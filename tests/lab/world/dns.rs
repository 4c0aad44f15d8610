//! A DNS server that knows a few names (RFC 1035), over UDP and TCP, and a client that asks it.

use std::io::{Read, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::thread;
use std::time::Duration;

use argh::FromArgs;

/// The names of this world. Those that devices call are made up, but look like what real ones call.
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

/// answer for the names of this world
#[derive(FromArgs)]
#[argh(subcommand, name = "dns")]
pub struct Dns {
    /// address to listen on, port 53
    #[argh(option)]
    address: IpAddr,
}

/// ask for a name's address and print it
#[derive(FromArgs)]
#[argh(subcommand, name = "ask")]
pub struct Ask {
    /// address of the resolver
    #[argh(option)]
    server: IpAddr,
    /// ask over TCP
    #[argh(switch)]
    tcp: bool,
    /// ask for the IPv6 address
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
                let answered = read_framed(&mut stream).ok().and_then(|query| answer(&query));
                if let Some(reply) = answered {
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

/// The reply to a query, with the address if the name is known; `None` for what is no query.
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

/// The reply to any query that says where it came from: the asker's address as the server sees it.
pub fn whence(query: &[u8], from: IpAddr) -> Option<Vec<u8>> {
    let (_, kind, end) = question(query)?;
    let data = match (kind, from.to_canonical()) {
        (TYPE_A, IpAddr::V4(address)) => address.octets().to_vec(),
        (TYPE_AAAA, IpAddr::V6(address)) => address.octets().to_vec(),
        _ => Vec::new(),
    };
    Some(reply(&query[..end], kind, &data, true))
}

/// The reply to a query that ends with its question: a record of these bytes, if there are any.
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

/// Name and type of the only question, and where it ends.
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
    /// Prints the address, or fails.
    pub fn run(self) -> Result<(), String> {
        let about = format!("asking {} for {}", self.server, self.name);
        let question = Question { server: self.server, tcp: self.tcp, aaaa: self.aaaa, wait: Duration::from_secs(3) };
        let answer = question.ask(&self.name).map_err(|err| format!("{about}: {err}"))?;
        println!("{}", answer.ok_or(format!("{about}: no such"))?);
        Ok(())
    }
}

/// How a question is asked.
pub struct Question {
    /// Address of the resolver.
    pub server: IpAddr,
    /// Over TCP rather than UDP.
    pub tcp: bool,
    /// For the IPv6 address rather than the other.
    pub aaaa: bool,
    /// How long to wait for an answer.
    pub wait: Duration,
}

impl Question {
    /// The address of `name`, `None` if it has none.
    pub fn ask(&self, name: &str) -> std::io::Result<Option<IpAddr>> {
        let query = query(name, if self.aaaa { TYPE_AAAA } else { TYPE_A });
        let reply = self.exchange(&query)?;
        let Some(record) = reply.get(query.len()..).filter(|record| record.len() >= 12) else { return Ok(None) };
        Ok(match record[12..] {
            [a, b, c, d] => Some(IpAddr::from([a, b, c, d])),
            ref longer => <[u8; 16]>::try_from(longer).ok().map(IpAddr::from),
        })
    }

    fn exchange(&self, query: &[u8]) -> std::io::Result<Vec<u8>> {
        let server = SocketAddr::new(self.server, 53);
        if self.tcp {
            let mut stream = TcpStream::connect_timeout(&server, self.wait)?;
            stream.set_read_timeout(Some(self.wait))?;
            write_framed(&mut stream, query)?;
            return read_framed(&mut stream);
        }
        let any: IpAddr = if server.is_ipv4() { Ipv4Addr::UNSPECIFIED.into() } else { Ipv6Addr::UNSPECIFIED.into() };
        let socket = UdpSocket::bind((any, 0))?;
        socket.set_read_timeout(Some(self.wait))?;
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

/// Reads a message with its length before it (RFC 1035, 4.2.2).
pub fn read_framed(stream: &mut TcpStream) -> std::io::Result<Vec<u8>> {
    let mut len = [0; 2];
    stream.read_exact(&mut len)?;
    let mut message = vec![0; usize::from(u16::from_be_bytes(len))];
    stream.read_exact(&mut message)?;
    Ok(message)
}

/// Writes a message with its length before it.
pub fn write_framed(stream: &mut TcpStream, message: &[u8]) -> std::io::Result<()> {
    let mut frame = (message.len() as u16).to_be_bytes().to_vec();
    frame.extend_from_slice(message);
    stream.write_all(&frame)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_its_names_and_refuses_others() {
        let asked = query("www.example.org", TYPE_A);
        let reply = answer(&asked).unwrap();
        assert_eq!(reply[..2], asked[..2]);
        assert_eq!(reply[reply.len() - 4..], [192, 0, 2, 80]);
        assert_eq!(answer(&query("nowhere.example", TYPE_A)).unwrap()[3] & 15, 3);
        let v6 = answer(&query("ECHO.example.org", TYPE_AAAA)).unwrap();
        assert_eq!(v6[v6.len() - 2..], [0, 7]);
    }

    #[test]
    fn tells_the_asker_where_he_is_in_his_own_family() {
        let reply = whence(&query("any.example", TYPE_A), IpAddr::from([198, 51, 100, 2])).unwrap();
        assert_eq!(reply[reply.len() - 4..], [198, 51, 100, 2]);
        let asked = query("any.example", TYPE_AAAA);
        assert_eq!(whence(&asked, IpAddr::from([198, 51, 100, 2])).unwrap().len(), asked.len());
    }

    #[test]
    fn no_cut_of_a_query_makes_it_fall() {
        let asked = query("www.example.org", TYPE_A);
        for len in 0..asked.len() {
            assert_eq!(answer(&asked[..len]), None, "{len} bytes");
        }
        let reply = answer(&asked).unwrap();
        assert_eq!(answer(&reply), None, "a reply is no query");
    }
}
