//! `config tunnel 'tunnel'`: the tunnel between router and endpoint.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::context::{Context, TunnelKind};
use super::reader::SectionReader;
use super::value::{
    boolean, choice, host_port, interface_name, key, key_or_file, number, path, server, tunnel_address, tunnel_address6,
};
use crate::config::join::MAX_SERVERS;
use crate::config::model::{Key, Role, Server, Tunnel, Wireguard};
use crate::config::problem::SettingsProblem;
use crate::config::uci::Section;

const OPTIONS: [&str; 15] = [
    "type",
    "private_key",
    "join_key",
    "public_key",
    "preshared_key",
    "endpoint",
    "backup",
    "listen_port",
    "address",
    "address6",
    "peer_address",
    "profile",
    "interface",
    "overhead",
    "unencrypted",
];
/// WireGuard's usual port.
const DEFAULT_PORT: u16 = 51820;
pub(super) const OWN_INTERFACES: [&str; 3] = ["mp0", "mpwg0", "mpvpn0"];

const KINDS: &[(&str, TunnelKind)] =
    &[("wireguard", TunnelKind::Wireguard), ("openvpn", TunnelKind::Openvpn), ("interface", TunnelKind::Interface)];

/// Reads the section; `None` if it is invalid or, while millpond is disabled, incomplete.
pub(super) fn read(section: &Section, context: &mut Context, problems: &mut Vec<SettingsProblem>) -> Option<Tunnel> {
    let mut reader = SectionReader::new(section, &OPTIONS, problems);
    let kind = if reader.given("type") { reader.value("type", choice(KINDS)) } else { Some(TunnelKind::Wireguard) };
    context.tunnel = kind;
    warn_unused(&mut reader, kind, context);
    let (address, peer_address) = addresses(&mut reader, context);
    let enabled = context.enabled;
    match kind? {
        TunnelKind::Wireguard => wireguard(&mut reader, context, address, peer_address).map(Tunnel::Wireguard),
        TunnelKind::Openvpn => {
            let profile = reader.needed(enabled, "profile", "the path of an OpenVPN profile", path)?;
            Some(Tunnel::Openvpn { profile, address: address?, peer_address })
        }
        TunnelKind::Interface => {
            let interface = reader.needed(enabled, "interface", "the name of a tunnel interface", interface_name)?;
            if OWN_INTERFACES.contains(&interface.as_str()) {
                let text =
                    format!("millpond's own interface (got '{interface}', want one that another program manages)");
                reader.error("interface", text);
            }
            let overhead = reader.value("overhead", number(0..=200, "bytes")).map(|bytes| bytes as u16);
            let unencrypted = reader.value("unencrypted", boolean).unwrap_or(false);
            Some(Tunnel::Interface { interface, address: address?, peer_address, overhead, unencrypted })
        }
    }
}

/// This end's IPv6 address inside the tunnel, an option for every type of tunnel.
pub(super) fn read_address6(
    section: &Section,
    context: &mut Context,
    problems: &mut Vec<SettingsProblem>,
) -> Option<Ipv6Addr> {
    let mut reader = SectionReader::resume(section, problems);
    address6(&mut reader, context)
}

/// Option `address6` of a tunnel or home.
pub(super) fn address6(reader: &mut SectionReader, context: &mut Context) -> Option<Ipv6Addr> {
    let (address, prefix) = reader.value("address6", tunnel_address6)?;
    if prefix.is_some_and(|bits| bits != 128) {
        reader.warn("address6", format!("prefix length has no effect, used as {address}/128"));
    }
    let text = address.to_string();
    reader.unique(&mut context.addresses6, &text, "address6", &text);
    Some(address)
}

fn addresses(reader: &mut SectionReader, context: &mut Context) -> (Option<Ipv4Addr>, Option<Ipv4Addr>) {
    let router = context.role == Some(Role::Router);
    let mut read = |option, want, needed| {
        let (address, prefix): (Ipv4Addr, _) = reader.needed(needed, option, want, tunnel_address)?;
        // On an endpoint the prefix is the network that its homes' addresses come from.
        if router && prefix.is_some_and(|bits| bits != 32) {
            reader.warn(option, format!("prefix length has no effect, used as {address}/32"));
        }
        let text = address.to_string();
        reader.unique(&mut context.addresses, &text, option, &text);
        Some(address)
    };
    let address = read("address", "this end's address inside the tunnel such as 10.77.0.2/32", context.enabled);
    let peer_needed = context.enabled && router;
    let peer = read("peer_address", "the endpoint's address inside the tunnel such as 10.77.0.1", peer_needed);
    (address, peer.filter(|_| router))
}

fn wireguard(
    reader: &mut SectionReader,
    context: &Context,
    address: Option<Ipv4Addr>,
    peer_address: Option<Ipv4Addr>,
) -> Option<Wireguard> {
    let router = context.is(Role::Router);
    let router_needs = context.enabled && router;
    let secret = |text: &str| key_or_file(text, context.key_files);
    let private_key = reader.needed(context.enabled, "private_key", "this end's key, as 'wg genkey' prints it", secret);
    let join_key = reader.value("join_key", secret).filter(|_| router);
    let public_key = reader.needed(router_needs, "public_key", "the endpoint's public key", key);
    let preshared_key = reader.value("preshared_key", secret);
    let endpoint = reader.needed(router_needs, "endpoint", "HOST:PORT of the endpoint", host_port);
    let backup = backup(reader, public_key.as_ref());
    let listen_port = reader.value("listen_port", number(1..=65535, "")).map(|port| port as u16);
    if let Some(IpAddr::V4(host)) = endpoint.as_ref().and_then(|endpoint| endpoint.host.parse().ok()) {
        if Some(host) == address || Some(host) == peer_address {
            let text =
                format!("an address inside the tunnel (got '{host}', want the server's address on the Internet)");
            reader.error("endpoint", text);
        }
    }
    if router {
        let complete = public_key.is_some() && endpoint.is_some() && peer_address.is_some();
        let (private_key, address) = (private_key?, address?);
        let wireguard = Wireguard {
            private_key,
            join_key,
            tries_join_key: false,
            public_key,
            preshared_key,
            endpoint,
            backup,
            listen_port,
            address,
            peer_address,
        };
        return complete.then_some(wireguard);
    }
    Some(Wireguard {
        private_key: private_key?,
        join_key: None,
        tries_join_key: false,
        public_key: None,
        preshared_key: None,
        endpoint,
        backup,
        listen_port: Some(listen_port.unwrap_or(DEFAULT_PORT)),
        address: address?,
        peer_address: None,
    })
}

/// Reads list `backup`. WireGuard would treat two endpoints with one key as one peer.
fn backup(reader: &mut SectionReader, first: Option<&Key>) -> Vec<Server> {
    let mut backup: Vec<Server> = Vec::new();
    for (server, _) in reader.list("backup", server) {
        if first == Some(&server.public_key) || backup.iter().any(|other| other.public_key == server.public_key) {
            let text = format!(
                "two endpoints with one key (got the key of {} twice, want a different key for each)",
                server.at
            );
            reader.error("backup", text);
        } else if backup.len() + 1 == MAX_SERVERS {
            reader.error("backup", format!("too many (want at most {} besides option endpoint)", MAX_SERVERS - 1));
            break;
        } else {
            backup.push(server);
        }
    }
    backup
}

fn warn_unused(reader: &mut SectionReader, kind: Option<TunnelKind>, context: &Context) {
    let Some(kind) = kind else { return };
    let type_name = KINDS.iter().find(|(_, k)| *k == kind).map_or("", |(name, _)| name);
    let of_type = [
        (
            TunnelKind::Wireguard,
            &["private_key", "join_key", "public_key", "preshared_key", "endpoint", "backup", "listen_port"][..],
        ),
        (TunnelKind::Openvpn, &["profile"]),
        (TunnelKind::Interface, &["interface", "overhead", "unencrypted"]),
    ];
    for (_, options) in of_type.iter().filter(|(of, _)| *of != kind) {
        for option in options.iter().filter(|option| reader.given(option)).collect::<Vec<_>>() {
            reader.warn(option, format!("no effect with type '{type_name}'"));
        }
    }
    if context.is(Role::Endpoint) {
        let of_router: &[&str] = match kind {
            TunnelKind::Wireguard => &["public_key", "preshared_key", "peer_address"],
            TunnelKind::Openvpn | TunnelKind::Interface => &["peer_address"],
        };
        for option in of_router {
            if reader.given(option) {
                reader.warn(option, "no effect with role 'endpoint' (each 'home' has its own)".to_owned());
            }
        }
    }
}
