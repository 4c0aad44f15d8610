//! Some guard always loads, whatever the files of the router contain and whatever devices send. Needs root and
//! nf_tables; prints a line if a test is skipped.

mod common;

use std::fs;
use std::io::ErrorKind;
use std::net::{Ipv4Addr, TcpListener, TcpStream, UdpSocket};
use std::process::Command;
use std::time::Duration;

use common::namespace::{Namespace, shell};
use millpond::apply::apply_guard;
use millpond::config;
use millpond::config::example::{self, ROUTER};
use millpond::config::model::Settings;
use millpond::plan::nft::{Learned, TableText};
use millpond::plan::{Facts, guard_table, minimal_guard};
use millpond::sys::kernel::LinuxKernel;
use nix::sched::{CloneFlags, unshare};
use rand::rngs::ChaCha12Rng;
use rand::{RngExt, SeedableRng};

const CAMERA: &str = "18:b4:30:26:34:40";

/// Whether the tests of this file can run on this host.
fn can_run(name: &str) -> bool {
    let probe = "unshare -n -m sh -c 'mount -t tmpfs tmpfs /mnt && ip link add d0 type veth peer name d1 && \
        nft \"table inet t { chain c { type filter hook prerouting priority 0; reject; }; }\"'";
    let can_run = nix::unistd::geteuid().is_root()
        && Command::new("sh").args(["-c", probe]).output().is_ok_and(|output| output.status.success());
    if !can_run {
        println!("skipped {name}: not root, or nftables, veth or mount namespaces are missing here");
    }
    can_run
}

/// Texts that stand where an interface's name is expected, each a trap for nft, for UCI or for the kernel.
const HOSTILE_WORDS: [&str; 30] = [
    "/sys/devices/platform/soc/1e1c0000.xhci/usb1/1-1",
    "/dev/serial/by-id/usb-Quectel_EC25-if02",
    "wg*",
    "*",
    "eth0\\*",
    "\"",
    "a\"b",
    "x\\",
    "a,b",
    "br-lan\", \"mp0",
    "x }",
    "}",
    "{",
    "};drop",
    ".",
    "..",
    "1234567890123456",
    "123456789012345",
    "größengrößengr",
    "\u{fffd}",
    "$lan",
    "@lan",
    "#x",
    "!eth0",
    "eth0:1",
    "0x10",
    "-1",
    "br-lan",
    "wan",
    "\u{1}",
];

struct Hostile(ChaCha12Rng);

impl Hostile {
    fn pick<'a>(&mut self, words: &[&'a str]) -> &'a str {
        words[self.0.random_range(0..words.len())]
    }

    /// A text of UCI with sections of that kind, whose options have hostile values, some in damaged syntax.
    fn file(&mut self, kind: &str, names: &[&str], options: &[&str]) -> Vec<u8> {
        let mut text = String::new();
        for _ in 0..self.0.random_range(0..6) {
            text += &format!("\nconfig {kind} '{}'\n", self.pick(names));
            for _ in 0..self.0.random_range(0..6) {
                let value = if self.0.random_bool(0.3) { self.pick(names) } else { self.pick(&HOSTILE_WORDS) };
                let quote = self.pick(&["'", "'", "'", "\"", ""]);
                let (kind, option) = (self.pick(&["option", "list"]), self.pick(options));
                text += &format!("\t{kind} {option} {quote}{value}{quote}\n");
            }
        }
        let mut bytes = text.into_bytes();
        if self.0.random_bool(0.2) {
            for _ in 0..self.0.random_range(1..20) {
                let at = self.0.random_range(0..=bytes.len());
                bytes.insert(at, self.0.random());
            }
        }
        bytes
    }

    /// Settings that shape the camera, with further sections.
    fn settings(&mut self) -> Vec<u8> {
        let camera = format!("{ROUTER}\nconfig device\n\toption name 'camera'\n\toption mac '{CAMERA}'\n");
        let networks = self.file("network", &["iot", "a_name_that_is_too_long_for_it"], &["name", "device", "policy"]);
        let devices = self.file("device", &["x", "y"], &["name", "mac", "address", "policy"]);
        [camera.as_bytes(), &networks, &devices].concat()
    }
}

/// Panics unless every interface in the guard's sets is one that the kernel can have and that nft reads as a name.
fn check_names(guard: &TableText) {
    for set in ["lan", "outside", "block_net", "shape_net"] {
        for element in guard.elements(set) {
            let name = element.strip_prefix('"').and_then(|rest| rest.strip_suffix('"'));
            let name = name.unwrap_or_else(|| panic!("{set}: {element} is not quoted\n{}", guard.body));
            let is_valid = (1..=15).contains(&name.len())
                && name != "."
                && name != ".."
                && !name.contains(|c: char| c.is_whitespace() || c.is_control() || "/:*\"\\".contains(c));
            assert!(is_valid, "{set}: {name:?}\n{}", guard.body);
        }
    }
}

/// The files are those of the router, as the daemon reads them; a sample of the guards is loaded.
#[test]
fn no_content_of_the_routers_files_keeps_the_guard_from_loading() {
    if !can_run("no_content_of_the_routers_files_keeps_the_guard_from_loading") {
        return;
    }
    let seed = 16;
    println!("seed {seed}");
    let mut hostile = Hostile(ChaCha12Rng::from_seed([seed; 32]));
    let _namespace = Namespace::new();
    // Gives this thread an /etc of its own.
    unshare(CloneFlags::CLONE_NEWNS).unwrap();
    let config = std::path::Path::new("/etc/config");
    shell("mount --make-rprivate / && mount -t tmpfs tmpfs /etc && mkdir /etc/config");
    // The kernel permits these names, and two of them are the home's.
    shell("ip link add 'wg*' type bridge && ip addr add 192.168.9.1/24 dev 'wg*' && ip link set 'wg*' up");
    shell("ip link add 'a\"b' type bridge && ip addr add 192.168.8.1/24 dev 'a\"b' && ip link set 'a\"b' up");
    shell("ip link add 'o*' type bridge && ip link set 'o*' up && ip route add default dev 'o*'");
    let mut kernel = LinuxKernel::open().unwrap();
    let mut known = Facts::default();
    let (mut shaped, mut with_net) = (0, 0);
    for round in 0..600 {
        let network = hostile.file("interface", &["wan", "lan", "iot"], &["device", "ifname", "type", "proto"]);
        let firewall = hostile.file("zone", &["wan", "lan", "iot"], &["name", "network", "device", "masq"]);
        for (name, text) in [
            ("network", network),
            ("firewall", firewall),
            ("dhcp", hostile.file("host", &["x"], &["name", "mac", "ip"])),
            ("system", hostile.file("system", &["x"], &["hostname", "zonename", "timezone"])),
        ] {
            fs::write(config.join(name), text).unwrap();
        }
        let text = hostile.settings();
        let parsed = config::parse(&text);
        let Some(settings) = parsed.settings.or(parsed.understood) else { continue };
        known = kernel.facts(&settings, &known, false).unwrap();
        let guard = guard_table(&settings, &known);
        let minimal = minimal_guard(&settings, &known, &Learned::new());
        for guard in [&guard, &minimal] {
            check_names(guard);
            let has_camera = ["shape_mac", "block_mac"].iter().any(|set| guard.elements(set).any(|mac| mac == CAMERA));
            assert!(has_camera, "round {round}: {}", String::from_utf8_lossy(&text));
        }
        shaped += 1;
        with_net += usize::from(guard.has_set("shape_net"));
        if round % 15 == 0 {
            for guard in [&guard, &minimal] {
                let applied = apply_guard(&mut kernel, Some(guard));
                applied.unwrap_or_else(|error| panic!("round {round}: {error}\n{}", guard.body));
            }
        }
        // What a loaded guard remembers goes into the next one.
        known = Facts::from_guard(&guard);
    }
    println!("{shaped} guards, {with_net} of them with networks");
    assert!(shaped > 300 && with_net > 50);
}

/// A router with two devices on its bridge, the camera and a laptop, a third in another network of the home, and a host
/// on the Internet.
struct Home {
    camera: Namespace,
    laptop: Namespace,
    printer: Namespace,
    router: Namespace,
    outside: Namespace,
}

const SERVERS: [&str; 2] = ["198.51.100.7:80", "[2001:db8::7]:80"];
const PRINTERS: [&str; 2] = ["192.168.2.50:80", "[fd00:78::50]:80"];
const LAPTOP: &str = "02:00:00:00:00:51";

impl Home {
    fn new() -> Home {
        let new = Namespace::new;
        let home = Home { outside: new(), printer: new(), camera: new(), laptop: new(), router: new() };
        shell("sysctl -qw net.ipv4.ip_forward=1 net.ipv6.conf.all.forwarding=1; ip link set lo up");
        shell("ip link add wan0 type veth peer name up0; ip link add iot0 type veth peer name dev2");
        shell("ip link add br-lan type bridge; ip link set br-lan up");
        for port in ["lan0", "lan1"] {
            shell(&format!("ip link add {port} type veth peer name dev{}", &port[3..]));
            shell(&format!("ip link set {port} master br-lan up"));
        }
        shell("ip addr add 192.168.1.1/24 dev br-lan; ip addr add fd00:77::1/64 dev br-lan nodad");
        shell("ip link set iot0 up; ip addr add 192.168.2.1/24 dev iot0; ip addr add fd00:78::1/64 dev iot0 nodad");
        shell("ip link set wan0 up; ip addr add 198.51.100.1/24 dev wan0; ip addr add 2001:db8::1/64 dev wan0 nodad");
        shell("ip route add default via 198.51.100.7; ip -6 route add default via 2001:db8::7");
        for (namespace, link, mac, v4, v6) in [
            (&home.camera, "dev0", CAMERA, "192.168.1.50", "fd00:77::50"),
            (&home.laptop, "dev1", LAPTOP, "192.168.1.51", "fd00:77::51"),
            (&home.printer, "dev2", "02:00:00:00:00:52", "192.168.2.50", "fd00:78::50"),
            (&home.outside, "up0", "02:00:00:00:00:07", "198.51.100.7", "2001:db8::7"),
        ] {
            home.router.enter();
            namespace.move_in(link);
            namespace.enter();
            shell(&format!("ip link set lo up; ip link set {link} address {mac} up"));
            shell(&format!("ip addr add {v4}/24 dev {link}; ip addr add {v6}/64 dev {link} nodad"));
            let gateway = |address: &str, separator| {
                let network = address.rsplit_once(separator).unwrap().0;
                format!("{network}{separator}1")
            };
            shell(&format!("ip route add default via {}", gateway(v4, '.')));
            shell(&format!("ip -6 route add default via {}", gateway(v6, ':')));
        }
        // Wait until the addresses of the links can be used.
        for device in [&home.camera, &home.laptop, &home.printer, &home.outside] {
            device.enter();
            let of_home = ["192.168.1.1:9", "[fd00:77::1]:9"];
            let routers =
                if std::ptr::eq(device, &home.outside) { ["198.51.100.1:9", "[2001:db8::1]:9"] } else { of_home };
            for router in routers {
                let refused = |_| TcpStream::connect(router).is_err_and(|e| e.kind() == ErrorKind::ConnectionRefused);
                assert!((0..50).any(refused), "the router does not answer at {router}");
            }
        }
        home.router.enter();
        home
    }

    /// Whether a connection from there to the address succeeds.
    fn connects(&self, from: &Namespace, to: &str) -> bool {
        from.enter();
        let connected = TcpStream::connect_timeout(&to.parse().unwrap(), Duration::from_millis(300)).is_ok();
        self.router.enter();
        connected
    }

    /// A server at port 80 there.
    fn serve(&self, at: &Namespace) -> TcpListener {
        at.enter();
        let listener = TcpListener::bind("[::]:80").unwrap();
        self.router.enter();
        listener
    }
}

#[test]
fn the_minimal_guard_shuts_confined_devices_in_and_leaves_the_others() {
    if !can_run("the_minimal_guard_shuts_confined_devices_in_and_leaves_the_others") {
        return;
    }
    let home = Home::new();
    let _servers = [&home.outside, &home.printer, &home.camera, &home.laptop, &home.router].map(|at| home.serve(at));
    let mut kernel = LinuxKernel::open().unwrap();
    let by = |section: &str| {
        example::settings(&format!(
            "{ROUTER}\nconfig {section}\nconfig network\n\toption name lan2\n\toption device iot0\n\toption policy direct\n"
        ))
    };
    for section in [
        format!("device\n\toption name camera\n\toption mac '{CAMERA}'"),
        format!("device\n\toption name camera\n\toption mac '{CAMERA}'\n\toption policy block"),
        "device\n\toption name camera\n\toption address 192.168.1.50\nconfig device\n\toption name camera6\n\toption address fd00:77::50".into(),
        format!("network\n\toption name lan\n\nconfig device\n\toption name laptop\n\toption mac '{LAPTOP}'\n\toption policy direct"),
    ] {
        let settings = by(&section);
        let facts = kernel.facts(&settings, &Facts::default(), false).unwrap();
        let _ = apply_guard(&mut kernel, None);
        for server in SERVERS {
            assert!(home.connects(&home.camera, server), "{section}: the control experiment shows nothing, {server}");
        }
        apply_guard(&mut kernel, Some(&minimal_guard(&settings, &facts, &Learned::new()))).unwrap();
        for server in SERVERS {
            assert!(!home.connects(&home.camera, server), "{section}: {server}");
            assert!(home.connects(&home.laptop, server), "{section}: {server} from the laptop");
        }
        for printer in PRINTERS {
            assert!(home.connects(&home.camera, printer), "{section}: the home is reachable, {printer}");
        }
        for camera in ["192.168.1.50:80", "[fd00:77::50]:80"] {
            assert!(home.connects(&home.laptop, camera) && home.connects(&home.printer, camera), "{section}: {camera}");
            assert!(!home.connects(&home.outside, camera), "{section}: {camera} from outside");
        }
        // The router's resolver and proxies would send in clear for the device.
        assert!(!home.connects(&home.camera, "192.168.1.1:80"), "{section}");
        assert!(home.connects(&home.laptop, "192.168.1.1:80"), "{section}");
    }
}

/// Installs the guard as the daemon does, with what the one before had learned.
fn install(kernel: &mut LinuxKernel, settings: &Settings) {
    let facts = kernel.facts(settings, &Facts::default(), false).unwrap();
    let before = kernel.guard().unwrap();
    let mut wanted = guard_table(settings, &facts);
    wanted.learned = kernel.learned(before.as_ref(), &wanted).unwrap();
    apply_guard(kernel, Some(&wanted)).unwrap();
}

fn number_in(set: &str) -> usize {
    shell(&format!("nft list set inet millpond {set}")).matches(" expires ").count()
}

fn with_camera(more: &str) -> Settings {
    example::settings(&format!("{ROUTER}\nconfig device\n\toption name camera\n\toption {more}\n"))
}

#[test]
fn a_device_with_forged_addresses_does_not_fill_the_sets() {
    if !can_run("a_device_with_forged_addresses_does_not_fill_the_sets") {
        return;
    }
    let home = Home::new();
    let mut kernel = LinuxKernel::open().unwrap();
    let by_mac = format!("mac '{CAMERA}'");
    install(&mut kernel, &with_camera(&by_mac));
    home.camera.enter();
    for host in 60..=250 {
        shell(&format!("ip addr add 192.168.1.{host}/32 dev lo"));
        let socket = UdpSocket::bind((Ipv4Addr::new(192, 168, 1, host), 0)).unwrap();
        socket.send_to(b"forged", "198.51.100.7:9").unwrap();
    }
    home.router.enter();
    let learned = number_in("seen4");
    assert!((10..=40).contains(&learned), "{learned} addresses");
    // Its own addresses, which the kernel knows, are among the learned ones of the next guard.
    install(&mut kernel, &with_camera(&format!("{by_mac}\n\toption policy block")));
    assert!(shell("nft list set inet millpond seen4").contains("192.168.1.50"));
}

/// A set may be full for other reasons, for example from an older version.
#[test]
fn full_sets_do_not_keep_a_policy_from_taking_hold() {
    if !can_run("full_sets_do_not_keep_a_policy_from_taking_hold") {
        return;
    }
    let _home = Home::new();
    let mut kernel = LinuxKernel::open().unwrap();
    let by_mac = format!("mac '{CAMERA}'");
    install(&mut kernel, &with_camera(&by_mac));
    let forged: Vec<String> = (0..2048).map(|n| format!("10.0.{}.{}", n / 256, n % 256)).collect();
    shell("nft flush set inet millpond seen4");
    shell(&format!("nft 'add element inet millpond seen4 {{ {} }}'", forged.join(", ")));
    install(&mut kernel, &with_camera(&format!("{by_mac}\n\toption policy block")));
    assert!(shell("nft list set inet millpond block_mac").contains(CAMERA));
    let set = shell("nft list set inet millpond seen4");
    assert!(set.contains("192.168.1.50") && number_in("seen4") <= 1024, "the neighbour comes first");
}

#[test]
fn forged_macs_do_not_fill_the_set_of_a_device_chosen_by_address() {
    if !can_run("forged_macs_do_not_fill_the_set_of_a_device_chosen_by_address") {
        return;
    }
    let home = Home::new();
    let mut kernel = LinuxKernel::open().unwrap();
    install(&mut kernel, &with_camera("address 192.168.1.50"));
    let router = shell("ip -o link show br-lan | sed 's/.*ether \\([^ ]*\\).*/\\1/'");
    home.laptop.enter();
    shell("ip addr add 192.168.1.50/32 dev dev1");
    let socket = UdpSocket::bind("192.168.1.50:0").unwrap();
    for n in 0..80 {
        shell(&format!("ip link set dev1 address 02:00:00:00:01:{n:02x}"));
        shell(&format!("ip neigh replace 192.168.1.1 lladdr {} dev dev1", router.trim()));
        socket.send_to(b"forged", "192.168.1.1:9").unwrap();
    }
    home.router.enter();
    let learned = number_in("unconfirmed4");
    assert!((10..=40).contains(&learned), "{learned} Ethernet addresses");
}
