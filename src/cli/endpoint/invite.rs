//! Creates and prints the join text for a home.

use std::io::{IsTerminal, stdout};
use std::time::{Duration, SystemTime};

use super::config_file::EndpointConfig;
use super::qr;
use crate::cli::exit::{CONFIG, Failure, OS_ERROR};
use crate::config::join::{Identity, Invitation, MAX_SERVERS};
use crate::config::model::{Home, Key, Server};
use crate::sys::random;

/// The time at which a text of this many days expires, in seconds of Unix time; `None` (never) for 0 days.
pub(super) fn expiry(days: u64) -> Option<u64> {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    (days > 0).then(|| (now + Duration::from_secs(days * 86_400)).as_secs())
}

/// The invitation of `home` to this endpoint, whose private key is `key`, and to the backup endpoints. Their order is
/// random, so that homes spread over all endpoints.
pub(super) fn invitation(
    config: &EndpointConfig,
    home: &Home,
    identity: Identity,
    key: &Key,
    expires: Option<u64>,
) -> Result<Invitation, Failure> {
    let wireguard = config.wireguard()?;
    let at = wireguard.endpoint.clone().ok_or_else(|| {
        let text = "creating a join text: tunnel.endpoint is missing: \
                    set it to the HOST:PORT at which routers reach this server";
        Failure::new(CONFIG, text)
    })?;
    let own = Server { at, public_key: key.public() };
    if let Some(other) = wireguard.backup.iter().find(|other| other.public_key == own.public_key) {
        let text = format!(
            "creating a join text: tunnel.backup {}: two endpoints with one key: give each its own key \
             ('millpond endpoint rotate-keys' there)",
            other.at
        );
        return Err(Failure::new(CONFIG, text));
    }
    let mut servers: Vec<Server> =
        [own].into_iter().chain(wireguard.backup.iter().cloned()).take(MAX_SERVERS).collect();
    shuffle(&mut servers)?;
    Ok(Invitation {
        name: home.name.clone(),
        expires,
        identity,
        preshared_key: home.preshared_key.clone(),
        address: home.address,
        peer_address: wireguard.address,
        address6: home.address6,
        resolvers: config.settings.dns.servers.clone(),
        max_download: home.max_download,
        servers,
    })
}

/// Prints a join text, on a terminal also as a QR code.
pub(super) fn print_invitation(invitation: &Invitation) {
    let text = invitation.to_text();
    println!("{text}");
    if stdout().is_terminal() {
        qr::draw(&text).into_iter().for_each(|code| print!("\n{code}"));
        if invitation.has_private_key() {
            eprintln!(
                "millpond: the first router that uses this text becomes the home '{}': send it privately",
                invitation.name
            );
        }
    }
}

/// Random bytes from the kernel.
pub(super) fn random() -> Result<[u8; 32], Failure> {
    random::seed().map_err(|error| Failure::new(OS_ERROR, format!("reading random bytes from the kernel: {error}")))
}

fn shuffle(servers: &mut [Server]) -> Result<(), Failure> {
    let random = random()?;
    for (last, bytes) in (1..servers.len()).rev().zip(random.chunks(4)) {
        let [a, b, c, d] = bytes else { break };
        servers.swap(last, u32::from_be_bytes([*a, *b, *c, *d]) as usize % (last + 1));
    }
    Ok(())
}
