//! Base64 (RFC 4648) without padding: WireGuard keys in the standard alphabet, join texts in the URL-safe one.

/// The last two characters of the standard alphabet (§4), after letters and digits.
pub(super) const STANDARD: [u8; 2] = *b"+/";
/// The last two characters of the URL-safe alphabet (§5), which also suits file names and shells.
pub(super) const URL_SAFE: [u8; 2] = *b"-_";

const COMMON: &[u8; 62] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789";

/// Encodes bytes, four characters for each three. `last` holds the last two characters of the alphabet.
pub(super) fn encode(bytes: &[u8], last: [u8; 2]) -> String {
    let mut text = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for three in bytes.chunks(3) {
        let mut quad = [0; 4];
        quad[1..=three.len()].copy_from_slice(three);
        let bits = u32::from_be_bytes(quad);
        for i in 0..=three.len() {
            let six = (bits >> (18 - 6 * i) & 63) as usize;
            text.push(char::from(COMMON.get(six).copied().unwrap_or_else(|| last[six - COMMON.len()])));
        }
    }
    text
}

/// Decodes a text. `None` if it has a character outside the alphabet, an impossible length, or stray bits in its last
/// character.
pub(super) fn decode(text: &[u8], last: [u8; 2]) -> Option<Vec<u8>> {
    let mut bytes = Vec::with_capacity(text.len() / 4 * 3 + 2);
    for quad in text.chunks(4) {
        let mut bits = 0u32;
        for i in 0..4 {
            bits = bits << 6 | quad.get(i).map_or(Some(0), |&c| sextet(c, last))?;
        }
        let length = quad.len() * 6 / 8;
        let [_, three @ ..] = bits.to_be_bytes();
        if quad.len() == 1 || three[length..].iter().any(|byte| *byte != 0) {
            return None;
        }
        bytes.extend(&three[..length]);
    }
    Some(bytes)
}

fn sextet(c: u8, last: [u8; 2]) -> Option<u32> {
    COMMON.iter().chain(&last).position(|&known| known == c).map(|place| place as u32)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn matches_the_test_vectors_of_rfc_4648() {
        let pairs = [("", ""), ("f", "Zg"), ("fo", "Zm8"), ("foo", "Zm9v"), ("foob", "Zm9vYg"), ("foobar", "Zm9vYmFy")];
        for (bytes, text) in pairs {
            assert_eq!(encode(bytes.as_bytes(), STANDARD), text);
            assert_eq!(decode(text.as_bytes(), STANDARD).as_deref(), Some(bytes.as_bytes()));
        }
        assert_eq!(encode(&[0xfb, 0xef, 0xff], URL_SAFE), "--__");
        assert_eq!(decode(b"++//", STANDARD).as_deref(), Some(&[0xfb, 0xef, 0xff][..]));
    }

    #[test]
    fn refuses_malformed_text() {
        for text in ["Z", "Zh", "Zm9=", "Zm9v ", "Zm 9v", "--__", "\u{e9}a"] {
            assert_eq!(decode(text.as_bytes(), STANDARD), None, "{text}");
        }
    }
}
