//! Multicast of confined devices ends at the router: what a multicast proxy on the router such as igmpproxy gets to
//! see, and what an outside host sees then. Needs root like `guard.rs`; prints a line if it is skipped.

// A multicast proxy needs socket options that no safe crate offers.
#![allow(unsafe_code)]

mod common;

use std::ffi::c_int;
use std::io::Read;
use std::mem::size_of_val;
use std::net::{Ipv4Addr, Ipv6Addr, UdpSocket};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::time::{Duration, Instant};

use common::namespace::shell;
use common::world::{DEVICE, World, can_run};
use millpond::config::model::Policy;

const WAN: Ipv4Addr = Ipv4Addr::new(198, 51, 100, 1);
const LAN: Ipv4Addr = Ipv4Addr::new(192, 168, 1, 1);
const MDNS: Ipv4Addr = Ipv4Addr::new(224, 0, 0, 251);
/// How long a packet may take.
const SOON: Duration = Duration::from_millis(400);

/// A socket of this thread's namespace whose reads end after a moment.
fn socket(domain: c_int, kind: c_int, protocol: c_int) -> OwnedFd {
    // SAFETY: the arguments are plain numbers.
    let fd = unsafe { libc::socket(domain, kind | libc::SOCK_CLOEXEC, protocol) };
    assert!(fd >= 0, "socket: {}", std::io::Error::last_os_error());
    // SAFETY: the descriptor is new and valid.
    let fd = unsafe { OwnedFd::from_raw_fd(fd) };
    set(&fd, libc::SOL_SOCKET, libc::SO_RCVTIMEO, &libc::timeval { tv_sec: 0, tv_usec: 50_000 });
    fd
}

fn set<T>(fd: &OwnedFd, level: c_int, option: c_int, value: &T) {
    let length = size_of_val(value) as libc::socklen_t;
    // SAFETY: the pointer and the length describe `value`.
    let result = unsafe { libc::setsockopt(fd.as_raw_fd(), level, option, (&raw const *value).cast(), length) };
    assert_eq!(result, 0, "option {option}: {}", std::io::Error::last_os_error());
}

/// Whether a packet that contains `needle` arrives soon.
fn receives(socket: &OwnedFd, needle: &[u8]) -> bool {
    let mut file = std::fs::File::from(socket.try_clone().unwrap());
    let (start, mut packet) = (Instant::now(), [0; 2048]);
    while start.elapsed() < SOON {
        let length = file.read(&mut packet).unwrap_or(0);
        if packet[..length].windows(needle.len()).any(|window| window == needle) {
            return true;
        }
    }
    false
}

/// What igmpproxy does: it routes multicast between the interfaces and reads IGMP.
struct Proxy {
    igmp: OwnedFd,
    mld: OwnedFd,
    // The proxy's own memberships, of the groups to which reports of versions 3 and 2 go.
    _joined: [UdpSocket; 2],
}

impl Proxy {
    fn start(world: &World) -> Proxy {
        #[repr(C)]
        struct Interface {
            number: u16,
            flags: u8,
            threshold: u8,
            rate_limit: u32,
            index: c_int,
            remote: u32,
        }
        const MRT_INIT: c_int = 200;
        const MRT_ADD_VIF: c_int = 202;
        const VIFF_USE_IFINDEX: u8 = 8;
        world.router.enter();
        let igmp = socket(libc::AF_INET, libc::SOCK_RAW, libc::IPPROTO_IGMP);
        set(&igmp, libc::IPPROTO_IP, MRT_INIT, &1);
        for (number, name) in [(0, "br-lan"), (1, "wan0")] {
            let flags = VIFF_USE_IFINDEX;
            let interface =
                Interface { number, flags, threshold: 1, rate_limit: 0, index: index(name) as c_int, remote: 0 };
            set(&igmp, libc::IPPROTO_IP, MRT_ADD_VIF, &interface);
        }
        let joined = UdpSocket::bind("0.0.0.0:0").unwrap();
        joined.join_multicast_v4(&Ipv4Addr::new(224, 0, 0, 22), &LAN).unwrap();
        let mld = socket(libc::AF_INET6, libc::SOCK_RAW, libc::IPPROTO_ICMPV6);
        let joined6 = UdpSocket::bind("[::]:0").unwrap();
        joined6.join_multicast_v6(&Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 0x16), index("br-lan")).unwrap();
        Proxy { igmp, mld, _joined: [joined, joined6] }
    }

    /// Reports the device's group to the provider if the proxy learned it. Returns whether the outside host sees the
    /// report.
    fn reports(&self, world: &World, group: Group) -> bool {
        let socket = if matches!(group, Group::V6(_)) { &self.mld } else { &self.igmp };
        let learned = receives(socket, &group.bytes());
        let outside = Sniffer::start(world);
        world.router.enter();
        let _member = learned.then(|| group.join("wan0", WAN));
        outside.sees(&group.bytes())
    }
}

/// A group that the device joins. Each test step has its own, since hosts repeat their reports.
#[derive(Clone, Copy, Debug)]
enum Group {
    /// With the version of IGMP that the device uses.
    V4(Ipv4Addr, u8),
    V6(Ipv6Addr),
}

impl Group {
    /// Three groups: IGMP versions 2 and 3, and MLD.
    fn all(step: u8) -> [Group; 3] {
        let v4 = |last| Ipv4Addr::new(239, 9, step, last);
        let v6 = Ipv6Addr::new(0xff05, 0, 0, 0, 0, 0, 0x99, step.into());
        [Group::V4(v4(2), 2), Group::V4(v4(3), 3), Group::V6(v6)]
    }

    fn bytes(self) -> Vec<u8> {
        match self {
            Group::V4(group, _) => group.octets().to_vec(),
            Group::V6(group) => group.octets().to_vec(),
        }
    }

    /// Joins the group in this thread's namespace, until the returned socket is dropped.
    fn join(self, interface: &str, address: Ipv4Addr) -> UdpSocket {
        let conf = format!("net.ipv4.conf.{interface}");
        shell(&format!("sysctl -qw {conf}.igmpv2_unsolicited_report_interval=10"));
        shell(&format!("sysctl -qw {conf}.igmpv3_unsolicited_report_interval=10"));
        shell(&format!("sysctl -qw net.ipv6.conf.{interface}.mldv2_unsolicited_report_interval=10"));
        let socket = UdpSocket::bind(if matches!(self, Group::V6(_)) { "[::]:0" } else { "0.0.0.0:0" }).unwrap();
        match self {
            Group::V4(group, version) => {
                shell(&format!("sysctl -qw {conf}.force_igmp_version={version}"));
                socket.join_multicast_v4(&group, &address).unwrap();
            }
            Group::V6(group) => socket.join_multicast_v6(&group, index(interface)).unwrap(),
        }
        socket
    }
}

/// The index of an interface of this thread's namespace.
fn index(interface: &str) -> u32 {
    nix::net::if_::if_nametoindex(interface).unwrap()
}

/// The packets on the outside host's wire.
struct Sniffer(OwnedFd);

impl Sniffer {
    fn start(world: &World) -> Sniffer {
        world.outside.enter();
        Sniffer(socket(libc::AF_PACKET, libc::SOCK_RAW, i32::from((libc::ETH_P_ALL as u16).to_be())))
    }

    fn sees(&self, needle: &[u8]) -> bool {
        receives(&self.0, needle)
    }
}

/// Lets the device join the group, which it reports on its network, until the returned socket is dropped.
fn join(world: &World, group: Group) -> UdpSocket {
    world.device.enter();
    group.join("lan0", DEVICE[0].parse().unwrap())
}

#[test]
fn a_multicast_proxy_does_not_speak_for_a_confined_device() {
    if !can_run("a_multicast_proxy_does_not_speak_for_a_confined_device") {
        return;
    }
    let mut world = World::new();
    let policies = [(Policy::Direct, false), (Policy::Shape, true), (Policy::Block, true)];
    for (step, (policy, confined)) in (1..).zip(policies) {
        world.settings.devices[0].policy = policy;
        world.install_guard();
        let proxy = Proxy::start(&world);
        for group in Group::all(step) {
            let _member = join(&world, group);
            assert_eq!(proxy.reports(&world, group), !confined, "{policy:?} {group:?}");
        }
        // The kernel tells a multicast router about packets to a group without a route.
        world.device.enter();
        let sender = UdpSocket::bind((DEVICE[0], 0)).unwrap();
        sender.set_multicast_ttl_v4(8).unwrap();
        let group = Ipv4Addr::new(239, 9, step, 9);
        sender.send_to(b"hello", (group, 5000)).unwrap();
        assert_eq!(receives(&proxy.igmp, &group.octets()), !confined, "{policy:?}: a packet to a group");
    }
    let is_silent = |world: &World, step| {
        let proxy = Proxy::start(world);
        Group::all(step).into_iter().all(|group| {
            let _member = join(world, group);
            !proxy.reports(world, group)
        })
    };
    world.choose_by(DEVICE[0], Policy::Shape);
    world.install_guard();
    assert!(is_silent(&world, 4), "a device chosen by its address");
    world.settings.devices.clear();
    world.settings.networks[0].device = Some("br-lan".into());
    world.install_guard();
    assert!(is_silent(&world, 5), "a device of a confined network");
}

#[test]
fn multicast_within_the_home_works() {
    if !can_run("multicast_within_the_home_works") {
        return;
    }
    let mut world = World::new();
    world.install_guard();
    world.router.enter();
    // As on OpenWrt. Otherwise the kernel shows the guard the bridge's own packets as if they were the router's.
    shell("! test -e /proc/sys/net/bridge || sysctl -qw net.bridge.bridge-nf-call-iptables=0");
    shell("! test -e /proc/sys/net/bridge || sysctl -qw net.bridge.bridge-nf-call-ip6tables=0");
    // With a querier, a snooping bridge forwards a group only to its members.
    shell("ip link set br-lan type bridge mcast_snooping 1 mcast_querier 1");
    let _members = Group::all(1).map(|group| join(&world, group));
    world.router.enter();
    let start = Instant::now();
    while !["239.9.1.2", "239.9.1.3", "ff05::99:1"].iter().all(|group| shell("bridge mdb show").contains(group)) {
        assert!(start.elapsed() < Duration::from_secs(5), "members: {}", shell("bridge mdb show"));
    }
    // The router hears the device's mDNS, in both families.
    let responder = UdpSocket::bind("0.0.0.0:5353").unwrap();
    responder.join_multicast_v4(&MDNS, &LAN).unwrap();
    responder.set_read_timeout(Some(SOON)).unwrap();
    world.device.enter();
    let querier = UdpSocket::bind((DEVICE[0], 0)).unwrap();
    querier.send_to(b"query", (MDNS, 5353)).unwrap();
    assert!(responder.recv(&mut [0; 16]).is_ok(), "mDNS to the router");
    // Neighbour discovery, whose multicast groups the device has reported too.
    world.flush_neighbours();
    world.set_mac("18:b4:30:26:34:40");
}

#[test]
fn a_reflector_does_not_repeat_discovery_to_the_provider() {
    if !can_run("a_reflector_does_not_repeat_discovery_to_the_provider") {
        return;
    }
    let mut world = World::new();
    // Without a confined device the router may announce itself where its owner likes.
    let devices = world.settings.devices.clone();
    for confined in [false, true] {
        world.settings.devices = if confined { devices.clone() } else { Vec::new() };
        world.settings.networks.clear();
        world.install_guard();
        for (interface, port) in [("wan0", 5353), ("wan0", 1900), ("br-lan", 5353)] {
            world.router.enter();
            let (v4, v6) = (UdpSocket::bind("0.0.0.0:0").unwrap(), UdpSocket::bind("[::]:0").unwrap());
            let source: Ipv4Addr = if interface == "wan0" { WAN } else { LAN };
            let from = libc::in_addr { s_addr: u32::from(source).to_be() };
            set(&v4.try_clone().unwrap().into(), libc::IPPROTO_IP, libc::IP_MULTICAST_IF, &from);
            set(&v6.try_clone().unwrap().into(), libc::IPPROTO_IPV6, libc::IPV6_MULTICAST_IF, &index(interface));
            match interface {
                "wan0" => world.outside.enter(),
                _ => world.device.enter(),
            }
            let sniffer = Sniffer(socket(libc::AF_PACKET, libc::SOCK_RAW, i32::from((libc::ETH_P_ALL as u16).to_be())));
            // The sockets belong to the router's namespace wherever this thread is.
            let sent = [v4.send_to(b"leak-four", (MDNS, port)), v6.send_to(b"leak-six", ("ff02::fb", port))];
            let expected = !confined || interface == "br-lan";
            assert_eq!(sent.iter().all(Result::is_ok), expected, "{interface} {port}: {sent:?}");
            assert_eq!(sniffer.sees(b"leak-four"), expected, "{interface} {port}, IPv4, confined: {confined}");
        }
    }
}
