//! Bypasses of the guard other than the forwarding of a confined device's packets: programs on the router, answers to
//! packets, and routes that change. On a running kernel, without tunnel or daemon. Needs root and the kernel modules veth,
//! bridge and nf_tables; prints a line if it is skipped.

mod common;

use std::io::ErrorKind;
use std::net::{IpAddr, TcpListener, TcpStream, UdpSocket};
use std::time::Duration;

use common::namespace::{Namespace, shell};
use common::world::{DEVICE, World, can_run};
use millpond::config::model::{DnsMode, Network, Policy, Protocol, RouterService};

/// How the settings choose the device.
#[derive(Clone, Copy, Debug)]
enum ChosenBy {
    Mac,
    Address,
    Network,
}

/// Source addresses that are not on the home's network: never used there, or left over from another day.
const FOREIGN: [&str; 2] = ["203.0.113.99", "2001:db8:dead::99"];

/// Makes the settings choose the device, installs the guard, and lets it see the device.
fn confine(world: &mut World, chosen_by: ChosenBy, policy: Policy) {
    world.settings.networks.clear();
    match chosen_by {
        ChosenBy::Mac => world.settings.devices[0].policy = policy,
        ChosenBy::Address => world.choose_by(DEVICE[0], policy),
        ChosenBy::Network => {
            world.settings.devices.clear();
            let network = Network { name: "lan".into(), device: Some("br-lan".into()), policy, strict: false };
            world.settings.networks.push(network);
        }
    }
    world.install_guard();
    world.set_mac("18:b4:30:26:34:40");
}

/// Counts the packets that reach the outside host from now on and match one of the `rules`.
fn count(world: &World, rules: &[&str]) {
    world.outside.enter();
    let rules: String = rules.iter().map(|rule| format!("iifname wan1 {rule} counter; ")).collect();
    shell(&format!(
        "nft 'add table inet count; delete table inet count; \
            table inet count {{ chain c {{ type filter hook prerouting priority raw; {rules} }}; }}'"
    ));
}

fn counted(world: &World) -> u64 {
    world.outside.enter();
    let listing = shell("nft list chain inet count c");
    listing.split("packets ").skip(1).map(|rest| rest.split_whitespace().next().unwrap().parse::<u64>().unwrap()).sum()
}

/// Everything that a device may try with that source address.
fn try_everything(world: &World, source: &str) {
    world.device.enter();
    let source: IpAddr = source.parse().unwrap();
    let (router, server, ping) = match source {
        IpAddr::V4(_) => ("192.168.1.1", "198.51.100.7", "ping"),
        IpAddr::V6(_) => ("fd00:77::1", "2001:db8::7", "ping6"),
    };
    let socket = UdpSocket::bind((source, 0)).unwrap();
    for (host, port) in [(router, 9), (router, 53), (router, 123), (server, 9), (server, 53)] {
        // An ICMP error of the packet before is no failure.
        for _ in 0..2 {
            _ = socket.send_to(b"the device's own bytes", (host.parse::<IpAddr>().unwrap(), port));
        }
    }
    for host in [router, server] {
        shell(&format!("busybox {ping} -c 2 -i 0.1 -W 1 -I {source} {host} > /dev/null || true"));
        // Time exceeded.
        shell(&format!("busybox {ping} -t 1 -c 1 -W 1 -I {source} {host} > /dev/null 2>&1 || true"));
    }
    // A TCP handshake from that address, of which the router may refuse the first packet.
    let tcp = |host: &str, port: u16| {
        let tool = format!("timeout 0.3 busybox nc -s {source} {host} {port} < /dev/null > /dev/null 2>&1 || true");
        shell(&tool);
    };
    [9, 53].into_iter().for_each(|port| tcp(router, port));
    tcp(server, 9);
}

/// Whatever answers a packet sends to its source address: if that is not the home's, the answer leaves the home.
#[test]
fn a_foreign_source_address_gets_no_answer() {
    if !can_run("a_foreign_source_address_gets_no_answer") {
        return;
    }
    let policies = [&[Policy::Direct, Policy::Shape, Policy::Block][..], &[Policy::Shape], &[Policy::Shape]];
    for (chosen_by, policies) in [ChosenBy::Mac, ChosenBy::Address, ChosenBy::Network].into_iter().zip(policies) {
        for &policy in policies {
            let mut world = World::new();
            confine(&mut world, chosen_by, policy);
            world.device.enter();
            for (source, bits) in FOREIGN.into_iter().zip([32, 128]) {
                shell(&format!("ip addr add {source}/{bits} dev lan0 $([ {bits} = 32 ] || echo nodad)"));
            }
            // Both families of the device have shown its MAC.
            DEVICE.into_iter().for_each(|source| try_everything(&world, source));
            count(&world, &["ip daddr 203.0.113.99"]);
            try_everything(&world, FOREIGN[0]);
            let v4 = counted(&world);
            count(&world, &["ip6 daddr 2001:db8:dead::99"]);
            try_everything(&world, FOREIGN[1]);
            let found = [v4, counted(&world)];
            match policy {
                Policy::Direct => {
                    assert!(found.iter().all(|count| *count > 0), "the control experiment shows {found:?}")
                }
                _ => assert_eq!(found, [0, 0], "answers on the WAN, chosen by {chosen_by:?}, {policy:?}"),
            }
            // The device's own addresses still get the router's answers.
            world.device.enter();
            for router in ["192.168.1.1:9", "[fd00:77::1]:9"] {
                assert!(TcpStream::connect(router).is_err_and(|error| error.kind() == ErrorKind::ConnectionRefused));
            }
            shell("busybox ping -c 1 -W 2 192.168.1.1 > /dev/null; busybox ping6 -c 1 -W 2 fd00:77::1 > /dev/null");
        }
    }
}

/// Another program's rule and route can hand any packet to a socket on the router, as a transparent proxy does.
#[test]
fn packets_for_others_never_reach_a_socket_on_the_router() {
    if !can_run("packets_for_others_never_reach_a_socket_on_the_router") {
        return;
    }
    let mut world = World::new();
    world.router.enter();
    shell(
        "nft 'table inet proxy { chain c { type filter hook prerouting priority -149; udp dport 443 meta mark set 1; }; }'
        for family in -4 -6; do
            ip $family rule add fwmark 1 lookup 100 priority 500; ip $family route add local default dev lo table 100
        done",
    );
    shell("sysctl -qw net.ipv6.bindv6only=1");
    let proxies = ["0.0.0.0:443", "[::]:443"].map(|address| UdpSocket::bind(address).unwrap());
    for policy in [Policy::Direct, Policy::Shape, Policy::Block] {
        world.settings.devices[0].policy = policy;
        world.install_guard();
        for (proxy, server) in proxies.iter().zip(["198.51.100.7:443", "[2001:db8::7]:443"]) {
            world.device.enter();
            let socket = UdpSocket::bind(if server.starts_with('[') { "[::]:0" } else { "0.0.0.0:0" }).unwrap();
            socket.send_to(b"query", server).unwrap();
            proxy.set_read_timeout(Some(Duration::from_millis(500))).unwrap();
            let reached = proxy.recv(&mut [0; 64]).is_ok();
            assert_eq!(reached, policy == Policy::Direct, "{policy:?} {server}");
        }
    }
}

/// A proxy or resolver on the router would send in clear for the device.
#[test]
fn confined_devices_use_a_short_list_of_the_routers_services() {
    if !can_run("confined_devices_use_a_short_list_of_the_routers_services") {
        return;
    }
    let mut world = World::new();
    world.router.enter();
    let ports = [53, 853, 1080, 8080, 8883];
    let _listeners = ports.map(|port| TcpListener::bind(("::", port)).unwrap());
    let datagrams = [67, 123, 547, 1900, 5353].map(|port| (port, UdpSocket::bind(("::", port)).unwrap()));
    let tcp = |world: &World| -> Vec<u16> {
        let open = |router: &str| -> Vec<u16> {
            ports.into_iter().filter(|port| world.connects(&format!("{router}:{port}")) == Some(true)).collect()
        };
        let found = open("192.168.1.1");
        assert_eq!(open("[fd00:77::1]"), found);
        found
    };
    let udp = |world: &World| -> Vec<u16> {
        let reached = |port: u16, socket: &UdpSocket, router: &str| {
            world.device.enter();
            let device = UdpSocket::bind(if router.contains(':') { "[::]:0" } else { "0.0.0.0:0" }).unwrap();
            device.send_to(b"request", (router.parse::<IpAddr>().unwrap(), port)).unwrap();
            socket.set_read_timeout(Some(Duration::from_millis(300))).unwrap();
            socket.recv(&mut [0; 64]).is_ok()
        };
        let of = |router| -> Vec<u16> {
            datagrams.iter().filter(|(port, socket)| reached(*port, socket, router)).map(|(port, _)| *port).collect()
        };
        let found = of("192.168.1.1");
        assert_eq!(of("fd00:77::1"), found);
        found
    };
    for (policy, dns, extra, open) in [
        (Policy::Direct, DnsMode::Tunnel, false, &[53, 853, 1080, 8080, 8883][..]),
        (Policy::Shape, DnsMode::Tunnel, false, &[]),
        (Policy::Shape, DnsMode::Router, false, &[53, 853]),
        (Policy::Block, DnsMode::Router, false, &[]),
        (Policy::Block, DnsMode::Tunnel, true, &[8883]),
        (Policy::Shape, DnsMode::Router, true, &[53, 853, 8883]),
    ] {
        world.settings.devices[0].policy = policy;
        world.settings.dns.mode = dns;
        let services = [(Protocol::Tcp, 8883), (Protocol::Udp, 1900)];
        let services = services.map(|(protocol, port)| RouterService { protocol, port });
        world.settings.router_services = if extra { services.to_vec() } else { Vec::new() };
        world.install_guard();
        assert_eq!(tcp(&world), open, "{policy:?}, dns.mode {dns:?}");
        let all = policy == Policy::Direct || extra;
        let expected = if all { &[67, 123, 547, 1900, 5353][..] } else { &[67, 123, 547, 5353] };
        assert_eq!(udp(&world), expected, "{policy:?}, dns.mode {dns:?}");
    }
    // The router itself may use the device's services.
    world.device.enter();
    let _camera = TcpListener::bind("[::]:554").unwrap();
    world.router.enter();
    for address in DEVICE {
        let camera = (address.parse::<IpAddr>().unwrap(), 554).into();
        assert!(TcpStream::connect_timeout(&camera, Duration::from_secs(2)).is_ok(), "{camera}");
    }
}

/// A host at the far end of the tunnel, with which the device has a conversation. Answers keep coming.
struct Conversation {
    server: [UdpSocket; 2],
    device: [std::net::SocketAddr; 2],
    far: Namespace,
}

impl Conversation {
    /// The far host's addresses.
    const FAR: [&str; 2] = ["203.0.113.50", "2001:db8:f::50"];

    fn start(world: &World) -> Conversation {
        let far = Namespace::new();
        far.enter();
        shell("ip link set lo up; ip link add far0 type veth peer name mp0; ip link set far0 up");
        shell("ip addr add 203.0.113.50/32 dev far0; ip addr add 2001:db8:f::50/128 dev far0 nodad");
        shell("ip route add default dev far0; ip -6 route add default dev far0");
        // The far host asks for no Ethernet address: there is one neighbour only.
        world.router.move_in("mp0");
        world.router.enter();
        let mac_of = |link: &str| shell(&format!("ip -o link show {link} | sed 's/.*ether //; s/ .*//'"));
        let mac = mac_of("mp0");
        shell("ip link set mp0 up; sysctl -qw net.ipv4.conf.all.rp_filter=0 net.ipv4.conf.mp0.rp_filter=0");
        far.enter();
        let far_mac = mac_of("far0");
        for host in DEVICE {
            shell(&format!("ip neigh replace {host} lladdr {} dev far0", mac.trim()));
        }
        world.router.enter();
        for host in Conversation::FAR {
            shell(&format!("ip neigh replace {host} lladdr {} dev mp0", far_mac.trim()));
            let family = if host.contains(':') { "-6" } else { "-4" };
            // As a rule of millpond's does for shaped devices.
            for selector in ["iif br-lan", "fwmark 0x1000000/0x1000000"] {
                shell(&format!("ip {family} rule add {selector} to {host} lookup 28016 priority 50"));
            }
            shell(&format!("ip {family} route replace default dev mp0 table 28016"));
        }
        far.enter();
        let server = Conversation::FAR.map(|host| UdpSocket::bind((host.parse::<IpAddr>().unwrap(), 7)).unwrap());
        server.iter().for_each(|socket| socket.set_read_timeout(Some(Duration::from_secs(2))).unwrap());
        world.device.enter();
        let device = Conversation::FAR.map(|host| {
            let socket = UdpSocket::bind(if host.contains(':') { "[::]:0" } else { "0.0.0.0:0" }).unwrap();
            socket.send_to(b"question", (host.parse::<IpAddr>().unwrap(), 7)).unwrap();
            socket
        });
        let seen = [0, 1].map(|at: usize| server[at].recv_from(&mut [0; 64]).expect("the question arrives").1);
        let conversation = Conversation { server, device: seen, far };
        conversation.answer(1);
        for socket in &device {
            socket.set_read_timeout(Some(Duration::from_secs(2))).unwrap();
            socket.recv(&mut [0; 64]).expect("the answer arrives");
        }
        conversation
    }

    fn answer(&self, times: usize) {
        self.far.enter();
        for (socket, device) in self.server.iter().zip(self.device).cycle().take(2 * times) {
            socket.send_to(b"answer", device).unwrap();
        }
        std::thread::sleep(Duration::from_millis(100));
    }
}

/// What comes out of the tunnel for a device reaches the home or nothing, whatever the routes are.
#[test]
fn answers_from_the_tunnel_never_leave_by_the_wan() {
    if !can_run("answers_from_the_tunnel_never_leave_by_the_wan") {
        return;
    }
    let foreign_table = "for family in -4 -6; do \
        ip $family route show default | sed 's/^/ip '$family' route add table 200 /' | sh; done; ";
    for (what, change) in [
        ("br-lan is down", "ip link set br-lan down".to_owned()),
        (
            "br-lan has other addresses",
            "ip addr flush dev br-lan; ip addr add 192.168.7.1/24 dev br-lan; ip addr add fd00:99::1/64 dev br-lan nodad"
                .to_owned(),
        ),
        (
            "another program's rule precedes the main table",
            format!("{foreign_table} ip rule add lookup 200 priority 900; ip -6 rule add lookup 200 priority 900"),
        ),
        (
            "another program's rule matches a mark",
            format!(
                "{foreign_table} ip rule add fwmark 0x100/0x100 lookup 200 priority 900
                ip -6 rule add fwmark 0x100/0x100 lookup 200 priority 900
                nft 'table inet other {{ chain c {{ type filter hook prerouting priority mangle; iifname mp0 meta mark set 0x100; }}; }}'"
            ),
        ),
    ] {
        let mut leaked = Vec::new();
        for policy in [Policy::Direct, Policy::Shape] {
            let mut world = World::new();
            world.settings.devices[0].policy = policy;
            if policy == Policy::Shape {
                world.install_guard();
            }
            world.set_mac("18:b4:30:26:34:40");
            let conversation = Conversation::start(&world);
            count(&world, &["udp sport 7"]);
            world.router.enter();
            shell(&change);
            conversation.answer(20);
            leaked.push(counted(&world));
        }
        assert!(leaked[0] >= 20, "{what}: the control experiment shows {leaked:?}");
        assert_eq!(leaked[1], 0, "{what}: answers on the WAN");
    }
}

/// The guard's own refusals are routed like any packet.
#[test]
fn refusals_never_leave_by_the_wan() {
    if !can_run("refusals_never_leave_by_the_wan") {
        return;
    }
    for policy in [Policy::Shape, Policy::Block] {
        let mut world = World::new();
        confine(&mut world, ChosenBy::Mac, policy);
        world.router.enter();
        shell(
            "ip route add default via 198.51.100.7 table 200; ip -6 route add default via 2001:db8::7 table 200
            nft 'table inet other { chain c { type route hook output priority mangle; meta mark set 0x100; }; }'
            ip rule add fwmark 0x100 lookup 200 priority 900; ip -6 rule add fwmark 0x100 lookup 200 priority 900",
        );
        for (source, daddr) in DEVICE.into_iter().zip(["ip daddr", "ip6 daddr"]) {
            count(&world, &[&format!("{daddr} {source}")]);
            try_everything(&world, source);
            assert_eq!(counted(&world), 0, "{policy:?}: refusals of {source} on the WAN");
        }
        // The rules of the other program do lead there.
        count(&world, &["ip daddr 192.0.2.9"]);
        world.router.enter();
        UdpSocket::bind("0.0.0.0:0").unwrap().send_to(b"control", "192.0.2.9:9").unwrap();
        assert_eq!(counted(&world), 1, "the control experiment shows nothing");
    }
}

/// From outside, an address of a confined device is like one that nobody has.
#[test]
fn nobody_outside_learns_which_addresses_are_in_use() {
    if !can_run("nobody_outside_learns_which_addresses_are_in_use") {
        return;
    }
    let mut answers = Vec::new();
    for (policy, is_alone) in
        [(Policy::Direct, true), (Policy::Direct, false), (Policy::Shape, true), (Policy::Block, true)]
    {
        let mut world = World::new();
        world.settings.devices.truncate(if is_alone { 1 } else { 2 });
        world.router.enter();
        // As the firewall of the router refuses what it does not allow.
        shell(
            "nft 'table inet fw { chain c { type filter hook forward priority filter;
                iifname wan0 meta l4proto tcp reject with tcp reset; iifname wan0 meta l4proto udp th dport != 7777 reject; }; }'",
        );
        confine(&mut world, ChosenBy::Mac, policy);
        let [present, absent] = [["192.168.1.50", "fd00:77::50"], ["192.168.1.51", "fd00:77::51"]];
        answers.push([present, absent].map(|addresses| {
            // Without neighbour discovery.
            count(&world, &["ip daddr 198.51.100.7", "ip6 hoplimit != 255 ip6 daddr 2001:db8::7"]);
            for address in addresses {
                let to: IpAddr = address.parse().unwrap();
                let socket = UdpSocket::bind(if to.is_ipv6() { "[::]:0" } else { "0.0.0.0:0" }).unwrap();
                for port in [9, 7777] {
                    _ = socket.send_to(b"knock", (to, port));
                }
                let ping = if to.is_ipv6() { "ping6" } else { "ping" };
                shell(&format!("busybox {ping} -c 1 -W 1 {to} > /dev/null || true"));
                _ = TcpStream::connect_timeout(&(to, 9).into(), Duration::from_millis(300));
            }
            // The kernel gives up on an absent neighbour after three seconds.
            std::thread::sleep(Duration::from_millis(3200));
            counted(&world)
        }));
    }
    assert!(answers[0].iter().all(|count| *count > 0), "the control experiment shows {answers:?}");
    // A direct device refuses a closed port itself. The router adds nothing to that if it confines another device.
    assert_eq!(answers[1..], [[2, 0], [0, 0], [0, 0]], "answers of a present and of an absent device, both families");
}

/// While another program's rules hide its translation, an answer to a device comes to the router itself, which answers
/// from its address in the tunnel. That answer must not leave outside the tunnel.
#[test]
fn the_router_never_uses_its_tunnel_addresses_outside_the_tunnel() {
    if !can_run("the_router_never_uses_its_tunnel_addresses_outside_the_tunnel") {
        return;
    }
    let mut world = World::new();
    world.settings.address6 = Some("fd6d:70::2".parse().unwrap());
    world.router.enter();
    shell("ip addr add 10.77.0.2/32 dev lo; ip addr add fd6d:70::2/128 dev lo");
    world.outside.enter();
    shell("ip route add 10.77.0.2 via 198.51.100.1; ip route add fd6d:70::2 via 2001:db8::1");
    let server = UdpSocket::bind("[::]:7777").unwrap();
    server.set_read_timeout(Some(Duration::from_millis(500))).unwrap();
    let arrives = |world: &World, from: &str, to: &str| {
        world.router.enter();
        // A refused packet may be an error here, and is none of the test.
        _ = UdpSocket::bind((from, 0)).unwrap().send_to(b"reset", (to, 7777));
        server.recv(&mut [0; 64]).is_ok()
    };
    let ways = [("10.77.0.2", "198.51.100.7"), ("fd6d:70::2", "2001:db8::7")];
    // The router's other traffic is its own business.
    let others = [("198.51.100.1", "198.51.100.7"), ("2001:db8::1", "2001:db8::7")];
    for (from, to) in others.into_iter().chain(ways) {
        assert!(arrives(&world, from, to), "{from} {to}: the control experiment shows nothing");
    }
    world.install_guard();
    for ((from, to), arrived) in others.into_iter().zip([true; 2]).chain(ways.into_iter().zip([false; 2])) {
        assert_eq!(arrives(&world, from, to), arrived, "{from} {to}");
    }
}
