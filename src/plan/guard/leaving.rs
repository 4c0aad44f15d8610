//! Rules for packets that leave the router, forwarded ones and its own. Routes and other programs' rules decide late
//! where a packet goes, so this is the last look.

use std::net::IpAddr;

use crate::config::model::Settings;
use crate::plan::nft::Chain;
use crate::plan::ownership::TUN;
use crate::plan::policy_sets::{PolicySets, chain};
use crate::tunnel;

/// The chains that keep packets for the home in the home and packets of the tunnel in the tunnel, and that do not tell
/// outside hosts which addresses of the home are in use.
pub(super) fn chains(settings: &Settings, policy_sets: &PolicySets, learns: bool) -> Vec<Chain> {
    if !policy_sets.confines() {
        return Vec::new();
    }
    let carrier = tunnel::interface(settings);
    let inside = ["oifname @lan return".to_owned(), format!("oifname {{ \"lo\", \"{TUN}\", \"{carrier}\" }} return")];
    let learned = if learns { ["ip daddr @seen4 drop", "ip6 daddr @seen6 drop"].as_slice() } else { &[] };
    let home = ["ip daddr @home4 drop", "ip6 daddr @home6 drop"].iter().chain(learned).map(|rule| (*rule).to_owned());
    let receivers = policy_sets.by_receiver_address("drop");
    // An answer that comes through the tunnel while other programs' rules hide its translation looks like one to the
    // router. The router's own answer to the server must not show the provider which server that is.
    let of_tunnel = tunnel::own_addresses(settings).into_iter().map(|address| match address {
        IpAddr::V4(address) => format!("ip saddr {address} drop"),
        IpAddr::V6(address) => format!("ip6 saddr {address} drop"),
    });
    vec![
        chain(
            "leaving",
            Some("type filter hook postrouting priority filter - 1"),
            inside.iter().cloned().chain(of_tunnel).chain(home).chain(receivers),
        ),
        chain(
            "answers",
            Some("type filter hook output priority filter - 1"),
            inside.into_iter().chain(
                [
                    // The router's answer for an address that nobody has, and the firewall's for a closed port. Without
                    // them a confined device, an absent one and a protected port look alike.
                    "icmp type destination-unreachable icmp code != frag-needed drop",
                    "icmpv6 type destination-unreachable drop",
                    "tcp flags & rst == rst ip saddr @home4 drop",
                    "tcp flags & rst == rst ip6 saddr @home6 drop",
                ]
                .map(str::to_owned),
            ),
        ),
    ]
}
