//! Checks the structure of the code: modules depend only on lower layers, system calls and clocks stay at the edge, and
//! files stay small.

use std::fs;
use std::path::{Path, PathBuf};

/// Each top-level module with the other modules that it may use.
const LAYERS: [(&str, &[&str]); 13] = [
    ("units", &[]),
    ("law", &["units"]),
    ("wire", &["units", "law"]),
    ("core", &["units", "law", "wire"]),
    ("lab", &["units", "law", "wire", "core"]),
    ("config", &["units", "law"]),
    ("tunnel", &["units", "law", "wire", "config"]),
    ("plan", &["units", "law", "config", "tunnel"]),
    ("apply", &["units", "law", "config", "tunnel", "plan"]),
    ("sys", &["units", "law", "wire", "config", "tunnel", "plan", "apply"]),
    ("daemon", &["units", "law", "wire", "core", "config", "tunnel", "plan", "apply", "sys"]),
    ("cli", &["units", "law", "wire", "core", "config", "tunnel", "plan", "apply", "sys", "daemon"]),
    ("main", &["units", "law", "wire", "core", "config", "tunnel", "plan", "apply", "sys", "daemon", "cli"]),
];

/// The modules that may use the clock and the system's random numbers.
const EDGE: [&str; 5] = ["sys", "daemon", "cli", "lab", "main"];
const AMBIENT: [&str; 5] = ["Instant::now", "SystemTime::now", "rand::rng(", "thread_rng", "SysRng"];
const MAX_LINES: usize = 500;

#[test]
fn modules_depend_only_on_lower_layers() {
    let mut edges = 0;
    let mut violations = Vec::new();
    for (path, text) in sources() {
        let top = top_module(&path);
        if top == "lib" {
            continue;
        }
        let Some((_, allowed)) = LAYERS.iter().find(|(name, _)| *name == top) else {
            violations.push(format!("{}: module {top} has no layer; give it one in tests/layers.rs", path.display()));
            continue;
        };
        for used in used_modules(&code(&text), depth(&path)) {
            edges += 1;
            // The laboratory's binary may use the library that it belongs to, and `sys`.
            let own_library = path == Path::new("lab/main.rs") && ["lab", "sys"].contains(&used.as_str());
            if used != top && !own_library && !allowed.contains(&used.as_str()) {
                violations.push(format!("{}: {top} must not use {used}", path.display()));
            }
        }
    }
    assert!(edges > 20, "the scan must find the code's uses of modules; it found only {edges}");
    assert!(violations.is_empty(), "{}", violations.join("\n"));
}

#[test]
fn system_calls_clocks_and_randomness_stay_at_the_edge() {
    let mut violations = Vec::new();
    for (path, text) in sources() {
        let (top, code) = (top_module(&path), code(&text));
        if top != "sys" && words(&code).any(|word| word == "unsafe") {
            violations.push(format!("{}: unsafe belongs in sys", path.display()));
        }
        for ambient in AMBIENT.iter().filter(|_| !EDGE.contains(&top.as_str())) {
            if code.contains(ambient) {
                violations.push(format!("{}: {ambient} belongs in one of {EDGE:?}", path.display()));
            }
        }
    }
    assert!(violations.is_empty(), "{}", violations.join("\n"));
}

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
}

/// Whatever the kind of a tunnel decides is in the module `tunnel`; other modules ask there. They may name
/// `Tunnel::Wireguard` for what only WireGuard has: keys, join texts, failover.
#[test]
fn the_kinds_of_tunnel_are_told_apart_in_one_module() {
    let kinds = ["Tunnel::Openvpn", "Tunnel::Interface"];
    let mut places = sources();
    places.retain(|(path, text)| kinds.iter().any(|kind| code(text).contains(kind)) && top_module(path) != "config");
    let places: Vec<_> = places.into_iter().map(|(path, _)| path).collect();
    assert_eq!(places, [Path::new("tunnel.rs")], "ask the module tunnel instead");
}

/// All Rust files under src with their text; paths are relative to src.
fn sources() -> Vec<(PathBuf, String)> {
    fn walk(folder: &Path, found: &mut Vec<PathBuf>) {
        for entry in fs::read_dir(folder).expect("a readable folder") {
            let path = entry.expect("a readable entry").path();
            if path.is_dir() {
                walk(&path, found);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                found.push(path);
            }
        }
    }
    let src = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut paths = Vec::new();
    walk(&src, &mut paths);
    paths.sort();
    assert!(paths.len() > 10, "src has files");
    let read = |path: PathBuf| {
        let text = fs::read_to_string(&path).expect("readable UTF-8");
        (path.strip_prefix(&src).expect("a path under src").to_path_buf(), text)
    };
    paths.into_iter().map(read).collect()
}

/// The top-level module that a file belongs to.
fn top_module(path: &Path) -> String {
    let first = path.components().next().expect("a path with components");
    let first = first.as_os_str().to_string_lossy();
    first.strip_suffix(".rs").unwrap_or(&first).to_owned()
}

/// How many modules deep a file's module is: 1 for `core.rs`, 2 for `core/engine.rs`.
fn depth(path: &Path) -> usize {
    path.components().count()
}

/// The top-level modules that the code names by `crate::`, `millpond::` or enough `super::`, once for each occurrence.
fn used_modules(code: &str, depth: usize) -> Vec<String> {
    let mut used = Vec::new();
    for root in ["crate".to_owned(), "millpond".to_owned(), vec!["super"; depth].join("::")] {
        let mut rest = code;
        while let Some(at) = rest.find(&root) {
            let before = rest[..at].chars().next_back();
            rest = &rest[at + root.len()..];
            if before.is_some_and(|c| is_word(c) || c == ':') {
                continue;
            }
            if let Some(path) = rest.strip_prefix("::") {
                used.extend(first_names(path));
            }
        }
    }
    used.retain(|name| LAYERS.iter().any(|(layer, _)| layer == name));
    used
}

/// The first name of a path, or of each path of a group in braces.
fn first_names(path: &str) -> Vec<String> {
    let name = |path: &str| path.trim_start().chars().take_while(|c| is_word(*c)).collect::<String>();
    let Some(group) = path.strip_prefix('{') else { return vec![name(path)] };
    let mut names = vec![name(group)];
    let mut level = 0;
    for (at, c) in group.char_indices() {
        match c {
            '{' => level += 1,
            '}' if level == 0 => break,
            '}' => level -= 1,
            ',' if level == 0 => names.push(name(&group[at + 1..])),
            _ => {}
        }
    }
    names
}

fn is_word(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

fn words(code: &str) -> impl Iterator<Item = &str> {
    code.split(|c| !is_word(c))
}

/// The text without comments and without the contents of string literals.
fn code(text: &str) -> String {
    let mut code = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(c) = rest.chars().next() {
        let skipped = if rest.starts_with("//") {
            rest.find('\n').unwrap_or(rest.len())
        } else if rest.starts_with("/*") {
            rest.find("*/").map_or(rest.len(), |end| end + 2)
        } else if rest.starts_with("'\"'") || rest.starts_with("b'\"'") {
            rest.find("\"'").map_or(1, |end| end + 2)
        } else if rest.starts_with("r#\"") {
            rest.find("\"#").map_or(rest.len(), |end| end + 2)
        } else if c == '"' {
            string_len(rest)
        } else {
            0
        };
        if skipped > 0 {
            code.push(' ');
            rest = &rest[skipped..];
        } else {
            code.push(c);
            rest = &rest[c.len_utf8()..];
        }
    }
    code
}

/// Length in bytes of the string literal at the start of `text`, both quotes included.
fn string_len(text: &str) -> usize {
    let mut escaped = false;
    for (at, c) in text.char_indices().skip(1) {
        match c {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            '"' => return at + 1,
            _ => {}
        }
    }
    text.len()
}

/// The scanner finds module names in every form that Rust allows, and ignores comments and strings.
#[test]
fn scanner_finds_module_names_in_code_only() {
    let cases: [(&str, usize, &[&str]); 12] = [
        ("use crate::config::parse;", 1, &["config"]),
        ("let x = crate::sys::clock();", 2, &["sys"]),
        ("use crate::{units::{Nanos, BitsPerSec}, plan, wire::cell};", 1, &["units", "plan", "wire"]),
        ("use crate::{\n    config::{self, model},\n    sys,\n};", 1, &["config", "sys"]),
        ("use millpond::daemon;", 1, &["daemon"]),
        ("use super::config;", 1, &["config"]),
        ("use super::super::config;", 2, &["config"]),
        ("use super::config;", 2, &[]),
        ("// use crate::config;\n/* crate::sys */ /// [`crate::plan`]", 1, &[]),
        ("let x = \"crate::config \\\" crate::sys\";", 1, &[]),
        ("let quote = '\"'; use crate::sys;", 1, &["sys"]),
        ("use mycrate::config; use other::crate_::sys; use crate::strange;", 1, &[]),
    ];
    for (text, depth, want) in cases {
        assert_eq!(used_modules(&code(text), depth), want, "{text}");
    }
    assert!(words(&code("x = unsafe { y };")).any(|word| word == "unsafe"));
    assert!(!words(&code("#![allow(unsafe_code)] // unsafe")).any(|word| word == "unsafe"));
    assert!(code("let now = Instant::now();").contains("Instant::now"));
    assert_eq!(
        (depth(Path::new("core.rs")), depth(Path::new("core/engine.rs")), depth(Path::new("core/audit/tests.rs"))),
        (1, 2, 3)
    );
    assert_eq!(
        (top_module(Path::new("core/engine.rs")), top_module(Path::new("apply.rs"))),
        ("core".into(), "apply".into())
    );
}
