//! The documents are true: their examples parse, their tables agree with the program, and what they point at exists.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use millpond::config::join::Invitation;
use millpond::config::model::{Level, Role, Settings};
use millpond::config::{Parsed, parse};
use millpond::daemon::ProblemCode;
use millpond::daemon::request::{ArgumentValue, Format, REQUESTS, RequestSpec, line};
use millpond::law::Law;
use millpond::units::BitsPerSec;
use millpond::wire::control::{ControlMessage, ShapingGrant, ShapingRequest};

const SETTINGS: &str = include_str!("../docs/configuration.md");
const COMMANDS: &str = include_str!("../docs/commands.md");
const PROTOCOL: &str = include_str!("../docs/protocol.md");
const UBUS: &str = include_str!("../docs/ubus.md");
const SHIPPED: &str = include_str!("../files/etc/config/millpond");
const ENDPOINT: &str = include_str!("../files/etc/millpond/endpoint.example");
const LUCI_WORDS: &str = include_str!("../luci-app/htdocs/luci-static/resources/millpond/words.js");
const LUCI_SETTINGS: &str = include_str!("../luci-app/htdocs/luci-static/resources/view/millpond/settings.js");

/// Keys for the examples' places. None of them is anybody's.
const KEYS: [(&str, &str); 4] = [
    ("PRIVATE KEY OF THE SERVER", "AQIDBAUGBwgJCgsMDQ4PEBESExQVFhcYGRobHB0eHyA="),
    ("PUBLIC KEY OF THE SERVER", "ISIjJCUmJygpKissLS4vMDEyMzQ1Njc4OTo7PD0+P0A="),
    ("PRIVATE KEY OF THE ROUTER", "QUJDREVGR0hJSktMTU5PUFFSU1RVVldYWVpbXF1eX2A="),
    ("PUBLIC KEY OF THE ROUTER", "YWJjZGVmZ2hpamtsbW5vcHFyc3R1dnd4eXp7fH1+f4A="),
];

/// Lines and columns of the front page.
const MAX_README_LINES: usize = 150;
const MAX_COLUMNS: usize = 120;

/// Of the examples of messages.
const RATE: BitsPerSec = BitsPerSec(320_000);

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

// ---- settings ----

/// The indented blocks that hold settings, each from `config millpond` to the next line that is not indented.
fn examples() -> Vec<Parsed> {
    let mut blocks: Vec<String> = Vec::new();
    let mut inside = false;
    for line in SETTINGS.lines() {
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
fn example_settings_have_no_problem() {
    let mut roles = Vec::new();
    for parsed in examples() {
        assert_eq!(parsed.problems, []);
        let settings = parsed.settings.expect("settings");
        assert!(settings.enabled && settings.tunnel.is_some());
        roles.push(settings.role);
    }
    assert_eq!(roles, [Role::Endpoint, Role::Router]);
}

/// A row of an options table.
struct OptionRow {
    /// Type of the section that the row is under.
    section: String,
    is_list: bool,
    name: String,
    values: String,
    default: String,
}

/// All rows under headings `## config TYPE`.
fn option_rows() -> Vec<OptionRow> {
    let mut rows = Vec::new();
    let mut section = None;
    for line in SETTINGS.lines() {
        if let Some(heading) = line.strip_prefix("## ") {
            section = heading.strip_prefix("config ").and_then(|rest| rest.split_whitespace().next());
        }
        let Some(section) = section.filter(|_| line.starts_with("| `")) else { continue };
        let cells: Vec<&str> = line.trim_matches(['|', ' ']).split(" | ").map(str::trim).collect();
        let [option, values, default, _] = cells[..] else { panic!("want four cells: {line}") };
        let option = option.trim_matches('`');
        rows.push(OptionRow {
            section: section.to_owned(),
            is_list: option.starts_with("list "),
            name: option.trim_start_matches("list ").to_owned(),
            values: values.to_owned(),
            default: default.to_owned(),
        });
    }
    rows
}

/// A file that is right, with `lines` added to its first section of that type.
fn file_with(section: &str, lines: &str) -> String {
    let key = KEYS[0].1;
    let role = if section == "home" { "endpoint" } else { "router" };
    let sections = [
        ("millpond", format!("config millpond 'main'\n option role '{role}'\n option level 'custom'\n")),
        ("tunnel", format!("config tunnel 'tunnel'\n option private_key '{key}'\n option address '10.77.0.1/16'\n")),
        ("dns", "config dns 'dns'\n".to_owned()),
        ("device", "config device\n option mac '18:b4:30:26:34:40'\n".to_owned()),
        ("network", "config network\n option name 'iot'\n".to_owned()),
        ("level", "config level 'saver'\n option upload '80'\n option download '80'\n".to_owned()),
        ("schedule", "config schedule\n option start '01:00'\n option stop '02:00'\n option level 'off'\n".to_owned()),
        ("wan", "config wan\n option network 'wwan'\n option level 'saver'\n".to_owned()),
        (
            "burst",
            "config burst\n list device '18:b4:30:26:34:40'\n option upload '800'\n option download '800'\n".to_owned(),
        ),
        ("home", format!("config home\n option public_key '{}'\n option address '10.77.0.2'\n", KEYS[1].1)),
    ];
    let mut text = String::new();
    for (name, lines_of_section) in sections {
        text.push_str(&lines_of_section);
        if name == section {
            text.push_str(lines);
        }
    }
    text
}

/// Errors of a value, those of other options and warnings left out.
fn errors_of(row: &OptionRow, value: &str) -> Vec<String> {
    let keyword = if row.is_list { "list" } else { "option" };
    let of_interface = ["interface", "overhead", "unencrypted"].contains(&row.name.as_str());
    let kind = if of_interface { " option type 'interface'\n option interface 'wg0'\n" } else { "" };
    // A later line of one option takes the place of the earlier one.
    let parsed = parse(file_with(&row.section, &format!("{kind} {keyword} {} '{value}'\n", row.name)).as_bytes());
    let about = |problem: &String| problem.contains(&format!(".{}:", row.name));
    parsed
        .problems
        .iter()
        .map(ToString::to_string)
        .filter(about)
        .filter(|text| !text.contains("no effect"))
        // Bounds on two options together, which the page explains below the table.
        .filter(|text| !text.contains("us apart") && !text.contains("same day as"))
        .filter(|text| !text.contains("slower than the base") && !text.contains("too fast for the trains"))
        .collect()
}

#[test]
fn every_option_of_the_parser_is_documented_and_no_other() {
    let mut known: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for (file, constant, section) in [
        ("general", "OPTIONS", "millpond"),
        ("tunnel", "OPTIONS", "tunnel"),
        ("dns", "OPTIONS", "dns"),
        ("device", "DEVICE_OPTIONS", "device"),
        ("device", "NETWORK_OPTIONS", "network"),
        ("level", "OPTIONS", "level"),
        ("schedule", "OPTIONS", "schedule"),
        ("wan", "OPTIONS", "wan"),
        ("burst", "OPTIONS", "burst"),
        ("home", "OPTIONS", "home"),
    ] {
        let path = root().join(format!("src/config/parse/{file}.rs"));
        let text = fs::read_to_string(&path).expect("a readable source file");
        let start = text.find(&format!("\nconst {constant}: [")).expect("the list of options") + 1;
        let list = &text[start..start + text[start..].find("];").expect("the list's end")];
        let names = list.split('"').skip(1).step_by(2).map(str::to_owned);
        known.insert(section.to_owned(), names.collect());
    }
    let mut documented: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for row in option_rows() {
        assert!(documented.entry(row.section).or_default().insert(row.name.clone()), "{} has two rows", row.name);
    }
    assert_eq!(documented, known, "docs/configuration.md has a row for each option that src/config/parse knows");
}

/// Words in backticks are values that the parser takes; the ends of a range are taken, and what lies beyond is refused.
#[test]
fn documented_values_are_accepted_and_others_refused() {
    let mut checked = 0;
    for row in option_rows() {
        let range = row.values.split_whitespace().next().and_then(|first| first.split_once("..="));
        if let Some((least, most)) = range {
            let (least, most): (u64, u64) = (least.parse().expect("a number"), most.parse().expect("a number"));
            for good in [least, most] {
                assert_eq!(errors_of(&row, &good.to_string()), [""; 0], "{}.{} {good}", row.section, row.name);
            }
            for bad in least.checked_sub(1).into_iter().chain([most + 1]) {
                assert_ne!(errors_of(&row, &bad.to_string()), [""; 0], "{}.{} {bad}", row.section, row.name);
            }
            checked += 1;
        } else if row.values.split('`').step_by(2).all(|between| between.trim().is_empty()) {
            let words: Vec<&str> = row.values.split('`').skip(1).step_by(2).collect();
            if words.iter().any(|word| word.contains([':', ' '])) {
                continue;
            }
            for word in &words {
                assert_eq!(errors_of(&row, word), [""; 0], "{}.{} {word}", row.section, row.name);
            }
            assert_ne!(errors_of(&row, "nonsense"), [""; 0], "{}.{}", row.section, row.name);
            checked += 1;
        }
    }
    assert!(checked > 20, "only {checked} rows could be checked");
}

/// An option that is set to its documented default changes nothing.
#[test]
fn documented_defaults_hold() {
    let settings = |text: String| -> Settings { parse(text.as_bytes()).settings.expect("settings") };
    let mut checked = 0;
    for row in option_rows() {
        let Some(default) = row.default.strip_prefix('`').and_then(|rest| rest.strip_suffix('`')) else { continue };
        if default.contains('`') || default.contains("NAME") || row.name == "level" {
            continue;
        }
        let keyword = if row.is_list { "list" } else { "option" };
        let set = settings(file_with(&row.section, &format!(" {keyword} {} '{default}'\n", row.name)));
        assert_eq!(set, settings(file_with(&row.section, "")), "{}.{} {default}", row.section, row.name);
        checked += 1;
    }
    assert!(checked > 15, "only {checked} rows could be checked");
    let level = |text: &str| parse(text.as_bytes()).settings.expect("settings").level;
    assert_eq!(level("config millpond 'main'\n"), Level::Balanced);
}

#[test]
fn every_option_of_the_shipped_files_is_documented() {
    let documented: BTreeSet<String> = option_rows().into_iter().map(|row| row.name).collect();
    let mut seen = 0;
    for line in [SHIPPED, ENDPOINT].iter().flat_map(|text| text.lines()) {
        let mut words = line.trim_start_matches(['#', '\t']).split_whitespace();
        if let (Some("option" | "list"), Some(option)) = (words.next(), words.next()) {
            assert!(documented.contains(option), "{option} has no row in docs/configuration.md");
            seen += 1;
        }
    }
    assert!(seen > 40, "only {seen} options found");
}

// ---- levels and laws: the program is the source ----

/// Upload and download in kbit/s.
fn rates(level: &str) -> (u64, u64) {
    let shape = parse(format!("config millpond 'main'\n option level '{level}'\n").as_bytes()).settings.unwrap().shape;
    (shape.upload.0 / 1000, shape.download.0 / 1000)
}

#[test]
fn the_rates_of_the_levels_are_the_same_everywhere() {
    let readme = fs::read_to_string(root().join("README.md")).expect("a README");
    for (level, suits) in
        [("saver", "plugs, lamps, sensors"), ("balanced", "and a speaker"), ("strict", "and a doorbell")]
    {
        let (up, down) = rates(level);
        let settings = parse(format!("config millpond 'main'\n option level '{level}'\n").as_bytes()).settings.unwrap();
        let (upload, download) = (settings.shape.upload, settings.shape.download);
        let gigabytes = (upload.bytes_in_month() + download.bytes_in_month()) as f64 / 1e9;
        let interval = |rate: BitsPerSec| format!("{:.0} ms", rate.interval(508).as_millis_f64());
        let row = format!(
            "| `{level}` | {up} kbit/s | {down} kbit/s | {gigabytes:.0} GB | {}, {} | {suits} |",
            interval(upload),
            interval(download)
        );
        assert!(SETTINGS.contains(&row), "docs/configuration.md, want: {row}");
        assert!(readme.contains(&row), "README.md, want: {row}");
        let shipped = SHIPPED.replace("\n\t#", "");
        assert!(
            shipped.contains(&format!("{level} {up} and {down} ({suits})")),
            "the shipped settings, {level}: {up} and {down} ({suits})"
        );
        let words = LUCI_WORDS.lines().find(|line| line.trim_start().starts_with(&format!("{level}: ["))).unwrap();
        let want = format!(", {up}, {down}, _('{suits}') ]");
        assert!(words.contains(&want), "words.js, {level}: want {want}: {words}");
    }
}

#[test]
fn every_law_is_documented_and_offered() {
    for law in Law::ALL {
        let name = law.name();
        let row = SETTINGS.lines().find(|line| line.starts_with(&format!("| `{name}` |")));
        let row = row.unwrap_or_else(|| panic!("docs/configuration.md lacks a row for law {name}"));
        if law.has_spread() {
            let (least, most) = law.spread_range().into_inner();
            let spread = format!("| {least}..={most} % | {} % |", law.default_spread());
            assert!(row.contains(&spread), "want {spread}: {row}");
        } else {
            assert!(row.contains("| none | none |"), "want no spread: {row}");
        }
        assert!(LUCI_SETTINGS.contains(&format!("'{name}'")), "LuCI's settings lack law {name}");
        assert!(SHIPPED.contains(name), "the shipped settings lack law {name}");
    }
}

// ---- commands, codes ----

/// Text under a heading, up to the next one of the same level.
fn section<'a>(page: &'a str, heading: &str) -> Option<&'a str> {
    let start = page.find(&format!("\n## {heading}\n"))? + 1;
    let text = &page[start + 3..];
    Some(text.find("\n## ").map_or(text, |end| &text[..end]))
}

/// The options that `millpond WORDS --help` names.
fn help_options(words: &[&str]) -> (BTreeSet<String>, Vec<String>) {
    let output = Command::new(env!("CARGO_BIN_EXE_millpond")).args(words).arg("--help").output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{words:?} --help: {text}");
    let (mut options, mut commands) = (BTreeSet::new(), Vec::new());
    let mut in_commands = false;
    for line in text.lines() {
        in_commands = if line.starts_with(char::is_alphabetic) { line.starts_with("Commands:") } else { in_commands };
        let word = line.trim_start().trim_end_matches(',').split([',', ' ']).find(|word| word.starts_with("--"));
        if let Some(option) = word.filter(|_| line.starts_with("  ")) {
            options.insert(option.trim_matches(|c: char| !c.is_alphanumeric() && c != '-').to_owned());
        } else if in_commands && line.starts_with("  ") && !line.starts_with("   ") {
            commands.extend(line.split_whitespace().next().map(str::to_owned));
        }
    }
    options.remove("--help");
    (options, commands)
}

#[test]
fn every_command_and_each_of_its_options_is_documented() {
    let all = commands();
    assert!(all.len() >= 12, "{all:?}");
    for words in all {
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        let name = format!("millpond {}", words.join(" "));
        let text = section(COMMANDS, &name).unwrap_or_else(|| panic!("docs/commands.md has no heading '## {name}'"));
        for option in help_options(&words).0 {
            assert!(text.contains(&option), "docs/commands.md, {name}: {option} is missing");
        }
        assert!(words == ["endpoint"] || text.contains("    millpond "), "docs/commands.md, {name}: no example");
    }
}

/// The lines under `Examples:` in the help of a command.
fn help_examples(words: &[&str]) -> Vec<String> {
    let output = Command::new(env!("CARGO_BIN_EXE_millpond")).args(words).arg("--help").output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let lines = text.lines().skip_while(|line| *line != "Examples:").skip(1);
    lines.take_while(|line| line.starts_with("  ")).map(|line| line.trim().to_owned()).collect()
}

#[test]
fn the_help_of_every_command_has_one_example_which_the_page_repeats() {
    assert_eq!(help_examples(&[]), ["millpond status"]);
    for words in commands() {
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        let (name, examples) = (format!("millpond {}", words.join(" ")), help_examples(&words));
        let [example] = &examples[..] else { panic!("{name} --help: want one example, got {examples:?}") };
        assert!(example.contains(&name), "{name} --help: {example}");
        let text = if words == ["endpoint"] { COMMANDS } else { section(COMMANDS, &name).unwrap_or_default() };
        assert!(text.contains(&format!("    {example}\n")), "docs/commands.md, {name}: no line '{example}'");
    }
}

/// The words of every command.
fn commands() -> Vec<Vec<String>> {
    let (_, commands) = help_options(&[]);
    let of_endpoint =
        if commands.iter().any(|command| command == "endpoint") { help_options(&["endpoint"]).1 } else { Vec::new() };
    let words = commands.into_iter().map(|command| vec![command]);
    words.chain(of_endpoint.into_iter().map(|command| vec!["endpoint".to_owned(), command])).collect()
}

#[test]
fn every_problem_code_is_documented_with_its_severity() {
    let rows: BTreeMap<&str, &str> = UBUS
        .lines()
        .filter_map(|line| {
            let mut cells = line.strip_prefix("| `")?.split(" | ");
            Some((cells.next()?.trim_end_matches('`'), cells.next()?))
        })
        .collect();
    let mut codes = BTreeSet::new();
    for (code, severity) in ProblemCode::all().map(|code| (code.name(), code.severity())) {
        let documented = rows.get(code).unwrap_or_else(|| panic!("docs/ubus.md has no row for the problem {code}"));
        assert_eq!(documented.trim_matches('`'), severity, "docs/ubus.md: severity of {code}");
        codes.insert(code);
    }
    for (code, severity) in rows {
        let is_problem = ["error", "warning", "info"].contains(&severity.trim_matches('`'));
        assert!(!is_problem || codes.contains(code), "docs/ubus.md documents the problem {code}, which does not exist");
    }
}

/// The cells of each row of the table under `header`, without backticks.
fn table_rows(page: &str, header: &str) -> Vec<Vec<String>> {
    let (_, table) = page.split_once(&format!("\n{header}\n")).unwrap_or_else(|| panic!("no table '{header}'"));
    let rows = table.lines().skip(1).take_while(|line| line.starts_with('|'));
    let cells = |row: &str| row.trim_matches(['|', ' ']).split(" | ").map(|cell| cell.replace('`', "")).collect();
    rows.map(cells).collect()
}

#[test]
fn every_request_is_documented_as_the_daemon_understands_it() {
    let methods: Vec<&RequestSpec> = REQUESTS.iter().filter(|spec| spec.is_method).collect();
    let rows = table_rows(UBUS, "| method | arguments | answer |");
    assert_eq!(rows.len(), methods.len());
    for (row, spec) in rows.iter().zip(&methods) {
        let names: Vec<&str> = spec.arguments.iter().map(|argument| argument.name).collect();
        let names = if names.is_empty() { "none".to_owned() } else { names.join(", ") };
        assert!(row[0].starts_with(&format!("[{}](#", spec.name)), "{row:?}");
        assert_eq!(row[1..], [names, spec.answer.to_owned()], "{}", spec.name);
    }
    let rows = table_rows(UBUS, "| argument | type | default | meaning |");
    let mut documented = BTreeSet::new();
    for argument in methods.iter().flat_map(|spec| spec.arguments) {
        let (kind, default) = match argument.default {
            ArgumentValue::Format(Format::Values) => ("string", "values".to_owned()),
            ArgumentValue::Number(number) => ("integer", number.to_string()),
            ArgumentValue::Flag(flag) => ("boolean", flag.to_string()),
            ArgumentValue::Level(level) => ("string", level.name().to_owned()),
            other => panic!("{}: docs/ubus.md has no word for {other:?}", argument.name),
        };
        let row = [argument.name, kind, &default, &argument.meaning.replace('`', "")].map(str::to_owned);
        assert!(rows.contains(&row.to_vec()), "docs/ubus.md has no row {row:?}");
        documented.insert(argument.name);
    }
    assert_eq!(rows.len(), documented.len());
    let mut lines: Vec<String> =
        table_rows(UBUS, "| request | answer |").into_iter().map(|mut row| row.remove(0)).collect();
    let is_of_endpoints = |line: &str| ["metrics", "lateness"].iter().any(|name| line.starts_with(name));
    lines.retain(|line| cfg!(feature = "endpoint") || !is_of_endpoints(line));
    assert_eq!(lines, REQUESTS.iter().map(line::usage).collect::<Vec<_>>());
}

/// A code that is missing in the list of all codes could be documented nowhere without a test that fails.
#[test]
fn the_list_of_problem_codes_is_complete() {
    let mut in_source = BTreeSet::new();
    for file in ["src/daemon/problem.rs", "src/plan/preflight.rs"] {
        let text = fs::read_to_string(root().join(file)).expect("a readable source file");
        let start = text.find("pub fn name(").expect("the names of the codes");
        let body = &text[start..start + text[start..].find("\n    }\n").expect("the end of the function")];
        in_source.extend(body.split("=> \"").skip(1).filter_map(|rest| rest.split('"').next()).map(str::to_owned));
    }
    let listed: BTreeSet<String> = ProblemCode::all().map(|code| code.name().to_owned()).collect();
    assert_eq!(listed, in_source);
}

// ---- protocol ----

/// The page is enough for a second implementation, so the program has to read and write its examples.
#[test]
fn the_examples_of_the_protocol_are_what_the_program_speaks() {
    let hex = |text: &str| -> Vec<u8> {
        text.split_whitespace().map(|byte| u8::from_str_radix(byte, 16).expect("two hexadecimal digits")).collect()
    };
    let quoted =
        PROTOCOL.lines().flat_map(|line| line.split('`')).map(str::trim).filter(|text| text.starts_with("c1 0"));
    let blocks: Vec<Vec<u8>> = quoted.filter(|text| text.len() > 30).map(hex).collect();
    let request = ShapingRequest {
        id: 0x0102,
        law: Law::Kernel,
        spread_percent: 33,
        cell_bytes: 512,
        rate: RATE,
        cover: true,
        trains: [1; 2],
    };
    let grant = ShapingGrant {
        id: 0x0102,
        law: Law::Kernel,
        cell_bytes: 512,
        rate: RATE,
        cells_received: 1000,
        cells_lost: 5,
        trains: [1; 2],
    };
    let messages = [ControlMessage::ShapingRequest(request), ControlMessage::ShapingGrant(grant)];
    assert_eq!(blocks.len(), messages.len(), "{blocks:02x?}");
    for (block, message) in blocks.iter().zip(messages) {
        assert_eq!(ControlMessage::parse(block), Ok(message));
        let mut written = vec![0xff; message.buffer_len()];
        message.emit(&mut written);
        assert_eq!(written, *block);
    }
    let start = PROTOCOL.find("\nmillpond1-").expect("an example of a join text") + 1;
    let text = &PROTOCOL[start..start + PROTOCOL[start..].find("```").expect("the end of the block")];
    let invitation = Invitation::from_text(text).expect("a join text");
    assert_eq!(invitation.name, "maple street");
    assert_eq!(invitation.to_text(), text.split_whitespace().collect::<String>());
}

// ---- pages ----

/// The pages, with their paths from the project's root.
fn pages() -> Vec<(PathBuf, String)> {
    let mut paths = vec!["README.md", "CHANGELOG.md", "CONTRIBUTING.md", "SECURITY.md"]
        .into_iter()
        .map(PathBuf::from)
        .collect::<Vec<_>>();
    for entry in fs::read_dir(root().join("docs")).expect("docs") {
        let name = entry.expect("an entry").file_name();
        paths.push(Path::new("docs").join(name));
    }
    paths.sort();
    let read = |path: PathBuf| (path.clone(), fs::read_to_string(root().join(path)).expect("a readable page"));
    paths.into_iter().map(read).collect()
}

/// The anchors of a page: its headings, as web views of Markdown name them.
fn anchors(text: &str) -> BTreeSet<String> {
    let mut anchors = BTreeSet::new();
    for heading in text.lines().filter(|line| line.starts_with('#')) {
        let heading = heading.trim_start_matches('#').trim().to_lowercase();
        let kept = heading.chars().filter(|c| c.is_alphanumeric() || [' ', '-', '_'].contains(c));
        let anchor: String = kept.map(|c| if c == ' ' { '-' } else { c }).collect();
        let again = (1..).map(|n| format!("{anchor}-{n}")).find(|other| !anchors.contains(other));
        if !anchors.insert(anchor) {
            anchors.extend(again);
        }
    }
    anchors
}

#[test]
fn every_link_leads_somewhere() {
    let pages = pages();
    let by_path: BTreeMap<&Path, &str> = pages.iter().map(|(path, text)| (path.as_path(), text.as_str())).collect();
    let (mut links, mut faults) = (0, Vec::new());
    for (path, text) in &pages {
        for target in text.split("](").skip(1).filter_map(|rest| rest.split(')').next()) {
            if target.starts_with("http") || target.starts_with("mailto:") {
                continue;
            }
            links += 1;
            let (file, anchor) = target.split_once('#').unwrap_or((target, ""));
            let linked =
                if file.is_empty() { path.clone() } else { normal(&path.parent().unwrap_or(Path::new("")).join(file)) };
            if !root().join(&linked).exists() {
                faults.push(format!("{}: {target} does not exist", path.display()));
            } else if !anchor.is_empty() && !by_path.get(&*linked).is_some_and(|text| anchors(text).contains(anchor)) {
                faults.push(format!("{}: {target}: no such heading", path.display()));
            }
        }
    }
    assert!(links > 60, "only {links} links found");
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

/// A path without `..`.
fn normal(path: &Path) -> PathBuf {
    let mut parts: Vec<&str> = Vec::new();
    for part in path.iter().map(|part| part.to_str().expect("UTF-8")) {
        match part {
            "." => {}
            ".." => _ = parts.pop(),
            part => parts.push(part),
        }
    }
    parts.iter().collect()
}

/// Whatever looks like a path of the project, in documents, comments, scripts and error messages, is one.
#[test]
fn every_path_of_the_project_that_a_text_names_exists() {
    const FOLDERS: [&str; 8] = ["src/", "tests/", "docs/", "files/", "luci-app/", "cross/", "openwrt/", ".ci/"];
    // Left by a build, or a placeholder of an explanation.
    const MADE: [&str; 3] = ["tests/fuzz/artifacts", "tests/fuzz/corpus", "tests/fuzz/target"];
    // OpenVPN's sources, QEMU's documents, and a word of opkg's.
    const FOREIGN: [&str; 3] = ["src/openvpn/", "docs/devel/", "src/gz"];
    let (mut paths, mut faults) = (0, BTreeSet::new());
    for (file, text) in texts().into_iter().filter(|(file, _)| file != Path::new(file!())) {
        for (number, line) in text.lines().enumerate() {
            for folder in FOLDERS {
                for (at, _) in line.match_indices(folder) {
                    let before = line[..at].chars().next_back();
                    if before.is_some_and(|c| c.is_alphanumeric() || "/_-.$}~".contains(c)) {
                        continue;
                    }
                    let end = |c: char| !(c.is_alphanumeric() || "/_-.+@".contains(c));
                    let rest = &line[at..];
                    let (name, after) = rest.split_at(rest.find(end).unwrap_or(rest.len()));
                    let name = name.trim_end_matches(['.', '/']);
                    let is_placeholder = after.starts_with(['*', '{', '$', '<', '['])
                        || name
                            .split(['/', '.'])
                            .any(|part| part.len() > 1 && part.chars().all(|c| c.is_uppercase() || c == '_'));
                    if is_placeholder
                        || name.len() < folder.len()
                        || MADE.iter().chain(&FOREIGN).any(|other| name.starts_with(other))
                    {
                        continue;
                    }
                    paths += 1;
                    if !root().join(name).exists() {
                        faults.insert(format!("{}:{}: {name}", file.display(), number + 1));
                    }
                }
            }
        }
    }
    assert!(paths > 200, "only {paths} paths found");
    let faults: Vec<String> = faults.into_iter().collect();
    assert!(faults.is_empty(), "these paths do not exist:\n{}", faults.join("\n"));
}

/// All texts of the project: sources, scripts, settings and pages. The changelog may speak of what is gone.
fn texts() -> Vec<(PathBuf, String)> {
    fn walk(folder: &Path, found: &mut Vec<PathBuf>) {
        const SKIPPED: [&str; 6] = ["target", "node_modules", ".git", "corpus", "artifacts", "golden"];
        for entry in fs::read_dir(folder).expect("a readable folder") {
            let path = entry.expect("an entry").path();
            let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            if path.is_dir() && !path.is_symlink() && !SKIPPED.contains(&name.as_str()) {
                walk(&path, found);
            } else if path.is_file() && name != "Cargo.lock" && name != "CHANGELOG.md" && name != "LICENSE" {
                found.push(path);
            }
        }
    }
    let mut paths = Vec::new();
    walk(root(), &mut paths);
    paths.sort();
    let read = |path: PathBuf| {
        let text = fs::read_to_string(&path).ok()?;
        Some((path.strip_prefix(root()).expect("a path of the project").to_path_buf(), text))
    };
    paths.into_iter().filter_map(read).collect()
}

/// The threat model says which test holds each promise.
#[test]
fn every_test_that_the_threat_model_names_exists() {
    let is_rust = |path: &Path| path.extension().is_some_and(|extension| extension == "rs");
    let code: String = texts().into_iter().filter(|(path, _)| is_rust(path)).map(|(_, text)| text).collect();
    let page = fs::read_to_string(root().join("docs/threat-model.md")).expect("a threat model");
    let is_name = |word: &&str| {
        word.matches('_').count() >= 3 && word.chars().all(|c| c.is_lowercase() || c == '_' || c.is_numeric())
    };
    let names: BTreeSet<&str> = page.split('`').skip(1).step_by(2).filter(is_name).collect();
    assert!(names.len() > 10, "only {} names of tests found", names.len());
    let missing: Vec<_> = names.into_iter().filter(|name| !code.contains(&format!("fn {name}("))).collect();
    assert!(missing.is_empty(), "docs/threat-model.md names tests that do not exist: {missing:?}");
}

#[test]
fn the_front_page_fits_on_a_screen_or_two() {
    let text = fs::read_to_string(root().join("README.md")).expect("a README");
    let lines = text.lines().count();
    assert!(lines <= MAX_README_LINES, "README.md has {lines} lines, want at most {MAX_README_LINES}");
    let long = text.lines().position(|line| line.chars().count() > MAX_COLUMNS);
    assert_eq!(long.map(|at| at + 1), None, "a line of README.md has more than {MAX_COLUMNS} characters");
    for (path, _) in pages() {
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let linked = text.contains(&format!("({})", path.display())) || text.contains(&format!("({}#", path.display()));
        assert!(name == "README.md" || linked, "README.md does not lead to {}", path.display());
    }
}
