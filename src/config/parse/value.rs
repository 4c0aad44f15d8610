//! Parsers for single values: number, address, key, time. Each error holds the given and the wanted value.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::ops::RangeInclusive;

use crate::config::model::{HostPort, Key, Mac, Protocol, RouterService, Server};
use crate::config::printable::is_printable;
use crate::law::Law;

/// Reads the text of the key file at a path, or returns the reason why it cannot be read.
pub type KeyFiles<'a> = &'a dyn Fn(&str) -> std::result::Result<String, String>;

/// Why a value is invalid. `got` is ready for display: quoted, short, and never a secret.
pub(in crate::config) struct ValueError {
    pub problem: &'static str,
    pub got: String,
    pub want: String,
}

impl ValueError {
    pub(super) fn new(problem: &'static str, got: &str, want: impl Into<String>) -> ValueError {
        ValueError { problem, got: shown(got), want: want.into() }
    }
}

type Result<T> = std::result::Result<T, ValueError>;

/// Quotes a text for a message: on one line, and shortened if it is long.
pub(super) fn shown(text: &str) -> String {
    const MAX_CHARS: usize = 40;
    let mut quoted: String = text.chars().take(MAX_CHARS).flat_map(char::escape_debug).collect();
    if text.chars().nth(MAX_CHARS).is_some() {
        quoted.push('…');
    }
    format!("'{quoted}'")
}

/// A boolean in any of UCI's spellings.
pub(super) fn boolean(text: &str) -> Result<bool> {
    match text {
        "1" | "yes" | "on" | "true" | "enabled" => Ok(true),
        "0" | "no" | "off" | "false" | "disabled" => Ok(false),
        _ => Err(ValueError::new("not a boolean", text, "1 or 0")),
    }
}

/// One of several words.
pub(super) fn choice<T: Copy>(words: &'static [(&'static str, T)]) -> impl Fn(&str) -> Result<T> {
    move |text| {
        let found = words.iter().find(|(word, _)| *word == text);
        let words = || words.iter().map(|(word, _)| *word).collect();
        found.map(|(_, value)| *value).ok_or_else(|| unknown(text, words()))
    }
}

fn unknown(text: &str, words: Vec<&str>) -> ValueError {
    ValueError::new("unknown value", text, words.join(" | "))
}

/// The name of a law.
pub(super) fn law(text: &str) -> Result<Law> {
    Law::from_name(text).ok_or_else(|| unknown(text, Law::ALL.map(Law::name).into()))
}

/// A whole decimal number within `range`; `unit` appears in the message.
pub(super) fn number(range: RangeInclusive<u32>, unit: &'static str) -> impl Fn(&str) -> Result<u32> {
    move |text| {
        let space = if unit.is_empty() { "" } else { " " };
        let want = || format!("{}..={}{space}{unit}", range.start(), range.end());
        if text.is_empty() || !text.bytes().all(|b| b.is_ascii_digit()) {
            return Err(ValueError::new("not a whole number", text, want()));
        }
        match text.parse() {
            Ok(n) if range.contains(&n) => Ok(n),
            _ => Err(ValueError::new("out of range", text, want())),
        }
    }
}

/// A price in hundredths; the text is below 1000, with at most two decimals.
pub(super) fn price(text: &str) -> Result<u32> {
    let (whole, part) = text.split_once('.').unwrap_or((text, "0"));
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    let error = || ValueError::new("not a price", text, "an amount for each GB such as 2.50, below 1000");
    if !digits(whole) || !digits(part) || part.len() > 2 {
        return Err(error());
    }
    let whole: u32 = whole.parse().map_err(|_| error())?;
    let cents = format!("{part:0<2}").parse::<u32>().map_err(|_| error())?;
    if whole >= 1000 { Err(error()) } else { Ok(whole * 100 + cents) }
}

/// A service of the router, `tcp/PORT` or `udp/PORT`.
pub(super) fn router_service(text: &str) -> Result<RouterService> {
    let error = || ValueError::new("not a service", text, "protocol and port such as tcp/8883");
    let (protocol, port) = text.split_once('/').ok_or_else(error)?;
    let protocol = match protocol {
        "tcp" => Protocol::Tcp,
        "udp" => Protocol::Udp,
        _ => return Err(error()),
    };
    let port = number(1..=65535, "")(port).map_err(|_| error())? as u16;
    Ok(RouterService { protocol, port })
}

/// A 32-bit number in hexadecimal with exactly one bit set.
pub(super) fn bit(text: &str) -> Result<u32> {
    let bits = text.strip_prefix("0x").and_then(|digits| u32::from_str_radix(digits, 16).ok());
    bits.filter(|bits| bits.is_power_of_two())
        .ok_or_else(|| ValueError::new("not a single bit", text, "one bit in hexadecimal such as 0x01000000"))
}

/// A WireGuard key. Messages contain only its length.
pub(super) fn key(text: &str) -> Result<Key> {
    let error = |problem| ValueError {
        problem,
        got: format!("{} characters", text.chars().count()),
        want: "44 characters of base64, as 'wg genkey' prints".to_owned(),
    };
    let key = Key::from_base64(text).ok_or_else(|| error("not a WireGuard key"))?;
    if key.0 == [0; 32] {
        return Err(ValueError { got: "all zeros".to_owned(), ..error("not a WireGuard key") });
    }
    Ok(key)
}

/// A key, or the path of a file with a key. Messages never quote text that may be a key.
pub(super) fn key_or_file(text: &str, key_files: KeyFiles<'_>) -> Result<Key> {
    if !text.starts_with('/') || Key::from_base64(text).is_some() {
        return key(text);
    }
    let content = key_files(text).map_err(|cause| ValueError {
        problem: "cannot read the key file",
        got: cause,
        want: "the path of a readable file with one key".to_owned(),
    })?;
    key(content.trim_end())
}

/// A name for display: any text on one line.
pub(in crate::config) fn title(text: &str) -> Result<String> {
    if !text.chars().all(is_printable) {
        let problem = "has control characters, or marks that reverse text";
        return Err(ValueError::new(problem, text, "text on one line"));
    }
    if text.chars().count() > 64 {
        return Err(ValueError::new("too long", text, "at most 64 characters"));
    }
    Ok(text.to_owned())
}

/// A UCI network name as in `/etc/config/network`.
pub(super) fn network_name(text: &str) -> Result<String> {
    if text.len() > 32 || !text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_') {
        return Err(ValueError::new("not a network name", text, "letters, digits and _ as in /etc/config/network"));
    }
    Ok(text.to_owned())
}

/// The name of a kernel network interface (`dev_valid_name`), without characters that nft would have to escape.
pub(in crate::config) fn interface_name(text: &str) -> Result<String> {
    let fits = text.len() <= 15
        && !matches!(text, "." | "..")
        && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"._-@".contains(&b));
    if !fits {
        return Err(ValueError::new("not an interface name", text, "at most 15 letters, digits and . _ - @"));
    }
    Ok(text.to_owned())
}

/// An absolute path.
pub(super) fn path(text: &str) -> Result<String> {
    if !text.starts_with('/') || !text.chars().all(is_printable) {
        return Err(ValueError::new("not an absolute path", text, "a path that starts with /"));
    }
    Ok(text.to_owned())
}

/// The Ethernet address of one device.
pub(super) fn mac(text: &str) -> Result<Mac> {
    const WANT: &str = "six bytes such as 18:b4:30:26:34:40";
    let separator = text.chars().find(|c| matches!(c, ':' | '-' | '.'));
    // Cisco's notation has four digits between dots. The others may leave out a leading zero, as `ether_aton` reads
    // them.
    let (digits, least) = match separator {
        Some('.') => (4, 4),
        Some(_) => (2, 1),
        None => (12, 12),
    };
    let parts: Vec<&str> = text.split(|c| Some(c) == separator).collect();
    let is_part = |part: &&str| (least..=digits).contains(&part.len()) && part.bytes().all(|b| b.is_ascii_hexdigit());
    if parts.len() * digits != 12 || !parts.iter().all(is_part) {
        return Err(ValueError::new("not a MAC address", text, WANT));
    }
    let number = parts.iter().filter_map(|part| u64::from_str_radix(part, 16).ok());
    let [_, _, bytes @ ..] = number.fold(0, |sum, part| sum << (4 * digits) | part).to_be_bytes();
    if bytes[0] & 1 != 0 {
        return Err(ValueError::new(
            "a multicast MAC address",
            text,
            "the address of one device, whose first byte is even",
        ));
    }
    if bytes == [0; 6] {
        return Err(ValueError::new("an all-zero MAC address", text, WANT));
    }
    Ok(Mac(bytes))
}

/// An IPv4 address inside the tunnel, with its prefix length if the text has one.
pub(super) fn tunnel_address(text: &str) -> Result<(Ipv4Addr, Option<u8>)> {
    const WANT: &str = "an IPv4 address such as 10.77.0.2 or 10.77.0.2/32";
    let (host, prefix) = match text.split_once('/') {
        Some((host, prefix)) => (host, Some(prefix)),
        None => (text, None),
    };
    let address: Ipv4Addr = host.parse().map_err(|_| ValueError::new("not an IPv4 address", text, WANT))?;
    let prefix = match prefix {
        None => None,
        Some(bits) => match number(1..=32, "")(bits) {
            Ok(bits) => Some(bits as u8),
            Err(_) => return Err(ValueError::new("bad prefix length", text, WANT)),
        },
    };
    check_host(address.into()).map_err(|problem| ValueError::new(problem, text, WANT))?;
    Ok((address, prefix))
}

/// An IPv6 address inside the tunnel, with its prefix length if the text has one.
pub(super) fn tunnel_address6(text: &str) -> Result<(Ipv6Addr, Option<u8>)> {
    const WANT: &str = "an IPv6 address such as fd77::2 or fd77::2/128";
    let (host, prefix) = match text.split_once('/') {
        Some((host, prefix)) => (host, Some(prefix)),
        None => (text, None),
    };
    let address: Ipv6Addr = host.parse().map_err(|_| ValueError::new("not an IPv6 address", text, WANT))?;
    let prefix = match prefix.map(number(1..=128, "")) {
        None => None,
        Some(Ok(bits)) => Some(bits as u8),
        Some(Err(_)) => return Err(ValueError::new("bad prefix length", text, WANT)),
    };
    check_host(address.into()).map_err(|problem| ValueError::new(problem, text, WANT))?;
    if address.is_unicast_link_local() || address.to_ipv4_mapped().is_some() {
        return Err(ValueError::new("a link-local or IPv4-mapped address", text, WANT));
    }
    Ok((address, prefix))
}

/// The address of a host, or of a network with its prefix length.
pub(super) fn network(text: &str) -> Result<(IpAddr, u8)> {
    const WANT: &str = "an address or a network such as 10.9.0.5 or 10.9.0.0/24";
    let (host, prefix) = match text.split_once('/') {
        Some((host, prefix)) => (host, Some(prefix)),
        None => (text, None),
    };
    let address: IpAddr = host.parse().map_err(|_| ValueError::new("not an IP address", text, WANT))?;
    let bits: u8 = if address.is_ipv4() { 32 } else { 128 };
    let length = prefix.map_or(Ok(bits.into()), number(0..=bits.into(), ""));
    let length = length.map_err(|_| ValueError::new("bad prefix length", text, WANT))? as u8;
    let host_bits = match address {
        IpAddr::V4(v4) => v4.to_bits().checked_shl(length.into()).unwrap_or(0) != 0,
        IpAddr::V6(v6) => v6.to_bits().checked_shl(length.into()).unwrap_or(0) != 0,
    };
    if host_bits {
        return Err(ValueError::new("has host bits behind the prefix", text, "the first address of the network"));
    }
    Ok((address, length))
}

/// The address of a device on the LAN.
pub(super) fn device_address(text: &str) -> Result<IpAddr> {
    const WANT: &str = "the device's IPv4 or IPv6 address";
    let address: IpAddr = text.parse().map_err(|_| ValueError::new("not an IP address", text, WANT))?;
    check_host(address).map_err(|problem| ValueError::new(problem, text, WANT))?;
    Ok(address)
}

/// The address of a resolver that is reached through the tunnel.
pub(super) fn resolver(text: &str) -> Result<IpAddr> {
    const WANT: &str = "the IP address of a resolver on the Internet such as 9.9.9.9";
    let address: IpAddr = text.parse().map_err(|_| ValueError::new("not an IP address", text, WANT))?;
    check_host(address).map_err(|problem| ValueError::new(problem, text, WANT))?;
    let link_local = match address {
        IpAddr::V4(v4) => v4.is_link_local(),
        IpAddr::V6(v6) => v6.is_unicast_link_local(),
    };
    if link_local {
        return Err(ValueError::new("a link-local address cannot be reached through the tunnel", text, WANT));
    }
    Ok(address)
}

/// Fails with the reason why `address` cannot belong to a single remote host.
fn check_host(address: IpAddr) -> std::result::Result<(), &'static str> {
    let address = address.to_canonical();
    let zero_network = matches!(address, IpAddr::V4(v4) if v4.octets()[0] == 0);
    if address.is_unspecified() || zero_network {
        Err("an unspecified address")
    } else if address.is_loopback() {
        Err("a loopback address")
    } else if address.is_multicast() {
        Err("a multicast address")
    } else if matches!(address, IpAddr::V4(v4) if v4.octets()[0] >= 240) {
        Err("a reserved address")
    } else {
        Ok(())
    }
}

/// `HOST:PORT`, `ADDRESS:PORT` or `[IPV6]:PORT`. The brackets may be missing, as `wg` accepts it, unless the port could
/// be a part of the address.
pub(in crate::config) fn host_port(text: &str) -> Result<HostPort> {
    const WANT: &str = "HOST:PORT such as vpn.example.org:51820 or [2001:db8::1]:51820";
    let error = |problem| ValueError::new(problem, text, WANT);
    if text.contains("://") {
        return Err(error("a web address"));
    }
    let (host, port) = match text.strip_prefix('[') {
        Some(rest) => {
            let (host, port) = rest.split_once("]:").ok_or_else(|| error("not an address in brackets and a port"))?;
            // A zone belongs to a link-local address, which is refused below.
            let address = host.split_once('%').map_or(host, |(address, _)| address);
            let address: Ipv6Addr = address.parse().map_err(|_| error("not an IPv6 address in the brackets"))?;
            (address.to_string(), port)
        }
        None => {
            if text.parse::<Ipv6Addr>().is_ok() {
                return Err(error("IPv6 address without brackets and port"));
            }
            let (host, port) = text.rsplit_once(':').ok_or_else(|| error("no port"))?;
            match host.parse::<IpAddr>() {
                Ok(address) => (address.to_string(), port),
                Err(_) if is_dns_name(host) => (host.to_owned(), port),
                Err(_) => return Err(error("not a host name")),
            }
        }
    };
    if let Ok(address) = host.parse::<IpAddr>() {
        if address.is_unspecified() || address.is_multicast() {
            return Err(error("not the address of one host"));
        }
        // No provider is between two hosts on one link, so a tunnel there would hide nothing.
        if matches!(address, IpAddr::V6(address) if address.is_unicast_link_local()) {
            return Err(error("a link-local address, which cannot be beyond the home's own networks"));
        }
    }
    let port = number(1..=65535, "")(port).map_err(|_| error("bad port"))?;
    Ok(HostPort { host, port: port as u16 })
}

/// `HOST:PORT PUBLIC_KEY`.
pub(super) fn server(text: &str) -> Result<Server> {
    const WANT: &str = "HOST:PORT PUBLIC_KEY of another endpoint";
    let mut words = text.split_whitespace();
    let (Some(at), Some(public_key), None) = (words.next(), words.next(), words.next()) else {
        return Err(ValueError::new("not an address and a key", text, WANT));
    };
    Ok(Server { at: host_port(at)?, public_key: key(public_key)? })
}

/// Whether a text is a DNS name (RFC 1123 §2.1, and underscores, which resolvers accept). A name whose last label is
/// all digits is a mistyped address.
fn is_dns_name(name: &str) -> bool {
    let name = name.strip_suffix('.').unwrap_or(name);
    let label = |label: &str| {
        !label.is_empty()
            && label.len() <= 63
            && !label.starts_with('-')
            && !label.ends_with('-')
            && label.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_')
    };
    let numeric_end = name.rsplit('.').next().is_some_and(|last| last.bytes().all(|b| b.is_ascii_digit()));
    name.len() <= 253 && name.split('.').all(label) && !numeric_end
}

/// A day of the week in English, Monday 0: at least its first three letters, in any case, as OpenWrt's firewall has it.
pub(super) fn weekday(text: &str) -> Result<usize> {
    const DAYS: [&str; 7] = ["monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday"];
    let lower = text.to_ascii_lowercase();
    let found = DAYS.iter().position(|day| lower.len() >= 3 && day.starts_with(&lower));
    found.ok_or_else(|| ValueError::new("unknown value", text, "mon | tue | wed | thu | fri | sat | sun"))
}

/// A time of day in minutes after midnight. The hour may have one digit, and seconds may follow if they are zero.
pub(super) fn time_of_day(text: &str) -> Result<u16> {
    let number = |part: &str, least: usize, max: u16| {
        let digits = (least..=2).contains(&part.len()) && part.bytes().all(|b| b.is_ascii_digit());
        part.parse::<u16>().ok().filter(|n| digits && *n <= max)
    };
    let (hour, minute) = text.split_once(':').unwrap_or_default();
    let minute = minute.strip_suffix(":00").unwrap_or(minute);
    let time = number(hour, 1, 23).zip(number(minute, 2, 59)).map(|(hour, minute)| hour * 60 + minute);
    time.ok_or_else(|| ValueError::new("not a time of day", text, "HH:MM, 00:00 to 23:59"))
}
