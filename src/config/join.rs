//! Join texts: one line with everything a router needs to join an endpoint, to be copied, mailed or scanned.
//!
//! A join text is `millpond1-` and base64url of: the length of the fields (16 bits), the fields in the order of
//! [`Invitation`], and a checksum (CRC-32 of `millpond`, the version and the fields). Numbers are big-endian; a text
//! follows its length. The checksum detects accidental damage only: someone who can change a join text on purpose can
//! also replace it.

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

/// Maximum number of endpoints in one join text.
pub const MAX_SERVERS: usize = 8;

/// The format version that this program writes and reads.
const VERSION: u32 = 1;
const NAME: &str = "millpond";
/// Longer than any valid join text.
const MAX_CHARACTERS: usize = 8192;

/// Everything a router needs to join an endpoint.
#[derive(Clone, Debug, PartialEq)]
pub struct Invitation {
    /// The home's name in the endpoint's settings.
    pub name: String,
    /// The last second of Unix time at which the invitation is valid, rounded down to a minute; `None`: no end.
    pub expires: Option<u64>,
    /// The home's key.
    pub identity: Identity,
    /// The preshared key, if the tunnel has one.
    pub preshared_key: Option<Key>,
    /// The router's address inside the tunnel.
    pub address: Ipv4Addr,
    /// The endpoint's address inside the tunnel.
    pub peer_address: Ipv4Addr,
    /// The router's IPv6 address inside the tunnel, if the endpoint offers one.
    pub address6: Option<Ipv6Addr>,
    /// Resolvers that are reached through the tunnel, up to 8.
    pub resolvers: Vec<IpAddr>,
    /// Maximum download rate of this home (endpoint to router), on the wire.
    pub max_download: BitsPerSec,
    /// The endpoints that serve this home, in the order to try them; 1 to [`MAX_SERVERS`].
    pub servers: Vec<Server>,
}

/// Who made the home's key.
#[derive(Clone, Debug, PartialEq)]
pub enum Identity {
    /// The endpoint made it: this is the private key. Anyone with the join text can act as this home.
    Private(Key),
    /// The router made it: this is the public key. Only the router has the private key.
    Public(Key),
}

/// Why a join text cannot be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum JoinTextError {
    /// The text is not a join text.
    NotJoinText,
    /// The text is a WireGuard configuration, such as a VPN provider's.
    Wireguard,
    /// The text has another format version, which is given here.
    Version(u32),
    /// The end of the text is missing.
    Truncated,
    /// The checksum or the content is wrong.
    Damaged,
}

impl JoinTextError {
    /// The error's name in JSON output.
    pub fn code(self) -> &'static str {
        match self {
            JoinTextError::NotJoinText | JoinTextError::Wireguard => "not-join-text",
            JoinTextError::Version(_) => "version",
            JoinTextError::Truncated => "cut",
            JoinTextError::Damaged => "altered",
        }
    }
}

impl fmt::Display for JoinTextError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            JoinTextError::NotJoinText => {
                write!(f, "not a join text (want {NAME}{VERSION}-..., as 'millpond endpoint add-home' prints it)")
            }
            JoinTextError::Wireguard => f.write_str(
                "a WireGuard configuration, not a join text: a VPN provider cannot be the far end, since its server \
                 would not shape the way down; run millpond on a server of your own, and let its option exit send all \
                 on through the provider",
            ),
            JoinTextError::Version(version) => write!(
                f,
                "made by another version of millpond (got {NAME}{version}-, want {NAME}{VERSION}-): install \
                 the same version at both ends"
            ),
            JoinTextError::Truncated => f.write_str("the end of the text is missing: copy the whole line again"),
            JoinTextError::Damaged => f.write_str("the text is damaged: copy the whole line again"),
        }
    }
}

impl Invitation {
    /// The join text, one line.
    pub fn to_text(&self) -> String {
        let mut body = FieldWriter::default();
        self.write(&mut body);
        let body = body.finish();
        let mut bytes = (body.len() as u16).to_be_bytes().to_vec();
        bytes.extend(&body);
        bytes.extend(checksum(VERSION, &body).to_be_bytes());
        format!("{NAME}{VERSION}-{}", encode(&bytes, URL_SAFE))
    }

    /// Parses a join text. White space anywhere is ignored, because mail programs wrap lines.
    pub fn from_text(text: &str) -> Result<Invitation, JoinTextError> {
        let text: String = text.chars().filter(|c| !c.is_whitespace()).take(MAX_CHARACTERS).collect();
        let (version, digits) =
            text.strip_prefix(NAME).and_then(|rest| rest.split_once('-')).ok_or_else(|| prefix_error(&text))?;
        let version: u32 = version.parse().map_err(|_| JoinTextError::NotJoinText)?;
        if version != VERSION {
            return Err(JoinTextError::Version(version));
        }
        // A truncated text may end inside a group of four characters; the groups before it still decode.
        let bytes = decode(digits.as_bytes(), URL_SAFE);
        let bytes = bytes.or_else(|| decode(digits.as_bytes().get(..digits.len() / 4 * 4)?, URL_SAFE));
        let bytes = bytes.ok_or(JoinTextError::Damaged)?;
        let (length, rest) = bytes.split_first_chunk::<2>().ok_or(JoinTextError::Truncated)?;
        let length = usize::from(u16::from_be_bytes(*length));
        let (body, sum) = rest.split_at_checked(length).ok_or(JoinTextError::Truncated)?;
        if sum.len() < 4 {
            return Err(JoinTextError::Truncated);
        }
        if *sum != checksum(version, body).to_be_bytes() {
            return Err(JoinTextError::Damaged);
        }
        let mut reader = FieldReader::new(body);
        let invitation = Invitation::read(&mut reader).filter(|_| reader.is_empty());
        invitation.filter(Invitation::is_valid).ok_or(JoinTextError::Damaged)
    }

    /// Whether the invitation has expired at `now`, in seconds of Unix time.
    pub fn is_expired(&self, now: u64) -> bool {
        self.expires.is_some_and(|expires| now > expires)
    }

    /// The home's public key.
    pub fn public_key(&self) -> Key {
        match &self.identity {
            Identity::Private(key) => key.public(),
            Identity::Public(key) => key.clone(),
        }
    }

    /// Whether every field is valid in a settings file. True for every join text that this program wrote.
    fn is_valid(&self) -> bool {
        let is_unique =
            |at: usize| self.servers[..at].iter().all(|other| other.public_key != self.servers[at].public_key);
        let has_valid_host = |server: &Server| value::host_port(&server.at.to_string()).is_ok();
        let servers = self.servers.iter().enumerate().all(|(at, server)| has_valid_host(server) && is_unique(at));
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

/// The error of a text without the prefix `millpondN-`: a truncated prefix, or no join text at all.
fn prefix_error(text: &str) -> JoinTextError {
    if text.contains("[Interface]") {
        return JoinTextError::Wireguard;
    }
    let rest = text.strip_prefix(NAME).unwrap_or("-");
    if rest.bytes().all(|b| b.is_ascii_digit()) { JoinTextError::Truncated } else { JoinTextError::NotJoinText }
}

/// CRC-32 (ISO 3309) of `millpond`, the version as 32 bits, and the fields.
fn checksum(version: u32, body: &[u8]) -> u32 {
    let start = [NAME.as_bytes(), &version.to_be_bytes()].concat();
    !start.iter().chain(body).fold(!0, |sum: u32, byte| {
        (0..8).fold(sum ^ u32::from(*byte), |sum, _| sum >> 1 ^ 0xedb8_8320 & (sum & 1).wrapping_neg())
    })
}
