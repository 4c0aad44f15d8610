//! The network of a measurement: devices, router, endpoint and servers in a namespace each, with cables between them.

use std::fs::{self, File};
use std::net::Ipv4Addr;
use std::os::fd::AsRawFd;
use std::path::Path;
use std::process::{self, Command};

use nix::sched::{CloneFlags, CpuSet, sched_setaffinity, setns, unshare};
use nix::unistd::Pid;

/// The tunnel's addresses.
pub const ROUTER: Ipv4Addr = Ipv4Addr::new(10, 77, 0, 2);
pub const ENDPOINT: Ipv4Addr = Ipv4Addr::new(10, 77, 0, 1);
/// The server's address.
pub const SERVER: Ipv4Addr = Ipv4Addr::new(10, 2, 0, 2);
/// The most devices that the network has addresses for.
pub const MAX_DEVICES: usize = 50_000;

/// The address of the device with that number.
pub fn device(number: usize) -> Ipv4Addr {
    (u32::from(Ipv4Addr::new(10, 1, 0, 1)) + number as u32).into()
}

/// The four namespaces.
pub struct Place {
    pub devices: Namespace,
    pub router: Namespace,
    pub endpoint: Namespace,
    pub servers: Namespace,
}

impl Place {
    /// Sets up everything but the TUN interfaces, which the two ends make. This thread stays in one of the namespaces.
    pub fn new() -> Result<Place, String> {
        let place = Place {
            devices: Namespace::new()?,
            router: Namespace::new()?,
            endpoint: Namespace::new()?,
            servers: Namespace::new()?,
        };
        let own = "ip link set lo up; sysctl -qw net.ipv6.conf.all.disable_ipv6=1 net.ipv6.conf.default.disable_ipv6=1";
        let forwards =
            format!("{own} net.ipv4.ip_forward=1 net.ipv4.conf.all.rp_filter=0 net.ipv4.conf.default.rp_filter=0");
        place.router.enter()?;
        shell(&forwards)?;
        place.endpoint.enter()?;
        shell(&forwards)?;
        place.devices.enter()?;
        shell(&format!("{own}; ip link add home0 type veth peer name lan0"))?;
        place.router.take("lan0")?;
        // Every address of the network is a device's, and the router finds all behind one link address.
        shell("ip addr add 10.3.0.2/24 dev home0; ip link set home0 up; ip route add local 10.1.0.0/16 dev lo")?;
        place.servers.enter()?;
        shell(&format!("{own}; ip link add net0 type veth peer name wan0"))?;
        place.endpoint.take("wan0")?;
        shell(&format!("ip addr add {SERVER}/24 dev net0; ip link set net0 up"))?;
        place.router.enter()?;
        shell("ip link add wire0 type veth peer name wire1")?;
        place.endpoint.take("wire1")?;
        shell(&format!(
            "ip addr add 10.3.0.1/24 dev lan0; ip link set lan0 up; ip route add 10.1.0.0/16 via 10.3.0.2
             ip addr add {ROUTER}/24 dev wire0; ip link set wire0 up
             nft 'add table ip mp; add chain ip mp out {{ type nat hook postrouting priority 100; }}
                  add rule ip mp out oifname \"mp0\" snat to {ROUTER}'"
        ))?;
        place.endpoint.enter()?;
        shell(&format!(
            "ip addr add 10.2.0.1/24 dev wan0; ip link set wan0 up
             ip addr add {ENDPOINT}/32 dev wire1; ip link set wire1 up
             ip rule add oif wire1 table 100; ip route add {ROUTER} dev wire1 table 100"
        ))?;
        place.devices.enter()?;
        shell("ip route add default via 10.3.0.1")?;
        place.servers.enter()?;
        shell("ip route add default via 10.2.0.1")?;
        place.router.enter()?;
        Ok(place)
    }
}

impl Place {
    /// The bytes that router and endpoint have received from the wire. This thread stays in one of the namespaces.
    pub fn wire_bytes(&self) -> Result<[u64; 2], String> {
        let received = |namespace: &Namespace, interface: &str| {
            namespace.enter()?;
            let table =
                fs::read_to_string("/proc/thread-self/net/dev").map_err(|error| format!("counting: {error}"))?;
            let line = table.lines().find_map(|line| line.trim().strip_prefix(interface)?.strip_prefix(':'));
            let bytes = line.and_then(|line| line.split_whitespace().next()?.parse().ok());
            bytes.ok_or_else(|| format!("counting: no interface {interface}"))
        };
        Ok([received(&self.router, "wire0")?, received(&self.endpoint, "wire1")?])
    }
}

/// A network namespace, which exists as long as this value.
pub struct Namespace(File);

impl Namespace {
    /// Makes one, and moves this thread there.
    fn new() -> Result<Namespace, String> {
        unshare(CloneFlags::CLONE_NEWNET).map_err(|error| format!("making a network namespace: {error}"))?;
        Namespace::open(Path::new("/proc/thread-self/ns/net"))
    }

    /// Opens the namespace that `path` leads to.
    pub fn open(path: &Path) -> Result<Namespace, String> {
        File::open(path).map(Namespace).map_err(|error| format!("opening {}: {error}", path.display()))
    }

    /// Moves this thread there.
    pub fn enter(&self) -> Result<(), String> {
        setns(&self.0, CloneFlags::CLONE_NEWNET).map_err(|error| format!("entering a network namespace: {error}"))
    }

    /// Where other processes find it.
    pub fn path(&self) -> String {
        format!("/proc/{}/fd/{}", process::id(), self.0.as_raw_fd())
    }

    /// Moves an interface of this thread's namespace there.
    fn take(&self, interface: &str) -> Result<(), String> {
        shell(&format!("ip link set {interface} netns {}", self.path()))
    }
}

/// Lets this thread, and those that it starts, run on this processor only, or on another if there are not as many.
pub fn pin(processor: usize) -> Result<(), String> {
    let count = std::thread::available_parallelism().map_or(1, |count| count.get());
    let mut set = CpuSet::new();
    set.set(processor % count)
        .and_then(|()| sched_setaffinity(Pid::from_raw(0), &set))
        .map_err(|error| format!("pinning a thread: {error}"))
}

/// Runs a command of the shell in this thread's namespace.
pub fn shell(command: &str) -> Result<(), String> {
    let output = Command::new("sh").args(["-ec", command]).output().map_err(|error| format!("{command}: {error}"))?;
    let failed = || format!("{command}: {}", String::from_utf8_lossy(&output.stderr).trim());
    output.status.success().then_some(()).ok_or_else(failed)
}
