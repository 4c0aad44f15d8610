//! The validated settings. What stands here has been checked; nothing after this has to doubt it.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use crate::law::Law;
use crate::units::{BitsPerSec, Nanos};

/// A whole configuration file.
#[derive(Clone, Debug, PartialEq)]
pub struct Settings {
    /// `main.enabled`: whether the daemon shapes at all.
    pub enabled: bool,
    /// `main.role`.
    pub role: Role,
    /// The level by name, and what it comes to.
    pub level: Level,
    /// Rates, cell and law in force for the level.
    pub shape: Shape,
    /// `main.off`: what level `off` does.
    pub off: Off,
    /// `main.audit`: days from one check of the wire to the next; `None` for never.
    pub audit_days: Option<u16>,
    /// What each level comes to that has rates, saver first.
    pub levels: Vec<(Level, Shape)>,
    /// `main.data_cap` in gigabytes (10^9 bytes) a month, `None` without a cap.
    pub data_cap_gb: Option<u32>,
    /// `main.billing_day`, 1..=28.
    pub billing_day: u8,
    /// `main.price`: hundredths of the owner's currency for each gigabyte beyond the cap.
    pub price_cents: Option<u32>,
    /// `main.cap_day` and `main.cap_level`.
    pub step_down: Option<StepDown>,
    /// By which the kernel tells ours from others'.
    pub routing_ids: RoutingIds,
    /// The tunnel; `None` only while `enabled` is false.
    pub tunnel: Option<Tunnel>,
    /// `tunnel.address6`: this end's IPv6 address inside the tunnel; `None` where the tunnel carries IPv4 alone.
    pub address6: Option<Ipv6Addr>,
    /// DNS of the shaped devices.
    pub dns: Dns,
    /// `device` sections, in the order of the file.
    pub devices: Vec<Device>,
    /// `network` sections, in the order of the file.
    pub networks: Vec<Network>,
    /// `schedule` sections, in the order of the file.
    pub schedules: Vec<Schedule>,
    /// `home` sections of an endpoint, in the order of the file.
    pub homes: Vec<Home>,
}

impl Settings {
    /// These settings with the devices and networks besides that `others` shape or block: for a guard that nobody's
    /// mistake may weaken. Where both name one, the stricter policy holds.
    pub fn confined_by(&self, others: &Settings) -> Settings {
        let mut settings = self.clone();
        settings.devices.extend(others.devices.iter().filter(|device| device.policy != Policy::Direct).cloned());
        settings.networks.extend(others.networks.iter().filter(|network| network.policy != Policy::Direct).cloned());
        settings
    }
}

/// Which end of the tunnel this machine is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// The home's router.
    Router,
    /// The server at the tunnel's other end.
    Endpoint,
}

/// How much privacy; each but `Custom` and `Off` stands for a [`Shape`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Level {
    /// Devices stay in the tunnel, no cover. Only in schedules.
    Off,
    /// Least data.
    Saver,
    /// The default.
    Balanced,
    /// Least delay.
    Strict,
    /// RoutingIds of the user's own.
    Custom,
}

/// What the wire is to look like.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Shape {
    /// Router to endpoint, on the wire.
    pub upload: BitsPerSec,
    /// Endpoint to router, on the wire.
    pub download: BitsPerSec,
    /// The most bytes of one packet on the wire, outer IP header included.
    pub cell_bytes: u16,
    /// How intervals are drawn.
    pub law: Law,
    /// Standard deviation of the intervals in percent of their mean.
    pub spread_percent: u8,
}

/// What becomes of shaped devices' packets while a schedule has level `off`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Off {
    /// Through the tunnel, as they come, without cover.
    #[default]
    Tunnel,
    /// They go nowhere.
    Block,
}

/// A level for the last days before each billing day, whatever has been used.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct StepDown {
    /// First day of the month on which it holds, 1..=28.
    pub day: u8,
    /// The level.
    pub level: Level,
    /// What it comes to.
    pub shape: Shape,
}

/// The numbers by which routing finds the tunnel. Other programs have theirs, and two may not share one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RoutingIds {
    /// `main.mark`: the one bit of a packet's mark that says "into the tunnel".
    pub mark: u32,
    /// `main.table`: our routing table.
    pub table: u32,
    /// `main.priority`: of our routing rules; lower comes first.
    pub priority: u32,
}

impl RoutingIds {
    /// The bit stands clear of mwan3's 0x3f00, of pbr's 0x00ff0000 (which Tailscale shares), of Kubernetes' 0xc000 and of
    /// OpenWrt's own small numbers. The priority is before mwan3's (from 1001), netifd's (from 10000) and pbr's (below
    /// 30000), because those mark all of a home's packets and would take ours with them.
    pub const DEFAULT: RoutingIds = RoutingIds { mark: 0x0100_0000, table: 28_016, priority: 910 };
}

/// How the two ends are joined.
#[derive(Clone, Debug, PartialEq)]
pub enum Tunnel {
    /// Kernel WireGuard on an interface of our own.
    Wireguard(Wireguard),
    /// An openvpn process of our own, from this profile.
    Openvpn {
        /// Path of the profile.
        profile: String,
        /// This end's address inside.
        address: Ipv4Addr,
        /// The other end's address inside (router).
        peer_address: Option<Ipv4Addr>,
    },
    /// An interface that somebody else made.
    Interface {
        /// Its name.
        interface: String,
        /// This end's address inside.
        address: Ipv4Addr,
        /// The other end's address inside (router).
        peer_address: Option<Ipv4Addr>,
        /// Bytes that it puts around a packet on the wire, outer IP header included; `None` where its kind tells.
        overhead: Option<u16>,
    },
}

/// A WireGuard key, 32 bytes. Printed only as `(hidden)`.
#[derive(Clone, PartialEq, Eq)]
pub struct Key(pub [u8; 32]);

impl std::fmt::Debug for Key {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("(hidden)")
    }
}

/// Settings of a WireGuard tunnel.
#[derive(Clone, Debug, PartialEq)]
pub struct Wireguard {
    /// `private_key` of this end.
    pub private_key: Key,
    /// `join_key`: the key of a join text, by which the endpoint knows this router until it has learnt of `private_key`
    /// (router only).
    pub join_key: Option<Key>,
    /// Whether `join_key` is the one in use. No option says so: the daemon tries both.
    pub tries_join_key: bool,
    /// `public_key` of the endpoint (router only; an endpoint has one per home).
    pub public_key: Option<Key>,
    /// `preshared_key`.
    pub preshared_key: Option<Key>,
    /// `endpoint`: where a router finds the server; on the server, what join texts tell the routers.
    pub endpoint: Option<HostPort>,
    /// `backup`: other servers for the same homes, to be tried in turn when the one in use is silent.
    pub backup: Vec<Server>,
    /// `listen_port`: UDP port of this end; needed on an endpoint.
    pub listen_port: Option<u16>,
    /// `address` of this end inside the tunnel.
    pub address: Ipv4Addr,
    /// `peer_address`: the endpoint's inside the tunnel (router only).
    pub peer_address: Option<Ipv4Addr>,
}

impl Wireguard {
    /// Whether the key of a join text is in use.
    pub fn is_joining(&self) -> bool {
        self.tries_join_key && self.join_key.is_some()
    }

    /// The private key in use.
    pub fn key(&self) -> &Key {
        self.join_key.as_ref().filter(|_| self.tries_join_key).unwrap_or(&self.private_key)
    }
}

/// A host by name or address, and a UDP port.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HostPort {
    /// DNS name, IPv4 address, or IPv6 address without brackets.
    pub host: String,
    /// UDP port, not zero.
    pub port: u16,
}

/// A server, and the key by which it is known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Server {
    /// Where it is.
    pub at: HostPort,
    /// Its public key.
    pub public_key: Key,
}

impl std::fmt::Display for Server {
    /// As `backup` has it.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} {}", self.at, self.public_key.to_base64())
    }
}

impl std::fmt::Display for HostPort {
    /// As the settings have it.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.host.contains(':') {
            true => write!(f, "[{}]:{}", self.host, self.port),
            false => write!(f, "{}:{}", self.host, self.port),
        }
    }
}

/// Where the DNS requests of shaped devices go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Dns {
    /// `tunnel` or `router`.
    pub mode: DnsMode,
    /// Resolvers beyond the tunnel.
    pub servers: Vec<IpAddr>,
}

/// Who answers the shaped devices' DNS requests.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DnsMode {
    /// The chosen servers, through the tunnel.
    Tunnel,
    /// The router's own resolver.
    Router,
}

/// What happens to a device's Internet traffic.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Policy {
    /// Through the tunnel, in cells.
    Shape,
    /// None at all; LAN only.
    Block,
    /// As if millpond were not there.
    Direct,
}

/// An Ethernet address.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Mac(pub [u8; 6]);

impl Mac {
    /// Reads what it prints as, which is how the kernel's tools write it.
    pub fn from_text(text: &str) -> Option<Mac> {
        let mut bytes = text.split(':').map(|byte| u8::from_str_radix(byte, 16).ok());
        let mac = [(); 6].map(|()| bytes.next().flatten());
        let [Some(a), Some(b), Some(c), Some(d), Some(e), Some(f)] = mac else { return None };
        bytes.next().is_none().then_some(Mac([a, b, c, d, e, f]))
    }

    /// Whether the locally administered bit is set, as in the randomised addresses of phones.
    pub fn is_locally_administered(self) -> bool {
        self.0[0] & 0x02 != 0
    }
}

impl std::fmt::Display for Mac {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let [a, b, c, d, e, g] = self.0;
        write!(f, "{a:02x}:{b:02x}:{c:02x}:{d:02x}:{e:02x}:{g:02x}")
    }
}

/// One device, chosen by MAC address or by IP address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Device {
    /// `name`, for people.
    pub name: String,
    /// `mac`; this or `address` is given.
    pub mac: Option<Mac>,
    /// `address`, on the LAN.
    pub address: Option<IpAddr>,
    /// What happens to it.
    pub policy: Policy,
    /// `watch`: whether its packets are counted for `advise` though it is not shaped.
    pub watch: bool,
    /// `tolerance`, or that of its `kind`: how long its packets may wait before people notice.
    pub tolerance: Nanos,
}

/// All devices of one network interface (a bridge or VLAN), chosen by the interface's UCI network name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Network {
    /// `name`: the UCI network name.
    pub name: String,
    /// `device`: the kernel interface, where it is not `br-NAME`.
    pub device: Option<String>,
    /// What happens to its devices.
    pub policy: Policy,
}

/// A part of the week with a level of its own, in local time.
#[derive(Clone, Debug, PartialEq)]
pub struct Schedule {
    /// Days on which it starts, Monday first.
    pub days: [bool; 7],
    /// Start in minutes after midnight.
    pub start_minute: u16,
    /// Stop in minutes after midnight; at or before the start means the next day.
    pub stop_minute: u16,
    /// The level meanwhile.
    pub level: Level,
    /// What the level comes to; `None` for `off`.
    pub shape: Option<Shape>,
}

/// One router as its endpoint sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Home {
    /// `name`, for the operator.
    pub name: String,
    /// The router's WireGuard public key; there always where the tunnel is WireGuard of our own, meaningless elsewhere.
    pub public_key: Option<Key>,
    /// `preshared_key`, where both ends have one.
    pub preshared_key: Option<Key>,
    /// The router's address inside the tunnel.
    pub address: Ipv4Addr,
    /// The same for IPv6; `None` for a home that is offered IPv4 alone.
    pub address6: Option<Ipv6Addr>,
    /// The most that this home may ask for, endpoint to router, on the wire.
    pub max_download: BitsPerSec,
    /// `join_until`: `public_key` is that of a join text, whose first user's key takes its place, until this second of Unix
    /// time; 0 without end. `None`: it is the router's own.
    pub join_until: Option<u64>,
}
