//! WireGuard keys as text: base64 (RFC 4648 §4) of 32 bytes, as `wg genkey` prints them.

use ed25519_compact::x25519::SecretKey;

use super::base64::{STANDARD, decode, encode};
use super::model::Key;

/// Characters of a key as text, the `=` at the end included.
const TEXT_LEN: usize = 44;

impl Key {
    /// The key of that text. `None` unless it is 43 base64 characters and `=`, with no stray bits in the last one,
    /// which is what wireguard-tools accepts.
    pub fn from_base64(text: &str) -> Option<Key> {
        let digits = text.strip_suffix('=').filter(|_| text.len() == TEXT_LEN)?;
        decode(digits.as_bytes(), STANDARD)?.try_into().ok().map(Key)
    }

    /// The key as text. Only public keys are for display.
    pub fn to_base64(&self) -> String {
        encode(&self.0, STANDARD) + "="
    }

    /// A private key of Curve25519 (RFC 7748 §5) from 32 random bytes.
    pub fn private(mut random: [u8; 32]) -> Key {
        random[0] &= 0xf8;
        random[31] = random[31] & 0x7f | 0x40;
        Key(random)
    }

    /// The public half of a private key.
    pub fn public(&self) -> Key {
        // Fails for the zero point alone, which no multiple of the base point by a clamped key is.
        let public = SecretKey::new(self.0).recover_public_key();
        Key(public.map_or([0; 32], |public| *public))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    // printf '\001\002...\040' | base64
    const COUNTING: &str = "AQIDBAUGBwgJCgsMDQ4PEBESExQVFhcYGRobHB0eHyA=";

    #[test]
    fn text_and_bytes_agree() {
        let counting = Key(std::array::from_fn(|i| i as u8 + 1));
        assert_eq!(Key::from_base64(COUNTING), Some(counting.clone()));
        assert_eq!(counting.to_base64(), COUNTING);
        for key in [[0; 32], [0xff; 32], std::array::from_fn(|i| (i * 37) as u8)] {
            assert_eq!(Key::from_base64(&Key(key).to_base64()), Some(Key(key)));
        }
    }

    // wg genkey | tee /dev/stderr | wg pubkey
    #[test]
    fn the_public_half_is_what_wireguard_tools_say() {
        let private = Key::from_base64("0AKIwy2hXE2I3+LAyZnzaLcBVhFGvPmM0p6ObO+0PXc=").unwrap();
        assert_eq!(private.public().to_base64(), "4QXUOML1eIGSUznoYIOIwAmLGXOHWzvNB6Qa3bCexh8=");
        assert_eq!(Key::private(private.0), private, "as wg clamps it");
        let mut loose = private.0;
        loose[0] |= 7;
        loose[31] |= 0x80;
        assert_eq!(Key(loose).public(), private.public());
    }

    #[test]
    fn anything_else_is_refused() {
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
