//! One language: a type has one name in the whole crate, and names that were given up do not come back.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

/// One a line: a word that no file may hold, or `type` and a word that may not name a type.
const RETIRED: &str = include_str!("../.ci/retired-names");

/// The same idea seen from two layers: names that several modules may give a type.
const SHARED: [&str; 7] = [
    // The command lines of `millpond` and `millpond-lab`.
    "Arguments",
    "Command",
    // Up and down: of packets that pass, and of a trace.
    "Direction",
    // An Ethernet address and a policy: in the settings, and in a capture that is judged without them.
    "Mac",
    "Policy",
    // Read from a socket, and from a file.
    "CapturedPacket",
    // What a parser refuses, one for each format of src/wire.
    "Malformed",
];

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn files(folder: &str, keep: impl Fn(&Path) -> bool) -> Vec<(PathBuf, String)> {
    fn walk(folder: &Path, found: &mut Vec<PathBuf>) {
        for entry in fs::read_dir(folder).expect("a readable folder") {
            let path = entry.expect("an entry").path();
            let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            match path.is_dir() {
                true if ["target", "node_modules", "corpus", "artifacts"].contains(&name.as_str()) => {}
                // openwrt/ leads to luci-app/ by links.
                true if path.is_symlink() => {}
                true => walk(&path, found),
                false => found.push(path),
            }
        }
    }
    let mut paths = Vec::new();
    walk(&root().join(folder), &mut paths);
    paths.sort();
    let read = |path: PathBuf| Some((path.strip_prefix(root()).ok()?.to_path_buf(), fs::read_to_string(&path).ok()?));
    paths.into_iter().filter(|path| keep(path)).filter_map(read).collect()
}

fn is_rust(path: &Path) -> bool {
    path.extension().is_some_and(|extension| extension == "rs")
}

/// The types that a Rust file declares outside its tests.
fn types(text: &str) -> impl Iterator<Item = &str> {
    let text = text.find("\n#[cfg(test)]\nmod tests {").map_or(text, |end| &text[..end]);
    text.lines().filter_map(|line| {
        let line = line.trim_start().trim_start_matches("pub(super) ").trim_start_matches("pub(crate) ");
        let line = line.trim_start_matches("pub(in crate::lab) ").trim_start_matches("pub ");
        let rest = ["struct ", "enum ", "trait ", "type "].iter().find_map(|word| line.strip_prefix(word))?;
        let name = rest.split(|c: char| !c.is_alphanumeric() && c != '_').next()?;
        // Associated types that a trait of the standard library or of serde names.
        (!name.is_empty() && !["Output", "Item", "Ok", "Err", "Error"].contains(&name)).then_some(name)
    })
}

#[test]
fn a_type_has_one_name_in_the_crate() {
    let mut places: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for (path, text) in files("src", is_rust) {
        if path.ends_with("tests.rs") {
            continue;
        }
        for name in types(&text) {
            places.entry(name.to_owned()).or_default().push(path.display().to_string());
        }
    }
    assert!(places.len() > 250, "only {} types found", places.len());
    let twice: Vec<String> = places
        .iter()
        .filter(|(name, places)| places.len() > 1 && !SHARED.contains(&name.as_str()))
        .map(|(name, places)| format!("{name}: {}", places.join(", ")))
        .collect();
    assert!(twice.is_empty(), "one name for several types:\n{}", twice.join("\n"));
}

#[test]
fn retired_names_do_not_come_back() {
    let lines = || RETIRED.lines().filter(|line| !line.starts_with('#'));
    let no_types: Vec<&str> = lines().filter_map(|line| line.strip_prefix("type ")).collect();
    let (prefixes, no_words): (Vec<&str>, Vec<&str>) =
        lines().filter(|line| !line.contains(' ')).partition(|line| line.ends_with('*'));
    assert!(no_types.len() > 15 && no_words.len() > 50, "the list of retired names is read");
    let has_prefix = |word: &str| prefixes.iter().any(|prefix| word.starts_with(prefix.trim_end_matches('*')));
    let is_retired = |word: &str| no_words.contains(&word) || has_prefix(word);
    let mut faults = Vec::new();
    for folder in ["src", "tests", "files", "luci-app", "cross", "openwrt", "docs"] {
        // Translations are in languages with words of their own.
        let is_translation = |path: &Path| path.extension().is_some_and(|extension| extension == "po");
        for (path, text) in files(folder, |path| !path.ends_with("Cargo.lock") && !is_translation(path)) {
            for (number, line) in text.lines().enumerate() {
                let is_word = |c: char| c.is_alphanumeric() || "_-.".contains(c);
                let words = line.split(|c: char| !is_word(c)).map(|word| word.trim_matches('.'));
                faults.extend(
                    words
                        .filter(|word| is_retired(word))
                        .map(|word| format!("{}:{}: {word}", path.display(), number + 1)),
                );
            }
            if is_rust(&path) && !path.starts_with("cross") {
                let named = types(&text).filter(|name| no_types.contains(name));
                faults.extend(named.map(|name| format!("{}: a type named {name}", path.display())));
            }
        }
    }
    assert!(faults.is_empty(), "see docs/glossary.md for the names in use:\n{}", faults.join("\n"));
}

#[test]
fn the_scanner_finds_types() {
    let text =
        "pub struct A;\n    pub(super) enum B<T> {\nstruct C(u8);\nlet type_of = 1;\ntype D = u8;\n// struct E\n";
    assert_eq!(types(text).collect::<Vec<_>>(), ["A", "B", "C", "D"]);
}
