//! What other programs on the router do for a confined device: relays, mappings and pinholes. Needs root
//! like `guard.rs`; prints a line if it is skipped.

mod common;

use std::fs;
use std::io::ErrorKind;
use std::net::{IpAddr, Ipv6Addr, SocketAddrV6, UdpSocket};
use std::os::unix::fs::symlink;
use std::os::unix::process::CommandExt;
use std::process::Command;
use std::time::{Duration, Instant};

use common::namespace::shell;
use common::world::{DEVICE, World, can_run};
use millpond::config::model::Policy;
use millpond::plan::{PreflightIssueKind, preflight_issues};
use nix::sched::{CloneFlags, unshare};

const ALL_DHCP_AGENTS: Ipv6Addr = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 1, 2);
/// How long a packet may take.
const SOON: Duration = Duration::from_millis(400);

/// The ways to confine the device, and one to leave it alone: what chooses it, its policy, whether it is confined.
const CHOICES: [(&str, Policy, bool); 7] = [
    ("MAC", Policy::Direct, false),
    ("MAC", Policy::Shape, true),
    ("MAC", Policy::Block, true),
    ("address", Policy::Shape, true),
    ("address", Policy::Block, true),
    ("network", Policy::Shape, true),
    ("network", Policy::Block, true),
];

/// A home in which only the device may be confined, in that way, with the guard.
fn home(chosen_by: &str, policy: Policy) -> World {
    let mut world = World::new();
    world.settings.devices.truncate(1);
    world.settings.networks.truncate(1);
    match chosen_by {
        "MAC" => {
            world.settings.devices[0].policy = policy;
            world.settings.networks.clear();
        }
        "address" => {
            world.choose_by(DEVICE[0], policy);
            world.settings.networks.clear();
        }
        _ => {
            world.settings.devices.clear();
            world.settings.networks[0].device = Some("br-lan".into());
            world.settings.networks[0].policy = policy;
        }
    }
    world.install_guard();
    world
}

/// A socket of this thread's namespace whose reads end after a moment.
fn socket(address: IpAddr, port: u16) -> UdpSocket {
    let start = Instant::now();
    loop {
        match UdpSocket::bind((address, port)) {
            Ok(socket) => {
                socket.set_read_timeout(Some(SOON)).unwrap();
                return socket;
            }
            // A program that another test starts holds copies of all sockets for a moment.
            Err(error) if error.kind() == ErrorKind::AddrInUse && start.elapsed() < Duration::from_secs(5) => {}
            Err(error) => panic!("binding {address} port {port}: {error}"),
        }
    }
}

fn unspecified(ipv6: bool) -> IpAddr {
    if ipv6 { [0u16; 8].into() } else { [0u8; 4].into() }
}

/// Whether a datagram that the router sends from one port to another on the provider's line arrives there.
fn arrives(world: &World, ipv6: bool, from: u16, to: u16) -> bool {
    let index = |name| nix::net::if_::if_nametoindex(name).unwrap();
    world.outside.enter();
    let provider = socket(unspecified(ipv6), to);
    if ipv6 {
        provider.join_multicast_v6(&ALL_DHCP_AGENTS, index("wan1")).unwrap();
    }
    world.router.enter();
    let router = socket(unspecified(ipv6), from);
    // A relay gets an error from the kernel instead.
    _ = match ipv6 {
        true => router.send_to(b"relayed", SocketAddrV6::new(ALL_DHCP_AGENTS, to, 0, index("wan0"))),
        false => router.send_to(b"relayed", ("198.51.100.7", to)),
    };
    provider.recv(&mut [0; 16]).is_ok()
}

#[test]
fn a_dhcp_relay_does_not_speak_for_a_confined_device() {
    if !can_run("a_dhcp_relay_does_not_speak_for_a_confined_device") {
        return;
    }
    for (chosen_by, policy, confined) in CHOICES {
        let world = home(chosen_by, policy);
        assert_eq!(arrives(&world, false, 67, 67), !confined, "DHCP relayed, {chosen_by} {policy:?}");
        assert_eq!(arrives(&world, true, 547, 547), !confined, "DHCPv6 relayed, {chosen_by} {policy:?}");
        assert!(arrives(&world, false, 68, 67), "the router's own DHCP client, {chosen_by} {policy:?}");
        assert!(arrives(&world, true, 546, 547), "the router's own DHCPv6 client, {chosen_by} {policy:?}");
    }
}

#[test]
fn relays_are_found_while_a_device_is_confined() {
    if !can_run("relays_are_found_while_a_device_is_confined") {
        return;
    }
    let mut world = home("MAC", Policy::Shape);
    world.router.enter();
    // Gives this thread an /etc of its own.
    unshare(CloneFlags::CLONE_NEWNS).unwrap();
    shell("mount --make-rprivate / && mount -t tmpfs tmpfs /etc && mkdir /etc/config");
    let network = "config interface lan\n\toption device br-lan\nconfig interface wan6\n\toption device wan0\n";
    let relay = "\toption ra relay\n\toption dhcpv6 relay\n\toption ndp relay\n";
    fs::write("/etc/config/network", network).unwrap();
    fs::write("/etc/config/dhcp", format!("config dhcp lan\n{relay}config dhcp wan6\n\toption master 1\n{relay}"))
        .unwrap();
    // A process with the name of that program.
    let directory = std::env::temp_dir().join(format!("relays-{}", std::process::id()));
    fs::create_dir_all(&directory).unwrap();
    symlink("/bin/sleep", directory.join("ndppd")).unwrap();
    let mut program = Command::new(directory.join("ndppd")).arg0("sleep").arg("60").spawn().unwrap();
    let comm = format!("/proc/{}/comm", program.id());
    let start = Instant::now();
    while fs::read_to_string(&comm).unwrap() != "ndppd\n" {
        assert!(start.elapsed() < Duration::from_secs(5), "the program does not start");
    }
    let found = |world: &mut World| {
        world.facts = world.kernel.facts(&world.settings, &world.facts, false).unwrap();
        let issues = preflight_issues(&world.settings, &world.facts).into_iter();
        issues.filter(|issue| issue.kind == PreflightIssueKind::Relay).map(|issue| issue.text).collect::<Vec<_>>()
    };
    let confined = found(&mut world);
    world.settings.devices.clear();
    let free = found(&mut world);
    program.kill().unwrap();
    program.wait().unwrap();
    fs::remove_dir_all(directory).unwrap();
    let tells = "the provider sees the addresses of shaped and blocked devices";
    let expected = [
        "ndppd asks and answers for devices' addresses",
        "odhcpd asks and answers for devices' addresses towards wan6",
    ];
    assert_eq!(confined, expected.map(|relay| format!("{relay}: {tells}")));
    assert_eq!(free, [""; 0]);
}

/// What miniupnpd does: it translates a port of the router to the device, and opens the firewall for the device.
fn map_ports(world: &World) {
    world.router.enter();
    shell(
        "nft 'table inet upnp {
            chain nat { type nat hook prerouting priority dstnat;
                iifname wan0 udp dport 8080 dnat ip to 192.168.1.50:7777; };
            chain forward { type filter hook forward priority filter; policy drop;
                iifname wan0 udp dport 7777 accept; iifname br-lan accept; }; }'",
    );
}

/// Whether a datagram from outside to that address and port reaches the device, which listens at another.
fn reaches(world: &World, (address, port): (&str, u16), device: &str) -> bool {
    world.device.enter();
    let inside = socket(device.parse().unwrap(), 7777);
    let to: IpAddr = address.parse().unwrap();
    world.outside.enter();
    let outside = socket(unspecified(to.is_ipv6()), 0);
    outside.send_to(b"knock", (to, port)).unwrap();
    inside.recv(&mut [0; 16]).is_ok()
}

#[test]
fn a_mapping_or_a_pinhole_reaches_no_confined_device() {
    if !can_run("a_mapping_or_a_pinhole_reaches_no_confined_device") {
        return;
    }
    for (chosen_by, policy, confined) in CHOICES {
        let world = home(chosen_by, policy);
        map_ports(&world);
        let context = format!("{chosen_by} {policy:?}");
        assert_eq!(reaches(&world, ("198.51.100.1", 8080), DEVICE[0]), !confined, "a mapping, {context}");
        assert_eq!(reaches(&world, (DEVICE[1], 7777), DEVICE[1]), !confined, "a pinhole, {context}");
        // Nor does a mapping help the device out.
        world.outside.enter();
        let outside = socket(unspecified(false), 9999);
        world.device.enter();
        let inside = socket(DEVICE[0].parse().unwrap(), 7777);
        _ = inside.send_to(b"hello", ("198.51.100.7", 9999));
        assert_eq!(outside.recv(&mut [0; 16]).is_ok(), !confined, "outwards, {context}");
    }
}
