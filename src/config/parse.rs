//! A settings file -> [`Settings`], or everything that is wrong with it.

mod device;
mod dns;
mod general;
mod home;
mod level;
mod reader;
mod schedule;
#[cfg(test)]
mod tests;
mod tunnel;
pub(super) mod value;

use std::net::{Ipv4Addr, Ipv6Addr};

use self::reader::{OptionUse, SectionReader, nearest};
use super::model::{Level, Role, Settings};
use super::problem::{SettingsProblem, Severity};
use super::uci::{self, Section};

/// The types of section that a file may have.
const KINDS: [&str; 8] = ["millpond", "level", "tunnel", "dns", "device", "network", "schedule", "home"];

/// What came of a file.
#[derive(Clone, Debug, PartialEq)]
pub struct Parsed {
    /// The settings; `None` if there is any error.
    pub settings: Option<Settings>,
    /// Where there is an error, what could be understood nevertheless, whose devices and networks are at least as
    /// confined as was meant: good for [`Settings::confined_by`], and for nothing else. `None` without a role.
    pub understood: Option<Settings>,
    /// Errors and warnings, in the order of the file's lines.
    pub problems: Vec<SettingsProblem>,
}

/// Reads the text of a key file, or says why not.
pub type KeyFiles<'a> = &'a dyn Fn(&str) -> Result<String, String>;

/// Reads a settings file that names no key file. Never fails early: one call finds every error.
pub fn parse(text: &[u8]) -> Parsed {
    parse_with(text, &|_| Err("no files here".to_owned()))
}

/// As [`parse`], for settings that may name a file where a key is wanted, so that the keys need not lie in a file that
/// the web interface reads.
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

/// What sections of all types have to agree upon.
struct Context<'a> {
    enabled: bool,
    /// `None` if the file's own word is wrong; what depends on it is then not judged.
    role: Option<Role>,
    /// `None` if there is no right word for it.
    tunnel: Option<tunnel::TunnelKind>,
    /// IPv4 addresses in use inside the tunnel.
    addresses: OptionUse<Ipv4Addr>,
    /// IPv6 addresses in use inside the tunnel.
    addresses6: OptionUse<Ipv6Addr>,
    key_files: KeyFiles<'a>,
}

impl Context<'_> {
    fn is(&self, role: Role) -> bool {
        self.role == Some(role)
    }

    /// Warns if a section is for the other role.
    fn expect(&self, role: Role, reader: &mut SectionReader) {
        if let Some(actual) = self.role.filter(|actual| *actual != role) {
            reader.warn_section(format!("no effect with role '{}' (want role '{}')", actual.name(), role.name()));
        }
    }
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
    let dns = dns::read(single(sections, "dns", problems), problems);
    let homes = home::read(of_kind(sections, "home"), &mut context, problems);
    let devices = device::read_devices(of_kind(sections, "device"), &mut context, problems);
    let networks = device::read_networks(of_kind(sections, "network"), &context, problems);
    let schedules = schedule::read(of_kind(sections, "schedule"), &general, &context, problems);

    Some(Settings {
        enabled: general.enabled,
        role: general.role?,
        level: general.level,
        shape: general.shape(general.level).or(general.shape(Level::Custom))?,
        off: general.off,
        audit_days: general.audit_days,
        levels: general.levels(),
        data_cap_gb: general.data_cap_gb,
        billing_day: general.billing_day,
        price_cents: general.price_cents,
        step_down: general.step_down(),
        routing_ids: general.routing_ids,
        tunnel,
        address6,
        dns,
        devices,
        networks,
        schedules,
        homes,
    })
}

fn of_kind<'a>(sections: &'a [Section], kind: &'static str) -> impl Iterator<Item = &'a Section> {
    sections.iter().filter(move |section| section.kind == kind)
}

/// The first section of a type of which there may be one. Its name is the type's own, `main` for `millpond`.
fn single<'a>(sections: &'a [Section], kind: &'static str, problems: &mut Vec<SettingsProblem>) -> Option<&'a Section> {
    let first = of_kind(sections, kind).next()?;
    let name = if kind == "millpond" { "main" } else { kind };
    let note = |section: &Section, severity, text| SettingsProblem {
        severity,
        section: section.label(),
        option: None,
        line: section.line,
        text,
    };
    if first.name.as_deref() != Some(name) {
        let text = format!("scripts will not find this section (want config {kind} '{name}')");
        problems.push(note(first, Severity::Warning, text));
    }
    // Two of one name have been reported with the syntax.
    for other in of_kind(sections, kind).skip(1).filter(|other| other.name.is_none() || other.name != first.name) {
        let text = format!("duplicate section (the first '{kind}' is on line {}; want one)", first.line);
        problems.push(note(other, Severity::Error, text));
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
            // Ignored, it would leave the device that it means unprotected.
            Some(near @ ("device" | "network")) => {
                (Severity::Error, format!("unknown section type {kind} (did you mean '{near}'?)"))
            }
            Some(near) => (Severity::Warning, format!("unknown section type {kind}, ignored (did you mean '{near}'?)")),
            None => (Severity::Warning, format!("unknown section type {kind}, ignored")),
        };
        let (section, line) = (section.label(), section.line);
        problems.push(SettingsProblem { severity, section, option: None, line, text });
    }
}
