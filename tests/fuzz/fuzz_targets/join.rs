//! Join texts: a valid join text survives a round trip, and gives settings that are accepted.
//!
//! Input: either a join text, or, after a zero byte, the fields of one, which get their length and checksum here.

#![no_main]

use libfuzzer_sys::fuzz_target;
use millpond::config::edit::Document;
use millpond::config::join::Invitation;
use millpond::config::{Severity, example};

fuzz_target!(|data: &[u8]| {
    let text = match data {
        [0, fields @ ..] => text_of(fields),
        _ => String::from_utf8_lossy(data).into_owned(),
    };
    let Ok(invitation) = Invitation::from_text(&text) else { return };
    assert_eq!(Invitation::from_text(&invitation.to_text()).as_ref(), Ok(&invitation));
    let key = "AQIDBAUGBwgJCgsMDQ4PEBESExQVFhcYGRobHB0eHyA=";
    for before in ["", example::ROUTER] {
        let mut document = Document::new(before.as_bytes()).expect("the file before has no errors");
        document.assign(&invitation.settings(key, "", ""));
        let parsed = millpond::config::parse(document.text().as_bytes());
        let errors: Vec<_> = parsed.problems.iter().filter(|problem| problem.severity == Severity::Error).collect();
        assert!(errors.is_empty(), "{errors:?} in\n{}", document.text());
    }
});

/// The join text with these fields: base64url of their length, the fields, and a checksum (CRC-32 of name, version and
/// fields).
fn text_of(fields: &[u8]) -> String {
    const CHECKED: &[u8] = b"millpond\0\0\0\x01";
    let mut bytes = (fields.len() as u16).to_be_bytes().to_vec();
    bytes.extend(fields);
    bytes.extend(crc32(CHECKED.iter().chain(fields).copied()).to_be_bytes());
    format!("millpond1-{}", base64url(&bytes))
}

fn crc32(bytes: impl Iterator<Item = u8>) -> u32 {
    let shift = |crc: u32, _| crc >> 1 ^ if crc & 1 == 1 { 0xedb8_8320 } else { 0 };
    !bytes.fold(u32::MAX, |crc, byte| (0..8).fold(crc ^ u32::from(byte), shift))
}

fn base64url(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let group = |chunk: &[u8]| {
        let bits = chunk.iter().fold(0u32, |bits, byte| bits << 8 | u32::from(*byte)) << (8 * (3 - chunk.len()));
        (0..=chunk.len()).map(move |digit| char::from(DIGITS[(bits >> (18 - 6 * digit) & 63) as usize]))
    };
    bytes.chunks(3).flat_map(group).collect()
}
