//! What other programs on the router do for a confined device: relays, mappings and pinholes. Needs root
//! like `guard.rs`; prints a line if it is skipped.

mod common;

use std::io::ErrorKind;
use std::net::{IpAddr, Ipv6Addr, SocketAddrV6, UdpSocket};
use std::time::{Duration, Instant};

use common::namespace::shell;
use common::world::{DEVICE, World, can_run};
use millpond::config::model::Policy;

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
