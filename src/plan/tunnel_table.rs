//! The rules of `table inet millpond_tunnel`: which devices' packets go into the tunnel, with which source address, and
//! which server answers DNS. The table exists while the tunnel does; preventing packets outside the tunnel is the
//! guard's task.

use std::net::IpAddr;

use super::device_numbers::device_numbers;
use super::facts::Facts;
#[cfg(feature = "endpoint")]
use super::nft::Chain;
use super::nft::{Elements, NftTable, Set, TableName};
#[cfg(feature = "endpoint")]
use super::own_traffic;
use super::ownership::{CELL_PORT, TUN};
use super::policy_sets::{DNS, PolicySets, chain, homes};
use super::sysctls::{IP_FORWARD, IP6_FORWARD};
#[cfg(feature = "endpoint")]
use crate::config::model::Policy;
use crate::config::model::{DnsMode, Settings};
use crate::tunnel;

/// The router's table.
pub(super) fn router(settings: &Settings, facts: &Facts) -> NftTable {
    // The reconcile job fills the learned sets with what the guard has learned.
    let policy_sets = PolicySets::new(settings).without_unconfirmed();
    let carrier = tunnel::interface(settings);
    let (maps, mut chains) = device_numbers(settings, facts);
    chains.extend([
        chain("refuse", None, ["meta l4proto tcp reject with tcp reset", "reject"]),
        chain("into_tunnel", None, [format!("meta mark set meta mark | {:#010x}", settings.routing_ids.mark)]),
        chain("shape", None, shape(settings, facts)),
        chain(
            "select",
            Some("type filter hook prerouting priority mangle"),
            [format!("iifname {{ \"{TUN}\", \"{carrier}\" }} return")].into_iter().chain(policy_sets.by_sender(
                "return",
                "goto shape",
                "return",
            )),
        ),
        chain("nat_in", Some("type nat hook prerouting priority dstnat - 1"), nat_in(settings, facts)),
        chain(
            "nat_out",
            Some("type nat hook postrouting priority srcnat - 1"),
            [format!("oifname \"{TUN}\" masquerade")],
        ),
        chain(
            "output",
            Some("type filter hook output priority filter - 1"),
            // The router's own IPv6 neighbour and multicast messages have no receiver in the tunnel.
            [format!("oifname \"{TUN}\" ip6 daddr ff00::/8 drop")],
        ),
    ]);
    #[cfg(feature = "endpoint")]
    let (policy_sets, chains) = with_own_traffic(policy_sets, chains, settings, facts);
    let sets = policy_sets.sets.iter().cloned().chain(maps).collect();
    NftTable { name: TableName::Tunnel, sets, chains }
}

/// Adds the chains for what this machine itself sends, if that is shaped.
#[cfg(feature = "endpoint")]
fn with_own_traffic(
    mut policy_sets: PolicySets,
    mut chains: Vec<Chain>,
    settings: &Settings,
    facts: &Facts,
) -> (PolicySets, Vec<Chain>) {
    if settings.own_policy() == Some(Policy::Shape) {
        policy_sets.sets.extend(own_traffic::tunnel_sets(settings, facts));
        chains.extend(own_traffic::tunnel_chains(settings, servers(settings, facts)));
    }
    (policy_sets, chains)
}

/// The endpoint's table.
pub(super) fn endpoint(settings: &Settings, facts: &Facts) -> NftTable {
    let carrier = tunnel::interface(settings);
    let masquerade = format!("oifname != {{ \"{TUN}\", \"{carrier}\" }} masquerade");
    let mut chains = vec![
        chain(
            "nat_out",
            Some("type nat hook postrouting priority srcnat - 1"),
            // The guard drops packets with these addresses that do not come from the homes. Kernels before 5.7 do not
            // know the incoming interface here.
            [format!("ip saddr @homes {masquerade}"), format!("ip6 saddr @homes6 {masquerade}")],
        ),
        chain(
            "output",
            Some("type filter hook output priority filter - 1"),
            [format!("oifname \"{TUN}\" ip6 daddr ff00::/8 drop")],
        ),
    ];
    #[cfg(feature = "endpoint")]
    chains.extend(
        super::exit::clamp(settings)
            .map(|rule| chain("clamp", Some("type filter hook forward priority mangle"), [rule])),
    );
    chains.push(chain("police", Some("type filter hook input priority filter - 2"), police(settings)));
    let rules = forward(facts);
    if !rules.is_empty() {
        chains.push(chain("forward", Some("type filter hook forward priority filter - 1"), rules));
    }
    let mut sets = homes(settings);
    sets.push(Set { name: POLICED, kind: "ipv4_addr", elements: Elements::Limits(settings.homes.len().max(1)) });
    NftTable { name: TableName::Tunnel, sets, chains }
}

/// The set of each home's limit.
const POLICED: &str = "policed";
/// A home may send this much more than its rate, in percent: intervals vary, and queues on the way release bursts.
const POLICE_PERCENT: u64 = 125;
/// Bytes that a home may send at once, besides what its rate allows in a second: more than any train. The kernel adds
/// the second (`nft_limit_init` in net/netfilter/nft_limit.c).
const POLICE_BURST: u32 = 128 * 1024;

/// Rules that drop what a home sends beyond its rate before it reaches the socket, where it would displace the cells of
/// other homes. The kernel counts bytes inside the tunnel, a little less than those on the wire.
fn police(settings: &Settings) -> Vec<String> {
    let carrier = tunnel::interface(settings);
    let mut rates: Vec<u64> = settings.homes.iter().map(|home| home.max_upload.0).collect();
    rates.sort_unstable();
    rates.dedup();
    let rule = |rate: &u64| {
        let homes = settings.homes.iter().filter(|home| home.max_upload.0 == *rate);
        let homes: Vec<String> = homes.map(|home| home.address.to_string()).collect();
        let senders = if rates.len() == 1 { "@homes".to_owned() } else { format!("{{ {} }}", homes.join(", ")) };
        let bytes = rate / 8 * POLICE_PERCENT / 100;
        let limit = format!("limit rate over {bytes} bytes/second burst {POLICE_BURST} bytes");
        let cells = format!("iifname \"{carrier}\" ip saddr {senders} udp dport {CELL_PORT}");
        format!("{cells} update @{POLICED} {{ ip saddr {limit} }} drop")
    };
    rates.iter().map(rule).collect()
}

/// Rules for a host that forwards only because millpond switched forwarding on: nothing but the homes' packets. They
/// are in this table, not in the guard's, because they must last as long as that forwarding does, and no longer.
fn forward(facts: &Facts) -> Vec<String> {
    let families = [("ipv4", IP_FORWARD), ("ipv6", IP6_FORWARD)].into_iter();
    let closed = families.filter(|(_, key)| facts.forwarding.is_off(key));
    closed.map(|(family, _)| format!("meta nfproto {family} iifname != \"{TUN}\" oifname != \"{TUN}\" drop")).collect()
}

/// Rules for packets from shaped devices: DNS goes into the tunnel, and so do all packets that leave the home.
fn shape(settings: &Settings, facts: &Facts) -> Vec<String> {
    let mut rules = Vec::new();
    if settings.dns.mode == DnsMode::Tunnel {
        let [v4, v6] = servers(settings, facts);
        for (family, server) in [("ipv4", v4), ("ipv6", v6)] {
            // If no server is reachable in this family, DNS is rejected at once, so that devices use the other family.
            let verdict = if server.is_some() { "goto into_tunnel" } else { "goto refuse" };
            rules.push(format!("meta nfproto {family} {DNS} {verdict}"));
        }
    }
    rules.push("fib daddr type { local, broadcast, anycast, multicast } return".into());
    rules.push("ip6 daddr fe80::/10 return".into());
    rules.push("goto into_tunnel".into());
    rules
}

/// Redirects DNS to the chosen servers. All other connections are translated to their own destination: the kernel
/// translates a connection only once, so no later rule can redirect them to a proxy on the router, which would send in
/// clear.
fn nat_in(settings: &Settings, facts: &Facts) -> Vec<String> {
    let mark = settings.routing_ids.mark;
    let marked = format!("meta mark & {mark:#010x} == {mark:#010x}");
    let mut rules = Vec::new();
    if settings.dns.mode == DnsMode::Tunnel {
        rules.extend(servers(settings, facts).into_iter().flatten().map(|server| {
            let (family, ip) = if server.is_ipv4() { ("ipv4", "ip") } else { ("ipv6", "ip6") };
            format!("{marked} meta nfproto {family} {DNS} dnat {ip} to {server}")
        }));
    }
    rules.extend([format!("{marked} dnat ip to ip daddr"), format!("{marked} dnat ip6 to ip6 daddr")]);
    rules
}

/// The DNS server for IPv4, and the one for IPv6 if the tunnel carries IPv6. Servers in the home are excluded: they are
/// not reached through the tunnel, and would forward queries in clear.
fn servers(settings: &Settings, facts: &Facts) -> [Option<IpAddr>; 2] {
    let outside_home = || settings.dns.servers.iter().copied().filter(|server| !facts.is_home(*server));
    let first = |of_family: fn(&IpAddr) -> bool| outside_home().find(of_family);
    [first(IpAddr::is_ipv4), first(IpAddr::is_ipv6).filter(|_| settings.address6.is_some())]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::example;
    use crate::plan::nft::{TableText, digest};

    /// An element that is loaded without its limit would match every packet.
    #[test]
    fn the_limits_of_homes_are_not_read() {
        let settings = Settings { homes: vec![example::home(2, None), example::home(3, None)], ..example::endpoint() };
        let text = TableText::from(&endpoint(&settings, &Facts::default())).file("0");
        let listing = &text[text.find("table inet millpond_tunnel {").unwrap()..];
        let limit = "limit rate over 625000 bytes/second burst 131072 bytes";
        let elements = format!("elements = {{ 10.77.0.2 {limit},\n\t\t\t     10.77.0.3 {limit} }}\n");
        let after = listing.replace("flags dynamic\n", &format!("flags dynamic\n\t\t{elements}"));
        assert_ne!(listing, after);
        let read = TableText::from_listing(TableName::Tunnel, &after);
        assert_eq!((digest(listing), read.learned.contains_key(POLICED)), (digest(&after), false));
        assert_eq!(listing.matches(limit).count(), 1, "homes with one rate share a rule: {listing}");
    }
}
