//! The WireGuard interface, as the settings ask for it and as the kernel reports it.

use std::fmt;
use std::net::SocketAddr;

use super::routing::Prefix;
use crate::config::model::{Home, Key};

/// The interface's private key and port.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WireguardDevice {
    /// The private key, clamped as the kernel stores it.
    pub private_key: Key,
    /// UDP port. With `None` the kernel chooses one, which is then read back.
    pub listen_port: Option<u16>,
    /// The mark of the packets that it sends; 0 for none.
    #[cfg(feature = "endpoint")]
    pub fwmark: u32,
}

impl WireguardDevice {
    /// A device with `private_key`, which is clamped here according to RFC 7748 section 5.
    pub fn new(private_key: &Key, listen_port: Option<u16>) -> WireguardDevice {
        let mut key = private_key.0;
        key[0] &= 248;
        key[31] = key[31] & 127 | 64;
        WireguardDevice {
            private_key: Key(key),
            listen_port,
            #[cfg(feature = "endpoint")]
            fwmark: 0,
        }
    }

    /// Whether `installed` has everything that `self` asks for.
    pub fn is_satisfied_by(&self, installed: &WireguardDevice) -> bool {
        #[cfg(feature = "endpoint")]
        if self.fwmark != installed.fwmark {
            return false;
        }
        self.private_key == installed.private_key
            && self.listen_port.is_none_or(|port| installed.listen_port == Some(port))
    }
}

impl fmt::Display for WireguardDevice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("private-key (hidden)")?;
        self.listen_port.iter().try_for_each(|port| write!(f, " listen-port {port}"))?;
        #[cfg(feature = "endpoint")]
        if self.fwmark != 0 {
            write!(f, " fwmark {:#x}", self.fwmark)?;
        }
        Ok(())
    }
}

/// The other end of a WireGuard tunnel.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Peer {
    /// Its public key.
    pub public_key: Key,
    /// The additional key that both ends share; `None` equals all zeros.
    pub preshared_key: Option<Key>,
    /// Its address and port; `None` if the peer initiates the connection.
    pub endpoint: Option<SocketAddr>,
    /// The source addresses that it may use and the destinations that are sent to it; sorted.
    pub allowed_ips: Vec<Prefix>,
    /// Interval of keepalives in seconds; 0 for none, because cells flow continuously.
    pub keepalive_seconds: u16,
}

impl Peer {
    /// Whether `installed` has everything that `self` asks for. A peer without an endpoint address here may have any.
    pub fn is_satisfied_by(&self, installed: &Peer) -> bool {
        self.public_key == installed.public_key
            && self.preshared_key == installed.preshared_key
            && self.allowed_ips == installed.allowed_ips
            && self.keepalive_seconds == installed.keepalive_seconds
            && (self.endpoint.is_none() || self.endpoint == installed.endpoint)
    }
}

impl fmt::Display for Peer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "peer {}", Base64(&self.public_key.0))?;
        if self.preshared_key.is_some() {
            f.write_str(" preshared-key (hidden)")?;
        }
        self.endpoint.iter().try_for_each(|endpoint| write!(f, " endpoint {endpoint}"))?;
        if self.keepalive_seconds != 0 {
            write!(f, " persistent-keepalive {}", self.keepalive_seconds)?;
        }
        for (i, prefix) in self.allowed_ips.iter().enumerate() {
            f.write_str(if i == 0 { " allowed-ips " } else { "," })?;
            write!(f, "{prefix}")?;
        }
        Ok(())
    }
}

/// A home as a WireGuard peer without a fixed endpoint address. `None` if the home has no key: its tunnel is not
/// WireGuard.
pub fn home_peer(home: &Home) -> Option<Peer> {
    Some(Peer {
        public_key: home.public_key.clone()?,
        preshared_key: home.preshared_key.clone(),
        endpoint: None,
        allowed_ips: vec![Prefix::host(home.address)],
        keepalive_seconds: 0,
    })
}

/// Prints a key in Base64 as wireguard-tools do (RFC 4648 section 4).
pub(super) struct Base64<'a>(pub &'a [u8; 32]);

impl fmt::Display for Base64<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
        for group in self.0.chunks(3) {
            let byte = |i: usize| u32::from(group.get(i).copied().unwrap_or(0));
            let bits = byte(0) << 16 | byte(1) << 8 | byte(2);
            for i in 0..4 {
                let digit = if i <= group.len() { DIGITS[(bits >> (18 - 6 * i) & 63) as usize] } else { b'=' };
                write!(f, "{}", char::from(digit))?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_print_as_wg_prints_them() {
        let key: [u8; 32] = std::array::from_fn(|i| i as u8);
        assert_eq!(Base64(&key).to_string(), "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=");
        assert_eq!(Base64(&[255; 32]).to_string(), "//////////////////////////////////////////8=");
    }

    #[test]
    fn secrets_are_never_printed() {
        let device = WireguardDevice::new(&Key([7; 32]), Some(51820));
        assert_eq!(device.to_string(), "private-key (hidden) listen-port 51820");
        let peer = Peer {
            public_key: Key([1; 32]),
            preshared_key: Some(Key([2; 32])),
            endpoint: Some("203.0.113.9:51820".parse().unwrap()),
            allowed_ips: vec![Prefix::host([10, 77, 0, 1])],
            keepalive_seconds: 0,
        };
        let secret = Base64(&[2; 32]).to_string();
        for text in [peer.to_string(), format!("{peer:?}"), format!("{device:?}")] {
            assert!(!text.contains(&secret) && !text.contains("2, 2"), "{text}");
        }
    }
}
