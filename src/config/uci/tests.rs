//! Words, statements, sections and syntax errors.

use super::*;

/// The values of all options in a text without errors.
fn values(text: &str) -> Vec<String> {
    let (sections, errors) = parse(text.as_bytes());
    assert_eq!(errors, [], "{text}");
    let options = sections.into_iter().flat_map(|section| section.options);
    options.flat_map(|option| option.values).map(|value| value.text).collect()
}

fn errors(text: &[u8]) -> Vec<(usize, String)> {
    parse(text).1.into_iter().map(|error| (error.line, error.text)).collect()
}

#[test]
fn words_are_split_like_libuci() {
    let cases = [
        ("option a b", "b"),
        ("\toption\ta\tb  ", "b"),
        ("o a b", "b"),
        ("option 'a' \"b\"", "b"),
        ("option a 'b c'", "b c"),
        ("option a ''", ""),
        ("option a b'c d'\"e f\"g", "bc de fg"),
        ("option a b\\ c", "b c"),
        ("option a 'b\\c'", "b\\c"),
        ("option a \"b\\\"c\\\\\"", "b\"c\\"),
        ("option a b # comment 'x", "b"),
        ("option a b#c", "b"),
        ("option a 'b#c;d'", "b#c;d"),
        ("option a \"it's\"", "it's"),
        ("option a 'b\nc'", "b\nc"),
        ("option a 'b\r\nc'\r", "b\nc"),
        ("option a \"b\\\nc\"", "bc"),
        ("option \\\na b", "b"),
        ("option a b\r", "b"),
        ("option a b; # comment", "b"),
        ("option a 'gr\u{fc}n'", "gr\u{fc}n"),
    ];
    for (line, want) in cases {
        assert_eq!(values(&format!("config t\n{line}\n")), [want], "{line}");
        assert_eq!(values(&format!("config t;{line}")), [want], "{line} without a line end");
    }
}

#[test]
fn lists_and_repeated_options_behave_like_libuci() {
    let text = "config t\noption a 1\noption a 2\nlist l 1\nlist l 2\nlist m 1\noption m 2\noption n 1\nlist n 2\n";
    let (sections, errors) = parse(text.as_bytes());
    assert_eq!(errors, []);
    let got: Vec<_> = sections[0].options.iter().map(|o| (o.name.as_str(), o.is_list, o.values.len())).collect();
    assert_eq!(got, [("a", false, 1), ("l", true, 2), ("m", false, 1), ("n", true, 2)]);
    assert_eq!(values(text), ["2", "1", "2", "2", "1", "2"]);
}

#[test]
fn sections_have_names_indices_and_lines() {
    let text = b"package millpond\n\nconfig device\nconfig 'device' \"cam\" # x\nc device ''\n\nconfig tunnel tunnel\n";
    let (sections, errors) = parse(text);
    assert_eq!(errors, []);
    let got: Vec<_> = sections.iter().map(|s| (s.label(), s.index, s.line)).collect();
    let want = [("@device[0]", 0, 3), ("cam", 1, 4), ("@device[2]", 2, 5), ("tunnel", 0, 7)];
    assert_eq!(got, want.map(|(label, index, line)| (label.to_owned(), index, line)));
}

#[test]
fn errors_have_their_line_and_parsing_continues() {
    let cases: [(&[u8], usize, &str); 14] = [
        (b"config t\noption a 'b\noption c 'd'\n", 2, "quote ' is not closed"),
        (b"config t\noption a \"b\noption c d\n", 2, "quote \" is not closed"),
        (b"config t\noption a b c\n", 2, "cannot read 'option' (got 3 words"),
        (b"config t\noption a\n", 2, "cannot read 'option' (got 1 words"),
        (b"config t\nlist\n", 2, "cannot read 'list' (got 0 words"),
        (b"config t\noption a-b c\n", 2, "name of an 'option' has characters"),
        (b"config t u v\n", 1, "cannot read 'config' (got 3 words"),
        (b"config t\nconfig t 'u v'\n", 2, "name of a 't' section has characters"),
        (b"option a b\n", 1, "'option' before any 'config'"),
        (b"config t\n\nhello\n", 3, "unknown statement (got 'hello'"),
        (b"config t\noption a '\xff'\n", 2, "text is not UTF-8"),
        (b"config t\noption a \0\n", 2, "text has a NUL byte"),
        (b"config t\noption a b\\", 2, "backslash at the end of the file"),
        (b"config t 'n'\nconfig u 'n'\n", 2, "duplicate section (the first is on line 1"),
    ];
    for (text, line, want) in cases {
        let shown = String::from_utf8_lossy(text);
        let mut text = text.to_vec();
        if text.ends_with(b"\n") {
            text.extend_from_slice(b"config last\n");
        }
        let (sections, _) = parse(&text);
        let errors = errors(&text);
        assert_eq!(errors.len(), 1, "{shown}: {errors:?}");
        assert_eq!(errors[0].0, line, "{shown}");
        assert!(errors[0].1.starts_with(want), "{shown}: {}", errors[0].1);
        if text.ends_with(b"last\n") {
            assert_eq!(sections.last().map(|s| s.kind.as_str()), Some("last"), "{shown}");
        }
    }
}

#[test]
fn size_limits_are_enforced() {
    assert_eq!(errors(&vec![b'\n'; MAX_FILE_BYTES + 1]).len(), 1);
    assert_eq!(errors(&vec![b'\n'; MAX_FILE_BYTES]), []);
    let word = |bytes| format!("config t\noption a '{}'\n", "x".repeat(bytes));
    assert_eq!(errors(word(MAX_WORD_BYTES).as_bytes()), []);
    assert_eq!(errors(word(MAX_WORD_BYTES + 1).as_bytes()).len(), 1);
    let options = |n| "config t\n".to_owned() + &(0..n).map(|i| format!("option o{i} x\n")).collect::<String>();
    assert_eq!(errors(options(MAX_OPTIONS).as_bytes()), []);
    assert_eq!(errors(options(MAX_OPTIONS + 1).as_bytes()).len(), 1);
}
