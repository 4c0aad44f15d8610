//! OpenVPN profiles: whether a profile suits cells, its outer IP version, and the files that it names.

#[cfg(test)]
mod tests;

use std::net::Ipv6Addr;

use super::lexer::{Directive, directives};
use super::options::{ProfileOption, UnsuitableOption, profile_option};
use crate::config::model::Role;
use crate::config::printable::printable;
use crate::config::{SettingsProblem, Severity};

/// A profile that suits cells.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Profile {
    /// Whether the outer packets are IPv6: the profile has `udp6`, or an IPv6 address as the server's.
    pub ipv6: bool,
    /// Whether every packet has the byte of compression's framing: the profile has `comp-lzo no`.
    pub framing: bool,
}

/// A file that an option of a profile names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NamedFile {
    /// Line of the option in the profile, from 1.
    pub line: usize,
    /// The option's name.
    pub option: String,
    /// The path. A relative one starts at the profile's folder.
    pub path: String,
}

/// Checks a profile, the client's for a router or the server's for an endpoint. Returns every error of the profile at
/// once. An option inside `<connection>` counts like any other.
pub fn parse(text: &[u8], role: Role) -> Result<Profile, Vec<SettingsProblem>> {
    let mut problems = Vec::new();
    let mut profile = Profile::default();
    let mut has_remote = false;
    let text = String::from_utf8_lossy(text);
    for directive in directives(&text) {
        let directive = match directive {
            Ok(directive) => directive,
            Err((line, text)) => {
                problems.push(problem(line, text.to_owned()));
                continue;
            }
        };
        if let ProfileOption::Unsuitable(UnsuitableOption { why, want }) = profile_option(&directive) {
            let got = directive.words.join(" ");
            problems.push(problem(directive.line, format!("{}: {why} (got '{got}', want {want})", directive.words[0])));
        }
        has_remote |= directive.name() == "remote";
        profile.ipv6 |= is_ipv6(&directive);
        profile.framing |= directive.name() == "comp-lzo";
    }
    if role == Role::Router && !has_remote {
        problems.push(problem(0, "remote: missing (want remote HOST PORT of the endpoint)".into()));
    }
    if problems.is_empty() { Ok(profile) } else { Err(problems) }
}

/// The files that a profile names, which must be small plain files.
pub fn named_files(text: &[u8]) -> Vec<NamedFile> {
    let text = String::from_utf8_lossy(text);
    let directives = directives(&text).into_iter().flatten();
    let named = directives.filter(|directive| matches!(profile_option(directive), ProfileOption::File));
    named
        .map(|directive| NamedFile {
            line: directive.line,
            option: directive.name().to_owned(),
            path: directive.argument(0).to_owned(),
        })
        .collect()
}

fn problem(line: usize, text: String) -> SettingsProblem {
    // The text quotes the profile.
    let text = printable(&text);
    SettingsProblem { severity: Severity::Error, section: String::new(), option: None, line, text }
}

fn is_ipv6(directive: &Directive) -> bool {
    match directive.name() {
        "proto" => directive.argument(0) == "udp6",
        "remote" => directive.argument(2) == "udp6" || directive.argument(0).parse::<Ipv6Addr>().is_ok(),
        _ => false,
    }
}
