//! Checks the structure of the code: modules depend only on lower layers, components on few others, no file on its own
//! user, and system calls and clocks stay at the edge.

mod common;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use common::module_graph::{ModuleGraph, cycles};
use common::rust_source::{code, is_word, production, sources, top_module, words};

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

/// The parts of the daemon, each with the others that it may use: first what all share, then the components that act,
/// then those that read others for their answers. Only the event loop knows all.
const COMPONENTS: [(&str, &[&str]); 24] = [
    ("error", &[]),
    ("options", &[]),
    ("rounded", &[]),
    ("state", &[]),
    ("token", &[]),
    ("wall_clock", &[]),
    ("problem", &["error"]),
    ("worker", &["token"]),
    ("action", &["problem"]),
    ("shape", &["error"]),
    ("config_state", &["error"]),
    ("dataplane", &["error", "shape", "state", "token"]),
    ("shards", &["dataplane", "error", "state", "token"]),
    ("planes", &["dataplane", "error", "shape", "shards", "state"]),
    ("reconcile", &["action", "error", "problem", "shape", "token", "wall_clock", "worker"]),
    ("failover", &["action"]),
    ("schedule", &["action", "problem", "rounded", "wall_clock"]),
    ("health", &["problem", "state", "wall_clock"]),
    ("enrolments", &["wall_clock"]),
    ("advice", &["rounded", "shape", "token"]),
    ("audit", &["dataplane", "rounded", "token", "worker"]),
    ("devices", &["dataplane", "rounded"]),
    ("history", &["dataplane"]),
    ("control", READ_BY_CONTROL),
];
const READ_BY_CONTROL: &[&str] = &[
    "action",
    "advice",
    "audit",
    "config_state",
    "dataplane",
    "devices",
    "error",
    "health",
    "history",
    "planes",
    "problem",
    "rounded",
    "schedule",
    "shards",
    "state",
    "token",
    "wall_clock",
    "worker",
];

/// The modules that may use the clock and the system's random numbers.
const EDGE: [&str; 5] = ["sys", "daemon", "cli", "lab", "main"];
const AMBIENT: [&str; 5] = ["Instant::now", "SystemTime::now", "rand::rng(", "thread_rng", "SysRng"];
/// The folders of src, and the files beside them, in which no file may use a file that uses it.
const WITHOUT_CYCLES: [&str; 8] = ["wire", "core", "config", "tunnel", "plan", "apply", "sys", "daemon"];

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

/// A file that uses its user cannot be understood, tested or moved alone.
#[test]
fn no_file_uses_a_file_that_uses_it() {
    let uses = ModuleGraph::new(&production()).uses();
    assert!(uses.values().map(|used| used.len()).sum::<usize>() > 500, "the scan must find the uses of files");
    let is_watched = |file: &PathBuf| WITHOUT_CYCLES.contains(&top_module(file).as_str());
    let mut report = String::new();
    for cycle in cycles(&uses).iter().filter(|cycle| cycle.iter().any(is_watched)) {
        report += &format!("a cycle of {} files:\n", cycle.len());
        for (file, used) in cycle.iter().flat_map(|file| uses[file].iter().map(move |used| (file, used))) {
            if cycle.contains(used.0) {
                report += &format!("  {} -> {}: {:?}\n", file.display(), used.0.display(), used.1);
            }
        }
    }
    assert!(report.is_empty(), "{report}");
}

#[test]
fn components_of_the_daemon_know_only_those_listed() {
    let mut violations = BTreeSet::new();
    let mut seen = BTreeSet::new();
    for (file, used) in ModuleGraph::new(&production()).uses() {
        let Some(component) = component(&file) else { continue };
        let allowed = COMPONENTS.iter().find(|(name, _)| *name == component).map(|(_, allowed)| *allowed);
        seen.insert(component.clone());
        for other in used.keys().filter_map(|file| self::component(file)).filter(|other| *other != component) {
            if !allowed.is_some_and(|allowed| allowed.contains(&other.as_str())) {
                violations.insert(format!("{component} must not use {other} ({})", file.display()));
            }
        }
    }
    assert!(violations.is_empty(), "{}", violations.into_iter().collect::<Vec<_>>().join("\n"));
    let listed: BTreeSet<_> = COMPONENTS.iter().map(|(name, _)| (*name).to_owned()).collect();
    assert_eq!(seen, listed, "each component has a line in COMPONENTS, and each line a component");
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

/// The daemon's component that a file belongs to; `None` for other files, and for those that put the daemon together.
fn component(path: &Path) -> Option<String> {
    let inside = path.strip_prefix("daemon").ok()?;
    let component = top_module(inside);
    (!["event_loop", "answers", "fuzzing"].contains(&component.as_str())).then_some(component)
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

fn cycles_of(files: &[(&str, &str)]) -> Vec<Vec<PathBuf>> {
    let files: Vec<_> = files.iter().map(|(path, code)| (PathBuf::from(path), (*code).to_owned())).collect();
    cycles(&ModuleGraph::new(&files).uses())
}

#[test]
fn a_cycle_is_found_in_every_form_of_path() {
    let b = ("a/b.rs", "pub const B: u8 = super::A;\n");
    for a in [
        "mod b;\npub const A: u8 = 1;\nuse b::B;\n",
        "mod b;\npub const A: u8 = b::B;\n",
        "mod b;\npub const A: u8 = 1;\nuse crate::a::{b as c, other::X};\nfn f() -> u8 { c::B }\n",
        "mod b;\npub const A: u8 = 1;\nuse crate::{\n    a::b::{self, X},\n};\nfn f() -> u8 { b::B }\n",
        "mod b;\npub const A: u8 = 1;\nuse b::*;\nfn f() -> u8 { B }\n",
        "mod b;\npub(super) const A: u8 = self::b::B;\n",
    ] {
        assert_eq!(cycles_of(&[("a.rs", a), b]), [["a/b.rs", "a.rs"].map(PathBuf::from)], "{a}");
    }
}

#[test]
fn a_module_that_only_shows_an_item_is_looked_through() {
    let c = ("a/c.rs", "use super::D;\npub struct C(D);\n");
    let d = ("a/d.rs", "pub struct D;\n");
    let without_cycle = [("a.rs", "mod c;\nmod d;\npub use c::C;\npub use d::D;\n"), c, d];
    assert_eq!(cycles_of(&without_cycle), Vec::<Vec<PathBuf>>::new());
    let d = ("a/d.rs", "pub struct D;\nfn f(c: crate::a::C) {}\n");
    let with_cycle = [("a.rs", "mod c;\nmod d;\npub use c::C;\npub use d::*;\n"), c, d];
    assert_eq!(cycles_of(&with_cycle), [["a/c.rs", "a/d.rs"].map(PathBuf::from)]);
}
