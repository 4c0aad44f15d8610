//! A home with one device, its router, and a host on the Internet, in network namespaces.

use std::io::ErrorKind;
use std::net::{IpAddr, TcpStream, UdpSocket};
use std::time::Duration;

use millpond::apply::apply_guard;
use millpond::config::model::{Policy, Settings};
use millpond::plan::{Facts, guard_table};
use millpond::sys::kernel::LinuxKernel;

use super::namespace::{Namespace, shell};

/// The IPv4 and the IPv6 address of the device.
pub const DEVICE: [&str; 2] = ["192.168.1.50", "fd00:77::50"];
/// Addresses of a web server on the outside host.
pub const SERVERS: [&str; 2] = ["198.51.100.7:80", "[2001:db8::7]:80"];

/// Whether the tests of the guard can run on this host.
pub fn can_run(name: &str) -> bool {
    let probe = "unshare -n sh -c 'ip link add veth0 type veth peer name veth1 && ip link add bridge0 type bridge && \
        nft \"table inet t { chain c { type filter hook prerouting priority 0; reject; }; }\"'";
    let can_run = nix::unistd::geteuid().is_root()
        && std::process::Command::new("sh").args(["-c", probe]).output().is_ok_and(|output| output.status.success());
    if !can_run {
        println!("skipped {name}: not root, or nftables, veth or bridge is missing here");
    }
    can_run
}

/// A device, the router, and a host on the Internet that has routes to the home's addresses.
pub struct World {
    pub device: Namespace,
    pub router: Namespace,
    pub outside: Namespace,
    pub kernel: LinuxKernel,
    pub settings: Settings,
    pub facts: Facts,
}

impl World {
    pub fn new() -> World {
        let (outside, router, device) = (Namespace::new(), Namespace::new(), Namespace::new());
        outside.enter();
        shell("ip link set lo up; ip link add wan1 type veth peer name wan0; ip link set wan1 up");
        shell("ip addr add 198.51.100.7/24 dev wan1; ip route add 192.168.1.0/24 via 198.51.100.1");
        shell("ip addr add 2001:db8::7/64 dev wan1 nodad; ip route add fd00:77::/64 via 2001:db8::1");
        router.move_in("wan0");
        router.enter();
        shell("ip link set lo up; ip link set wan0 up; ip addr add 198.51.100.1/24 dev wan0");
        shell("ip addr add 2001:db8::1/64 dev wan0 nodad; ip route add default via 198.51.100.7");
        shell("ip -6 route add default via 2001:db8::7");
        shell("sysctl -qw net.ipv4.ip_forward=1 net.ipv6.conf.all.forwarding=1");
        shell("ip link add br-lan type bridge; ip link add port type veth peer name lan0");
        shell("ip link set port master br-lan up; ip link set br-lan up; ip addr add 192.168.1.1/24 dev br-lan");
        shell("ip addr add fd00:77::1/64 dev br-lan nodad");
        device.move_in("lan0");
        let mut kernel = LinuxKernel::open().unwrap();
        let settings = super::router([1; 32], [2; 32]);
        let facts = kernel.facts(&settings, &Facts::default(), false).unwrap();
        assert_eq!(facts.lan.iter().map(|lan| lan.name.as_str()).collect::<Vec<_>>(), ["br-lan"]);
        let world = World { device, router, outside, kernel, settings, facts };
        world.set_mac("18:b4:30:26:34:40");
        world
    }

    /// Gives the device that Ethernet address. Ends in the device's namespace.
    pub fn set_mac(&self, mac: &str) {
        self.device.enter();
        shell(&format!(
            "ip link set lo up; ip link set lan0 down; ip link set lan0 address {mac}; ip link set lan0 up"
        ));
        shell("ip addr replace 192.168.1.50/24 dev lan0; ip route replace default via 192.168.1.1");
        shell("ip addr replace fd00:77::50/64 dev lan0 nodad; ip -6 route replace default via fd00:77::1");
        // Wait until the router has learned both addresses.
        for router in ["192.168.1.1:9", "[fd00:77::1]:9"] {
            let refused = |_| TcpStream::connect(router).is_err_and(|e| e.kind() == ErrorKind::ConnectionRefused);
            assert!((0..50).any(refused), "the router does not answer at {router}");
        }
    }

    /// Installs the guard and lets it learn from the kernel's neighbours, as the daemon does every 30 seconds.
    pub fn install_guard(&mut self) {
        self.router.enter();
        let before = self.kernel.guard().unwrap();
        let mut wanted = guard_table(&self.settings, &self.facts);
        wanted.learned = self.kernel.learned(before.as_ref(), &wanted).unwrap();
        apply_guard(&mut self.kernel, Some(&wanted)).unwrap();
        let mut installed = self.kernel.guard().unwrap().unwrap();
        self.kernel.update_learned(&mut installed).unwrap();
    }

    /// Forgets which device has which address, as the guard does ten minutes after their last packets.
    pub fn expire_bindings(&self) {
        self.router.enter();
        for set in ["bindings4", "bindings6", "bound4", "bound6"] {
            shell(&format!("nft flush set inet millpond {set}"));
        }
    }

    /// Lets the router find the device by ARP and neighbour discovery.
    pub fn resolve_device(&self) {
        self.flush_neighbours();
        shell(&format!("busybox ping -c 1 -W 2 {} && busybox ping6 -c 1 -W 2 {}", DEVICE[0], DEVICE[1]));
    }

    /// Makes the settings choose the device by its IP address instead of its MAC.
    pub fn choose_by(&mut self, address: &str, policy: Policy) {
        let device = &mut self.settings.devices[0];
        (device.macs, device.address, device.policy) = (Vec::new(), Some(address.parse().unwrap()), policy);
    }

    /// Flushes the router's neighbour table.
    pub fn flush_neighbours(&self) {
        self.router.enter();
        shell("ip neigh flush all");
    }

    /// Whether the device can connect to that server; `None` if there is no answer within three seconds.
    pub fn connects(&self, server: &str) -> Option<bool> {
        self.device.enter();
        match TcpStream::connect_timeout(&server.parse().unwrap(), Duration::from_secs(3)) {
            Ok(_) => Some(true),
            Err(error) if error.kind() == ErrorKind::TimedOut => None,
            Err(_) => Some(false),
        }
    }

    /// Whether a datagram from the outside host reaches the device.
    pub fn is_reached(&self, address: IpAddr) -> bool {
        self.device.enter();
        let inside = UdpSocket::bind((address, 7777)).unwrap();
        inside.set_read_timeout(Some(Duration::from_millis(500))).unwrap();
        self.outside.enter();
        let unspecified: IpAddr = if address.is_ipv4() { [0u8; 4].into() } else { [0u16; 8].into() };
        UdpSocket::bind((unspecified, 0)).unwrap().send_to(b"knock", (address, 7777)).unwrap();
        inside.recv(&mut [0; 64]).is_ok()
    }
}
