//! A text as a QR code for a terminal.

use qrcodegen::{QrCode, QrCodeEcc};

/// Light modules around the code, as ISO 18004 wants them.
const MARGIN: i32 = 4;

/// Two modules to a character, light on dark turned round, so that dark and light terminals show it alike. `None` if
/// the text is too long.
pub(super) fn draw(text: &str) -> Option<String> {
    let code = QrCode::encode_text(text, QrCodeEcc::Low).ok()?;
    let mut picture = String::new();
    let is_dark = |x, y| code.get_module(x, y);
    for y in (-MARGIN..code.size() + MARGIN).step_by(2) {
        picture.push_str("\x1b[30;107m");
        for x in -MARGIN..code.size() + MARGIN {
            picture.push(match (is_dark(x, y), is_dark(x, y + 1)) {
                (false, false) => ' ',
                (true, false) => '\u{2580}',
                (false, true) => '\u{2584}',
                (true, true) => '\u{2588}',
            });
        }
        picture.push_str("\x1b[0m\n");
    }
    Some(picture)
}
