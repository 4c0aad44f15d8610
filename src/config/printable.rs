//! Texts from outside (names of devices, host names, arguments) before they are printed.

/// Whether a character may be printed as it is. Control characters may move a terminal's cursor; the others here
/// reverse the order of the text around them, or break a line, on the terminal and in a browser (Unicode Standard
/// Annex #9).
pub fn is_printable(c: char) -> bool {
    let reorders = matches!(c, '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    !(c.is_control() || reorders || matches!(c, '\u{2028}' | '\u{2029}' | '\u{feff}'))
}

/// The text with every other character as `\u{202e}`.
pub fn printable(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    for c in text.chars() {
        if is_printable(c) {
            shown.push(c);
        } else {
            shown.extend(c.escape_unicode());
        }
    }
    shown
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_characters_that_change_their_surroundings_are_escaped() {
        for plain in ["Türkamera 'Süd'", "מצלמה", "كاميرا", "摄像头 ½", "👩\u{200d}💻", "می\u{200c}خواهم"]
        {
            assert_eq!(printable(plain), plain);
        }
        for c in ['\u{7}', '\u{1b}', '\u{7f}', '\u{9b}', '\u{61c}', '\u{200e}', '\u{200f}', '\u{202a}', '\u{202e}'] {
            assert_eq!(printable(&format!("a{c}b")), format!("a\\u{{{:x}}}b", u32::from(c)));
        }
        assert_eq!(printable("\u{2066}\u{2069}\u{2028}\n"), "\\u{2066}\\u{2069}\\u{2028}\\u{a}");
    }
}
