//! An edited file holds the new values and leaves everything else unchanged.

use super::*;
use crate::config::parse;

const SHIPPED: &str = include_str!("../../../files/etc/config/millpond");

fn document(text: &str) -> Document {
    Document::new(text.as_bytes()).unwrap()
}

fn text(value: &str) -> Setting {
    Setting::Text(value.into())
}

/// The values of an option as the parser sees them.
fn values(document: &Document, kind: &str, index: usize, option: &str) -> Vec<String> {
    let (sections, errors) = uci::parse(document.text().as_bytes());
    assert_eq!(errors, [], "{}", document.text());
    let section = sections.iter().filter(|section| section.kind == kind).nth(index).unwrap();
    let found = section.options.iter().find(|found| found.name == option);
    found.map(|found| found.values.iter().map(|value| value.text.clone()).collect()).unwrap_or_default()
}

#[test]
fn changes_an_option_in_place() {
    let before = "# mine\nconfig millpond 'main'\n\toption enabled '0' # not yet\n\n# theirs\nconfig tunnel 'tunnel'\n";
    let mut document = document(before);
    document.set("millpond", "main", "enabled", &text("1"));
    assert_eq!(document.text(), before.replace("'0'", "'1'"));
    document.set("tunnel", "tunnel", "address", &text("10.77.0.2"));
    assert!(document.text().ends_with("config tunnel 'tunnel'\n\toption address '10.77.0.2'\n"));
}

#[test]
fn the_shipped_file_gets_each_setting_after_its_comment() {
    let mut document = document(SHIPPED);
    document.set("tunnel", "tunnel", "endpoint", &text("vpn.example.net:51820"));
    document.set("dns", "dns", "server", &Setting::List(vec!["9.9.9.9".into(), "149.112.112.112".into()]));
    document.set("millpond", "main", "enabled", &text(""));
    let lines: Vec<&str> = document.text().lines().collect();
    let place = lines.iter().position(|line| *line == "\toption endpoint 'vpn.example.net:51820'").unwrap();
    assert_eq!(lines[place - 1], "\t#option endpoint 'vpn.example.org:51820'");
    assert_eq!(values(&document, "dns", 0, "server"), ["9.9.9.9", "149.112.112.112"]);
    assert_eq!(values(&document, "millpond", 0, "enabled"), [""; 0]);
    let kept = SHIPPED.lines().filter(|line| line.trim_start().starts_with('#'));
    kept.for_each(|comment| assert!(lines.contains(&comment), "{comment}"));
    assert!(parse(document.text().as_bytes()).settings.is_some());
}

#[test]
fn lists_and_repeated_options_are_replaced() {
    let mut document =
        document("config dns dns\n\tlist server 1\n\tlist server 2 # two\n\toption mode x\n\tlist server 3\n");
    document.set("dns", "dns", "server", &text("4"));
    assert_eq!(values(&document, "dns", 0, "server"), ["4"]);
    assert!(document.text().contains("# two\n") && document.text().contains("option mode x\n"), "{}", document.text());
    document.set("dns", "dns", "server", &Setting::List(vec!["5".into(), "6".into()]));
    assert_eq!(values(&document, "dns", 0, "server"), ["5", "6"]);
    document.set("dns", "dns", "server", &Setting::List(Vec::new()));
    assert_eq!(values(&document, "dns", 0, "server"), [""; 0]);
}

#[test]
fn any_text_reads_back_unchanged() {
    for value in ["maple street", "o'clock", "''", "\\", "\"", "a\tb", "#", ";", "two\nlines", "gr\u{fc}n"] {
        let mut document = document("config home\n\toption name x\n");
        document.set_at("home", 0, "name", &text(value));
        document.add("home", None, &[("name", text(value))]);
        assert_eq!([values(&document, "home", 0, "name"), values(&document, "home", 1, "name")], [[value], [value]]);
    }
}

#[test]
fn removing_a_section_keeps_its_neighbours() {
    let home = |name: &str| format!("# about {name}\nconfig home\n\toption name '{name}'\n\n");
    let mut document = document(&format!("{}{}{}", home("a"), home("b"), home("c")));
    document.remove("home", 1);
    assert_eq!(document.text(), format!("{}# about b\n\n{}", home("a"), home("c")));
    document.remove("home", 1);
    document.remove("home", 7);
    assert_eq!(document.text(), format!("{}# about b\n\n# about c\n\n", home("a")));
}

#[test]
fn edits_files_of_any_layout() {
    let layouts = [
        "",
        "config tunnel tunnel",
        "config tunnel tunnel; option address 1; option type x",
        "config tunnel tunnel\r\n\toption address 1\r\n",
        "config tunnel tunnel\n option address \"1\n2\" ; option type x # end",
        "package millpond\nc tunnel\no address 1\nc dns\no mode x",
        "config tunnel\n#option address ''",
    ];
    for layout in layouts {
        for value in ["7", ""] {
            let mut edited = document(layout);
            edited.set("tunnel", "tunnel", "address", &text(value));
            let expected: &[&str] = if value.is_empty() { &[] } else { &[value] };
            assert_eq!(values(&edited, "tunnel", 0, "address"), expected, "{layout:?} became {:?}", edited.text());
            let kind = values(&document(&format!("{layout}\nconfig tunnel")), "tunnel", 0, "type");
            assert_eq!(values(&edited, "tunnel", 0, "type"), kind, "{layout:?} became {:?}", edited.text());
            edited.remove("tunnel", 0);
            assert!(!edited.text().contains("tunnel"), "{layout:?} became {:?}", edited.text());
        }
    }
    assert_eq!(Document::new(b"config x\noption a 'b").err().map(|error| error.line), Some(2));
}
