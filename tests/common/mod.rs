//! Settings that several tests share.

#![allow(dead_code, reason = "each test uses only a part")]

pub mod namespace;

use millpond::config::model::*;
use millpond::law::Law;
use millpond::plan::qdisc_tree::ShaperLimits;
use millpond::plan::routing::Prefix;
use millpond::plan::{Facts, LanInterface};
use millpond::tunnel::TunnelFacts;
use millpond::units::{BitsPerSec, Nanos};

pub fn shape() -> Shape {
    let (upload, download) = (BitsPerSec::from_kbit(160), BitsPerSec::from_kbit(320));
    Shape { upload, download, cell_bytes: 512, law: Law::Gamma, spread_percent: 33 }
}

fn settings(role: Role, wireguard: Wireguard) -> Settings {
    Settings {
        enabled: true,
        role,
        level: Level::Balanced,
        shape: shape(),
        off: OffPolicy::Tunnel,
        audit_days: None,
        levels: Vec::new(),
        data_cap_gb: None,
        billing_day: 1,
        price_cents: None,
        step_down: None,
        routing_ids: RoutingIds::DEFAULT,
        tunnel: Some(Tunnel::Wireguard(wireguard)),
        address6: None,
        dns: Dns { mode: DnsMode::Tunnel, servers: vec!["9.9.9.9".parse().unwrap()] },
        devices: Vec::new(),
        networks: Vec::new(),
        schedules: Vec::new(),
        homes: Vec::new(),
    }
}

/// A router whose peer has `public_key`. It has four devices, which cover each policy and both ways to choose a device,
/// and an IoT network.
pub fn router(private_key: [u8; 32], public_key: [u8; 32]) -> Settings {
    let device = |name: &str, mac: Option<[u8; 6]>, address: Option<&str>, policy| Device {
        name: name.into(),
        mac: mac.map(Mac),
        address: address.map(|a| a.parse().unwrap()),
        policy,
        watch: false,
        tolerance: Nanos::from_millis(1_400),
    };
    let wireguard = Wireguard {
        private_key: Key(private_key),
        join_key: None,
        tries_join_key: false,
        public_key: Some(Key(public_key)),
        preshared_key: Some(Key([9; 32])),
        endpoint: Some(HostPort { host: "vpn.example.org".into(), port: 51820 }),
        backup: Vec::new(),
        listen_port: None,
        address: [10, 77, 0, 2].into(),
        peer_address: Some([10, 77, 0, 1].into()),
    };
    Settings {
        devices: vec![
            device("camera", Some([0x18, 0xb4, 0x30, 0x26, 0x34, 0x40]), None, Policy::Shape),
            device("television", Some([0x00, 0x16, 0x6c, 0xab, 0x6b, 0x88]), None, Policy::Block),
            device("plug", None, Some("192.168.1.20"), Policy::Shape),
            device("laptop", Some([0x74, 0x2f, 0x68, 0x81, 0x69, 0x42]), None, Policy::Direct),
        ],
        networks: vec![Network { name: "iot".into(), device: None, policy: Policy::Shape }],
        ..settings(Role::Router, wireguard)
    }
}

/// An endpoint with one home, whose router has `public_key`.
pub fn endpoint(private_key: [u8; 32], public_key: [u8; 32]) -> Settings {
    let wireguard = Wireguard {
        private_key: Key(private_key),
        join_key: None,
        tries_join_key: false,
        public_key: None,
        preshared_key: None,
        endpoint: None,
        backup: Vec::new(),
        listen_port: Some(51820),
        address: [10, 77, 0, 1].into(),
        peer_address: None,
    };
    let home = Home {
        name: "maple street".into(),
        public_key: Some(Key(public_key)),
        preshared_key: Some(Key([9; 32])),
        address: [10, 77, 0, 2].into(),
        address6: None,
        max_download: BitsPerSec::from_kbit(4000),
        join_until: None,
    };
    Settings { homes: vec![home], ..settings(Role::Endpoint, wireguard) }
}

pub fn facts() -> Facts {
    let prefix = |s: &str, length| Prefix { address: s.parse().unwrap(), length };
    let lan =
        LanInterface { name: "br-lan".into(), prefixes: vec![prefix("192.168.1.0", 24), prefix("fd00:77::", 64)] };
    let endpoint = Some("203.0.113.9:51820".parse().unwrap());
    Facts { lan: vec![lan], tunnel: TunnelFacts { endpoint, ..TunnelFacts::default() }, ..Facts::default() }
}

pub fn limits() -> ShaperLimits {
    let rate = BitsPerSec::from_kbit(640);
    ShaperLimits { rate, inner_bytes: 448, wire_bytes: 508, burst_cells: 32, data_limit: 2, cover_limit: 2 }
}
