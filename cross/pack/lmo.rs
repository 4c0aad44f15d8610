//! LuCI's compiled translations (`.lmo`), as its `po2lmo` writes them: the texts, each padded to four bytes, then an index
//! of four big-endian numbers a text (hash of the key, number of plural forms, offset, length), then the index's offset.

use super::po::Translation;

/// Between a text and the number of its plural form in a key.
const PLURAL_SEPARATOR: char = '\u{2}';

/// Returns the file with the translated texts and the rule for plural forms. A text that stays the same is left out.
pub fn write(translation: &Translation) -> Vec<u8> {
    let (mut texts, mut index) = (Vec::new(), Vec::new());
    let mut add = |key: u32, forms: u32, text: &str| {
        index.push([key, forms, texts.len() as u32, text.len() as u32]);
        texts.extend(text.as_bytes());
        texts.resize(texts.len().next_multiple_of(4), 0);
    };
    if let Some(rule) = translation.header("Plural-Forms") {
        add(0, 0, rule);
    }
    for message in &translation.messages {
        for (form, text) in message.texts.iter().enumerate().filter(|(_, text)| !text.is_empty()) {
            let key = match message.plural {
                Some(_) => hash(format!("{}{PLURAL_SEPARATOR}{form}", message.id).as_bytes()),
                None => hash(message.id.as_bytes()),
            };
            if key != hash(text.as_bytes()) {
                add(key, message.texts.len() as u32, text);
            }
        }
    }
    index.sort_by_key(|entry| entry[0]);
    let offset = texts.len() as u32;
    texts.extend(index.iter().flatten().chain([&offset]).flat_map(|number| number.to_be_bytes()));
    texts
}

/// Paul Hsieh's SuperFastHash with the length as its start, by which LuCI finds texts. Of the last odd byte, the sign
/// counts, as on a machine whose `char` is signed.
fn hash(data: &[u8]) -> u32 {
    if data.is_empty() {
        return 0;
    }
    let half = |at: usize| u32::from(u16::from_le_bytes([data[at], data[at + 1]]));
    let signed = |at: usize| i32::from(data[at] as i8) as u32;
    let mut hash = data.len() as u32;
    let whole = data.len() / 4 * 4;
    for at in (0..whole).step_by(4) {
        hash = hash.wrapping_add(half(at));
        hash = (hash << 16) ^ ((half(at + 2) << 11) ^ hash);
        hash = hash.wrapping_add(hash >> 11);
    }
    match data.len() - whole {
        3 => {
            hash = hash.wrapping_add(half(whole));
            hash ^= hash << 16;
            hash ^= signed(whole + 2) << 18;
            hash = hash.wrapping_add(hash >> 11);
        }
        2 => {
            hash = hash.wrapping_add(half(whole));
            hash ^= hash << 11;
            hash = hash.wrapping_add(hash >> 17);
        }
        1 => {
            hash = hash.wrapping_add(signed(whole));
            hash ^= hash << 10;
            hash = hash.wrapping_add(hash >> 1);
        }
        _ => {}
    }
    hash ^= hash << 3;
    hash = hash.wrapping_add(hash >> 5);
    hash ^= hash << 4;
    hash = hash.wrapping_add(hash >> 17);
    hash ^= hash << 25;
    hash.wrapping_add(hash >> 6)
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::Path;

    use super::*;
    use crate::po;

    /// Finds a text by its key, as LuCI's `lmo_find_entry` does.
    fn find(file: &[u8], key: u32) -> Option<&str> {
        let number = |at: usize| u32::from_be_bytes(*file[at..].first_chunk().unwrap());
        let index = number(file.len() - 4) as usize;
        let (mut low, mut high) = (0, (file.len() - 4 - index) / 16);
        while low < high {
            let middle = (low + high) / 2;
            let entry = index + 16 * middle;
            match number(entry).cmp(&key) {
                std::cmp::Ordering::Equal => {
                    let (offset, length) = (number(entry + 8) as usize, number(entry + 12) as usize);
                    assert_eq!(offset % 4, 0);
                    return std::str::from_utf8(&file[offset..offset + length]).ok();
                }
                std::cmp::Ordering::Less => low = middle + 1,
                std::cmp::Ordering::Greater => high = middle,
            }
        }
        None
    }

    /// Values of LuCI's own `sfh_hash`, for each remainder of the length by four.
    #[test]
    fn hashes_are_those_of_luci() {
        for (text, expected) in [
            ("a", "115ea782"),
            ("Off", "46bf098c"),
            ("Help", "78ad3dde"),
            ("Level", "5967a012"),
            ("Strict", "93626a45"),
            ("Privacy", "7db34d11"),
            ("Paste…", "78195e30"),
            ("ü", "787e0cc7"),
            ("Aé", "0d8462b8"),
            ("Abcé", "061f9714"),
        ] {
            assert_eq!(format!("{:08x}", hash(text.as_bytes())), expected, "{text}");
        }
    }

    #[test]
    fn every_text_of_the_projects_translations_is_found_by_its_key() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("luci-app/po");
        let languages = po::languages(&folder).unwrap();
        assert!(languages.len() >= 5, "{languages:?}");
        for language in languages {
            let path = folder.join(&language).join("millpond.po");
            let translation = po::parse(&fs::read_to_string(&path).unwrap()).unwrap();
            let file = write(&translation);
            assert!(find(&file, 0).is_some_and(|rule| rule.starts_with("nplurals=")), "{language}");
            assert!(translation.messages.len() > 300, "{language}");
            for message in &translation.messages {
                for (form, text) in message.texts.iter().enumerate() {
                    let key = match message.plural {
                        Some(_) => format!("{}\u{2}{form}", message.id),
                        None => message.id.clone(),
                    };
                    // Without an entry, LuCI shows the text itself.
                    let found = find(&file, hash(key.as_bytes())).unwrap_or(&message.id);
                    assert_eq!(found, text, "{language}");
                }
            }
        }
    }

    #[test]
    fn a_file_has_texts_index_and_offset() {
        let text = "msgid \"\"\nmsgstr \"\"\n\"Language: de\\n\"\n\"Plural-Forms: nplurals=2; plural=n != 1;\\n\"\n\n\
                    msgid \"Off\"\nmsgstr \"Aus\"\n\nmsgid \"OK\"\nmsgstr \"OK\"\n\nmsgid \"none\"\nmsgstr \"\"\n";
        let file = write(&po::parse(text).unwrap());
        // 28 bytes of the rule and 4 of "Aus"; what is equal or missing is left out.
        assert_eq!(file.len(), 28 + 4 + 2 * 16 + 4);
        assert_eq!(find(&file, hash(b"Off")), Some("Aus"));
        assert_eq!((find(&file, hash(b"OK")), find(&file, hash(b"none"))), (None, None));
    }
}
