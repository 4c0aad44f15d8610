//! What a machine itself sends, with a section that has `self`: on a running kernel, with a veth in the place of the
//! tunnel. Needs root and the kernel modules veth, bridge and nf_tables; prints a line if it is skipped.

#![cfg(feature = "endpoint")]

mod common;

use std::net::{IpAddr, TcpListener, TcpStream, UdpSocket};
use std::time::Duration;

use common::namespace::{load_rules, shell};
use common::world::{DEVICE, World, can_run};
use millpond::config::example;
use millpond::config::model::{Device, Mac, Policy};
use millpond::plan::{Desired, Facts, guard_table, minimal_guard, own_mark};
use millpond::tunnel::TunnelFacts;
use nix::sys::socket::{setsockopt, sockopt};

const OUTSIDE: [&str; 2] = ["198.51.100.7", "2001:db8::7"];

/// Counts the packets from the router that reach the outside host from now on, without neighbour discovery.
fn count_outside(world: &World) {
    world.outside.enter();
    let rules = "iifname wan1 icmpv6 type { 133, 134, 135, 136, 143 } accept; iifname wan1 counter;";
    shell(&format!(
        "nft 'add table inet count; delete table inet count; \
            table inet count {{ chain c {{ type filter hook prerouting priority raw; {rules} }}; }}'"
    ));
}

/// Counts what leaves by the interface in place of the tunnel, in one counter for each rule.
fn count_in_tunnel(world: &World, rules: &[&str]) {
    world.router.enter();
    let rules: String = rules.iter().map(|rule| format!("oifname mp0 {rule} counter; ")).collect();
    shell(&format!(
        "nft 'add table inet count; delete table inet count; \
            table inet count {{ chain c {{ type filter hook postrouting priority 300; {rules} }}; }}'"
    ));
}

fn counted() -> Vec<u64> {
    let listing = shell("nft list chain inet count c");
    let counters = listing.split("packets ").skip(1);
    counters.map(|rest| rest.split_whitespace().next().unwrap().parse().unwrap()).collect()
}

fn outside(world: &World) -> u64 {
    world.outside.enter();
    counted().iter().sum()
}

/// Makes the router's own packets confined, and installs the guard.
fn confine(world: &mut World, policy: Policy) {
    world.router.enter();
    world.settings.networks.clear();
    world.settings.devices = vec![Device { is_self: true, ..example::device("this machine", policy) }];
    world.facts = world.kernel.facts(&world.settings, &Facts::default(), false).unwrap();
    world.install_guard();
}

/// Loads the tunnel's table, and makes an interface in the place of the tunnel.
fn add_tunnel(world: &World) {
    let tunnel = TunnelFacts { endpoint: "203.0.113.9:51820".parse().ok(), ..TunnelFacts::default() };
    let facts = Facts { tunnel, ..world.facts.clone() };
    let desired = Desired::from_settings(&world.settings, &facts, &common::limits()).unwrap();
    world.router.enter();
    load_rules(&desired.table.unwrap().file("(digest)"));
    shell("ip link add mp0 type veth peer name mp1; ip link set mp1 up; ip link set mp0 arp off up");
    shell("ip addr add 10.77.0.2/32 dev mp0");
    shell("ip route add default dev mp0 table 28016; ip route add unreachable default metric 9999 table 28016");
    shell("ip -6 route add unreachable default metric 9999 table 28016");
    shell("ip rule add fwmark 0x1000000/0x1000000 lookup 28016 priority 910");
    shell("ip -6 rule add fwmark 0x1000000/0x1000000 lookup 28016 priority 910");
}

/// Whatever a program may send to the Internet. Ends in the router's namespace.
fn try_everything(world: &World) {
    world.router.enter();
    for host in OUTSIDE {
        let host: IpAddr = host.parse().unwrap();
        let any = if host.is_ipv4() { "0.0.0.0:0" } else { "[::]:0" };
        let socket = UdpSocket::bind(any).unwrap();
        for port in [9, 53, 123, 853, 5353] {
            // A refusal is no failure of the test.
            _ = socket.send_to(b"of the machine itself", (host, port));
        }
        for port in [53, 80] {
            _ = TcpStream::connect_timeout(&(host, port).into(), Duration::from_millis(200));
        }
    }
    shell("busybox ping -c 1 -W 1 198.51.100.7 > /dev/null 2>&1 || true");
    shell("busybox ping6 -c 1 -W 1 2001:db8::7 > /dev/null 2>&1 || true");
}

fn send(from: &str, to: &str, mark: u32) -> bool {
    let socket = UdpSocket::bind(from).unwrap();
    if mark != 0 {
        setsockopt(&socket, sockopt::Mark, &mark).unwrap();
    }
    socket.send_to(b"hello", to).is_ok()
}

#[test]
fn without_the_tunnel_nothing_leaves_but_what_the_tunnel_needs() {
    if !can_run("without_the_tunnel_nothing_leaves_but_what_the_tunnel_needs") {
        return;
    }
    for (policy, is_minimal) in
        [(Policy::Direct, false), (Policy::Shape, false), (Policy::Block, false), (Policy::Shape, true)]
    {
        let mut world = World::new();
        confine(&mut world, policy);
        if is_minimal {
            let guard = minimal_guard(&world.settings, &world.facts, &Default::default());
            shell(&format!("nft '{}'", guard.file("(digest)")));
        }
        count_outside(&world);
        try_everything(&world);
        match policy {
            Policy::Direct => assert!(outside(&world) > 0, "the control experiment"),
            _ => assert_eq!(outside(&world), 0, "{policy:?}, minimal: {is_minimal}"),
        }
        // DHCP, and millpond's own packets.
        world.router.enter();
        assert!(send("0.0.0.0:68", "198.51.100.7:67", 0));
        assert!(send("0.0.0.0:0", "198.51.100.7:53", own_mark(world.settings.routing_ids)));
        if policy != Policy::Direct {
            assert_eq!(outside(&world), 2, "{policy:?}, minimal: {is_minimal}");
        }
        // The home, also its resolver.
        world.router.enter();
        for address in DEVICE {
            let host: IpAddr = address.parse().unwrap();
            let any = if host.is_ipv4() { "0.0.0.0:0" } else { "[::]:0" };
            let socket = UdpSocket::bind(any).unwrap();
            assert!(socket.send_to(b"hello", (host, 53)).is_ok(), "{address}");
        }
    }
}

#[test]
fn no_answer_leaves_for_a_host_outside() {
    if !can_run("no_answer_leaves_for_a_host_outside") {
        return;
    }
    let mut world = World::new();
    confine(&mut world, Policy::Shape);
    for with_tunnel in [false, true] {
        if with_tunnel {
            add_tunnel(&world);
        }
        world.router.enter();
        let _server = TcpListener::bind("0.0.0.0:8080").unwrap();
        count_outside(&world);
        for port in [8080, 8081] {
            let address = format!("198.51.100.1:{port}").parse().unwrap();
            assert!(TcpStream::connect_timeout(&address, Duration::from_millis(300)).is_err(), "{port}");
        }
        shell("busybox ping -c 1 -W 1 198.51.100.1 > /dev/null 2>&1 || true");
        assert_eq!(outside(&world), 0, "with the tunnel: {with_tunnel}");
    }
}

#[test]
fn everything_goes_into_the_tunnel() {
    if !can_run("everything_goes_into_the_tunnel") {
        return;
    }
    let mut world = World::new();
    confine(&mut world, Policy::Shape);
    add_tunnel(&world);
    count_outside(&world);
    count_in_tunnel(
        &world,
        &[
            "udp dport 9 ip saddr 10.77.0.2 ip daddr 198.51.100.7 ip dscp 1",
            "udp dport 53 ip daddr 9.9.9.9",
            "udp dport 53 ip daddr != 9.9.9.9",
            "tcp dport 80 ip daddr 198.51.100.7",
            "icmp type echo-request",
            "meta nfproto ipv6",
        ],
    );
    try_everything(&world);
    let counts = counted();
    assert!(counts[0] == 1 && counts[1] == 1 && counts[3] >= 1 && counts[4] == 1, "{counts:?}");
    assert_eq!((counts[2], counts[5]), (0, 0), "DNS that is not redirected, and IPv6 without an address: {counts:?}");
    assert_eq!(outside(&world), 0);
    // The tunnel's own packets and the addresses of the line are no device's.
    world.router.enter();
    assert!(send("0.0.0.0:0", "198.51.100.7:51820", own_mark(world.settings.routing_ids)));
    assert!(send("0.0.0.0:68", "198.51.100.7:67", 0));
    assert_eq!(outside(&world), 2);
    // The tunnel fails.
    world.router.enter();
    shell("ip link del mp0");
    try_everything(&world);
    assert_eq!(outside(&world), 2);
}

/// With so many sections that a number needs the TTL, too, this machine's packets carry theirs like a device's.
#[test]
fn its_number_may_be_beyond_dscp() {
    if !can_run("its_number_may_be_beyond_dscp") {
        return;
    }
    let mut world = World::new();
    confine(&mut world, Policy::Shape);
    let mac = |number: u8| Mac([2, 0, 0, 0, 0, number]);
    let others = (1..70).map(|number| Device { macs: vec![mac(number)], ..example::device("other", Policy::Shape) });
    world.settings.devices.splice(0..0, others);
    add_tunnel(&world);
    // Number 70. What traceroute sends keeps its TTL, by which the engine knows that it has no number.
    count_in_tunnel(&world, &["udp dport 9 ip dscp 7 ip ttl 254", "udp dport 10 ip ttl 5", "meta l4proto udp"]);
    for (port, ttl) in [(9, 64), (9, 255), (10, 5)] {
        let socket = UdpSocket::bind("0.0.0.0:0").unwrap();
        socket.set_ttl(ttl).unwrap();
        socket.send_to(b"hello", ("198.51.100.7", port)).unwrap();
    }
    assert_eq!(counted(), [2, 1, 3]);
}

/// On a machine with one network card, the home is on the interface that leads to the Internet.
#[test]
fn neighbours_with_private_addresses_are_the_home_but_not_their_resolvers() {
    if !can_run("neighbours_with_private_addresses_are_the_home_but_not_their_resolvers") {
        return;
    }
    let mut world = World::new();
    world.outside.enter();
    shell("ip addr add 10.9.9.7/24 dev wan1");
    world.router.enter();
    shell("ip addr add 10.9.9.1/24 dev wan0");
    confine(&mut world, Policy::Shape);
    for with_tunnel in [false, true] {
        if with_tunnel {
            add_tunnel(&world);
        }
        count_outside(&world);
        world.router.enter();
        assert!(send("0.0.0.0:0", "10.9.9.7:1883", 0));
        assert_eq!(outside(&world), 1, "with the tunnel: {with_tunnel}");
        world.router.enter();
        for port in [53, 853] {
            send("0.0.0.0:0", &format!("10.9.9.7:{port}"), 0);
        }
        assert_eq!(outside(&world), 1, "with the tunnel: {with_tunnel}");
    }
    assert!(guard_table(&world.settings, &world.facts).body.contains("10.9.9.0/24"));
}
