//! WireGuard keys as text: base64 (RFC 4648 §4) of 32 bytes, as `wg genkey` prints them.

use super::model::Key;

/// Characters of a key as text, the `=` at the end included.
pub(super) const TEXT_LEN: usize = 44;

const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

impl Key {
    /// The key of that text. `None` unless it is 43 base64 characters and `=`, with no stray bits in the last one,
    /// which is what wireguard-tools accepts.
    pub fn from_base64(text: &str) -> Option<Key> {
        let text = text.as_bytes();
        if text.len() != TEXT_LEN || text[TEXT_LEN - 1] != b'=' {
            return None;
        }
        let mut key = [0; 32];
        for (i, quad) in text.chunks_exact(4).enumerate() {
            let mut bits = 0u32;
            for &c in quad {
                let six = if c == b'=' && i == 10 && bits.trailing_zeros() >= 2 { Some(0) } else { sextet(c) };
                bits = bits << 6 | six?;
            }
            let bytes = bits.to_be_bytes();
            let end = (3 * i + 3).min(32);
            key[3 * i..end].copy_from_slice(&bytes[1..=end - 3 * i]);
        }
        // The 43rd character carries four bits of the key and two that must be zero.
        (sextet(text[42])? & 0b11 == 0 && !text[..43].contains(&b'=')).then_some(Key(key))
    }

    /// The key as text. Only public keys are for display.
    pub fn to_base64(&self) -> String {
        let mut text = String::with_capacity(TEXT_LEN);
        for three in self.0.chunks(3) {
            let mut bytes = [0; 4];
            bytes[1..=three.len()].copy_from_slice(three);
            let bits = u32::from_be_bytes(bytes);
            for i in 0..=three.len() {
                text.push(char::from(ALPHABET[(bits >> (18 - 6 * i) & 63) as usize]));
            }
        }
        text.push('=');
        text
    }
}

fn sextet(c: u8) -> Option<u32> {
    ALPHABET.iter().position(|&a| a == c).map(|i| i as u32)
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
