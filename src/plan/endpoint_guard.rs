//! The endpoint's rules of `table inet millpond`: from the homes only cells reach the endpoint itself, and only packets
//! with a home's own address go to the Internet, not to the networks behind the endpoint; only answers come back.

use std::net::IpAddr;

use super::facts::Facts;
use super::nft::{NftTable, TableName};
use super::ownership::{CELL_PORT, TUN};
use super::path_mtu;
use super::policy_sets::{chain, homes};
use super::routing::{Family, Prefix, without_nested};
use crate::config::model::Settings;
use crate::tunnel;

/// Networks that are not the Internet: private ones, also of providers (RFC 1918, 4193, 6598), and link-local ones,
/// where clouds give out their machines' credentials.
const PRIVATE: [(&str, u8); 7] = [
    ("10.0.0.0", 8),
    ("100.64.0.0", 10),
    ("169.254.0.0", 16),
    ("172.16.0.0", 12),
    ("192.168.0.0", 16),
    ("fc00::", 7),
    ("fe80::", 10),
];

/// The guard's table of an endpoint.
pub(super) fn table(settings: &Settings, facts: &Facts) -> NftTable {
    let carrier = tunnel::interface(settings);
    #[cfg(feature = "endpoint")]
    let kept_to_exits = super::exit::guard_rules(settings, facts);
    #[cfg(not(feature = "endpoint"))]
    let kept_to_exits = Vec::new();
    NftTable {
        name: TableName::Guard,
        sets: homes(settings),
        chains: vec![
            chain("behind", None, behind(settings, facts)),
            chain(
                "input",
                Some("type filter hook input priority filter - 1"),
                path_mtu::rules().into_iter().chain([
                    format!("iifname \"{carrier}\" ip saddr @homes udp dport {CELL_PORT} accept"),
                    format!("iifname {{ \"{TUN}\", \"{carrier}\" }} drop"),
                ]),
            ),
            chain(
                "forward",
                Some("type filter hook forward priority filter - 1"),
                [
                    format!("iifname \"{carrier}\" drop"),
                    format!("oifname \"{carrier}\" drop"),
                    format!("iifname \"{TUN}\" oifname \"{TUN}\" drop"),
                    format!("iifname \"{TUN}\" ip saddr != @homes drop"),
                    format!("iifname \"{TUN}\" ip6 saddr != @homes6 drop"),
                ]
                .into_iter()
                .chain(kept_to_exits)
                .chain([
                    // A service in a container on the endpoint, published by DNAT.
                    format!("iifname \"{TUN}\" ct status dnat drop"),
                    format!("iifname \"{TUN}\" jump behind"),
                    // Answers to a packet with a home's address would reach the home.
                    format!("iifname != \"{TUN}\" ip saddr @homes drop"),
                    format!("iifname != \"{TUN}\" ip6 saddr @homes6 drop"),
                    format!("oifname \"{TUN}\" ct state != {{ established, related }} drop"),
                ]),
            ),
        ],
    }
}

/// Rules that let a home's packets pass to the Internet only, and to the exceptions: those in the settings, and a
/// public resolver that is the endpoint's neighbour.
fn behind(settings: &Settings, facts: &Facts) -> Vec<String> {
    let private = PRIVATE.map(|(address, length)| address.parse().map(|address| Prefix { address, length }));
    let private: Vec<Prefix> = private.into_iter().flatten().collect();
    let allowed = settings.allow.iter().map(|(address, length)| Prefix { address: *address, length: *length });
    let is_in = |prefixes: &[Prefix], address: &IpAddr| prefixes.iter().any(|prefix| prefix.contains(*address));
    let is_public_neighbour = |server: &IpAddr| !is_in(&private, server) && is_in(&facts.on_link, server);
    let resolvers = settings.dns.servers.iter().copied().filter(is_public_neighbour);
    #[cfg(feature = "endpoint")]
    let resolvers =
        resolvers.chain(super::exit::resolvers(settings, facts).into_iter().filter(|server| is_in(&private, server)));
    let resolvers = resolvers.map(Prefix::host);
    let (allowed, resolvers) = (without_nested(allowed), without_nested(resolvers));
    let closed = without_nested(private.iter().chain(&facts.on_link).copied());
    let mut rules = Vec::new();
    for (family, ip) in [(Family::V4, "ip"), (Family::V6, "ip6")] {
        for (prefixes, condition, verdict) in [
            (&allowed, "", "return"),
            (&resolvers, "meta l4proto { tcp, udp } th dport 53 ", "return"),
            (&closed, "", "drop"),
        ] {
            let prefixes = prefixes.iter().filter(|prefix| prefix.family() == family);
            let list: Vec<String> = prefixes.map(|Prefix { address, length }| format!("{address}/{length}")).collect();
            if !list.is_empty() {
                rules.push(format!("{condition}{ip} daddr {{ {} }} {verdict}", list.join(", ")));
            }
        }
    }
    rules
}
