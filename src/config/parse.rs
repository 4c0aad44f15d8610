//! Parses a settings file into [`Settings`], or reports all its errors.

mod burst;
mod context;
mod device;
mod dns;
mod exit;
mod general;
mod home;
mod level;
mod reader;
mod schedule;
#[cfg(test)]
mod tests;
mod tunnel;
pub(super) mod value;
mod wan;

use self::context::Context;
use self::reader::{OptionUse, nearest};
pub use self::value::KeyFiles;
use super::model::{Level, LineRules, Role, Settings, Tunnel};
use super::problem::{SettingsProblem, Severity};
use super::uci::{self, Section};

/// The known section types.
const KINDS: [&str; 10] =
    ["millpond", "level", "tunnel", "dns", "device", "network", "schedule", "wan", "burst", "home"];

/// The result of parsing a settings file.
#[derive(Clone, Debug, PartialEq)]
pub struct Parsed {
    /// The settings; `None` if the file has an error.
    pub settings: Option<Settings>,
    /// The readable part of a file with errors; `None` if the file has none, or no valid role. Its devices and networks
    /// are confined at least as strictly as the file intends. Use it for [`Settings::confined_by`] only.
    pub understood: Option<Settings>,
    /// Errors and warnings, in line order.
    pub problems: Vec<SettingsProblem>,
}

/// Parses a settings file without key files. Reports every error of the file at once.
pub fn parse(text: &[u8]) -> Parsed {
    parse_with(text, &|_| Err("key files are not supported here".to_owned()))
}

/// Like [`parse`], but a key option may also hold the path of a key file, which keeps keys out of the settings that the
/// web interface reads.
pub fn parse_with(text: &[u8], key_files: KeyFiles<'_>) -> Parsed {
    let (sections, syntax_errors) = uci::parse(text);
    let mut problems: Vec<SettingsProblem> = syntax_errors
        .into_iter()
        .map(|e| SettingsProblem {
            severity: Severity::Error,
            section: e.section.unwrap_or_default(),
            option: None,
            line: e.line,
            text: e.text,
        })
        .collect();
    warn_of_unknown(&sections, &mut problems);
    let settings = settings(&sections, key_files, &mut problems);
    problems.sort_by_key(|problem| problem.line);
    let failed = problems.iter().any(|problem| problem.severity == Severity::Error);
    let (settings, understood) = if failed { (None, settings) } else { (settings, None) };
    Parsed { settings, understood, problems }
}

fn settings(sections: &[Section], key_files: KeyFiles<'_>, problems: &mut Vec<SettingsProblem>) -> Option<Settings> {
    let main = single(sections, "millpond", problems);
    if main.is_none() {
        problems.push(missing("main", "config millpond 'main'"));
    }
    let uses_custom = schedule::uses_custom(sections);
    let confirmed = level::read(of_kind(sections, "level"), problems);
    let general = general::read(main, confirmed, uses_custom, problems);
    let mut context = Context {
        enabled: general.enabled,
        role: general.role,
        tunnel: None,
        own_key: None,
        exit: general.exit.clone(),
        addresses: OptionUse::new(),
        addresses6: OptionUse::new(),
        key_files,
    };

    let mut address6 = None;
    let tunnel = match single(sections, "tunnel", problems) {
        Some(section) => {
            address6 = tunnel::read_address6(section, &mut context, problems);
            tunnel::read(section, &mut context, problems)
        }
        None if general.enabled => {
            problems.push(missing("tunnel", "config tunnel 'tunnel'"));
            None
        }
        None => None,
    };
    if let (Some(Tunnel::Wireguard(wireguard)), Some(Role::Endpoint)) = (&tunnel, general.role) {
        context.own_key = Some(wireguard.private_key.public());
    }
    let dns = dns::read(single(sections, "dns", problems), problems);
    let homes = home::read(of_kind(sections, "home"), &mut context, problems);
    let devices = device::read_devices(of_kind(sections, "device"), &mut context, problems);
    let networks = device::read_networks(of_kind(sections, "network"), &context, problems);
    let schedules = schedule::read(of_kind(sections, "schedule"), &general, &context, problems);
    let wans = wan::read(of_kind(sections, "wan"), &general, &context, problems);
    let burst = burst::read(of_kind(sections, "burst"), &general, &devices, &context, problems);

    Some(Settings {
        enabled: general.enabled,
        role: general.role?,
        level: general.level,
        shape: general.shape(general.level).or(general.shape(Level::Custom))?,
        off: general.off,
        audit_days: general.audit_days,
        levels: general.levels(),
        data_cap_gb: general.data_cap_gb,
        billing: general.billing(),
        price_cents: general.price_cents,
        routing_ids: general.routing_ids,
        router_services: general.router_services,
        allow: general.allow,
        threads: general.threads,
        home_ports: general.home_ports,
        tunnel,
        address6,
        dns,
        devices,
        networks,
        schedules,
        line: LineRules { wans, burst },
        homes,
    })
}

fn of_kind<'a>(sections: &'a [Section], kind: &'static str) -> impl Iterator<Item = &'a Section> {
    sections.iter().filter(move |section| section.kind == kind)
}

/// The section of a type that may occur once. Its name has to be the type itself, or `main` for `millpond`.
fn single<'a>(sections: &'a [Section], kind: &'static str, problems: &mut Vec<SettingsProblem>) -> Option<&'a Section> {
    let first = of_kind(sections, kind).next()?;
    let name = if kind == "millpond" { "main" } else { kind };
    let problem = |section: &Section, severity, text| SettingsProblem {
        severity,
        section: section.label(),
        option: None,
        line: section.line,
        text,
    };
    if first.name.as_deref() != Some(name) {
        let text = format!("scripts will not find this section (want config {kind} '{name}')");
        problems.push(problem(first, Severity::Warning, text));
    }
    // Two sections with one name are a syntax error, which has been reported.
    for other in of_kind(sections, kind).skip(1).filter(|other| other.name.is_none() || other.name != first.name) {
        let text = format!("duplicate section (the first '{kind}' is on line {}; want one)", first.line);
        problems.push(problem(other, Severity::Error, text));
    }
    Some(first)
}

fn missing(section: &str, want: &str) -> SettingsProblem {
    SettingsProblem {
        severity: Severity::Error,
        section: section.to_owned(),
        option: None,
        line: 0,
        text: format!("missing section (want {want})"),
    }
}

fn warn_of_unknown(sections: &[Section], problems: &mut Vec<SettingsProblem>) {
    for section in sections.iter().filter(|section| !KINDS.contains(&section.kind.as_str())) {
        let kind = value::shown(&section.kind);
        let (severity, text) = match nearest(&section.kind, &KINDS) {
            // An error, since ignoring the section would leave its device unprotected.
            Some(suggestion @ ("device" | "network")) => {
                (Severity::Error, format!("unknown section type {kind} (did you mean '{suggestion}'?)"))
            }
            Some(suggestion) => {
                (Severity::Warning, format!("unknown section type {kind}, ignored (did you mean '{suggestion}'?)"))
            }
            None => (Severity::Warning, format!("unknown section type {kind}, ignored")),
        };
        let (section, line) = (section.label(), section.line);
        problems.push(SettingsProblem { severity, section, option: None, line, text });
    }
}
