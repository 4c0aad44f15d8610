//! An endpoint's rules on a running kernel, without tunnel or daemon: what a home reaches through the endpoint, and
//! what the endpoint forwards for others. Needs root, veth and nf_tables; prints a line if it is skipped.

mod common;

use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::time::Duration;

use common::namespace::{Namespace, shell};
use millpond::apply::apply_guard;
use millpond::config::example;
use millpond::config::model::Settings;
use millpond::plan::{Desired, Facts, guard_table};
use millpond::sys::kernel::LinuxKernel;

/// Whether the tests of this file can run on this host.
fn can_run(name: &str) -> bool {
    let probe = "unshare -n sh -c 'ip link add veth0 type veth peer name veth1 && \
        nft \"table inet t { chain c { type nat hook postrouting priority 0; masquerade; }; }\"'";
    let can_run = nix::unistd::geteuid().is_root()
        && std::process::Command::new("sh").args(["-c", probe]).output().is_ok_and(|output| output.status.success());
    if !can_run {
        println!("skipped {name}: not root, or nftables or veth is missing here");
    }
    can_run
}

const HOMES: &str = "
config home
	option name 'maple street'
	option public_key 'ISIjJCUmJygpKissLS4vMDEyMzQ1Njc4OTo7PD0+P0A='
	option address '10.77.0.2'
	option address6 'fd77::2'
";

/// A home, the endpoint, the networks behind it, and the Internet. A cable stands for the cells: its end at the
/// endpoint has the name of the TUN interface.
///
/// ```text
/// home --- mp0 endpoint uplink --- 198.51.100.1, neighbour .9, the Internet 192.0.2.7 and 10.200.0.5
///                       inner  --- 10.9.0.5, 172.18.0.5, 192.168.122.5, 100.64.0.5, 169.254.169.254, 203.0.113.77
/// ```
struct World {
    home: Namespace,
    endpoint: Namespace,
    inner: Namespace,
    outside: Namespace,
    kernel: LinuxKernel,
}

impl World {
    fn new() -> World {
        let [home, inner, outside, endpoint] = [(); 4].map(|()| {
            let namespace = Namespace::new();
            shell("sysctl -qw net.ipv6.conf.all.accept_dad=0 net.ipv6.conf.default.accept_dad=0");
            namespace
        });
        // The endpoint's namespace is the current one.
        shell("ip link set lo up; sysctl -qw net.ipv4.conf.all.rp_filter=0 net.ipv4.conf.default.rp_filter=0");
        shell("sysctl -qw net.ipv4.ip_forward=0 net.ipv6.conf.all.forwarding=0");
        for (name, addresses) in [
            ("mp0", &["10.77.0.1/16", "fd77::1/64"][..]),
            ("uplink", &["198.51.100.2/24", "2001:db8:2::2/64"]),
            (
                "inner",
                &[
                    "10.9.0.1/24",
                    "172.18.0.1/16",
                    "192.168.122.1/24",
                    "100.64.0.1/24",
                    "169.254.169.1/24",
                    "fd00:9::1/64",
                ],
            ),
        ] {
            shell(&format!("ip link add {name} type veth peer name eth0-{name}; ip link set {name} up"));
            addresses
                .iter()
                .for_each(|address| drop(shell(&format!("ip addr add {address} dev {name}{}", nodad(address)))));
        }
        // A network that is routed to an interface without an address in it.
        shell("ip route add 203.0.113.64/26 dev inner; ip route add default via 198.51.100.1");
        shell("ip -6 route add default via 2001:db8:2::1");
        home.move_in("eth0-mp0");
        inner.move_in("eth0-inner");
        outside.move_in("eth0-uplink");
        for (place, name, addresses, gateway) in [
            (&home, "mp0", &["10.77.0.2/16", "10.77.0.9/16", "fd77::2/64"][..], ["10.77.0.1", "fd77::1"]),
            (
                &inner,
                "inner",
                &[
                    "10.9.0.5/24",
                    "172.18.0.5/16",
                    "192.168.122.5/24",
                    "100.64.0.5/24",
                    "169.254.169.254/24",
                    "203.0.113.77/32",
                    "fd00:9::5/64",
                ],
                ["10.9.0.1", "fd00:9::1"],
            ),
            (
                &outside,
                "uplink",
                &["198.51.100.1/24", "198.51.100.9/24", "2001:db8:2::1/64", "2001:db8:2::9/64"],
                ["198.51.100.2", "2001:db8:2::2"],
            ),
        ] {
            place.enter();
            let device = format!("eth0-{name}");
            shell(&format!("ip link set lo up; ip link set {device} up"));
            addresses
                .iter()
                .for_each(|address| drop(shell(&format!("ip addr add {address} dev {device}{}", nodad(address)))));
            shell(&format!("ip route add default via {}; ip -6 route add default via {}", gateway[0], gateway[1]));
        }
        outside.enter();
        for address in ["192.0.2.7/32", "10.200.0.5/32", "2001:db8:7::7/128"] {
            shell(&format!("ip addr add {address} dev lo{}", nodad(address)));
        }
        endpoint.enter();
        let kernel = LinuxKernel::open().unwrap();
        let world = World { home, endpoint, inner, outside, kernel };
        for (place, from, to) in [
            (&world.home, "fd77::2", "fd77::1"),
            (&world.inner, "fd00:9::5", "fd00:9::1"),
            (&world.outside, "2001:db8:2::1", "2001:db8:2::2"),
        ] {
            assert!((0..50).any(|_| world.reaches(place, from, to, 7)), "{from} does not reach {to}");
        }
        world
    }

    /// Loads both tables for the example endpoint with one home and these lines in the sections `main` and `dns`.
    /// Forwarding is as it was before millpond; it is switched on afterwards, as millpond does.
    fn install(&mut self, main: &str, dns: &str) {
        self.endpoint.enter();
        let settings = settings(main, dns);
        let facts = self.kernel.facts(&settings, &Facts::default(), false).unwrap();
        apply_guard(&mut self.kernel, Some(&guard_table(&settings, &facts))).unwrap();
        let table = Desired::from_settings(&settings, &facts, &common::limits()).unwrap().table.unwrap();
        shell(&format!("echo '{}' | nft -f -", table.file("0")));
        self.forward();
    }

    /// Switches forwarding on.
    fn forward(&self) {
        self.endpoint.enter();
        shell("sysctl -qw net.ipv4.ip_forward=1 net.ipv6.conf.all.forwarding=1");
    }

    /// Whether a datagram from `from` in `place` reaches `to` in another place.
    fn reaches(&self, place: &Namespace, from: &str, to: &str, port: u16) -> bool {
        let to = SocketAddr::new(to.parse().unwrap(), port);
        [&self.inner, &self.outside, &self.endpoint].into_iter().any(|other| {
            other.enter();
            let Ok(receiver) = UdpSocket::bind(to) else { return false };
            receiver.set_read_timeout(Some(Duration::from_millis(300))).unwrap();
            place.enter();
            let sender = UdpSocket::bind(SocketAddr::new(from.parse().unwrap(), 0)).unwrap();
            // A datagram may be lost while the neighbour is resolved for the first time.
            (0..2).any(|_| {
                _ = sender.send_to(b"knock", to);
                receiver.recv(&mut [0; 64]).is_ok()
            })
        })
    }

    /// Whether the home reaches `to` from its own address.
    fn home_reaches(&self, to: &str, port: u16) -> bool {
        let is_ipv4 = to.parse::<IpAddr>().unwrap().is_ipv4();
        self.reaches(&self.home, if is_ipv4 { "10.77.0.2" } else { "fd77::2" }, to, port)
    }
}

fn settings(main: &str, dns: &str) -> Settings {
    let main = format!("{main}\nconfig tunnel");
    example::settings(&format!("{}{HOMES}config dns 'dns'\n{dns}", example::ENDPOINT.replace("config tunnel", &main)))
}

fn nodad(address: &str) -> &'static str {
    if address.contains(':') { " nodad" } else { "" }
}

/// The Internet, in both families.
const INTERNET: [&str; 2] = ["192.0.2.7", "2001:db8:7::7"];
/// What is behind the endpoint: the cloud's credentials, private networks near and far, neighbours of the endpoint.
const BEHIND: [&str; 10] = [
    "169.254.169.254",
    "10.9.0.5",
    "10.200.0.5",
    "172.18.0.5",
    "192.168.122.5",
    "100.64.0.5",
    "198.51.100.9",
    "203.0.113.77",
    "fd00:9::5",
    "2001:db8:2::9",
];

#[test]
fn a_home_reaches_the_internet_and_nothing_behind_the_endpoint() {
    if !can_run("a_home_reaches_the_internet_and_nothing_behind_the_endpoint") {
        return;
    }
    let mut world = World::new();
    world.forward();
    // The Internet's hosts know no way to the home's own address, so the receiver needs none: datagrams go one way.
    for address in INTERNET.into_iter().chain(BEHIND) {
        assert!(world.home_reaches(address, 7), "the control experiment shows nothing for {address}");
    }
    world.install("", "");
    for address in INTERNET {
        assert!(world.home_reaches(address, 7), "{address}");
    }
    let reached: Vec<&str> = BEHIND.into_iter().filter(|address| world.home_reaches(address, 7)).collect();
    assert_eq!(reached, [""; 0], "a home reaches what is behind the endpoint");
}

#[test]
fn exceptions_and_a_public_resolver_are_reached() {
    if !can_run("exceptions_and_a_public_resolver_are_reached") {
        return;
    }
    let mut world = World::new();
    world.install(
        "\tlist allow '10.9.0.0/24'\n\tlist allow '10.9.0.5'\n\tlist allow 'fd00:9::5'\n",
        "\tlist server '198.51.100.9'\n\tlist server '172.18.0.5'\n\tlist server '2001:db8:2::9'\n",
    );
    for (address, port, reached) in [
        ("10.9.0.5", 7, true),
        ("fd00:9::5", 7, true),
        ("172.18.0.5", 7, false),
        ("198.51.100.9", 53, true),
        ("2001:db8:2::9", 53, true),
        ("198.51.100.9", 7, false),
        ("2001:db8:2::9", 7, false),
        // A private resolver is an exception only if it is named as one.
        ("172.18.0.5", 53, false),
        ("192.0.2.7", 53, true),
    ] {
        assert_eq!(world.home_reaches(address, port), reached, "{address} port {port}");
    }
}

#[test]
fn a_home_reaches_no_service_of_the_endpoint_and_forges_no_source() {
    if !can_run("a_home_reaches_no_service_of_the_endpoint_and_forges_no_source") {
        return;
    }
    let mut world = World::new();
    world.forward();
    let own = ["10.77.0.1", "198.51.100.2", "10.9.0.1", "fd77::1", "2001:db8:2::2"];
    for address in own {
        assert!(world.home_reaches(address, 9347), "the control experiment shows nothing for {address}");
    }
    let forged = |world: &World| world.reaches(&world.home, "10.77.0.9", "192.0.2.7", 7);
    assert!(forged(&world), "the control experiment shows nothing");
    // Not even a named exception opens the endpoint itself.
    world.install("\tlist allow '198.51.100.0/24'\n\tlist allow '10.0.0.0/8'\n", "\tlist server '198.51.100.2'\n");
    for address in own {
        for port in [53, 9347] {
            assert!(!world.home_reaches(address, port), "{address} port {port}");
        }
    }
    assert!(!forged(&world), "a packet with another source address than the home's left");
}

#[test]
fn the_endpoint_forwards_for_others_only_if_it_did_before() {
    if !can_run("the_endpoint_forwards_for_others_only_if_it_did_before") {
        return;
    }
    for forwarded_before in [false, true] {
        let mut world = World::new();
        let others = [("10.9.0.5", "192.0.2.7"), ("fd00:9::5", "2001:db8:7::7")];
        let pass = |world: &World| others.map(|(from, to)| world.reaches(&world.inner, from, to, 7));
        if forwarded_before {
            world.forward();
            assert_eq!(pass(&world), [true; 2], "the control experiment shows nothing");
        } else {
            assert_eq!(pass(&world), [false; 2], "the control experiment shows nothing");
        }
        world.install("", "");
        assert_eq!(pass(&world), [forwarded_before; 2], "forwarding before millpond: {forwarded_before}");
        assert!(world.home_reaches("192.0.2.7", 7) && world.home_reaches("2001:db8:7::7", 7));
    }
}

/// Only a home's packets are translated. A neighbour of the endpoint could otherwise open a way into the home: answers
/// to its forged packet are answers to the home.
#[test]
fn a_neighbour_of_the_endpoint_cannot_act_as_a_home() {
    if !can_run("a_neighbour_of_the_endpoint_cannot_act_as_a_home") {
        return;
    }
    let mut world = World::new();
    world.forward();
    world.inner.enter();
    shell("ip addr add 10.77.0.2/32 dev lo; ip -6 addr add fd77::2/128 dev lo nodad");
    for install in [false, true] {
        if install {
            world.install("", "");
        }
        for (home, to) in [("10.77.0.2", "192.0.2.7"), ("fd77::2", "2001:db8:7::7")] {
            assert_eq!(world.reaches(&world.inner, home, to, 7), !install, "{home}, with the guard: {install}");
        }
    }
    assert!(world.home_reaches("192.0.2.7", 7));
}
