//! OpenVPN profiles: whether a profile suits cells, and its outer IP version.
//!
//! Only options that matter for this are checked, and options that would start other programs or hide the openvpn
//! process from millpond. All others are left to openvpn.

#[cfg(test)]
mod tests;

use std::net::Ipv6Addr;

use super::lexer::{Directive, directives};
use crate::config::model::Role;
use crate::config::{SettingsProblem, Severity};

/// A profile that suits cells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Profile {
    /// Whether the outer packets are IPv6: the profile has `udp6`, or an IPv6 address as the server's.
    pub ipv6: bool,
}

/// Why an option is refused, and what to do about it.
struct ProfileError {
    why: &'static str,
    want: &'static str,
}

const COMPRESSION: ProfileError = ProfileError {
    why: "compression makes the length of a packet depend on its content",
    want: "the line removed at both ends",
};
const TCP: ProfileError =
    ProfileError { why: "TCP merges and splits packets, so a cell is not one packet", want: "proto udp" };
const PROXY: ProfileError =
    ProfileError { why: "a proxy changes the number and length of packets", want: "the line removed" };
const TAP: ProfileError = ProfileError { why: "cells travel in IP packets, not in Ethernet frames", want: "dev tun" };
const CIPHER: ProfileError = ProfileError {
    why: "this cipher pads packets or does not protect them",
    want: "AES-256-GCM, AES-128-GCM or CHACHA20-POLY1305, or the line removed",
};
const NO_TLS: ProfileError = ProfileError {
    why: "without TLS negotiation there is no AEAD cipher",
    want: "the line removed and certificates used",
};
const CHANGES_PACKETS: ProfileError =
    ProfileError { why: "this option changes the number or length of packets", want: "the line removed" };
const HIDES_PROCESS: ProfileError =
    ProfileError { why: "millpond must see the process and its output", want: "the line removed" };
const STARTS_PROGRAM: ProfileError = ProfileError {
    why: "millpond sets addresses and routes itself and starts no other program",
    want: "the line removed",
};

/// Checks a profile, the client's for a router or the server's for an endpoint. Returns every error of the profile at
/// once. An option inside `<connection>` counts like any other.
pub fn parse(text: &[u8], role: Role) -> Result<Profile, Vec<SettingsProblem>> {
    let mut problems = Vec::new();
    let mut ipv6 = false;
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
        if let Some(ProfileError { why, want }) = profile_error(&directive) {
            let got = directive.words.join(" ");
            problems.push(problem(directive.line, format!("{}: {why} (got '{got}', want {want})", directive.words[0])));
        }
        has_remote |= directive.name() == "remote";
        ipv6 |= is_ipv6(&directive);
    }
    if role == Role::Router && !has_remote {
        problems.push(problem(0, "remote: missing (want remote HOST PORT of the endpoint)".into()));
    }
    if problems.is_empty() { Ok(Profile { ipv6 }) } else { Err(problems) }
}

fn problem(line: usize, text: String) -> SettingsProblem {
    SettingsProblem { severity: Severity::Error, section: String::new(), option: None, line, text }
}

fn profile_error(directive: &Directive) -> Option<ProfileError> {
    let first = directive.argument(0);
    match directive.name() {
        "comp-lzo" | "comp-noadapt" | "compress" => Some(COMPRESSION),
        "allow-compression" if first != "no" => Some(COMPRESSION),
        "push" if ["comp-lzo", "compress"].contains(&first.split_whitespace().next().unwrap_or("")) => {
            Some(COMPRESSION)
        }
        "proto" | "proto-force" if is_tcp(first) => Some(TCP),
        "remote" if is_tcp(directive.argument(2)) => Some(TCP),
        "http-proxy" | "socks-proxy" => Some(PROXY),
        "dev" | "dev-type" if first.starts_with("tap") => Some(TAP),
        "cipher" | "data-ciphers" | "ncp-ciphers" | "data-ciphers-fallback" if !first.split(':').all(is_aead) => {
            Some(CIPHER)
        }
        "ncp-disable" | "secret" => Some(NO_TLS),
        "fragment" | "mtu-test" => Some(CHANGES_PACKETS),
        "daemon" | "inetd" | "log" | "log-append" | "syslog" => Some(HIDES_PROCESS),
        "config" => {
            Some(ProfileError { why: "options in another file would not be checked", want: "its lines in this file" })
        }
        "up"
        | "down"
        | "ipchange"
        | "route-up"
        | "route-pre-down"
        | "client-connect"
        | "client-disconnect"
        | "client-crresponse"
        | "learn-address"
        | "tls-verify"
        | "auth-user-pass-verify"
        | "tls-crypt-v2-verify"
        | "plugin"
        | "iproute" => Some(STARTS_PROGRAM),
        _ => None,
    }
}

fn is_tcp(proto: &str) -> bool {
    proto.starts_with("tcp")
}

fn is_aead(cipher: &str) -> bool {
    let cipher = cipher.to_ascii_uppercase();
    // A leading question mark means "if the library supports it".
    matches!(cipher.trim_start_matches('?'), "AES-128-GCM" | "AES-192-GCM" | "AES-256-GCM" | "CHACHA20-POLY1305")
}

fn is_ipv6(directive: &Directive) -> bool {
    match directive.name() {
        "proto" => directive.argument(0) == "udp6",
        "remote" => directive.argument(2) == "udp6" || directive.argument(0).parse::<Ipv6Addr>().is_ok(),
        _ => false,
    }
}
