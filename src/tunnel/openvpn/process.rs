//! The command line of openvpn, and what a line of its output reports.

use std::net::Ipv4Addr;
use std::path::Path;

use super::options::{CIPHERS, is_offered};
use super::profile::Profile;
use super::{MTU, OPENVPN};
use crate::config::model::Role;
use crate::config::printable::printable;

/// What a line of openvpn's output reports.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum OutputEvent {
    /// The client is connected, or the server listens.
    Up,
    /// The endpoint's openvpn pushes compression; the text names what it pushes.
    Compression(String),
    /// The endpoint's openvpn assigns another address than the settings; the text names both.
    Address(String),
    /// The two ends have negotiated a data channel that does not suit cells; the text says why. The process must end.
    Unsuitable(String),
}

/// Arguments of both roles, for the interface [`OPENVPN`]. There are no pings: cells never pause that long.
const ARGUMENTS: [&str; 16] = [
    // millpond owns the interface and supervises the process.
    "--dev-type tun",
    "--persist-tun",
    "--persist-key",
    "--topology subnet",
    "--ifconfig-noexec",
    "--ifconfig-nowarn",
    "--route-noexec",
    "--script-security 1",
    "--nice -20",
    // millpond reads the output.
    "--verb 3 --suppress-timestamps",
    "--mute 0",
    // Every packet is a cell, and all cells have one size.
    "--allow-compression no",
    "--keepalive 0 0 --ping 0",
    "--inactive 0",
    "--mssfix 0",
    // Kernel offload would use another interface. Not every version knows the option.
    "--ignore-unknown-option disable-dco --disable-dco",
];

/// Arguments of a router. A server that lost its state in a restart does not say so; the client notices only its
/// silence.
const CLIENT_ARGUMENTS: [&str; 7] = [
    "--route-nopull",
    "--pull-filter reject comp",
    "--pull-filter ignore ping",
    "--pull-filter ignore inactive",
    "--ping-restart 20",
    "--connect-retry 2 10 --server-poll-timeout 10",
    "--explicit-exit-notify 0",
];

/// The command line. Arguments after the profile override it.
pub fn arguments(profile: &str, role: Role, checked: Profile) -> Vec<String> {
    let folder = Path::new(profile).parent().unwrap_or(Path::new("/")).to_string_lossy();
    let mtu = MTU.to_string();
    let mut arguments = vec!["--cd", &folder, "--config", profile, "--dev", OPENVPN, "--tun-mtu", &mtu];
    arguments.extend(["--data-ciphers", CIPHERS]);
    arguments.extend(ARGUMENTS.iter().flat_map(|words| words.split(' ')));
    if role == Role::Router {
        arguments.extend(CLIENT_ARGUMENTS.iter().flat_map(|words| words.split(' ')));
        // The cell size was computed for one IP version.
        arguments.extend(["--proto", if checked.ipv6 { "udp6" } else { "udp4" }]);
    }
    arguments.into_iter().map(str::to_owned).collect()
}

/// The event that a line of openvpn's output reports. `address` is the address that this end expects.
pub fn parse_line(line: &str, address: Option<Ipv4Addr>) -> Option<OutputEvent> {
    if line.contains("Initialization Sequence Completed") {
        return Some(OutputEvent::Up);
    }
    if let Some((_, rest)) = line.split_once("Pushed option rejected by filter: ") {
        let pushed = printable(rest.trim_end_matches(" Restarting."));
        let text = format!("the endpoint's openvpn pushes compression: {pushed}");
        return Some(OutputEvent::Compression(text));
    }
    if let Some(why) = unsuitable(line) {
        return Some(OutputEvent::Unsuitable(why));
    }
    let (_, pushed) = line.split_once("PUSH_REPLY,")?;
    let ifconfig = pushed.split(',').find_map(|option| option.strip_prefix("ifconfig "))?;
    let assigned = ifconfig.split_whitespace().next()?.parse::<Ipv4Addr>().ok()?;
    let configured = address.filter(|address| *address != assigned)?;
    let text = format!("the endpoint's openvpn assigns this end {assigned}, but tunnel.address is {configured}");
    Some(OutputEvent::Address(text))
}

/// Why the data channel that a line reports does not suit cells. OpenVPN 2.6 reports the whole channel in one line; 2.5
/// reports the cipher of each direction, and compression only where it fails.
fn unsuitable(line: &str) -> Option<String> {
    let quoted = |text: &str| text.split('\'').nth(1).map(printable);
    if line.contains("Bad compression stub") {
        return Some("only one end's profile has 'comp-lzo no' (want the line at both ends, or at none)".to_owned());
    }
    let (_, channel) = line.split_once("Data Channel: ")?;
    let cipher = channel.strip_prefix("cipher ").or_else(|| channel.strip_prefix("Cipher ")).and_then(quoted);
    if let Some(cipher) = cipher.filter(|cipher| !is_offered(cipher)) {
        return Some(format!("the two ends use the cipher {cipher} (want one of {CIPHERS})"));
    }
    let compression = channel.split_once("compression: ").and_then(|(_, rest)| quoted(rest));
    let compression = compression.filter(|compression| compression != "stub")?;
    Some(format!("the two ends use the compression {compression} (want none)"))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The lines are from OpenVPN 2.6.
    #[test]
    fn output_of_openvpn_is_parsed() {
        let address = Some(Ipv4Addr::new(10, 77, 0, 2));
        assert_eq!(parse_line("Initialization Sequence Completed", address), Some(OutputEvent::Up));
        let text = "the endpoint's openvpn pushes compression: 'comp-lzo yes'.".to_owned();
        let rejected = "Pushed option rejected by filter: 'comp-lzo yes'. Restarting.";
        assert_eq!(parse_line(rejected, address), Some(OutputEvent::Compression(text)));
        let reply = "PUSH: Received control message: 'PUSH_REPLY,ifconfig 10.77.0.3 255.255.255.0,peer-id 0'";
        let text = "the endpoint's openvpn assigns this end 10.77.0.3, but tunnel.address is 10.77.0.2".to_owned();
        assert_eq!(parse_line(reply, address), Some(OutputEvent::Address(text)));
        assert_eq!(parse_line(&reply.replace("0.3", "0.2"), address), None);
        assert_eq!(parse_line(reply, None), None);
        for harmless in [
            "Data Channel: cipher 'AES-256-GCM', peer-id: 0",
            "home/192.0.2.7:41194 Data Channel: cipher 'CHACHA20-POLY1305', peer-id: 0, compression: 'stub'",
            "Outgoing Data Channel: Cipher 'AES-128-GCM' initialized with 128 bit key",
            "Control Channel: TLSv1.3, cipher TLSv1.3 TLS_AES_256_GCM_SHA384, peer certificate: 384 bits",
        ] {
            assert_eq!(parse_line(harmless, address), None, "{harmless}");
        }
        for (unsuitable, named) in [
            ("Data Channel: cipher 'AES-256-CBC', auth 'SHA1', peer-id: 0", "AES-256-CBC"),
            ("Incoming Data Channel: Cipher 'BF-CBC' initialized with 128 bit key", "BF-CBC"),
            ("Data Channel: cipher 'AES-192-GCM', peer-id: 0", "AES-192-GCM"),
            ("a/192.0.2.7:1 Data Channel: cipher 'AES-256-GCM', peer-id: 0, compression: 'lzo'", "lzo"),
            ("Bad compression stub decompression header byte: 96", "comp-lzo no"),
        ] {
            let event = parse_line(unsuitable, address);
            let is_named = matches!(&event, Some(OutputEvent::Unsuitable(why)) if why.contains(named));
            assert!(is_named, "{unsuitable}: {event:?}");
        }
        assert_eq!(parse_line("TLS: Initial packet from [AF_INET]192.0.2.1:1194", address), None);
    }

    #[test]
    fn overriding_arguments_follow_the_profile() {
        let client = arguments("/etc/millpond/client.ovpn", Role::Router, Profile { ipv6: true, framing: false });
        assert_eq!(client[..4], ["--cd", "/etc/millpond", "--config", "/etc/millpond/client.ovpn"]);
        assert_eq!(client[4..6], ["--dev", "mpvpn0"]);
        assert!(client.ends_with(&["--explicit-exit-notify", "0", "--proto", "udp6"].map(str::to_owned)));
        let server = arguments("/etc/millpond/server.ovpn", Role::Endpoint, Profile::default());
        assert!(!server.iter().any(|word| word == "--proto" || word == "--pull-filter"));
    }

    /// The other end chooses these words; they reach the log and the status.
    #[test]
    fn what_the_other_end_chose_is_printable() {
        let address = Some(Ipv4Addr::new(10, 77, 0, 2));
        for line in [
            "Pushed option rejected by filter: 'compress \u{1b}[2J'. Restarting.",
            "Data Channel: cipher '\u{1b}[2J', peer-id: 0",
            "Data Channel: cipher 'AES-256-GCM', compression: '\u{1b}[2J'",
        ] {
            let Some(OutputEvent::Compression(text) | OutputEvent::Unsuitable(text)) = parse_line(line, address) else {
                panic!("{line:?}: no event")
            };
            assert!(text.contains("\\u{1b}") && !text.contains('\u{1b}'), "{text:?}");
        }
    }
}
