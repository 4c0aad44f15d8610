//! The validated settings. Every value here has been checked; later code need not check it again.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

pub use super::burst::Burst;
pub use super::cap_period::CapPeriod;
pub use super::host_port::HostPort;
pub use super::mac::Mac;
pub use super::router_service::{Protocol, RouterService};
use crate::law::Law;
use crate::units::{BitsPerSec, MONTH_DAYS, Nanos};

/// The settings of one configuration file.
#[derive(Clone, Debug, PartialEq)]
pub struct Settings {
    /// `main.enabled`: whether millpond is switched on.
    pub enabled: bool,
    /// `main.role`.
    pub role: Role,
    /// `main.level`; [`Settings::shape`] holds its numbers.
    pub level: Level,
    /// Rates, cell size and law of the level.
    pub shape: Shape,
    /// `main.off`: what happens to shaped devices' packets at level `off`.
    pub off: OffPolicy,
    /// `main.audit`: days between two checks of the wire; `None` for never.
    pub audit_days: Option<u16>,
    /// Every level that has rates, with its shape, saver first.
    pub levels: Vec<(Level, Shape)>,
    /// `main.data_cap` in gigabytes (10^9 bytes) a billing period, `None` without a cap.
    pub data_cap_gb: Option<u32>,
    /// What `data_cap` counts.
    pub billing: Billing,
    /// `main.price`: hundredths of the owner's currency for each gigabyte beyond the cap.
    pub price_cents: Option<u32>,
    /// `main.mark`, `main.table` and `main.priority`.
    pub routing_ids: RoutingIds,
    /// `main.router_service`: further services of the router that shaped and blocked devices may use.
    pub router_services: Vec<RouterService>,
    /// `main.allow`: addresses and networks behind the endpoint that homes may reach, each with its prefix length and
    /// with host bits cleared.
    pub allow: Vec<(IpAddr, u8)>,
    /// `main.threads`: number of threads that serve an endpoint's homes; `None` for one for each processor.
    pub threads: Option<u16>,
    /// `main.home_port`: bridge ports that are tunnels and belong to the home.
    pub home_ports: Vec<String>,
    /// The tunnel; `None` only while `enabled` is false.
    pub tunnel: Option<Tunnel>,
    /// `tunnel.address6`: this end's IPv6 address inside the tunnel; `None` if the tunnel carries IPv4 only.
    pub address6: Option<Ipv6Addr>,
    /// DNS of the shaped devices.
    pub dns: Dns,
    /// `device` sections, in the order of the file.
    pub devices: Vec<Device>,
    /// `network` sections, in the order of the file.
    pub networks: Vec<Network>,
    /// `schedule` sections, in the order of the file.
    pub schedules: Vec<Schedule>,
    /// `wan` and `burst` sections.
    pub line: LineRules,
    /// `home` sections of an endpoint, in the order of the file.
    pub homes: Vec<Home>,
}

impl Settings {
    /// Whether any device or network is shaped or blocked.
    pub fn confines(&self) -> bool {
        self.devices.iter().any(|device| device.policy != Policy::Direct)
            || self.networks.iter().any(|network| network.policy != Policy::Direct)
    }

    /// The data cap in GB for a month of [`crate::units::MONTH_DAYS`] days, whatever its period.
    pub fn month_cap_gb(&self) -> Option<f64> {
        self.data_cap_gb.map(|gb| f64::from(gb) * (MONTH_DAYS as f64 / self.billing.period.days() as f64))
    }

    /// These settings plus the devices and networks that `others` shape or block, for a guard that a mistake in the
    /// settings cannot weaken. If both name a device, the stricter policy applies.
    pub fn confined_by(&self, others: &Settings) -> Settings {
        let mut settings = self.clone();
        settings.devices.extend(others.devices.iter().filter(|device| device.policy != Policy::Direct).cloned());
        settings.networks.extend(
            others.networks.iter().filter(|network| network.policy != Policy::Direct || network.strict).cloned(),
        );
        settings
    }
}

/// Which end of the tunnel this host is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// The home's router.
    Router,
    /// The server at the tunnel's other end.
    Endpoint,
}

/// The privacy level. Each level except `Off` has a [`Shape`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Level {
    /// No cover traffic. Only in schedules; see [`OffPolicy`] for what happens to the devices' packets.
    Off,
    /// Uses the least data: for plugs, lamps and sensors.
    Saver,
    /// The default: for a speaker as well.
    Balanced,
    /// Adds the least delay: for a doorbell as well.
    Strict,
    /// The user's own rates and cell size.
    Custom,
}

/// The shape of the traffic on the wire.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Shape {
    /// Rate from router to endpoint, on the wire.
    pub upload: BitsPerSec,
    /// Rate from endpoint to router, on the wire.
    pub download: BitsPerSec,
    /// Maximum size of one packet on the wire in bytes, including the outer IP header.
    pub cell_bytes: u16,
    /// The law that intervals are drawn from.
    pub law: Law,
    /// Standard deviation of the intervals in percent of their mean.
    pub spread_percent: u8,
    /// `main.train`: cells that leave together, 1..=[`crate::law::MAX_TRAIN`]; `None` if [`Law::train`] decides.
    pub train: Option<u8>,
}

/// What happens to shaped devices' packets while a schedule has level `off`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OffPolicy {
    /// They go through the tunnel as they arrive, without cover.
    #[default]
    Tunnel,
    /// They are dropped.
    Block,
}

/// The billing period, and how its end is reached.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Billing {
    /// `cap_period`: its length.
    pub period: CapPeriod,
    /// `billing_day`: a month's first day, 1..=28, or a week's, 1 (Monday) to 7.
    pub day: u8,
    /// `cap_day` and `cap_level`; `None` if they are not set.
    pub step_down: Option<StepDown>,
}

/// A level for the last days before each billing day, independent of the data usage.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct StepDown {
    /// First day of the month at this level, 1..=28.
    pub day: u8,
    /// The level.
    pub level: Level,
    /// Its shape.
    pub shape: Shape,
}

/// The numbers that route packets into the tunnel. No other program on the host may use the same ones.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RoutingIds {
    /// `main.mark`: the bit of a packet's mark that means "into the tunnel".
    pub mark: u32,
    /// `main.table`: number of millpond's routing table.
    pub table: u32,
    /// `main.priority`: priority of millpond's routing rules; lower numbers come first.
    pub priority: u32,
}

impl RoutingIds {
    /// The mark is outside mwan3's 0x3f00, pbr's 0x00ff0000 (which Tailscale shares), Kubernetes' 0xc000 and OpenWrt's
    /// own small numbers. The priority comes before those of mwan3 (from 1001), netifd (from 10000) and pbr (below
    /// 30000), because those mark every packet of a home and their rules would also match ours.
    pub const DEFAULT: RoutingIds = RoutingIds { mark: 0x0100_0000, table: 28_016, priority: 910 };
}

/// The tunnel between router and endpoint.
#[derive(Clone, Debug, PartialEq)]
pub enum Tunnel {
    /// Kernel WireGuard on millpond's own interface.
    Wireguard(Wireguard),
    /// An openvpn process that millpond starts.
    Openvpn {
        /// Path of the OpenVPN profile.
        profile: String,
        /// This end's address inside the tunnel.
        address: Ipv4Addr,
        /// The other end's address inside the tunnel (router only).
        peer_address: Option<Ipv4Addr>,
    },
    /// An interface that another program manages.
    Interface {
        /// The interface's name.
        interface: String,
        /// This end's address inside the tunnel.
        address: Ipv4Addr,
        /// The other end's address inside the tunnel (router only).
        peer_address: Option<Ipv4Addr>,
        /// Bytes that the tunnel adds to a packet on the wire, including the outer IP header; `None` to derive them
        /// from the kind of interface.
        overhead: Option<u16>,
        /// Whether the interface may be one that is not known to encrypt (option `unencrypted`).
        unencrypted: bool,
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
    /// `join_key`: the private key of a join text. The endpoint knows this router by it until it learns the public key
    /// of `private_key` (router only).
    pub join_key: Option<Key>,
    /// Whether `join_key` is in use. Set by the daemon, which tries both keys; no option corresponds to it.
    pub tries_join_key: bool,
    /// `public_key` of the endpoint (router only; an endpoint has one for each home).
    pub public_key: Option<Key>,
    /// `preshared_key`.
    pub preshared_key: Option<Key>,
    /// `endpoint`: the server's address for routers; on the server itself, the address written into join texts.
    pub endpoint: Option<HostPort>,
    /// `backup`: other servers for the same homes, tried in turn while the current one does not answer.
    pub backup: Vec<Server>,
    /// `listen_port`: UDP port of this end; always set on an endpoint.
    pub listen_port: Option<u16>,
    /// `address` of this end inside the tunnel.
    pub address: Ipv4Addr,
    /// `peer_address`: the endpoint's address inside the tunnel (router only).
    pub peer_address: Option<Ipv4Addr>,
}

impl Wireguard {
    /// Whether the join text's key is in use.
    pub fn is_joining(&self) -> bool {
        self.tries_join_key && self.join_key.is_some()
    }

    /// The private key in use.
    pub fn key(&self) -> &Key {
        self.join_key.as_ref().filter(|_| self.tries_join_key).unwrap_or(&self.private_key)
    }
}

/// A server and its public key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Server {
    /// Its address and port.
    pub at: HostPort,
    /// Its public key.
    pub public_key: Key,
}

impl std::fmt::Display for Server {
    /// The notation of option `backup`.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} {}", self.at, self.public_key.to_base64())
    }
}

/// Where DNS queries of shaped devices go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Dns {
    /// `dns.mode`.
    pub mode: DnsMode,
    /// `dns.server`: resolvers that are reached through the tunnel.
    pub servers: Vec<IpAddr>,
}

/// Which resolver answers DNS queries of shaped devices.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DnsMode {
    /// The configured servers, through the tunnel.
    Tunnel,
    /// The router's own resolver.
    Router,
}

/// What happens to a device's Internet traffic.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Policy {
    /// Through the tunnel, in cells.
    Shape,
    /// Dropped; the device reaches the LAN only.
    Block,
    /// Routed as if millpond were not installed.
    Direct,
}

/// One device, chosen by MAC addresses, by IP address, or this machine itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Device {
    /// `name`, for display.
    pub name: String,
    /// `mac`: one address for each of its network interfaces; without one, `address` is set.
    pub macs: Vec<Mac>,
    /// `address` on the LAN.
    pub address: Option<IpAddr>,
    /// `self`: whether it is this machine itself, instead of a device on the LAN.
    pub is_self: bool,
    /// What happens to its traffic.
    pub policy: Policy,
    /// `watch`: whether its packets are counted for `advise` although it is not shaped.
    pub watch: bool,
    /// `tolerance`, or the one of its `kind`: how long its packets may wait before users notice.
    pub tolerance: Nanos,
}

/// All devices of one network interface (a bridge or VLAN), chosen by the interface's UCI network name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Network {
    /// `name`: the UCI network name.
    pub name: String,
    /// `device`: the kernel interface; `None` for `br-NAME`.
    pub device: Option<String>,
    /// What happens to its devices' traffic.
    pub policy: Policy,
    /// `strict`: whether unknown devices that use a confined device's address are shut out.
    pub strict: bool,
}

/// A part of the week with its own level, in local time.
#[derive(Clone, Debug, PartialEq)]
pub struct Schedule {
    /// Days on which the schedule starts, Monday first.
    pub days: [bool; 7],
    /// Start in minutes after midnight.
    pub start_minute: u16,
    /// Stop in minutes after midnight; a stop at or before the start is on the next day.
    pub stop_minute: u16,
    /// The level between start and stop.
    pub level: Level,
    /// The level's shape; `None` for `off`.
    pub shape: Option<Shape>,
}

/// What changes the rates besides the settings and the clock.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct LineRules {
    /// `wan` sections, in the order of the file.
    pub wans: Vec<Wan>,
    /// The `burst` section.
    pub burst: Option<Burst>,
}

/// A line to the Internet with its own level, while the default route leaves by it.
#[derive(Clone, Debug, PartialEq)]
pub struct Wan {
    /// `network`: the UCI network name.
    pub network: String,
    /// `device`: the kernel interface; `None` if only `/etc/config/network` knows it.
    pub device: Option<String>,
    /// The level.
    pub level: Level,
    /// The level's shape.
    pub shape: Shape,
}

/// One home (its router) in an endpoint's settings.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Home {
    /// `name`, for display.
    pub name: String,
    /// `public_key` of the router; always set if the tunnel's type is `wireguard`, otherwise `None`.
    pub public_key: Option<Key>,
    /// `preshared_key`, if the tunnel has one.
    pub preshared_key: Option<Key>,
    /// `address`: the router's address inside the tunnel.
    pub address: Ipv4Addr,
    /// `address6`: the router's IPv6 address inside the tunnel; `None` for a home with IPv4 only.
    pub address6: Option<Ipv6Addr>,
    /// `max_download`: maximum download rate of this home (endpoint to router), on the wire.
    pub max_download: BitsPerSec,
    /// `max_upload`: rate of this home's cells (router to endpoint), on the wire, beyond which they are dropped.
    pub max_upload: BitsPerSec,
    /// `exit` of the home or of `main`: the interface by which its packets leave; `None` for the host's own routes.
    pub exit: Option<String>,
    /// `join_until`: until this second of Unix time (0: no end) `public_key` is the key of a join text, and the key of
    /// the first router that uses the join text replaces it. `None`: `public_key` is the router's own key.
    pub join_until: Option<u64>,
}
