//! Complete files: the shipped ones, one with every error, and randomly damaged ones.

mod notations;
#[cfg(feature = "endpoint")]
mod own;
mod services;
mod tunnel;

use rand::rngs::ChaCha8Rng;
use rand::{RngExt, SeedableRng};

use super::{Parsed, parse};
use crate::config::model::*;
use crate::config::printable::is_printable;
use crate::config::problem::Severity;
use crate::law::Law;
use crate::units::BitsPerSec;

const SHIPPED: &str = include_str!("../../../files/etc/config/millpond");
const ENDPOINT: &str = include_str!("../../../files/etc/millpond/endpoint.example");
const PRIVATE: &str = "AQIDBAUGBwgJCgsMDQ4PEBESExQVFhcYGRobHB0eHyA=";
const PUBLIC: &str = "ISIjJCUmJygpKissLS4vMDEyMzQ1Njc4OTo7PD0+P0A=";
const ROUTER: &str = "\
config millpond 'main'
	option enabled '1'
	option role 'router'
	option level 'custom'
	option upload '200'
	option download '400'
	option cell '600'
	option law 'normal'
	option data_cap '250'
	option billing_day '15'

config tunnel 'tunnel'
	option type 'wireguard'
	option private_key 'AQIDBAUGBwgJCgsMDQ4PEBESExQVFhcYGRobHB0eHyA='
	option public_key 'ISIjJCUmJygpKissLS4vMDEyMzQ1Njc4OTo7PD0+P0A='
	option endpoint '[2001:db8::1]:51820'
	option address '10.77.0.2/32'
	option peer_address '10.77.0.1'

config dns 'dns'
	option mode 'tunnel'
	list server '9.9.9.9'
	list server '2620:fe::fe'

config device
	option name 'Front door camera'
	option mac '18:B4:30:26:34:40'

config device 'plug'
	option address '192.168.1.7'
	option policy 'block'

config network
	option name 'iot'
	option policy 'shape'

config schedule
	list day 'mon'
	list day 'sun'
	option start '22:00'
	option stop '06:00'
	option level 'off'

config schedule
	option start '08:00'
	option stop '09:30'
	option level 'strict'
";

fn lines(parsed: &Parsed) -> Vec<String> {
    parsed.problems.iter().map(|p| p.at("f").to_string()).collect()
}

/// Parses `ROUTER` with the first line of `option` replaced by `line`.
fn router_with(option: &str, line: &str) -> Parsed {
    parse(router_text(option, line).as_bytes())
}

fn router_text(option: &str, line: &str) -> String {
    let found = ROUTER.lines().filter(|l| l.contains(&format!(" {option} "))).count();
    assert!(found >= 1, "the base file has an option {option}");
    let mut text = String::new();
    for (i, l) in ROUTER.lines().enumerate() {
        let first = ROUTER.lines().position(|l| l.contains(&format!(" {option} "))) == Some(i);
        text.push_str(if first { line } else { l });
        text.push('\n');
    }
    text
}

#[test]
fn the_shipped_file_is_valid_and_disabled() {
    let parsed = parse(SHIPPED.as_bytes());
    assert_eq!(lines(&parsed), Vec::<String>::new());
    let settings = parsed.settings.expect("settings");
    assert!(!settings.enabled);
    assert_eq!(settings.tunnel, None);
    assert_eq!(settings.shape.upload, BitsPerSec::from_kbit(80));
}

#[test]
fn the_commented_options_of_the_shipped_file_are_valid() {
    let uncommented: String = SHIPPED
        .lines()
        .map(|line| {
            let bare = line.trim_start();
            let on =
                ["#option", "#list", "#config", "#\toption", "#\tlist"].iter().any(|start| bare.starts_with(start));
            if on { bare[1..].to_owned() + "\n" } else { line.to_owned() + "\n" }
        })
        .collect();
    let filled = uncommented
        .replace(":51820 KEY'", &format!(":51820 {PRIVATE}'"))
        .replace("private_key ''", &format!("private_key '{PRIVATE}'"))
        .replace("public_key ''", &format!("public_key '{PUBLIC}'"))
        .replace("preshared_key ''", &format!("preshared_key '{PUBLIC}'"));
    let parsed = parse(filled.as_bytes());
    let unexpected: Vec<_> = lines(&parsed).into_iter().filter(|line| !line.contains("no effect")).collect();
    assert_eq!(unexpected, Vec::<String>::new());
    let settings = parsed.settings.expect("settings");
    assert_eq!((settings.devices.len(), settings.networks.len(), settings.schedules.len()), (1, 1, 1));
    assert!(settings.tunnel.is_some());
    for option in ["upload", "download", "cell", "preshared_key", "backup", "profile", "interface", "server"] {
        assert!(SHIPPED.contains(option), "{option}");
    }
}

#[test]
fn the_endpoint_example_is_valid() {
    let parsed = parse(ENDPOINT.as_bytes());
    assert_eq!(lines(&parsed), Vec::<String>::new());
    let settings = parsed.settings.expect("settings");
    assert_eq!(settings.role, Role::Endpoint);
    assert_eq!(settings.homes.len(), 1);
    assert_eq!(settings.homes[0].name, "maple street");
    assert_eq!(settings.homes[0].max_download, BitsPerSec::from_kbit(4000));
    let Some(Tunnel::Wireguard(wireguard)) = settings.tunnel else { panic!("wireguard") };
    assert_eq!(wireguard.listen_port, Some(51820));
}

#[test]
fn a_router_file_parses_to_its_settings() {
    let parsed = parse(ROUTER.as_bytes());
    assert_eq!(lines(&parsed), Vec::<String>::new());
    let settings = parsed.settings.expect("settings");
    assert_eq!(settings.level, Level::Custom);
    let shape = Shape {
        upload: BitsPerSec(200_000),
        download: BitsPerSec(400_000),
        cell_bytes: 600,
        law: Law::Normal,
        spread_percent: 15,
        train: None,
    };
    assert_eq!(settings.shape, shape);
    assert_eq!((settings.data_cap_gb, settings.billing.day), (Some(250), 15));
    let Some(Tunnel::Wireguard(wireguard)) = settings.tunnel else { panic!("wireguard") };
    assert_eq!(wireguard.private_key, Key::from_base64(PRIVATE).expect("key"));
    assert_eq!(wireguard.endpoint, Some(HostPort { host: "2001:db8::1".to_owned(), port: 51820 }));
    assert_eq!(wireguard.peer_address, Some([10, 77, 0, 1].into()));
    assert_eq!(settings.dns.servers.len(), 2);
    assert_eq!(settings.devices[0].macs, [Mac([0x18, 0xb4, 0x30, 0x26, 0x34, 0x40])]);
    assert_eq!((settings.devices[1].name.as_str(), settings.devices[1].policy), ("192.168.1.7", Policy::Block));
    assert_eq!(settings.networks[0].name, "iot");
    let [night, morning] = &settings.schedules[..] else { panic!("two schedules") };
    assert_eq!(night.days, [true, false, false, false, false, false, true]);
    assert_eq!((night.start_minute, night.stop_minute, night.shape), (22 * 60, 6 * 60, None));
    let strict = Shape { upload: BitsPerSec(160_000), download: BitsPerSec(320_000), cell_bytes: 512, ..shape };
    assert_eq!(morning.shape, Some(strict));
}

#[test]
fn every_level_has_its_own_rates_and_the_same_law() {
    for (level, up, down) in [("saver", 30, 30), ("balanced", 80, 160), ("strict", 160, 320)] {
        let parsed = router_with("level", &format!("option level '{level}'"));
        assert_eq!(parsed.problems.len(), 3, "{:?}", lines(&parsed));
        assert!(parsed.problems.iter().all(|p| p.severity == Severity::Warning && p.text.contains("no effect")));
        let shape = parsed.settings.expect("settings").shape;
        assert_eq!((shape.upload, shape.download), (BitsPerSec::from_kbit(up), BitsPerSec::from_kbit(down)));
        assert_eq!((shape.cell_bytes, shape.law, shape.spread_percent), (512, Law::Normal, 15));
    }
}

#[test]
fn booleans_have_all_spellings_of_uci() {
    for (on, words) in [(true, ["1", "yes", "on", "true", "enabled"]), (false, ["0", "no", "off", "false", "disabled"])]
    {
        for word in words {
            let parsed = router_with("enabled", &format!("option enabled '{word}'"));
            assert_eq!(parsed.settings.map(|s| s.enabled), Some(on), "{word}");
        }
    }
}

#[test]
fn each_invalid_option_gives_its_own_error() {
    // The option, the line that replaces it, and the start of the only error.
    let cases = [
        ("enabled", "option enabled 'ja'", "main.enabled: not a boolean (got 'ja', want 1 or 0)"),
        ("role", "option role 'server'", "main.role: unknown value (got 'server', want router | endpoint)"),
        ("level", "option level 'off'", "main.level: only a schedule may have this level (got 'off'"),
        ("upload", "option upload '7'", "main.upload: out of range (got '7', want 8..=1000000 kbit/s)"),
        ("upload", "option upload '-8'", "main.upload: not a whole number (got '-8'"),
        ("upload", "option upload '99999999999999999999'", "main.upload: out of range"),
        (
            "upload",
            "option upload '1000000'\noption train '1'",
            "main.upload: cells would be less than 100 us apart (got '1000000', want at most 48000 kbit/s for cells of \
             600 bytes, or a larger train)",
        ),
        (
            "upload",
            "option upload '1000000'\noption train '20'",
            "main.upload: trains of 20 cells would be less than 100 us apart (got '1000000', want at most 960000",
        ),
        ("upload", "option upload '8000'\noption train '0'", "main.train: out of range (got '0', want 1..=64 cells)"),
        ("upload", "option upload '8000'\noption train '65'", "main.train: out of range"),
        ("upload", "option upload '8000'\noption train 'all'", "main.train: "),
        ("upload", "list upload '80'\nlist upload '90'", "main.upload: a list (got 2 values, want one"),
        ("cell", "option cell '159'", "main.cell: out of range"),
        ("cell", "option cell '1401'", "main.cell: out of range"),
        ("law", "option law 'uniform'", "main.law: unknown value (got 'uniform', want gamma | normal"),
        ("law", "option law 'normal'\noption spread '21'", "main.spread: out of range (got '21', want 5..=20 percent)"),
        ("law", "option law 'gamma'\noption spread '41'", "main.spread: out of range (got '41', want 5..=40 percent)"),
        ("billing_day", "option billing_day '29'", "main.billing_day: out of range"),
        ("private_key", "", "tunnel.private_key: missing"),
        ("private_key", "option private_key ''", "tunnel.private_key: missing"),
        ("public_key", "option public_key 'abc'", "tunnel.public_key: not a WireGuard key (got 3 characters"),
        ("endpoint", "option endpoint '2001:db8::1'", "tunnel.endpoint: IPv6 address without brackets and port"),
        ("endpoint", "option endpoint 'vpn.example.org'", "tunnel.endpoint: no port"),
        ("endpoint", "option endpoint 'vpn.example.org:0'", "tunnel.endpoint: bad port"),
        ("endpoint", "option endpoint '10.77.0.300:51820'", "tunnel.endpoint: not a host name"),
        ("endpoint", "option endpoint '10.77.0.1:51820'", "tunnel.endpoint: an address inside the tunnel"),
        ("endpoint", "option endpoint '[fe80::1%eth0]:1'", "tunnel.endpoint: a link-local address, which cannot be"),
        ("endpoint", "option endpoint 'fe80::1:51820'", "tunnel.endpoint: a link-local address, which cannot be"),
        ("endpoint", "option endpoint '2001:db8::1:8000'", "tunnel.endpoint: IPv6 address without brackets and port"),
        ("endpoint", "option endpoint 'http://host:8000'", "tunnel.endpoint: a web address (got 'http://host:8000'"),
        ("peer_address", "", "tunnel.peer_address: missing"),
        (
            "peer_address",
            "option peer_address '10.77.0.2'",
            "tunnel.peer_address: duplicate (got 10.77.0.2, already used by 'tunnel'",
        ),
        ("address", "option address '10.77.0.2/33'", "tunnel.address: bad prefix length"),
        ("address", "option address 'fd00::1'", "tunnel.address: not an IPv4 address"),
        ("server", "list server '127.0.0.1'", "dns.server: a loopback address"),
        ("server", "list server '::'", "dns.server: an unspecified address"),
        ("server", "list server '::ffff:127.0.0.1'", "dns.server: a loopback address"),
        ("server", "list server 'dns.example.org'", "dns.server: not an IP address"),
        ("name", "option name 'Door \u{202e}aremac'", "@device[0].name: has control characters, or marks that reverse"),
        ("name", "option name 'a\u{7}\u{61c}'", "@device[0].name: has control characters"),
        ("mac", "option mac '01:00:5e:00:00:01'", "@device[0].mac: a multicast MAC address"),
        ("mac", "option mac '18:b4:30:26:34'", "@device[0].mac: not a MAC address"),
        ("mac", "option mac '18:b4:30:26:34:40:11'", "@device[0].mac: not a MAC address"),
        ("mac", "", "@device[0]: no device selected"),
        ("policy", "option policy 'deny'", "plug.policy: unknown value (got 'deny', want shape | block | direct)"),
        ("start", "option start '24:00'", "@schedule[0].start: not a time of day"),
        ("stop", "option stop '08:01'", "@schedule[1]: overlaps '@schedule[0]' on line 37"),
        ("day", "list day 'mo'", "@schedule[0].day: unknown value (got 'mo', want mon | tue"),
        ("day", "option day 'mon montag'", "@schedule[0].day: unknown value (got 'montag', want mon | tue"),
        ("start", "option start '7:5'", "@schedule[0].start: not a time of day"),
        ("start", "option start '07:00:30'", "@schedule[0].start: not a time of day"),
        ("mac", "option mac '18b4.3026'", "@device[0].mac: not a MAC address"),
        ("mac", "option mac '18:b4-30:26:34:40'", "@device[0].mac: not a MAC address"),
        ("mac", "option mac '18:b4:30:26:34:440'", "@device[0].mac: not a MAC address"),
        ("mac", "option mac '18:b4:30:26:34:+4'", "@device[0].mac: not a MAC address"),
    ];
    for (option, line, want) in cases {
        let parsed = router_with(option, line);
        let errors: Vec<_> = parsed.problems.iter().filter(|p| p.severity == Severity::Error).collect();
        assert_eq!(errors.len(), 1, "{line}: {:?}", lines(&parsed));
        assert!(errors[0].to_string().starts_with(want), "{line}: {}", errors[0]);
        assert!(errors[0].to_string().chars().all(is_printable), "{line}: {}", errors[0]);
        assert_eq!(parsed.settings, None, "{line}");
    }
}

#[test]
fn adjacent_schedules_do_not_overlap() {
    let parsed = router_with("stop", "option stop '08:00'");
    assert_eq!(lines(&parsed), Vec::<String>::new());
}

/// A schedule of Sunday night ends on Monday morning.
#[test]
fn schedules_overlap_across_the_end_of_the_week() {
    let text = ROUTER.replace("\tlist day 'mon'\n", "").replace("option stop '06:00'", "option stop '08:30'");
    let parsed = parse(text.as_bytes());
    let [problem] = &parsed.problems[..] else { panic!("{:?}", lines(&parsed)) };
    assert!(problem.text.starts_with("overlaps '@schedule[0]'"), "{problem}");
}

#[test]
fn unknown_names_give_warnings_with_a_suggestion() {
    let text = format!("{ROUTER}\toption colour 'red'\n\toption leval 'x'\nconfig hole\nconfig thing\n");
    let parsed = parse(text.as_bytes());
    assert!(parsed.settings.is_some());
    let want = [
        "f:48: warning: @schedule[1].colour: unknown option, ignored",
        "f:49: warning: @schedule[1].leval: unknown option, ignored (did you mean 'level'?)",
        "f:50: warning: @hole[0]: unknown section type 'hole', ignored (did you mean 'home'?)",
        "f:51: warning: @thing[0]: unknown section type 'thing', ignored",
    ];
    assert_eq!(lines(&parsed), want);
}

#[test]
fn unreadable_devices_stay_confined() {
    let base = "config millpond main\noption enabled 1\noption upload x\nconfig device\noption mac 00:16:6c:ab:6b:88\n\
        option policy direct\n";
    for broken in
        ["option policy shpae", "option policy direct\noption policy ''", "option mac 7\noption address 192.0.2.5"]
    {
        let text = format!("{base}config device\noption mac 18:b4:30:26:34:40\n{broken}\n");
        let parsed = parse(text.as_bytes());
        assert_eq!(parsed.settings, None);
        let understood = parsed.understood.expect("a role");
        let policies: Vec<_> = understood.devices.iter().map(|device| device.policy).collect();
        assert_eq!(policies, [Policy::Direct, Policy::Shape], "{broken}");
        // Direct devices are not added.
        assert_eq!(understood.confined_by(&understood).devices.len(), 3);
    }
    let parsed = parse(format!("{base}config devise\noption mac 18:b4:30:26:34:40\n").as_bytes());
    let is_reported =
        |line: &String| line.ends_with("@devise[0]: unknown section type 'devise' (did you mean 'device'?)");
    assert!(lines(&parsed).iter().any(is_reported), "{:?}", lines(&parsed));
    assert_eq!(parse(b"config millpond main\noption role x\n").understood, None);
}

#[test]
fn a_disabled_file_may_be_incomplete_but_not_invalid() {
    let parsed = parse(b"config millpond main\n");
    assert!(parsed.settings.is_some_and(|s| !s.enabled), "{:?}", parsed.problems);
    let parsed = parse(b"config millpond main\nconfig tunnel tunnel\noption address 10.0.0\n");
    assert_eq!(lines(&parsed).len(), 1);
    assert_eq!(parsed.settings, None);
    assert_eq!(lines(&parse(b"")), ["f: main: missing section (want config millpond 'main')"]);
}

#[test]
fn every_error_is_reported_at_once() {
    let parsed = parse(include_bytes!("../../../tests/golden/many-errors.uci"));
    let got = lines(&parsed).join("\n") + "\n";
    assert_eq!(got, include_str!("../../../tests/golden/many-errors.txt"));
    assert!(parsed.problems.iter().filter(|p| p.severity == Severity::Error).count() >= 25);
    assert_eq!(parsed.settings, None);
}

/// Damaged files never cause a panic; they give either settings or errors.
#[test]
fn randomly_damaged_files_give_settings_or_errors() {
    let seed: u64 = std::env::var("MILLPOND_SEED").ok().and_then(|s| s.parse().ok()).unwrap_or(1);
    println!("seed {seed} (set MILLPOND_SEED for another)");
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let bases = [
        ROUTER.as_bytes(),
        ENDPOINT.as_bytes(),
        SHIPPED.as_bytes(),
        include_bytes!("../../../tests/golden/many-errors.uci"),
    ];
    let pieces: [&[u8]; 12] =
        [b"'", b"\"", b"\\", b"\n", b"#", b";", b"\0", b"\xff", b"config home\n", b"9999999999", b"list ", b"\r\n"];
    let (mut valid, mut invalid) = (0, 0);
    for round in 0..3000 {
        let mut text = bases[rng.random_range(0..bases.len())].to_vec();
        for _ in 0..rng.random_range(1..6) {
            let at = rng.random_range(0..text.len());
            let to = (at + rng.random_range(0..30)).min(text.len());
            match rng.random_range(0..4) {
                0 => text[at] = rng.random(),
                1 => drop(text.drain(at..to)),
                2 => {
                    let copy = text[at..to].to_vec();
                    let into = rng.random_range(0..text.len());
                    text.splice(into..into, copy);
                }
                _ => {
                    let piece = pieces[rng.random_range(0..pieces.len())];
                    text.splice(at..at, piece.iter().copied());
                }
            }
            if text.is_empty() {
                text.push(b'\n');
            }
        }
        let parsed = parse(&text);
        let errors = parsed.problems.iter().filter(|p| p.severity == Severity::Error).count();
        assert_eq!(parsed.settings.is_none(), errors > 0, "seed {seed} round {round}: {:?}", lines(&parsed));
        assert!(lines(&parsed).iter().all(|line| !line.contains('\n')), "seed {seed} round {round}");
        *if errors > 0 { &mut invalid } else { &mut valid } += 1;
    }
    assert!(valid > 100 && invalid > 100, "seed {seed}: want both outcomes often ({valid} valid, {invalid} invalid)");
}
