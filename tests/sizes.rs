//! Checks that no part of the code is large: files, structs, and the methods of a type.

mod common;

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use common::rust_source::{production, sources, top_module, words};

/// Maximum number of lines of a file, and of half of all files.
const MAX_LINES: usize = 400;
const MAX_MEDIAN_LINES: usize = 150;
/// Maximum number of characters of a line.
const MAX_CHARACTERS: usize = 120;
/// Maximum number of files that have methods of one type.
const MAX_IMPL_FILES: usize = 2;
/// Maximum number of fields of a struct that are not plain data.
const MAX_FIELDS: usize = 12;
/// Types that hold nothing but a value or a choice.
const PLAIN: [&str; 31] = [
    "u8",
    "u16",
    "u32",
    "u64",
    "u128",
    "usize",
    "i8",
    "i16",
    "i32",
    "i64",
    "isize",
    "f32",
    "f64",
    "bool",
    "char",
    "str",
    "String",
    "Nanos",
    "BitsPerSec",
    "IpAddr",
    "Ipv4Addr",
    "Ipv6Addr",
    "SocketAddr",
    "Cow",
    "Rounded",
    "Option",
    "Vec",
    "static",
    "Role",
    "Level",
    "OffPolicy",
];

/// A module with submodules is `name.rs` beside the folder `name/`, so that an editor's tabs show different names.
#[test]
fn modules_have_one_style() {
    let others: Vec<_> = sources().into_iter().map(|(path, _)| path).filter(|path| path.ends_with("mod.rs")).collect();
    assert!(others.is_empty(), "expected NAME.rs beside NAME/: {others:?}");
}

#[test]
fn files_stay_small() {
    let long: Vec<_> = sources()
        .into_iter()
        .map(|(path, text)| (text.lines().count(), path))
        .filter(|(lines, _)| *lines > MAX_LINES)
        .map(|(lines, path)| format!("{}: {lines} lines, expected at most {MAX_LINES}", path.display()))
        .collect();
    assert!(long.is_empty(), "{}", long.join("\n"));
    let mut lines: Vec<_> = sources().iter().map(|(_, text)| text.lines().count()).collect();
    lines.sort_unstable();
    let median = lines[lines.len() / 2];
    assert!(median <= MAX_MEDIAN_LINES, "half of all files have more than {median} lines");
}

/// rustfmt wraps code, but not comments and strings.
#[test]
fn lines_have_at_most_120_characters() {
    let mut long = Vec::new();
    for (path, text) in sources() {
        for (number, line) in (1..).zip(text.lines()).filter(|(_, line)| line.chars().count() > MAX_CHARACTERS) {
            long.push(format!("{}:{number}: {} characters", path.display(), line.chars().count()));
        }
    }
    assert!(long.is_empty(), "{}", long.join("\n"));
}

#[test]
fn the_methods_of_a_type_are_in_few_files() {
    let mut places: BTreeMap<_, BTreeSet<PathBuf>> = BTreeMap::new();
    for (path, code) in production() {
        for name in code.lines().filter_map(inherent_impl) {
            places.entry((top_module(&path), name.to_owned())).or_default().insert(path.clone());
        }
    }
    assert!(places.len() > 100, "only {} types with methods found", places.len());
    let spread: Vec<_> = places
        .iter()
        .filter(|(_, files)| files.len() > MAX_IMPL_FILES)
        .map(|((_, name), files)| format!("{name}: {files:?}"))
        .collect();
    assert!(spread.is_empty(), "methods in more than {MAX_IMPL_FILES} files:\n{}", spread.join("\n"));
}

#[test]
fn structs_have_few_fields_that_are_not_plain_data() {
    let mut large = Vec::new();
    for (path, code) in production() {
        for (name, fields) in structs(&code) {
            let parts = fields.iter().filter(|field| !words(field).all(|word| PLAIN.contains(&word))).count();
            if parts > MAX_FIELDS {
                large.push(format!("{}: {name} has {parts} fields that are not plain data", path.display()));
            }
        }
    }
    assert!(large.is_empty(), "expected at most {MAX_FIELDS}:\n{}", large.join("\n"));
}

/// The type whose methods the block that starts in this line has; `None` for a trait's.
fn inherent_impl(line: &str) -> Option<&str> {
    let mut rest = line.strip_prefix("impl")?;
    if rest.starts_with('<') {
        let mut level = 0;
        let end = rest.find(|c| {
            level += i32::from(c == '<') - i32::from(c == '>');
            level == 0
        });
        rest = &rest[end? + 1..];
    }
    if rest.contains(" for ") { None } else { words(rest).next() }
}

/// The structs with named fields, with the types of their fields.
fn structs(code: &str) -> Vec<(&str, Vec<&str>)> {
    let mut structs: Vec<(&str, Vec<&str>)> = Vec::new();
    let mut open = false;
    for line in code.lines() {
        let head = line.find("struct ").filter(|_| !line.starts_with(' ')).filter(|_| line.ends_with('{'));
        if let Some(name) = head.and_then(|at| words(&line[at + "struct ".len()..]).next()) {
            structs.push((name, Vec::new()));
            open = true;
        } else if line == "}" {
            open = false;
        } else if let (true, Some((_, kind)), Some(last)) = (open, line.split_once(": "), structs.last_mut()) {
            last.1.push(kind);
        }
    }
    structs
}

#[test]
fn scanner_finds_methods_and_fields() {
    let impls = [
        "impl A {",
        "impl<T: B<u8>> C<T> {",
        "impl<'a> D<'a> {",
        "impl E for F {",
        "impl<T> G for H<T> {",
        "    impl I {",
    ];
    assert_eq!(impls.map(inherent_impl), [Some("A"), Some("C"), Some("D"), None, None, None]);
    let code =
        "pub struct A<'a> {\n    pub b: &'a str,\n    c: Option<C>,\n}\nstruct D(u8);\nfn e(f: u8) {\n    g: h\n}\n";
    assert_eq!(structs(code), [("A", vec!["&'a str,", "Option<C>,"])]);
}
