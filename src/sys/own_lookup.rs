//! The lookup of the endpoint's name on a machine whose own packets all go through the tunnel. The system's resolver
//! needs the tunnel then, and the tunnel needs the endpoint's address. So millpond asks the resolver of the settings
//! itself, with the mark that lets its packets out (RFC 1035 section 4).

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::time::Duration;

use nix::sys::socket::{setsockopt, sockopt};

use super::random;
use crate::config::model::{HostPort, Settings};
use crate::plan::own_mark;

const DNS_PORT: u16 = 53;
/// How long to wait for an answer, from each server and for each kind of address.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(2);
const TYPE_A: u16 = 1;
const TYPE_AAAA: u16 = 28;
const CLASS_IN: u16 = 1;
const HEADER_BYTES: usize = 12;

/// The resolvers to ask, and the mark of the questions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OwnResolver {
    servers: Vec<IpAddr>,
    mark: u32,
}

impl OwnResolver {
    /// The resolver for these settings; `None` if the system's can be used.
    pub fn from_settings(settings: &Settings) -> Option<OwnResolver> {
        settings.own_policy()?;
        Some(OwnResolver { servers: settings.dns.servers.clone(), mark: own_mark(settings.routing_ids) })
    }

    /// The addresses of `host`, IPv4 first.
    pub fn resolve(&self, host: &HostPort) -> io::Result<Vec<SocketAddr>> {
        if let Ok(address) = host.host.parse::<IpAddr>() {
            return Ok(vec![(address, host.port).into()]);
        }
        let mut result = Err(io::Error::new(io::ErrorKind::NotFound, "no dns.server is set"));
        for server in &self.servers {
            result = self.ask(*server, &host.host);
            if result.is_ok() {
                break;
            }
        }
        let addresses = result?;
        if addresses.is_empty() {
            return Err(io::Error::new(io::ErrorKind::NotFound, "the name has no address"));
        }
        Ok(addresses.into_iter().map(|address| SocketAddr::from((address, host.port))).collect())
    }

    fn ask(&self, server: IpAddr, name: &str) -> io::Result<Vec<IpAddr>> {
        let any: IpAddr = if server.is_ipv4() { Ipv4Addr::UNSPECIFIED.into() } else { Ipv6Addr::UNSPECIFIED.into() };
        let socket = UdpSocket::bind((any, 0))?;
        setsockopt(&socket, sockopt::Mark, &self.mark)?;
        socket.set_read_timeout(Some(ANSWER_TIMEOUT))?;
        // Answers from elsewhere are not read.
        socket.connect((server, DNS_PORT))?;
        let mut addresses = Vec::new();
        for kind in [TYPE_A, TYPE_AAAA] {
            let [first, second, ..] = random::seed()?;
            let id = u16::from_be_bytes([first, second]);
            let question = question(id, name, kind)
                .ok_or_else(|| io::Error::new(io::ErrorKind::InvalidInput, "not a name of the DNS"))?;
            socket.send(&question)?;
            let mut buffer = [0; 1500];
            loop {
                let length = socket.recv(&mut buffer)?;
                if let Some(found) = answers(&buffer[..length], &question, kind) {
                    addresses.extend(found);
                    break;
                }
            }
        }
        Ok(addresses)
    }
}

/// A question for addresses of one kind.
fn question(id: u16, name: &str, kind: u16) -> Option<Vec<u8>> {
    const RECURSION_DESIRED: u16 = 0x0100;
    let mut message = Vec::new();
    for word in [id, RECURSION_DESIRED, 1, 0, 0, 0] {
        message.extend(word.to_be_bytes());
    }
    for label in name.trim_end_matches('.').split('.') {
        if !(1..=63).contains(&label.len()) {
            return None;
        }
        message.push(label.len() as u8);
        message.extend(label.as_bytes());
    }
    message.push(0);
    message.extend(kind.to_be_bytes());
    message.extend(CLASS_IN.to_be_bytes());
    (message.len() <= HEADER_BYTES + 255 + 4).then_some(message)
}

/// The addresses in the answer to `question`, also those behind aliases, which come in the same answer. `None` if the
/// message is no answer to it.
fn answers(message: &[u8], question: &[u8], kind: u16) -> Option<Vec<IpAddr>> {
    const IS_ANSWER: u8 = 0x80;
    let asked = question.get(HEADER_BYTES..)?;
    let is_its = message.get(..2)? == question.get(..2)? && message.get(2)? & IS_ANSWER != 0;
    // The name comes back as it was asked.
    if !is_its || message.get(HEADER_BYTES..HEADER_BYTES + asked.len())? != asked {
        return None;
    }
    let count = u16_at(message, 6)?;
    let mut at = HEADER_BYTES + asked.len();
    let mut found = Vec::new();
    for _ in 0..count {
        let Some((record, next)) = record(message, at) else { break };
        match (record.kind == kind, <[u8; 4]>::try_from(record.data), <[u8; 16]>::try_from(record.data)) {
            (true, Ok(v4), _) => found.push(v4.into()),
            (true, _, Ok(v6)) => found.push(v6.into()),
            _ => {}
        }
        at = next;
    }
    Some(found)
}

/// A resource record without its name.
struct ResourceRecord<'a> {
    kind: u16,
    data: &'a [u8],
}

/// The record at `at`, and where the next one starts.
fn record(message: &[u8], mut at: usize) -> Option<(ResourceRecord<'_>, usize)> {
    const POINTER: u8 = 0xc0;
    loop {
        match *message.get(at)? {
            0 => {
                at += 1;
                break;
            }
            length if length & POINTER == POINTER => {
                at += 2;
                break;
            }
            length => at += 1 + usize::from(length),
        }
    }
    let length = usize::from(u16_at(message, at + 8)?);
    let end = at + 10 + length;
    Some((ResourceRecord { kind: u16_at(message, at)?, data: message.get(at + 10..end)? }, end))
}

fn u16_at(message: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_be_bytes(message.get(at..at + 2)?.try_into().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// An answer with an alias and two addresses, with compressed names as servers send them.
    fn answer(question: &[u8]) -> Vec<u8> {
        let mut message = question.to_vec();
        message[2] |= 0x80;
        message[7] = 3;
        message.extend([0xc0, 12, 0, 5, 0, 1, 0, 0, 0, 60, 0, 4, 1, b'x', 0xc0, 16]);
        message.extend([1, b'x', 0xc0, 16, 0, 1, 0, 1, 0, 0, 0, 60, 0, 4, 203, 0, 113, 9]);
        message.extend([0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 60, 0, 4, 203, 0, 113, 10]);
        message
    }

    #[test]
    fn addresses_are_read_from_an_answer() {
        let question = question(7, "vpn.example.org", TYPE_A).unwrap();
        let wanted: [IpAddr; 2] = [[203, 0, 113, 9].into(), [203, 0, 113, 10].into()];
        let good = answer(&question);
        assert_eq!(answers(&good, &question, TYPE_A).unwrap(), wanted);
        assert!(answers(&good, &question, TYPE_AAAA).unwrap().is_empty());
        assert_eq!(answers(&question, &question, TYPE_A), None, "a question is no answer");
        let other = super::question(8, "vpn.example.org", TYPE_A).unwrap();
        assert_eq!(answers(&good, &other, TYPE_A), None, "the answer to another question");
        for end in 0..good.len() {
            let found = answers(&good[..end], &question, TYPE_A).unwrap_or_default();
            assert!(found.iter().all(|address| wanted.contains(address)), "cut at {end}");
        }
    }

    #[test]
    fn names_that_do_not_fit_are_refused() {
        for name in ["", "a..b", &"x".repeat(64), &["x"; 130].join(".")] {
            assert_eq!(question(1, name, TYPE_A), None, "{name}");
        }
        assert!(question(1, "vpn.example.org.", TYPE_A).is_some());
    }
}
