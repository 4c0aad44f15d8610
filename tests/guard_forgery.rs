//! Devices that forge addresses: the guard learns an Ethernet address, an IP address and an interface together, where
//! ARP or neighbour discovery confirms them. Needs root and the kernel modules veth, bridge and nf_tables; prints a line
//! if it is skipped.

mod common;

use std::net::{IpAddr, TcpListener, UdpSocket};

use common::namespace::{Namespace, shell};
use common::world::{DEVICE, SERVERS, World, can_run};
use millpond::config::model::{Device, Mac, Network, Policy};
use millpond::plan::{conflicts, persistent_elements};

const CAMERA: &str = "18:b4:30:26:34:40";
const PHONE: &str = "02:00:00:00:00:51";
const PHONE_ADDRESSES: [&str; 2] = ["192.168.1.51", "fd00:77::51"];

/// A home with a camera, the device of the world, and a telephone on the same bridge.
struct Home {
    world: World,
    phone: Namespace,
    _server: TcpListener,
}

impl Home {
    fn new(choose: impl FnOnce(&mut World)) -> Home {
        let mut world = World::new();
        world.outside.enter();
        let server = TcpListener::bind("[::]:80").unwrap();
        world.settings.networks.clear();
        world.settings.devices.truncate(1);
        choose(&mut world);
        let phone = Namespace::new();
        world.router.enter();
        shell("ip link add port1 type veth peer name lan1; ip link set port1 master br-lan up");
        phone.move_in("lan1");
        phone.enter();
        shell(&format!("ip link set lo up; ip link set lan1 address {PHONE} up"));
        shell(&format!(
            "ip addr add {}/24 dev lan1; ip addr add {}/64 dev lan1 nodad",
            PHONE_ADDRESSES[0], PHONE_ADDRESSES[1]
        ));
        shell("ip route add default via 192.168.1.1; ip -6 route add default via fd00:77::1");
        let home = Home { world, phone, _server: server };
        // The phone's port forwards after a moment.
        home.phone.enter();
        shell("for try in 1 2 3 4 5 6 7 8 9; do busybox ping -c 1 -W 1 192.168.1.1 && break; done");
        home
    }

    /// What a reconcile job does after the router has found both devices by ARP and neighbour discovery.
    fn confirm(&mut self) {
        self.world.resolve_device();
        for (ping, address) in ["ping", "ping6"].into_iter().zip(PHONE_ADDRESSES) {
            shell(&format!("busybox {ping} -c 1 -W 2 {address}"));
        }
        self.world.install_guard();
    }

    /// Sends one packet with the phone's Ethernet address and that source address.
    fn forge(&self, source: &str) {
        self.phone.enter();
        let (bits, router) = if source.contains(':') { ("128", "fd00:77::1") } else { ("32", "192.168.1.1") };
        let nodad = if bits == "128" { "nodad" } else { "" };
        let ping = if bits == "128" { "ping6" } else { "ping" };
        shell(&format!("busybox {ping} -c 1 -W 2 {router}"));
        // The phone answers no request for that address.
        shell("sysctl -qw net.ipv4.conf.all.arp_ignore=8");
        shell(
            "nft 'table ip6 silent { chain c { type filter hook input priority 0; icmpv6 type nd-neighbor-solicit drop; }; }'",
        );
        shell(&format!("ip addr add {source}/{bits} dev lan1 {nodad}"));
        let socket = UdpSocket::bind((source.parse::<IpAddr>().unwrap(), 0)).unwrap();
        socket.send_to(b"forged", (router.parse::<IpAddr>().unwrap(), 9)).unwrap();
        shell(&format!("ip addr del {source}/{bits} dev lan1; nft delete table ip6 silent"));
        shell("sysctl -qw net.ipv4.conf.all.arp_ignore=0");
    }

    /// Which servers the phone can connect to.
    fn phone_connects(&mut self) -> [Option<bool>; 2] {
        std::mem::swap(&mut self.world.device, &mut self.phone);
        let connects = SERVERS.map(|server| self.world.connects(server));
        std::mem::swap(&mut self.world.device, &mut self.phone);
        connects
    }

    /// Whether a packet from outside reaches the camera at that address.
    fn is_reached(&self, address: &str) -> bool {
        self.world.is_reached(address.parse().unwrap())
    }

    /// What status names, and the Ethernet addresses that the guard's file keeps.
    fn found(&mut self) -> (Vec<String>, Vec<String>) {
        self.world.router.enter();
        let guard = self.world.kernel.guard().unwrap().unwrap();
        (
            conflicts(&guard, &self.world.settings.devices),
            persistent_elements(&guard.learned).into_values().flatten().collect(),
        )
    }

    fn has(&self, set: &str, element: &str) -> bool {
        self.world.router.enter();
        shell(&format!("nft list set inet millpond {set}")).contains(element)
    }
}

fn phone_section() -> Device {
    let macs = vec![Mac([2, 0, 0, 0, 0, 0x51])];
    Device { macs, ..millpond::config::example::device("phone", Policy::Direct) }
}

fn fill(set: &str, network: &str) {
    let elements: Vec<String> = (0..2048).map(|n| format!("{network}{:x}:{:x}", n / 256, n % 256)).collect();
    let elements = if network.contains(':') {
        elements
    } else {
        (0..2048).map(|n| format!("{network}{}.{}", n / 256, n % 256)).collect()
    };
    let add = format!("add element inet millpond {set} {{ {} }}", elements.join(", "));
    // In one transaction: the camera may send meanwhile.
    shell(&format!("printf 'flush set inet millpond {set}\n{add}\n' | nft -f -"));
}

/// The camera's own addresses come first, whatever fills the sets.
#[test]
fn full_sets_do_not_open_a_devices_own_address() {
    if !can_run("full_sets_do_not_open_a_devices_own_address") {
        return;
    }
    let mut home = Home::new(|_| ());
    home.world.install_guard();
    home.world.router.enter();
    fill("seen4", "10.0.");
    fill("seen6", "2001:db8:5::");
    // The camera shows its addresses, but there is no room.
    home.world.set_mac(CAMERA);
    let is_open = DEVICE.map(|address| home.is_reached(address));
    assert_eq!(is_open, [true; 2], "the control experiment shows nothing");
    home.confirm();
    for address in DEVICE {
        assert!(!home.is_reached(address), "{address}");
    }
    // A camera that has shown too many addresses is not learned from packets any more.
    home.world.device.enter();
    for host in 100..200 {
        shell(&format!("ip addr add 192.168.1.{host}/32 dev lo"));
        let socket = UdpSocket::bind((IpAddr::from([192, 168, 1, host]), 0)).unwrap();
        socket.send_to(b"forged", "192.168.1.1:9").unwrap();
    }
    shell("ip addr add 192.168.1.77/24 dev lan0; busybox ping -c 1 -W 2 -I 192.168.1.77 192.168.1.1");
    assert!(home.is_reached("192.168.1.77"), "the control experiment shows nothing");
    home.world.router.enter();
    shell("ip neigh flush all; busybox ping -c 1 -W 2 192.168.1.77");
    home.world.install_guard();
    assert!(!home.is_reached("192.168.1.77"));
}

/// A packet with the phone's Ethernet address and the camera's IP address confines nobody, and is named.
#[test]
fn one_forged_packet_confines_nobody_and_is_named() {
    if !can_run("one_forged_packet_confines_nobody_and_is_named") {
        return;
    }
    for (chosen, other) in [(0, 1), (1, 0)] {
        let mut home = Home::new(|world| world.choose_by(DEVICE[chosen], Policy::Shape));
        home.confirm();
        assert_eq!(home.found(), (vec![], vec![CAMERA.to_owned()]), "chosen by {}", DEVICE[chosen]);
        home.forge(DEVICE[chosen]);
        assert_eq!(home.phone_connects(), [Some(true); 2], "chosen by {}", DEVICE[chosen]);
        home.confirm();
        assert_eq!(home.phone_connects(), [Some(true); 2], "chosen by {}, after a job", DEVICE[chosen]);
        let sentence = format!("{PHONE} on br-lan uses the address {}, which {CAMERA} on br-lan has", DEVICE[chosen]);
        assert_eq!(home.found(), (vec![sentence], vec![CAMERA.to_owned()]));
        // The camera is confined all the time.
        assert_eq!(home.world.connects(SERVERS[other]), Some(false));
        assert!(!home.is_reached(DEVICE[other]));
    }
}

/// While nobody is known to have the address, a packet confines for a short time, and never beyond a boot.
#[test]
fn a_packet_from_an_unknown_device_confines_for_minutes() {
    if !can_run("a_packet_from_an_unknown_device_confines_for_minutes") {
        return;
    }
    let mut home = Home::new(|world| world.choose_by(DEVICE[0], Policy::Shape));
    home.world.device.enter();
    shell("ip link set lan0 down");
    home.world.flush_neighbours();
    home.world.install_guard();
    home.forge(DEVICE[0]);
    assert_eq!(home.phone_connects(), [Some(true), Some(false)]);
    assert!(home.has("unconfirmed4", PHONE));
    home.world.install_guard();
    assert_eq!(home.found().1, [""; 0]);
    // The camera answers ARP: from now on the phone's packets are a conflict.
    home.world.set_mac(CAMERA);
    home.confirm();
    assert_eq!(home.found(), (vec![], vec![CAMERA.to_owned()]));
    home.world.router.enter();
    // Five minutes later.
    shell("nft flush set inet millpond unconfirmed4");
    home.world.install_guard();
    home.forge(DEVICE[0]);
    assert_eq!(home.phone_connects(), [Some(true); 2]);
}

/// The phone answers for the camera's address while the camera is away.
#[test]
fn a_device_that_answers_for_anothers_address_is_named_and_not_confined() {
    if !can_run("a_device_that_answers_for_anothers_address_is_named_and_not_confined") {
        return;
    }
    for chosen in [0, 1] {
        let mut home = Home::new(|world| world.choose_by(DEVICE[chosen], Policy::Shape));
        home.confirm();
        home.world.device.enter();
        shell("ip link set lan0 down");
        home.phone.enter();
        shell(&format!("ip addr add {} dev lan1", ["192.168.1.50/32", "fd00:77::50/128 nodad"][chosen]));
        home.world.router.enter();
        let ping = ["ping", "ping6"][chosen];
        shell(&format!("ip neigh flush all; busybox {ping} -c 1 -W 2 {}", DEVICE[chosen]));
        assert!(shell(&format!("ip neigh show {}", DEVICE[chosen])).contains(PHONE));
        home.world.install_guard();
        home.phone.enter();
        shell("ip addr del 192.168.1.50/32 dev lan1 || ip addr del fd00:77::50/128 dev lan1");
        assert_eq!(home.phone_connects(), [Some(true); 2], "chosen by {}", DEVICE[chosen]);
        let (named, kept) = home.found();
        assert!(named.len() == 1 && named[0].starts_with(PHONE) && named[0].contains(CAMERA), "{named:?}");
        assert_eq!(kept, [CAMERA]);
        // A device that has the address for good is confined after a while.
        home.world.expire_bindings();
        home.world.install_guard();
        let (named, kept) = home.found();
        assert!(named.is_empty() && kept.contains(&PHONE.to_owned()), "{named:?} {kept:?}");
        assert_eq!(home.phone_connects()[1 - chosen], Some(false));
    }
}

/// Another device's packet with the camera's address neither makes the guard forget the address nor exempts it.
#[test]
fn a_forged_packet_does_not_open_a_device_to_the_outside() {
    if !can_run("a_forged_packet_does_not_open_a_device_to_the_outside") {
        return;
    }
    let by_network = |world: &mut World| {
        let network =
            Network { name: "lan".into(), device: Some("br-lan".into()), policy: Policy::Shape, strict: false };
        (world.settings.devices, world.settings.networks) = (vec![phone_section()], vec![network]);
        let camera = Device {
            address: "192.168.1.99".parse().ok(),
            ..millpond::config::example::device("other", Policy::Shape)
        };
        world.settings.devices.push(camera);
    };
    for by_mac in [true, false] {
        let mut home = Home::new(|world| {
            if !by_mac {
                by_network(world)
            }
        });
        home.confirm();
        home.phone.enter();
        for address in DEVICE {
            home.forge(address);
            assert!(!home.is_reached(address), "{address}, chosen by its Ethernet address: {by_mac}");
        }
        home.confirm();
        for address in DEVICE {
            assert!(!home.is_reached(address), "{address} after a job");
        }
        // The phone itself stays reachable.
        std::mem::swap(&mut home.world.device, &mut home.phone);
        for address in PHONE_ADDRESSES {
            assert!(home.is_reached(address), "{address}, chosen by its Ethernet address: {by_mac}");
        }
    }
}

/// The camera moves to another bridge of the home.
#[test]
fn a_device_stays_confined_on_another_interface_of_the_home() {
    if !can_run("a_device_stays_confined_on_another_interface_of_the_home") {
        return;
    }
    let mut home = Home::new(|_| ());
    home.world.router.enter();
    shell("ip link add br-iot type bridge; ip link set br-iot up; ip addr add 192.168.2.1/24 dev br-iot");
    home.world.outside.enter();
    shell("ip route add 192.168.2.0/24 via 198.51.100.1");
    home.world.router.enter();
    home.world.facts = home.world.kernel.facts(&home.world.settings, &home.world.facts, false).unwrap();
    home.confirm();
    home.world.router.enter();
    shell("ip link set port nomaster; ip link set port master br-iot");
    home.world.device.enter();
    shell("ip addr flush dev lan0; ip addr add 192.168.2.50/24 dev lan0; ip route add default via 192.168.2.1");
    shell("for try in 1 2 3 4 5; do busybox ping -c 1 -W 1 192.168.2.1 && break; done");
    assert!(!home.is_reached("192.168.2.50"), "as soon as a packet has shown the address");
    assert_eq!(home.world.connects(SERVERS[0]), Some(false));
    home.world.router.enter();
    shell("ip neigh flush all; busybox ping -c 1 -W 2 192.168.2.50");
    home.world.install_guard();
    assert!(home.has("bindings4", &format!("{CAMERA} . 192.168.2.50 . \"br-iot\"")));
    assert_eq!(home.found().0, [""; 0]);
    assert!(!home.is_reached("192.168.2.50"));
}
