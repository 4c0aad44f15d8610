//! Edits of a settings file: after any sequence of edits the file is still without syntax errors, and an option has the
//! value that was set last.
//!
//! Input: a byte with the number of edits, five bytes for each, then the file.

#![no_main]

use libfuzzer_sys::fuzz_target;
use millpond::config::edit::{Document, Setting};
use millpond::config::uci;

const KINDS: [&str; 3] = ["millpond", "tunnel", "home"];
const OPTIONS: [&str; 3] = ["name", "backup", "enabled"];
const TEXTS: [&str; 6] = ["", "1", "it's", "a \"b\" c", "#no comment", "\u{fe0f}\\"];

fuzz_target!(|data: &[u8]| {
    let [count, rest @ ..] = data else { return };
    let (edits, text) = rest.split_at(rest.len().min(usize::from(count % 8) * 5));
    let Ok(mut document) = Document::new(text) else { return };
    for edit in edits.chunks_exact(5) {
        let of = |list: &[&'static str], byte: u8| list[usize::from(byte) % list.len()];
        let (kind, option) = (of(&KINDS, edit[1]), of(&OPTIONS, edit[2]));
        let text = of(&TEXTS, edit[3]).to_owned();
        let setting = match edit[4] % 3 {
            0 => Setting::List(vec![text.clone(), "second".to_owned()]),
            _ => Setting::Text(text.clone()),
        };
        match edit[0] % 3 {
            0 => document.add(kind, None, &[(option, setting)]),
            1 => document.remove(kind, usize::from(edit[4] >> 4)),
            _ => {
                document.set(kind, &format!("only_{kind}"), option, &setting);
                let (sections, _) = uci::parse(document.text().as_bytes());
                let section = sections.iter().find(|section| section.kind == kind).expect("a section of that kind");
                let found = section.options.iter().rev().find(|found| found.name == option);
                let values: Vec<&str> =
                    found.into_iter().flat_map(|found| &found.values).map(|value| value.text.as_str()).collect();
                let wanted: Vec<&str> = match &setting {
                    Setting::Text(text) => Some(text.as_str()).filter(|text| !text.is_empty()).into_iter().collect(),
                    Setting::List(texts) => texts.iter().map(String::as_str).collect(),
                };
                assert_eq!(values, wanted, "{kind}.{option} in\n{}", document.text());
            }
        }
        let (_, errors) = uci::parse(document.text().as_bytes());
        assert!(errors.is_empty(), "{errors:?} in\n{}", document.text());
    }
});
