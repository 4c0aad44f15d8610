//! Settings for tests, never part of a released program. A test takes the example nearest to its subject and changes
//! what it is about.

use std::net::Ipv6Addr;

use super::model::{Device, Home, Key, Policy, Settings, Tunnel, Wireguard};
use super::parse;
use crate::units::{BitsPerSec, Nanos};

/// A router with a WireGuard tunnel and no devices. The text ends in the section `tunnel`, so a test can append options
/// of that section, or other sections.
pub const ROUTER: &str = "config millpond 'main'
	option enabled '1'

config tunnel 'tunnel'
	option private_key 'AQIDBAUGBwgJCgsMDQ4PEBESExQVFhcYGRobHB0eHyA='
	option public_key 'ISIjJCUmJygpKissLS4vMDEyMzQ1Njc4OTo7PD0+P0A='
	option endpoint '203.0.113.9:51820'
	option address '10.77.0.2'
	option peer_address '10.77.0.1'
";

/// An endpoint with a WireGuard tunnel and no homes. The text ends in the section `tunnel`.
pub const ENDPOINT: &str = "config millpond 'main'
	option enabled '1'
	option role 'endpoint'

config tunnel 'tunnel'
	option private_key 'AQIDBAUGBwgJCgsMDQ4PEBESExQVFhcYGRobHB0eHyA='
	option address '10.77.0.1/16'
";

/// The settings of [`ROUTER`].
pub fn router() -> Settings {
    settings(ROUTER)
}

/// The settings of [`ENDPOINT`].
pub fn endpoint() -> Settings {
    settings(ENDPOINT)
}

/// The settings in `text`. Panics with the problems if it has errors.
pub fn settings(text: &str) -> Settings {
    let parsed = parse(text.as_bytes());
    parsed.settings.unwrap_or_else(|| panic!("{:?} in\n{text}", parsed.problems))
}

/// The WireGuard tunnel of an example.
pub fn wireguard(settings: &mut Settings) -> &mut Wireguard {
    match &mut settings.tunnel {
        Some(Tunnel::Wireguard(wireguard)) => wireguard,
        other => panic!("no WireGuard tunnel: {other:?}"),
    }
}

/// A device without addresses, with the tolerance of a device whose kind is unknown.
pub fn device(name: &str, policy: Policy) -> Device {
    Device {
        name: name.into(),
        macs: Vec::new(),
        address: None,
        is_self: false,
        policy,
        watch: false,
        tolerance: Nanos::from_millis(1_400),
    }
}

/// The home at 10.77.0.`host`, with that byte as its name and in its key.
pub fn home(host: u8, address6: Option<Ipv6Addr>) -> Home {
    Home {
        name: host.to_string(),
        public_key: Some(Key([host; 32])),
        preshared_key: None,
        address: [10, 77, 0, host].into(),
        address6,
        max_download: BitsPerSec::from_kbit(4_000),
        max_upload: BitsPerSec::from_kbit(4_000),
        exit: None,
        join_until: None,
    }
}
