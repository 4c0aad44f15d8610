//! The rules of `table inet millpond_tunnel`: who goes into the tunnel, by what address, and who answers DNS. They come
//! and go with the tunnel; that nothing passes beside it is the guard's part.

use std::net::IpAddr;

use super::choice::{Choice, chain};
use super::nft::{Elements, Set, Table, TableName};
use super::ownership::TUN;
use super::tunnel;
use crate::config::model::{DnsMode, Policy, Settings};

/// The router's table.
pub(super) fn router(settings: &Settings) -> Table {
    let choice = Choice::new(settings);
    let carrier = tunnel::interface(settings);
    let chains = vec![
        chain("into_tunnel", None, [format!("meta mark set meta mark | {:#010x}", settings.numbers.mark)]),
        chain("shape", None, shape(settings)),
        chain(
            "select",
            Some("type filter hook prerouting priority mangle"),
            [format!("iifname {{ \"{TUN}\", \"{carrier}\" }} return")].into_iter().chain(choice.by_sender(
                "return",
                "goto shape",
                "return",
            )),
        ),
        chain("number_devices", Some("type filter hook forward priority mangle"), number(settings)),
        chain("nat_in", Some("type nat hook prerouting priority dstnat - 1"), nat_in(settings)),
        chain(
            "nat_out",
            Some("type nat hook postrouting priority srcnat - 1"),
            [format!("oifname \"{TUN}\" masquerade")],
        ),
    ];
    Table { name: TableName::Tunnel, sets: choice.sets, chains }
}

/// The endpoint's table.
pub(super) fn endpoint(settings: &Settings) -> Table {
    let carrier = tunnel::interface(settings);
    let homes: Vec<String> = settings.homes.iter().map(|home| home.address.to_string()).collect();
    Table {
        name: TableName::Tunnel,
        sets: vec![Set { name: "homes", kind: "ipv4_addr", elements: Elements::Fixed(homes) }],
        chains: vec![chain(
            "nat_out",
            Some("type nat hook postrouting priority srcnat - 1"),
            [format!("ip saddr @homes oifname != {{ \"{TUN}\", \"{carrier}\" }} masquerade")],
        )],
    }
}

const DNS: &str = "meta l4proto { tcp, udp } th dport 53";

/// What a shaped device sends: DNS into the tunnel, the rest too unless it stays at home.
fn shape(settings: &Settings) -> Vec<String> {
    let mut rules = Vec::new();
    if settings.dns.mode == DnsMode::Tunnel {
        for (family, known) in [("ipv4", first_server(settings, true)), ("ipv6", first_server(settings, false))] {
            // Refused at once where no server speaks the family, so that devices fall back to the other.
            let verdict = if known.is_some() { "goto into_tunnel" } else { "reject" };
            rules.push(format!("meta nfproto {family} {DNS} {verdict}"));
        }
    }
    rules.push("fib daddr type { local, broadcast, anycast, multicast } return".into());
    rules.push("ip6 daddr fe80::/10 return".into());
    rules.push("goto into_tunnel".into());
    rules
}

/// DNS to the chosen servers; the rest keeps its destination, so that no later rule of anybody's can turn it aside to a
/// proxy on the router, which would ask in clear: the first translation of a connection is its last.
fn nat_in(settings: &Settings) -> Vec<String> {
    let mark = settings.numbers.mark;
    let marked = format!("meta mark & {mark:#010x} == {mark:#010x}");
    let mut rules = Vec::new();
    if settings.dns.mode == DnsMode::Tunnel {
        let servers = [first_server(settings, true), first_server(settings, false)];
        rules.extend(servers.into_iter().flatten().map(|server| {
            let (family, ip) = if server.is_ipv4() { ("ipv4", "ip") } else { ("ipv6", "ip6") };
            format!("{marked} meta nfproto {family} {DNS} dnat {ip} to {server}")
        }));
    }
    rules.extend([format!("{marked} dnat ip to ip daddr"), format!("{marked} dnat ip6 to ip6 daddr")]);
    rules
}

fn first_server(settings: &Settings, ipv4: bool) -> Option<IpAddr> {
    settings.dns.servers.iter().copied().find(|server| server.is_ipv4() == ipv4)
}

/// The engine tells devices apart by DSCP, 1..=63 in the order of the file, and clears it before the cell is made.
fn number(settings: &Settings) -> Vec<String> {
    let mut rules = vec![format!("oifname \"{TUN}\" ip dscp set cs0")];
    for (device, number) in settings.devices.iter().zip(1..=63) {
        if device.policy != Policy::Shape {
            continue;
        }
        let key = match (device.mac, device.address) {
            (Some(mac), _) => format!("ether saddr {mac}"),
            (None, Some(IpAddr::V4(address))) => format!("ip saddr {address}"),
            // Its IPv6 packets never come this way: the tunnel carries IPv4.
            (None, _) => continue,
        };
        rules.push(format!("oifname \"{TUN}\" {key} ip dscp set {number:#04x}"));
    }
    rules
}
