//! OpenVPN profiles: whether cells can travel by one, and by which IP version.
//!
//! Only the options that matter to that are understood. The rest is openvpn's own affair, but for what would start other
//! programs or take the process out of millpond's sight.

mod lexer;
#[cfg(test)]
mod tests;

use std::net::Ipv6Addr;

use self::lexer::{Directive, directives};
use super::model::Role;
use super::problem::{SettingsProblem, Severity};

/// A profile by which cells can travel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Profile {
    /// Whether the tunnel's packets leave over IPv6: the profile says `udp6`, or names the server by an IPv6 address.
    pub ipv6: bool,
}

/// Why an option is refused, and what to do about it.
struct ProfileError {
    why: &'static str,
    want: &'static str,
}

const COMPRESSION: ProfileError = ProfileError {
    why: "compression makes the length of a packet tell what is in it",
    want: "the line removed, at both ends",
};
const TCP: ProfileError =
    ProfileError { why: "TCP joins and splits packets, so that a cell is no packet", want: "proto udp" };
const PROXY: ProfileError =
    ProfileError { why: "a proxy changes the packets' number and length", want: "the line removed" };
const TAP: ProfileError = ProfileError { why: "cells travel in IP packets, not in Ethernet frames", want: "dev tun" };
const CIPHER: ProfileError = ProfileError {
    why: "this cipher pads what it encrypts, or does not protect it",
    want: "AES-256-GCM, AES-128-GCM or CHACHA20-POLY1305, or the line removed",
};
const NO_TLS: ProfileError =
    ProfileError { why: "without negotiation there is no AEAD cipher", want: "the line removed, and certificates" };
const LENGTHS: ProfileError =
    ProfileError { why: "it changes the packets' number or length", want: "the line removed" };
const HIDES: ProfileError =
    ProfileError { why: "millpond has to see the process and its words", want: "the line removed" };
const PROGRAM: ProfileError = ProfileError {
    why: "millpond sets addresses and routes itself, and starts nothing else",
    want: "the line removed",
};

/// Reads a profile, for a router the client's, for an endpoint the server's. Never fails early: one call finds every
/// error. An option inside a `<connection>` counts as any other.
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
        if let Some(ProfileError { why, want }) = refusal(&directive) {
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

fn refusal(directive: &Directive) -> Option<ProfileError> {
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
        "fragment" | "mtu-test" => Some(LENGTHS),
        "daemon" | "inetd" | "log" | "log-append" | "syslog" => Some(HIDES),
        "config" => Some(ProfileError { why: "options of another file would go unchecked", want: "its lines in here" }),
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
        | "iproute" => Some(PROGRAM),
        _ => None,
    }
}

fn is_tcp(proto: &str) -> bool {
    proto.starts_with("tcp")
}

fn is_aead(cipher: &str) -> bool {
    let cipher = cipher.to_ascii_uppercase();
    // A question mark: only where the library has it.
    matches!(cipher.trim_start_matches('?'), "AES-128-GCM" | "AES-192-GCM" | "AES-256-GCM" | "CHACHA20-POLY1305")
}

fn is_ipv6(directive: &Directive) -> bool {
    match directive.name() {
        "proto" => directive.argument(0) == "udp6",
        "remote" => directive.argument(2) == "udp6" || directive.argument(0).parse::<Ipv6Addr>().is_ok(),
        _ => false,
    }
}
