//! Finds programs on the router that speak for devices on another interface, such as relays and proxies of neighbour
//! discovery.

use std::fs;

use super::fw4_zones::{sections, words};
use crate::config::home_network::NetworkFiles;
use crate::config::printable::printable;
use crate::config::uci::Section;
use crate::plan::{Facts, Relay, Relayed};

/// Programs that are known by their process: they have settings of their own, or none. With the name that the kernel
/// shows, of at most 15 bytes.
const PROGRAMS: [(&str, &str, Relayed); 4] = [
    ("dhcrelay", "dhcrelay", Relayed::Dhcp),
    ("ndppd", "ndppd", Relayed::Addresses),
    ("parprouted", "parprouted", Relayed::Addresses),
    ("udp-broadcast-r", "udp-broadcast-relay-redux", Relayed::Packets),
];

/// Longest name of a network or server in a text; an IPv6 address has up to 39 characters.
const MAX_NAME: usize = 40;

/// The services of odhcpd that can be relayed.
const SERVICES: [(&str, Relayed); 3] =
    [("dhcpv6", Relayed::Dhcp), ("ra", Relayed::Solicitations), ("ndp", Relayed::Addresses)];

/// The relays of this router; none on a system without OpenWrt's files and these programs.
pub(super) fn read(facts: &Facts) -> Vec<Relay> {
    let files = NetworkFiles { network: sections("network"), wireless: sections("wireless") };
    find(&sections("dhcp"), &files, &running(), facts)
}

/// The names of all processes.
fn running() -> Vec<String> {
    let processes = fs::read_dir("/proc").into_iter().flatten().flatten();
    let numbered = processes.filter(|entry| entry.file_name().as_encoded_bytes()[0].is_ascii_digit());
    numbered.filter_map(|entry| fs::read_to_string(entry.path().join("comm")).ok()).collect()
}

fn find(dhcp: &[Section], files: &NetworkFiles, running: &[String], facts: &Facts) -> Vec<Relay> {
    let leads_out = |network: &str| {
        let interfaces = files.interfaces(network);
        // The interface of a dial-up connection is not in the files.
        interfaces.is_empty() || !interfaces.iter().all(|name| facts.lan.iter().any(|lan| lan.name == *name))
    };
    let programs = PROGRAMS.iter().filter(|(name, ..)| running.iter().any(|process| process.trim_end() == *name));
    let mut found: Vec<Relay> = programs
        .map(|(_, program, relayed)| Relay { program: (*program).into(), to: None, relayed: *relayed })
        .collect();
    found.extend(odhcpd(dhcp, leads_out));
    found.extend(dnsmasq(dhcp, leads_out, facts));
    found.extend(relayd(&files.network, leads_out));
    for name in found.iter_mut().filter_map(|relay| relay.to.as_mut()) {
        *name = printable(&name.chars().take(MAX_NAME).collect::<String>());
    }
    found.sort_unstable();
    found.dedup();
    found
}

/// odhcpd relays a service between the masters and the other networks, if both have it in the mode `relay` or `hybrid`.
fn odhcpd<'a>(dhcp: &'a [Section], leads_out: impl Fn(&str) -> bool) -> impl Iterator<Item = Relay> {
    let relays = |section, service| words(section, service).iter().any(|mode| matches!(*mode, "relay" | "hybrid"));
    let is_master = |section: &Section| words(section, "master").iter().any(|word| matches!(*word, "1" | "true"));
    let of_kind = dhcp.iter().filter(|section| section.kind == "dhcp");
    let (masters, others): (Vec<_>, Vec<&'a Section>) = of_kind.partition(|section| is_master(section));
    masters.into_iter().filter_map(move |master| {
        let network = words(master, "interface").first().copied().or(master.name.as_deref())?;
        let both = |service| relays(master, service) && others.iter().any(|other| relays(other, service));
        let relayed = SERVICES.iter().filter(|(service, _)| both(service)).map(|(_, relayed)| *relayed).max()?;
        leads_out(network).then(|| Relay { program: "odhcpd".into(), to: Some(network.into()), relayed })
    })
}

/// dnsmasq relays to the servers of its sections `relay`.
fn dnsmasq(dhcp: &[Section], leads_out: impl Fn(&str) -> bool, facts: &Facts) -> impl Iterator<Item = Relay> {
    dhcp.iter().filter(|section| section.kind == "relay").filter_map(move |section| {
        let server = *words(section, "server_addr").first()?;
        let is_home = server.parse().is_ok_and(|address| {
            facts.is_home(address) || facts.networks.iter().any(|network| network.contains(address))
        });
        let is_inside = words(section, "interface").first().is_some_and(|network| !leads_out(network));
        let relay = Relay { program: "dnsmasq".into(), to: Some(server.into()), relayed: Relayed::Dhcp };
        (!is_home && !is_inside).then_some(relay)
    })
}

/// relayd (`proto 'relay'`) makes several networks look like one.
fn relayd(network: &[Section], leads_out: impl Fn(&str) -> bool) -> impl Iterator<Item = Relay> {
    let interfaces = network.iter().filter(|section| section.kind == "interface");
    let relays = interfaces.filter(|section| words(section, "proto").contains(&"relay"));
    relays.filter_map(move |section| {
        let out = words(section, "network").into_iter().find(|network| leads_out(network))?;
        Some(Relay { program: "relayd".into(), to: Some(out.into()), relayed: Relayed::Packets })
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::uci;
    use crate::plan::LanInterface;
    use crate::plan::routing::Prefix;

    const NETWORK: &str = "\
config interface 'lan'
	option device 'br-lan'
config interface 'guest'
	option device 'br-guest'
config interface 'wan'
	option proto 'pppoe'
config interface 'wan6'
	option device 'eth1'
";

    /// The relays that the files and the running programs make, as `PROGRAM TO RELAYED`.
    fn found(dhcp: &str, more_network: &str, running: &[&str]) -> Vec<String> {
        let sections = |text: &str| uci::parse(text.as_bytes()).0;
        let files = NetworkFiles { network: sections(&format!("{NETWORK}{more_network}")), ..NetworkFiles::default() };
        let lan = ["br-lan", "br-guest"].map(|name| LanInterface { name: name.into(), prefixes: Vec::new() });
        let networks = vec![Prefix::parse("192.168.1.0/24").unwrap()];
        let facts = Facts { lan: lan.into(), networks, ..Facts::default() };
        let running: Vec<String> = running.iter().map(|name| format!("{name}\n")).collect();
        let found = find(&sections(dhcp), &files, &running, &facts);
        found.iter().map(|relay| format!("{} {:?} {:?}", relay.program, relay.to, relay.relayed)).collect()
    }

    #[test]
    fn odhcpd_relays_between_a_master_and_other_networks() {
        let master = |options: &str| format!("config dhcp wan6\n\toption master 1\n{options}");
        let relays = |services: &[&str], mode: &str| {
            services.iter().map(|service| format!("\toption {service} '{mode}'\n")).collect::<String>()
        };
        let all = relays(&["ra", "dhcpv6", "ndp"], "relay");
        let lan = |options: &str| format!("config dhcp 'lan'\n\toption interface 'lan'\n{options}");
        assert_eq!(found(&(master(&all) + &lan(&all)), "", &[]), ["odhcpd Some(\"wan6\") Addresses"]);
        let hybrid = relays(&["ra", "dhcpv6"], "hybrid");
        assert_eq!(found(&(lan(&hybrid) + &master(&all)), "", &[]), ["odhcpd Some(\"wan6\") Solicitations"]);
        let dhcpv6 = relays(&["dhcpv6"], "relay");
        assert_eq!(found(&(master(&dhcpv6) + &lan(&all)), "", &[]), ["odhcpd Some(\"wan6\") Dhcp"]);
        // By the interface instead of the section's name. Its kernel interface is unknown.
        let dialled = format!("config dhcp x\n\toption interface wan\n\toption master 'true'\n{all}");
        assert_eq!(found(&(dialled + &lan(&all)), "", &[]), ["odhcpd Some(\"wan\") Addresses"]);
        // What relays nothing out of the home.
        let server = relays(&["ra", "dhcpv6"], "server");
        let between = format!("config dhcp guest\n\toption master 1\n{all}");
        for dhcp in [master(&all), master(&server) + &lan(&all), master(&all) + &lan(&server), between + &lan(&all)] {
            assert_eq!(found(&dhcp, "", &[]), [""; 0], "{dhcp}");
        }
        assert_eq!(found(&(lan(&all) + "config dhcp\n\toption master 0\n" + &all), "", &[]), [""; 0]);
    }

    #[test]
    fn dnsmasq_relays_to_servers_outside() {
        let relay = |server: &str, more: &str| {
            format!("config relay\n\toption local_addr 192.168.1.1\n\toption server_addr '{server}'\n{more}")
        };
        assert_eq!(found(&relay("198.51.100.7", ""), "", &[]), ["dnsmasq Some(\"198.51.100.7\") Dhcp"]);
        let multicast = relay("ff05::1:3", "\toption interface wan6\n");
        assert_eq!(found(&multicast, "", &[]), ["dnsmasq Some(\"ff05::1:3\") Dhcp"]);
        assert_eq!(found(&relay("192.168.1.9", ""), "", &[]), [""; 0]);
        assert_eq!(found(&relay("ff05::1:3", "\toption interface guest\n"), "", &[]), [""; 0]);
        assert_eq!(found("config relay\n\toption local_addr 192.168.1.1\n", "", &[]), [""; 0]);
    }

    #[test]
    fn relayd_makes_a_network_of_the_home_and_one_outside_look_like_one() {
        let relay =
            |networks| format!("config interface bridge\n\toption proto relay\n\toption network '{networks}'\n");
        assert_eq!(found("", &relay("lan wwan"), &[]), ["relayd Some(\"wwan\") Packets"]);
        assert_eq!(found("", &relay("lan guest"), &[]), [""; 0]);
        assert_eq!(found("", &relay("lan wan6").replace("proto relay", "proto none"), &[]), [""; 0]);
    }

    #[test]
    fn programs_without_settings_are_known_by_their_process() {
        let running = ["procd", "ndppd", "udp-broadcast-r", "ndppd", "dhcrelay", "parprouted", "ndppd2"];
        let expected = [
            "dhcrelay None Dhcp",
            "ndppd None Addresses",
            "parprouted None Addresses",
            "udp-broadcast-relay-redux None Packets",
        ];
        assert_eq!(found("", "", &running), expected);
        assert_eq!(found("", "", &["odhcpd", "dnsmasq", "relayd", ""]), [""; 0]);
    }

    #[test]
    fn this_process_is_running() {
        let own = fs::read_to_string("/proc/self/comm").unwrap();
        assert!(running().contains(&own), "{own:?}");
    }

    #[test]
    fn files_of_any_content_are_read() {
        let dhcp = "config dhcp\n\tlist master 1\n\toption ra relay\nconfig relay\n\toption server_addr ''\nconfig";
        assert_eq!(found(dhcp, "config interface\n\toption proto relay\n\toption network\n\"", &[""]), [""; 0]);
        let long = format!("config relay\n\toption server_addr '\u{1b}[2J\u{202e}{}'\n", "x".repeat(4000));
        let shown = format!("dnsmasq Some(\"\\\\u{{1b}}[2J\\\\u{{202e}}{}\") Dhcp", "x".repeat(35));
        assert_eq!(found(&long, "", &[]), [shown]);
    }
}
