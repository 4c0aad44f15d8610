//! Draws a text as a QR code on a terminal.

use qrcodegen::{QrCode, QrCodeEcc};

/// Width of the light margin in modules, as ISO 18004 requires.
const MARGIN: i32 = 4;

/// Draws two modules per character, with fixed black and white, so that it looks the same on dark and light terminals.
/// `None` if the text is too long.
pub(super) fn draw(text: &str) -> Option<String> {
    let code = QrCode::encode_text(text, QrCodeEcc::Low).ok()?;
    let mut output = String::new();
    let is_dark = |x, y| code.get_module(x, y);
    for y in (-MARGIN..code.size() + MARGIN).step_by(2) {
        output.push_str("\x1b[30;107m");
        for x in -MARGIN..code.size() + MARGIN {
            output.push(match (is_dark(x, y), is_dark(x, y + 1)) {
                (false, false) => ' ',
                (true, false) => '\u{2580}',
                (false, true) => '\u{2584}',
                (true, true) => '\u{2588}',
            });
        }
        output.push_str("\x1b[0m\n");
    }
    Some(output)
}
