//! Issues of settings and hosts that do not fit.

use std::net::Ipv4Addr;

use super::*;
use crate::config::example;
use crate::config::model::{Network, Protocol, RouterService};
use crate::plan::LanInterface;
use crate::plan::routing::Prefix;

fn settings(peer_address: [u8; 4], server: &str, network: &str) -> Settings {
    let mut settings = example::router();
    example::wireguard(&mut settings).peer_address = Some(peer_address.into());
    settings.dns.servers = vec![server.parse().unwrap()];
    settings.networks = vec![Network { name: network.into(), device: None, policy: Policy::Shape, strict: false }];
    settings
}

fn codes(settings: &Settings, facts: &Facts) -> Vec<&'static str> {
    preflight_issues(settings, facts).into_iter().map(|issue| issue.kind.name()).collect()
}

#[test]
fn every_issue_is_reported() {
    let prefix = Prefix { address: Ipv4Addr::new(192, 168, 1, 0).into(), length: 24 };
    let guest = LanInterface { name: "br-guest".into(), prefixes: Vec::new() };
    let facts = Facts {
        lan: vec![LanInterface { name: "br-lan".into(), prefixes: vec![prefix] }, guest],
        outside: vec!["br-wan".into()],
        missing: vec!["br-iot".into()],
        ..Facts::default()
    };
    assert_eq!(codes(&settings([10, 77, 0, 1], "9.9.9.9", "lan"), &facts), [""; 0]);
    assert_eq!(codes(&settings([192, 168, 1, 9], "9.9.9.9", "lan"), &facts), ["address-in-lan"]);
    assert_eq!(codes(&settings([10, 77, 0, 1], "192.168.1.5", "lan"), &facts), ["resolver-in-lan"]);
    assert_eq!(codes(&settings([10, 77, 0, 1], "9.9.9.9", "iot"), &facts), ["network-missing"]);
    assert_eq!(codes(&settings([10, 77, 0, 1], "9.9.9.9", "wan"), &facts), ["network-outside"]);
    let unsure = Facts { unsure: vec!["eth1".into()], hardware_offload: true, ..facts };
    assert_eq!(codes(&settings([10, 77, 0, 1], "9.9.9.9", "lan"), &unsure), ["network-unsure", "hardware-offload"]);
}

#[test]
fn threads_above_processors_are_named() {
    let facts = Facts { processors: 2, ..Facts::default() };
    for (threads, wanted) in [(None, &[][..]), (Some(2), &[]), (Some(3), &["threads"])] {
        assert_eq!(codes(&Settings { threads, ..example::endpoint() }, &facts), wanted, "{threads:?}");
    }
}

#[test]
fn an_owner_who_is_locked_out_is_warned() {
    let lan = |name: &str| LanInterface { name: name.into(), prefixes: Vec::new() };
    let facts = Facts { lan: vec![lan("br-lan")], ..Facts::default() };
    let mut settings = settings([10, 77, 0, 1], "9.9.9.9", "lan");
    assert_eq!(codes(&settings, &facts), ["router-closed"]);
    assert_eq!(codes(&settings, &Facts { lan: vec![lan("br-lan"), lan("br-guest")], ..Facts::default() }), [""; 0]);
    settings.devices.push(example::device("laptop", Policy::Direct));
    assert_eq!(codes(&settings, &facts), [""; 0]);
    settings.devices.clear();
    settings.router_services.push(RouterService { protocol: Protocol::Tcp, port: 80 });
    assert_eq!(codes(&settings, &facts), [""; 0]);
}

#[test]
fn relays_are_named_with_what_they_tell() {
    let relay = |program: &str, to: Option<&str>, relayed| Relay {
        program: program.into(),
        to: to.map(str::to_owned),
        relayed,
    };
    let relays = vec![
        relay("odhcpd", Some("wan6"), Relayed::Addresses),
        relay("dnsmasq", Some("198.51.100.7"), Relayed::Dhcp),
        relay("ndppd", None, Relayed::Addresses),
    ];
    let facts = Facts { relays, ..Facts::default() };
    let mut settings = settings([10, 77, 0, 1], "9.9.9.9", "lan");
    let issues = preflight_issues(&settings, &facts);
    let texts: Vec<&str> = issues.iter().map(|issue| issue.text.as_str()).collect();
    let seen = "the provider sees the addresses of shaped and blocked devices";
    assert_eq!(
        texts,
        [
            &format!("odhcpd asks and answers for devices' addresses towards wan6: {seen}"),
            "dnsmasq relays devices' DHCP requests towards 198.51.100.7: the guard drops them on their way out of \
             the home, so they get no answer",
            &format!("ndppd asks and answers for devices' addresses: {seen}"),
        ]
    );
    assert_eq!(codes(&settings, &facts), ["relay"; 3]);
    settings.networks.clear();
    assert_eq!(codes(&settings, &facts), [""; 0], "no device is confined");
}

#[test]
fn bridge_ports_are_named_only_where_they_matter() {
    let port =
        |name: &str, is_mesh| TunnelPort { name: name.into(), bridge: "br-lan".into(), kind: "kind".into(), is_mesh };
    let facts = Facts { tunnel_ports: vec![port("bat0", true), port("vx0", false)], ..Facts::default() };
    let mut settings = settings([10, 77, 0, 1], "9.9.9.9", "lan");
    assert_eq!(codes(&settings, &facts), ["mesh-port", "tunnel-port"]);
    settings.home_ports = vec!["bat0".into(), "vx0".into()];
    assert_eq!(codes(&settings, &facts), [""; 0]);
    settings.home_ports.clear();
    settings.networks.clear();
    assert_eq!(codes(&settings, &facts), [""; 0], "no device is confined");
}
