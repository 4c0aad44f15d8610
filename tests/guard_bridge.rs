//! The table for bridge ports that are tunnels, on a running kernel. Needs root, and a kernel with VXLAN and nftables'
//! family `bridge`; prints a line if it is skipped.

mod common;

use std::io::ErrorKind;
use std::net::{Ipv4Addr, UdpSocket};
use std::time::Duration;

use common::namespace::{Namespace, shell};
use common::world::{DEVICE, World, can_run};
use millpond::apply::Kernel;
use millpond::config::model::{Network, Policy};
use millpond::plan::nft::TableName;
use millpond::plan::{Op, bridge_guard};

const OTHER_SITE: &str = "192.168.1.99";

fn can_bridge(name: &str) -> bool {
    let probe = "unshare -n sh -c 'ip link add vx0 type vxlan id 7 dstport 4789 && \
        nft \"table bridge t { chain c { type filter hook postrouting priority 0; arp saddr ip 192.0.2.1 drop; }; }\"'";
    let has_parts = || std::process::Command::new("sh").args(["-c", probe]).output().is_ok_and(|o| o.status.success());
    let can_bridge = can_run(name) && has_parts();
    if !can_bridge {
        println!("skipped {name}: VXLAN or nftables' family bridge is missing here");
    }
    can_bridge
}

/// A home whose bridge has a VXLAN port towards the outside host, which bridges it to a second building.
struct TwoSites {
    world: World,
    site: Namespace,
}

impl TwoSites {
    fn new() -> TwoSites {
        let world = World::new();
        let vxlan = |local, remote, dev| {
            format!("ip link add vx0 type vxlan id 7 local {local} remote {remote} dstport 4789 dev {dev}")
        };
        world.router.enter();
        shell(&vxlan("198.51.100.1", "198.51.100.7", "wan0"));
        shell("ip link set vx0 master br-lan up");
        // The other site has a host on the same network.
        let site = Namespace::new();
        world.outside.enter();
        shell(&vxlan("198.51.100.7", "198.51.100.1", "wan1"));
        site.move_in("vx0");
        site.enter();
        shell(&format!("ip link set lo up; ip link set vx0 up; ip addr add {OTHER_SITE}/24 dev vx0"));
        TwoSites { world, site }
    }

    /// Reads the facts and installs the table, if one is wanted. Returns whether it is.
    fn install(&mut self) -> bool {
        let world = &mut self.world;
        world.router.enter();
        world.facts = world.kernel.facts(&world.settings, &world.facts, false).unwrap();
        let installed = world.kernel.bridge_guard().unwrap();
        match bridge_guard(&world.settings, &world.facts) {
            Some(wanted) => {
                world.kernel.run(&Op::SetTable(wanted.clone())).unwrap();
                let installed = world.kernel.bridge_guard().unwrap().unwrap();
                assert!(wanted.is_satisfied_by(&installed), "{}", shell("nft -s list table bridge millpond"));
                assert!(!shell("nft list tables").contains("draft"));
                true
            }
            None => {
                if installed.is_some() {
                    world.kernel.run(&Op::DeleteTable(TableName::Bridge)).unwrap();
                }
                assert_eq!(world.kernel.bridge_guard().unwrap(), None);
                false
            }
        }
    }

    /// Whether the device's broadcast, its unicast, and a packet to the device cross the tunnel.
    fn crossing(&self) -> [bool; 3] {
        let bind = |namespace: &Namespace, address: &str, port| {
            namespace.enter();
            let socket = UdpSocket::bind((address, port)).unwrap();
            socket.set_broadcast(true).unwrap();
            socket.set_read_timeout(Some(Duration::from_millis(400))).unwrap();
            socket
        };
        // The two may have forgotten each other. Without ARP there is no unicast.
        let everywhere = Ipv4Addr::new(192, 168, 1, 255);
        let receive = |socket: &UdpSocket, wanted: &[u8]| {
            let mut buffer = [0; 64];
            loop {
                match socket.recv(&mut buffer) {
                    Ok(length) if &buffer[..length] == wanted => return true,
                    Ok(_) => {}
                    Err(error) if [ErrorKind::WouldBlock, ErrorKind::TimedOut].contains(&error.kind()) => return false,
                    Err(error) => panic!("{error}"),
                }
            }
        };
        let inside = bind(&self.world.device, DEVICE[0], 7777);
        let outside = bind(&self.site, "0.0.0.0", 7777);
        inside.send_to(b"broadcast", (everywhere, 7777)).unwrap();
        let broadcast = receive(&outside, b"broadcast");
        inside.send_to(b"unicast", (OTHER_SITE, 7777)).unwrap();
        let unicast = receive(&outside, b"unicast");
        outside.send_to(b"knock", (DEVICE[0], 7777)).unwrap();
        [broadcast, unicast, receive(&inside, b"knock")]
    }
}

#[test]
fn nothing_of_a_confined_device_crosses_a_tunnel_port() {
    if !can_bridge("nothing_of_a_confined_device_crosses_a_tunnel_port") {
        return;
    }
    let mut sites = TwoSites::new();
    sites.world.settings.networks.clear();
    sites.world.settings.devices.truncate(1);
    sites.world.install_guard();
    assert_eq!(sites.crossing(), [true; 3], "the guard alone does not see frames between bridge ports");
    for (policy, confined) in
        [(Policy::Direct, false), (Policy::Shape, true), (Policy::Direct, false), (Policy::Block, true)]
    {
        sites.world.settings.devices[0].policy = policy;
        assert_eq!(sites.install(), confined, "{policy:?}");
        assert_eq!(sites.crossing(), [!confined; 3], "{policy:?}");
    }
    let port = &sites.world.facts.tunnel_ports[0];
    assert_eq!((port.name.as_str(), port.bridge.as_str(), port.kind.as_str()), ("vx0", "br-lan", "vxlan"));
    // The owner says that the other end belongs to the home.
    sites.world.settings.home_ports = vec!["vx0".into()];
    assert!(!sites.install());
    assert_eq!(sites.crossing(), [true; 3], "the home's own port");
    sites.world.settings.home_ports.clear();
    // A device chosen by its address is known by its MAC in the other family too.
    sites.world.choose_by(DEVICE[0], Policy::Shape);
    assert!(sites.install());
    assert_eq!(sites.crossing(), [false; 3], "chosen by address");
    sites.world.router.enter();
    assert!(shell("nft list set bridge millpond unconfirmed4").contains("18:b4:30:26:34:40"));
    // Another device keeps its service.
    sites.world.set_mac("02:00:00:00:00:77");
    sites.world.settings.devices[0].address = "192.168.1.51".parse().ok();
    assert!(sites.install());
    assert_eq!(sites.crossing(), [true; 3], "a device that is not chosen");
    // A whole network, except a device with a section of its own.
    let network = Network { name: "lan".into(), device: None, policy: Policy::Block, strict: false };
    sites.world.settings.networks = vec![network];
    assert!(sites.install());
    assert_eq!(sites.crossing(), [false; 3], "chosen by network");
    sites.world.choose_by(DEVICE[0], Policy::Direct);
    assert!(sites.install());
    assert_eq!(sites.crossing(), [true; 3], "exempt from its network's policy");
}

/// The port goes and comes back with another index; the table names it.
#[test]
fn a_tunnel_port_that_is_created_again_stays_closed() {
    if !can_bridge("a_tunnel_port_that_is_created_again_stays_closed") {
        return;
    }
    let mut sites = TwoSites::new();
    assert!(sites.install());
    sites.world.router.enter();
    shell("ip link del vx0");
    shell("ip link add vx0 type vxlan id 7 local 198.51.100.1 remote 198.51.100.7 dstport 4789 dev wan0");
    shell("ip link set vx0 master br-lan up");
    assert_eq!(sites.crossing(), [false; 3]);
}
