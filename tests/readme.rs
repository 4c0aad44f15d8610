//! The README keeps its word: its example settings are right, and its tables leave no option out.

use std::collections::BTreeSet;
use std::fs;
use std::process::Command;

use millpond::config::model::{Key, Role, Tunnel};
use millpond::config::{Parsed, parse};

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
        // With 'main' in quotes: what is in none is part of a script, which is tried by itself.
        if line.starts_with("    config millpond '") {
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

/// What the ten minutes' page has people paste on their server: its settings are good, and what it prints fits them.
#[test]
fn the_ten_minutes_script_makes_two_ends_that_fit() {
    if Command::new("wg").arg("--version").output().is_err() {
        println!("skipped the_ten_minutes_script_makes_two_ends_that_fit: there is no wg on PATH");
        return;
    }
    let (_, after) = README.split_once("tests/readme.rs runs it -->\n\n").expect("the script");
    let lines = after.lines().take_while(|line| line.starts_with("    "));
    let script: String = lines.map(|line| format!("{}\n", &line[4..])).collect();
    let folder = std::env::temp_dir().join(format!("millpond-readme-{}", std::process::id()));
    fs::create_dir_all(&folder).unwrap();
    let path = folder.join("settings");
    let script = script
        .replace("/etc/config/millpond", path.to_str().unwrap())
        .replace("millpond check", &format!("{} check --config {} >&2", env!("CARGO_BIN_EXE_millpond"), path.display()))
        .replace("systemctl restart millpond", "echo started >&2");
    let output = Command::new("sh").args(["-euc", &script]).output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && said.ends_with(": good\nstarted\n"), "{said}");
    let endpoint = parse(&fs::read(&path).unwrap()).settings.expect("settings");
    fs::remove_dir_all(&folder).unwrap();
    // As the page reads it.
    let printed = String::from_utf8(output.stdout).unwrap();
    let value = |key: &str| {
        let line = printed.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix(" = "));
        line.unwrap_or_else(|| panic!("no {key} in {printed}")).to_owned()
    };
    let router = format!(
        "config millpond main\noption enabled 1\nconfig tunnel tunnel\noption private_key {}\noption public_key {}\n\
         option endpoint {}\noption address {}\noption peer_address {}\n",
        value("PrivateKey"),
        value("PublicKey"),
        value("Endpoint"),
        value("Address"),
        value("AllowedIPs").trim_end_matches("/32")
    );
    let router = parse(router.as_bytes());
    assert_eq!(router.problems, []);
    let (Some(Tunnel::Wireguard(near)), Some(Tunnel::Wireguard(far))) =
        (router.settings.unwrap().tunnel, endpoint.tunnel)
    else {
        panic!("two ends of WireGuard");
    };
    let home = &endpoint.homes[0];
    assert_eq!((near.address, near.peer_address), (home.address, Some(far.address)));
    let public = |private: &Key| {
        let shell = format!("echo '{}' | wg pubkey", private.to_base64());
        let output = Command::new("sh").args(["-c", &shell]).output().unwrap();
        String::from_utf8(output.stdout).unwrap().trim().to_owned()
    };
    assert_eq!(home.public_key.as_ref().map(Key::to_base64), Some(public(&near.private_key)));
    assert_eq!(near.public_key.as_ref().map(Key::to_base64), Some(public(&far.private_key)));
    assert_eq!(near.endpoint.map(|host| host.port), Some(far.listen_port.unwrap_or(51820)));
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
