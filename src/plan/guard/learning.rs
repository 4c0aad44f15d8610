//! Rules that learn from packets which addresses belong to confined devices. They come from the home's interfaces
//! alone: hosts outside the home could forge the home's addresses.

use crate::plan::bindings;
use crate::plan::nft::{Chain, Elements, Set};
use crate::plan::policy_sets::{PolicySets, SHUT, chain};
use crate::plan::strangers;

/// Ends a chain for a device that shows many new addresses, so that no device fills the sets of all. A device has a few
/// temporary IPv6 addresses a day.
const LEARN_FEW: &str = "update @learn_rate { ether saddr limit rate over 10/day burst 32 packets } return";

/// The sets of addresses of confined devices and of devices that are exempt from their network's policy, and those that
/// say which device has which address.
pub(super) fn sets() -> Vec<Set> {
    let of = |name, kind, timeout| Set { name, kind, elements: Elements::Learned { timeout } };
    let mut sets = vec![
        of("seen4", "ipv4_addr", "7d"),
        of("seen6", "ipv6_addr", "7d"),
        of("free4", "ipv4_addr", "7d"),
        of("free6", "ipv6_addr", "7d"),
        of("learn_rate", "ether_addr", "1d"),
    ];
    sets.extend(strangers::sets());
    sets.extend(bindings::sets());
    sets
}

/// The chains that learn.
pub(super) fn chains(policy_sets: &PolicySets) -> Vec<Chain> {
    let renew = |set: &str, ip: &str| format!("{ip} saddr @{set} update @{set} {{ {ip} saddr }}");
    let renewals = policy_sets.renewing_rules().into_iter().chain(
        [
            // More often is not necessary.
            "ct state { established, related } return",
            "update @bindings4 { ether saddr . ip saddr . iifname }",
            "update @bindings6 { ether saddr . ip6 saddr . iifname }",
            "update @bound4 { ip saddr }",
            "update @bound6 { ip6 saddr }",
        ]
        .map(str::to_owned),
    );
    let seen_again = [("seen4", "ip"), ("seen6", "ip6"), ("free4", "ip"), ("free6", "ip6")];
    let conflict = |set: &str, ip: &str| {
        let key = format!("ether saddr . {ip} saddr . iifname");
        format!("{key} != @{set} limit rate 1/minute burst 32 packets update @{set} {{ {key} }}")
    };
    let shut = strangers::shutting_rules(policy_sets);
    let forget = |set: &str, ip: &str| format!("delete @{set}{} {{ {ip} saddr }}", if ip == "ip" { 4 } else { 6 });
    let shown = [format!("{} return", renew("seen4", "ip")), format!("{} return", renew("seen6", "ip6"))];
    let new = [LEARN_FEW, "update @seen4 { ip saddr }", "update @seen6 { ip6 saddr }"].map(str::to_owned);
    vec![
        chain("renew", None, renewals.chain(seen_again.map(|(set, ip)| renew(set, ip)))),
        chain(
            "bound",
            None,
            [
                "ether saddr . ip saddr . iifname @bindings4 goto renew".to_owned(),
                "ether saddr . ip6 saddr . iifname @bindings6 goto renew".to_owned(),
                conflict("conflicts4", "ip"),
                conflict("conflicts6", "ip6"),
            ]
            .into_iter()
            .chain(shut.clone()),
        ),
        chain("confined", None, ["ip", "ip6"].map(|ip| forget("free", ip)).into_iter().chain(shown).chain(new)),
        // Nobody else is known to have the address. What comes back to it must not be dropped.
        chain("free", None, ["ip", "ip6"].map(|ip| forget("seen", ip))),
        chain(
            "learn",
            Some("type filter hook prerouting priority mangle - 1"),
            [
                "iifname != @lan return",
                // A device that has no address yet.
                "ip saddr 0.0.0.0 return",
                "ip6 saddr :: return",
                "ip saddr @bound4 goto bound",
                "ip6 saddr @bound6 goto bound",
            ]
            .map(str::to_owned)
            .into_iter()
            .chain(policy_sets.by_mac("goto confined", "goto free"))
            .chain(policy_sets.learning_rules())
            .chain(policy_sets.by_learned("goto confined", "goto confined"))
            .chain(strangers::learning_rules())
            .chain(shut)
            .chain(policy_sets.is_strict().then(|| format!("ether saddr @{SHUT} goto confined")))
            .chain(["goto free".to_owned()]),
        ),
    ]
}
