//! The README keeps its word: its example settings are right, and its tables leave no option out.

use std::collections::BTreeSet;

use millpond::config::{Parsed, model::Role, parse};

const README: &str = include_str!("../README.md");
const SHIPPED: &str = include_str!("../files/etc/config/millpond");
const ENDPOINT: &str = include_str!("../files/etc/millpond/endpoint.example");
const KEYS: [(&str, &str); 4] = [
    ("PRIVATE KEY OF THE SERVER", "AQIDBAUGBwgJCgsMDQ4PEBESExQVFhcYGRobHB0eHyA="),
    ("PUBLIC KEY OF THE SERVER", "ISIjJCUmJygpKissLS4vMDEyMzQ1Njc4OTo7PD0+P0A="),
    ("PRIVATE KEY OF THE ROUTER", "QUJDREVGR0hJSktMTU5PUFFSU1RVVldYWVpbXF1eX2A="),
    ("PUBLIC KEY OF THE ROUTER", "YWJjZGVmZ2hpamtsbW5vcHFyc3R1dnd4eXp7fH1+f4A="),
];

/// The indented blocks that hold settings, each whole: from `config millpond` to the next unindented line.
fn examples() -> Vec<Parsed> {
    let mut blocks: Vec<String> = Vec::new();
    let mut inside = false;
    for line in README.lines() {
        if line.starts_with("    config millpond") {
            blocks.push(String::new());
            inside = true;
        } else if !line.is_empty() && !line.starts_with("    ") {
            inside = false;
        }
        if let Some(block) = blocks.last_mut().filter(|_| inside) {
            block.push_str(line);
            block.push('\n');
        }
    }
    let filled = |block: &String| KEYS.iter().fold(block.clone(), |text, (name, key)| text.replace(name, key));
    blocks.iter().map(|block| parse(filled(block).as_bytes())).collect()
}

#[test]
fn example_settings_are_right() {
    let examples = examples();
    let mut roles = Vec::new();
    for parsed in examples {
        assert_eq!(parsed.problems, []);
        let settings = parsed.settings.expect("settings");
        assert!(settings.enabled && settings.tunnel.is_some());
        roles.push(settings.role);
    }
    assert_eq!(roles, [Role::Endpoint, Role::Router]);
}

#[test]
fn every_option_is_in_a_table() {
    let options: BTreeSet<&str> = [SHIPPED, ENDPOINT]
        .iter()
        .flat_map(|text| text.lines())
        .filter_map(|line| {
            let mut words = line.trim_start_matches(['#', '\t']).split_whitespace();
            (words.next() == Some("option")).then(|| words.next()).flatten()
        })
        .collect();
    assert!(options.len() > 25, "{options:?}");
    let table: String = README.lines().filter(|line| line.starts_with("| `")).collect();
    for option in options {
        assert!(table.contains(&format!("`{option}`")), "{option} is not in the README's tables");
    }
}
