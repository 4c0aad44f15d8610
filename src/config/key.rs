//! WireGuard keys as text: base64 (RFC 4648 §4) of 32 bytes, as `wg genkey` prints them.

use curve25519_dalek::constants::X25519_BASEPOINT;

use super::base64::{STANDARD, decode, encode};
use super::model::Key;

/// Length of a key as text, including the final `=`.
const TEXT_LEN: usize = 44;

impl Key {
    /// Parses a key. `None` unless the text is 43 base64 characters and `=`, with no stray bits in the last character,
    /// the same check as in wireguard-tools.
    pub fn from_base64(text: &str) -> Option<Key> {
        let digits = text.strip_suffix('=').filter(|_| text.len() == TEXT_LEN)?;
        decode(digits.as_bytes(), STANDARD)?.try_into().ok().map(Key)
    }

    /// The key as base64. Display only public keys.
    pub fn to_base64(&self) -> String {
        encode(&self.0, STANDARD) + "="
    }

    /// Clamps 32 random bytes to a Curve25519 private key (RFC 7748 §5).
    pub fn private(mut random: [u8; 32]) -> Key {
        random[0] &= 0xf8;
        random[31] = random[31] & 0x7f | 0x40;
        Key(random)
    }

    /// The public key of this private key.
    pub fn public(&self) -> Key {
        Key(X25519_BASEPOINT.mul_clamped(self.0).to_bytes())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    // printf '\001\002...\040' | base64
    const COUNTING: &str = "AQIDBAUGBwgJCgsMDQ4PEBESExQVFhcYGRobHB0eHyA=";

    #[test]
    fn keys_survive_a_round_trip_through_text() {
        let counting = Key(std::array::from_fn(|i| i as u8 + 1));
        assert_eq!(Key::from_base64(COUNTING), Some(counting.clone()));
        assert_eq!(counting.to_base64(), COUNTING);
        for key in [[0; 32], [0xff; 32], std::array::from_fn(|i| (i * 37) as u8)] {
            assert_eq!(Key::from_base64(&Key(key).to_base64()), Some(Key(key)));
        }
    }

    // wg genkey | tee /dev/stderr | wg pubkey
    #[test]
    fn public_keys_match_wireguard_tools() {
        let private = Key::from_base64("0AKIwy2hXE2I3+LAyZnzaLcBVhFGvPmM0p6ObO+0PXc=").unwrap();
        assert_eq!(private.public().to_base64(), "4QXUOML1eIGSUznoYIOIwAmLGXOHWzvNB6Qa3bCexh8=");
        assert_eq!(Key::private(private.0), private, "as wg clamps it");
        let mut loose = private.0;
        loose[0] |= 7;
        loose[31] |= 0x80;
        assert_eq!(Key(loose).public(), private.public());
    }

    #[test]
    fn refuses_malformed_keys() {
        let long = format!("A{COUNTING}");
        let cases = [
            "",
            "=",
            &COUNTING[..43],
            &long,
            "AQIDBAUGBwgJCgsMDQ4PEBESExQVFhcYGRobHB0eHyB=", // stray bits
            "AQIDBAUGBwgJCgsMDQ4PEBESExQVFhcYGRobHB0eHy==",
            "AQID=AUGBwgJCgsMDQ4PEBESExQVFhcYGRobHB0eHyA=",
            "AQIDBAUGBwgJCgsMDQ4PEBESExQVFhcYGRobHB0eHyAA",
            "AQID-AUGBwgJCgsMDQ4PEBESExQVFhcYGRobHB0eHyA=",
            "AQID\u{e9}UGBwgJCgsMDQ4PEBESExQVFhcYGRobHB0eHyA=",
        ];
        for text in cases {
            assert_eq!(Key::from_base64(text), None, "{text}");
        }
    }
}
