//! Settings that several tests share.

#![allow(dead_code, reason = "each test uses only a part")]

pub mod module_graph;
pub mod namespace;
pub mod openwrt;
pub mod rust_source;
pub mod world;

use millpond::config::example;
use millpond::config::model::*;
use millpond::law::Law;
use millpond::plan::qdisc_tree::ShaperLimits;
use millpond::plan::routing::Prefix;
use millpond::plan::{Facts, LanInterface};
use millpond::tunnel::TunnelFacts;
use millpond::units::BitsPerSec;

pub fn shape() -> Shape {
    let (upload, download) = (BitsPerSec::from_kbit(160), BitsPerSec::from_kbit(320));
    Shape { upload, download, cell_bytes: 512, law: Law::Gamma, spread_percent: 33, train: None }
}

/// A router whose peer has `public_key`. It has four devices, which cover each policy and both ways to choose a device,
/// and an IoT network.
pub fn router(private_key: [u8; 32], public_key: [u8; 32]) -> Settings {
    let mac = |mac| vec![Mac(mac)];
    let mut settings = Settings {
        shape: shape(),
        devices: vec![
            Device { macs: mac([0x18, 0xb4, 0x30, 0x26, 0x34, 0x40]), ..example::device("camera", Policy::Shape) },
            Device { macs: mac([0x00, 0x16, 0x6c, 0xab, 0x6b, 0x88]), ..example::device("television", Policy::Block) },
            Device { address: "192.168.1.20".parse().ok(), ..example::device("plug", Policy::Shape) },
            Device { macs: mac([0x74, 0x2f, 0x68, 0x81, 0x69, 0x42]), ..example::device("laptop", Policy::Direct) },
        ],
        networks: vec![Network { name: "iot".into(), device: None, policy: Policy::Shape, strict: false }],
        ..example::router()
    };
    let wireguard = example::wireguard(&mut settings);
    wireguard.private_key = Key(private_key);
    wireguard.public_key = Some(Key(public_key));
    wireguard.preshared_key = Some(Key([9; 32]));
    settings
}

/// An endpoint with one home, whose router has `public_key`.
pub fn endpoint(private_key: [u8; 32], public_key: [u8; 32]) -> Settings {
    let home = Home {
        name: "maple street".into(),
        public_key: Some(Key(public_key)),
        preshared_key: Some(Key([9; 32])),
        ..example::home(2, None)
    };
    let mut settings = Settings { shape: shape(), homes: vec![home], ..example::endpoint() };
    example::wireguard(&mut settings).private_key = Key(private_key);
    settings
}

pub fn facts() -> Facts {
    let prefix = |s: &str, length| Prefix { address: s.parse().unwrap(), length };
    let networks = vec![prefix("192.168.1.0", 24), prefix("fd00:77::", 64)];
    let lan = LanInterface { name: "br-lan".into(), prefixes: networks.clone() };
    let endpoint = Some("203.0.113.9:51820".parse().unwrap());
    let tunnel = TunnelFacts { endpoint, ..TunnelFacts::default() };
    Facts { lan: vec![lan], networks, tunnel, ..Facts::default() }
}

pub fn limits() -> ShaperLimits {
    let rate = BitsPerSec::from_kbit(640);
    ShaperLimits { rate, inner_bytes: 448, wire_bytes: 508, burst_cells: 32, data_limit: 2, cover_limit: 2 }
}
