//! Join texts: one line with everything that a router needs to know of an endpoint, to be read out, mailed or scanned.
//!
//! `millpond1-` and base64url of: the length of what follows (16 bits), the fields in the order of [`Invitation`], and a
//! checksum (CRC-32 of the text's start and the fields). Numbers are big-endian, texts have their length before them. The
//! checksum is against accidents; who could change a text on purpose could as well send another.

mod fields;
mod settings;
#[cfg(test)]
mod tests;

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use self::fields::{FieldReader, FieldWriter};
pub use self::settings::Assignment;
use super::base64::{URL_SAFE, decode, encode};
use super::model::{HostPort, Key, Server};
use super::parse::value;
use crate::units::BitsPerSec;

/// The most endpoints of one text.
pub const MAX_SERVERS: usize = 8;

/// The version of the text that this program writes and reads.
const VERSION: u32 = 1;
const NAME: &str = "millpond";
/// More than any text of ours has.
const MAX_CHARACTERS: usize = 8192;

/// What a router needs to know to join an endpoint.
#[derive(Clone, Debug, PartialEq)]
pub struct Invitation {
    /// The home's name, as the endpoint knows it.
    pub name: String,
    /// The last second at which it holds, of Unix time, to a minute; `None`: always.
    pub expires: Option<u64>,
    /// The home's key.
    pub identity: Identity,
    /// The key that both ends share, if they do.
    pub preshared_key: Option<Key>,
    /// The router's address inside the tunnel.
    pub address: Ipv4Addr,
    /// The endpoint's.
    pub peer_address: Ipv4Addr,
    /// The router's IPv6 address inside the tunnel, if it is offered one.
    pub address6: Option<Ipv6Addr>,
    /// Resolvers beyond the tunnel, up to 8.
    pub resolvers: Vec<IpAddr>,
    /// The most that the home may ask for, endpoint to router, on the wire.
    pub max_download: BitsPerSec,
    /// The endpoints that serve this home, first the one to be tried first; 1 to [`MAX_SERVERS`].
    pub servers: Vec<Server>,
}

/// Who made the home's key.
#[derive(Clone, Debug, PartialEq)]
pub enum Identity {
    /// The endpoint: here it is. Whoever has the text can be that home.
    Private(Key),
    /// The router, which alone has the private half of this one.
    Public(Key),
}

/// Why a text is of no use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum JoinTextError {
    /// It is something else.
    NotOne,
    /// Made by a millpond with another form of them.
    Version(u32),
    /// The end is missing.
    Cut,
    /// Something in it is not as it was written.
    Altered,
}

impl JoinTextError {
    /// A word for programs.
    pub fn code(self) -> &'static str {
        match self {
            JoinTextError::NotOne => "not-join-text",
            JoinTextError::Version(_) => "version",
            JoinTextError::Cut => "cut",
            JoinTextError::Altered => "altered",
        }
    }
}

impl fmt::Display for JoinTextError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            JoinTextError::NotOne => {
                write!(f, "not a join text (want {NAME}{VERSION}-..., as 'millpond endpoint add-home' prints it)")
            }
            JoinTextError::Version(version) => write!(
                f,
                "made by another version of millpond (got {NAME}{version}-, want {NAME}{VERSION}-): bring both ends to one version"
            ),
            JoinTextError::Cut => f.write_str("its end is missing: copy the whole line again"),
            JoinTextError::Altered => f.write_str("it was altered on its way: copy the whole line again"),
        }
    }
}

impl Invitation {
    /// The invitation as one line.
    pub fn to_text(&self) -> String {
        let mut body = FieldWriter::default();
        self.write(&mut body);
        let body = body.finish();
        let mut bytes = (body.len() as u16).to_be_bytes().to_vec();
        bytes.extend(&body);
        bytes.extend(checksum(VERSION, &body).to_be_bytes());
        format!("{NAME}{VERSION}-{}", encode(&bytes, URL_SAFE))
    }

    /// The invitation of a text. White space anywhere has no meaning: mail programs wrap lines.
    pub fn from_text(text: &str) -> Result<Invitation, JoinTextError> {
        let text: String = text.chars().filter(|c| !c.is_whitespace()).take(MAX_CHARACTERS).collect();
        let (version, digits) =
            text.strip_prefix(NAME).and_then(|rest| rest.split_once('-')).ok_or_else(|| beginning(&text))?;
        let version: u32 = version.parse().map_err(|_| JoinTextError::NotOne)?;
        if version != VERSION {
            return Err(JoinTextError::Version(version));
        }
        // A cut may leave part of a group of characters, of which the whole bytes are good.
        let bytes = decode(digits.as_bytes(), URL_SAFE);
        let bytes = bytes.or_else(|| decode(digits.as_bytes().get(..digits.len() / 4 * 4)?, URL_SAFE));
        let bytes = bytes.ok_or(JoinTextError::Altered)?;
        let (length, rest) = bytes.split_first_chunk::<2>().ok_or(JoinTextError::Cut)?;
        let length = usize::from(u16::from_be_bytes(*length));
        let (body, sum) = rest.split_at_checked(length).ok_or(JoinTextError::Cut)?;
        if sum.len() < 4 {
            return Err(JoinTextError::Cut);
        }
        if *sum != checksum(version, body).to_be_bytes() {
            return Err(JoinTextError::Altered);
        }
        let mut reader = FieldReader::new(body);
        let invitation = Invitation::read(&mut reader).filter(|_| reader.is_empty());
        invitation.filter(Invitation::is_sound).ok_or(JoinTextError::Altered)
    }

    /// Whether it no longer holds at `now`, in seconds of Unix time.
    pub fn is_expired(&self, now: u64) -> bool {
        self.expires.is_some_and(|expires| now > expires)
    }

    /// The public half of the home's key.
    pub fn public_key(&self) -> Key {
        match &self.identity {
            Identity::Private(key) => key.public(),
            Identity::Public(key) => key.clone(),
        }
    }

    /// Whether everything in it could stand in a settings file. A text that ours wrote is; nothing else gets that far.
    fn is_sound(&self) -> bool {
        let alone = |at: usize| self.servers[..at].iter().all(|other| other.public_key != self.servers[at].public_key);
        let host = |server: &Server| value::host_port(&server.at.to_string()).is_ok();
        let servers = self.servers.iter().enumerate().all(|(at, server)| host(server) && alone(at));
        value::title(&self.name).is_ok() && servers && !self.servers.is_empty()
    }

    fn write(&self, body: &mut FieldWriter) {
        let Invitation { name, expires, identity, preshared_key, address, peer_address, address6, .. } = self;
        body.text(name);
        body.u32(expires.map_or(0, |expires| (expires / 60).max(1) as u32));
        match identity {
            Identity::Private(key) => body.u8(1).bytes(&key.0),
            Identity::Public(key) => body.u8(0).bytes(&key.0),
        };
        body.option(preshared_key.as_ref().map(|key| &key.0[..]));
        body.bytes(&address.octets()).bytes(&peer_address.octets());
        body.option(address6.map(|address| address.octets()).as_ref().map(|octets| &octets[..]));
        body.u8(self.resolvers.len() as u8);
        for resolver in &self.resolvers {
            match resolver {
                IpAddr::V4(v4) => body.u8(4).bytes(&v4.octets()),
                IpAddr::V6(v6) => body.u8(6).bytes(&v6.octets()),
            };
        }
        body.u32((self.max_download.0 / 1000) as u32);
        body.u8(self.servers.len() as u8);
        for server in &self.servers {
            body.text(&server.at.host).u16(server.at.port).bytes(&server.public_key.0);
        }
    }

    fn read(body: &mut FieldReader<'_>) -> Option<Invitation> {
        let name = body.text()?;
        let expires = Some(body.u32()?).filter(|minutes| *minutes > 0).map(|minutes| u64::from(minutes) * 60);
        let identity = match (body.u8()?, Key(body.array()?)) {
            (1, key) => Identity::Private(key),
            (0, key) => Identity::Public(key),
            _ => return None,
        };
        let preshared_key = body.option(|body| body.array().map(Key))?;
        let (address, peer_address) = (body.array::<4>()?.into(), body.array::<4>()?.into());
        let address6 = body.option(|body| body.array::<16>().map(Ipv6Addr::from))?;
        let resolvers = body.list(|body| match body.u8()? {
            4 => Some(IpAddr::from(body.array::<4>()?)),
            6 => Some(IpAddr::from(body.array::<16>()?)),
            _ => None,
        })?;
        let max_download = BitsPerSec::from_kbit(body.u32()?.into());
        let servers = body.list(|body| {
            let at = HostPort { host: body.text()?, port: body.u16()? };
            Some(Server { at, public_key: Key(body.array()?) })
        })?;
        Some(Invitation {
            name,
            expires,
            identity,
            preshared_key,
            address,
            peer_address,
            address6,
            resolvers,
            max_download,
            servers,
        })
    }
}

/// What a text without our mark at its start is: the start of ours, or something else.
fn beginning(text: &str) -> JoinTextError {
    let rest = text.strip_prefix(NAME).unwrap_or("-");
    if rest.bytes().all(|b| b.is_ascii_digit()) { JoinTextError::Cut } else { JoinTextError::NotOne }
}

/// CRC-32 (ISO 3309), as of the text's start and its fields.
fn checksum(version: u32, body: &[u8]) -> u32 {
    let start = [NAME.as_bytes(), &version.to_be_bytes()].concat();
    !start.iter().chain(body).fold(!0, |sum: u32, byte| {
        (0..8).fold(sum ^ u32::from(*byte), |sum, _| sum >> 1 ^ 0xedb8_8320 & (sum & 1).wrapping_neg())
    })
}
