//! Single values: text -> number, address, key, time. Each says what it got and what it wants.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::ops::RangeInclusive;

use super::KeyFiles;
use crate::config::model::{HostPort, Key, Mac, Server};
use crate::law::Law;

/// Why a value is refused. `got` is already fit to be shown: quoted and short, and never a secret.
pub(in crate::config) struct Wrong {
    pub problem: &'static str,
    pub got: String,
    pub want: String,
}

impl Wrong {
    fn new(problem: &'static str, got: &str, want: impl Into<String>) -> Wrong {
        Wrong { problem, got: shown(got), want: want.into() }
    }
}

type Result<T> = std::result::Result<T, Wrong>;

/// Text of the user's as messages quote it: on one line, and not the whole of a long one.
pub(super) fn shown(text: &str) -> String {
    const MOST: usize = 40;
    let mut quoted: String = text.chars().take(MOST).flat_map(char::escape_debug).collect();
    if text.chars().nth(MOST).is_some() {
        quoted.push('…');
    }
    format!("'{quoted}'")
}

/// A boolean, in any of UCI's spellings.
pub(super) fn boolean(text: &str) -> Result<bool> {
    match text {
        "1" | "yes" | "on" | "true" | "enabled" => Ok(true),
        "0" | "no" | "off" | "false" | "disabled" => Ok(false),
        _ => Err(Wrong::new("not a switch", text, "1 or 0")),
    }
}

/// One of a few words.
pub(super) fn choice<T: Copy>(words: &'static [(&'static str, T)]) -> impl Fn(&str) -> Result<T> {
    move |text| {
        let found = words.iter().find(|(word, _)| *word == text);
        let want = || words.iter().map(|(word, _)| *word).collect::<Vec<_>>().join(" | ");
        found.map(|(_, value)| *value).ok_or_else(|| Wrong::new("unknown value", text, want()))
    }
}

/// The name of a law.
pub(super) fn law(text: &str) -> Result<Law> {
    Law::from_name(text).ok_or_else(|| Wrong::new("unknown value", text, Law::ALL.map(Law::name).join(" | ")))
}

/// A whole decimal number in a range; `unit` is for the message.
pub(super) fn number(range: RangeInclusive<u32>, unit: &'static str) -> impl Fn(&str) -> Result<u32> {
    move |text| {
        let space = if unit.is_empty() { "" } else { " " };
        let want = || format!("{}..={}{space}{unit}", range.start(), range.end());
        if text.is_empty() || !text.bytes().all(|b| b.is_ascii_digit()) {
            return Err(Wrong::new("not a whole number", text, want()));
        }
        match text.parse() {
            Ok(n) if range.contains(&n) => Ok(n),
            _ => Err(Wrong::new("out of range", text, want())),
        }
    }
}

/// An amount of money, in hundredths: at most 1000.
pub(super) fn price(text: &str) -> Result<u32> {
    let (whole, part) = text.split_once('.').unwrap_or((text, "0"));
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    let wrong = || Wrong::new("not a price", text, "an amount for each GB such as 2.50, at most 1000");
    if !digits(whole) || !digits(part) || part.len() > 2 {
        return Err(wrong());
    }
    let whole: u32 = whole.parse().map_err(|_| wrong())?;
    let cents = format!("{part:0<2}").parse::<u32>().map_err(|_| wrong())?;
    if whole >= 1000 { Err(wrong()) } else { Ok(whole * 100 + cents) }
}

/// A number of 32 bits of which one is set, in hexadecimal.
pub(super) fn bit(text: &str) -> Result<u32> {
    let bits = text.strip_prefix("0x").and_then(|digits| u32::from_str_radix(digits, 16).ok());
    bits.filter(|bits| bits.is_power_of_two()).ok_or_else(|| Wrong::new("not one bit", text, "one such as 0x01000000"))
}

/// A key. Messages tell its length only.
pub(super) fn key(text: &str) -> Result<Key> {
    let wrong = |problem| Wrong {
        problem,
        got: format!("{} characters", text.chars().count()),
        want: "44 characters of base64, as 'wg genkey' prints".to_owned(),
    };
    let key = Key::from_base64(text).ok_or_else(|| wrong("not a WireGuard key"))?;
    if key.0 == [0; 32] {
        return Err(Wrong { got: "zeros only".to_owned(), ..wrong("not a WireGuard key") });
    }
    Ok(key)
}

/// A key, or the path of a file that holds one. Nothing that may be a key is quoted.
pub(super) fn key_or_file(text: &str, key_files: KeyFiles<'_>) -> Result<Key> {
    if !text.starts_with('/') || Key::from_base64(text).is_some() {
        return key(text);
    }
    let held = key_files(text).map_err(|cause| Wrong {
        problem: "cannot read the key file",
        got: cause,
        want: "the path of a file that holds a key".to_owned(),
    })?;
    key(held.trim_end())
}

/// A name for people: any text on one line.
pub(in crate::config) fn title(text: &str) -> Result<String> {
    if text.chars().any(char::is_control) {
        return Err(Wrong::new("has control characters", text, "text on one line"));
    }
    if text.chars().count() > 64 {
        return Err(Wrong::new("too long", text, "at most 64 characters"));
    }
    Ok(text.to_owned())
}

/// A UCI network name, as in `/etc/config/network`.
pub(super) fn network_name(text: &str) -> Result<String> {
    if text.len() > 32 || !text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_') {
        return Err(Wrong::new("not a network name", text, "letters, digits and _ as in /etc/config/network"));
    }
    Ok(text.to_owned())
}

/// The name of a kernel network interface (`dev_valid_name`, and no character that nft would have to escape).
pub(super) fn interface_name(text: &str) -> Result<String> {
    let fits = text.len() <= 15
        && !matches!(text, "." | "..")
        && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"._-@".contains(&b));
    if !fits {
        return Err(Wrong::new("not an interface name", text, "at most 15 letters, digits and . _ - @"));
    }
    Ok(text.to_owned())
}

/// An absolute path.
pub(super) fn path(text: &str) -> Result<String> {
    if !text.starts_with('/') || text.chars().any(char::is_control) {
        return Err(Wrong::new("not a path", text, "a path from /"));
    }
    Ok(text.to_owned())
}

/// The Ethernet address of one device.
pub(super) fn mac(text: &str) -> Result<Mac> {
    const WANT: &str = "six bytes such as 18:b4:30:26:34:40";
    let separator = if text.contains('-') { '-' } else { ':' };
    let mut bytes = [0; 6];
    let mut parts = text.split(separator);
    for byte in &mut bytes {
        let part = parts.next().filter(|part| part.len() == 2 && part.bytes().all(|b| b.is_ascii_hexdigit()));
        let value = part.and_then(|part| u8::from_str_radix(part, 16).ok());
        *byte = value.ok_or_else(|| Wrong::new("not a MAC address", text, WANT))?;
    }
    if parts.next().is_some() {
        return Err(Wrong::new("not a MAC address", text, WANT));
    }
    if bytes[0] & 1 != 0 {
        return Err(Wrong::new("a group's MAC address", text, "the address of one device: first byte even"));
    }
    if bytes == [0; 6] {
        return Err(Wrong::new("no device's MAC address", text, WANT));
    }
    Ok(Mac(bytes))
}

/// An address inside the tunnel, with the prefix length if one was given.
pub(super) fn tunnel_address(text: &str) -> Result<(Ipv4Addr, Option<u8>)> {
    const WANT: &str = "an IPv4 address such as 10.77.0.2 or 10.77.0.2/32";
    let (host, prefix) = match text.split_once('/') {
        Some((host, prefix)) => (host, Some(prefix)),
        None => (text, None),
    };
    let address: Ipv4Addr = host.parse().map_err(|_| Wrong::new("not an IPv4 address", text, WANT))?;
    let prefix = match prefix {
        None => None,
        Some(bits) => match number(1..=32, "")(bits) {
            Ok(bits) => Some(bits as u8),
            Err(_) => return Err(Wrong::new("bad prefix length", text, WANT)),
        },
    };
    one_host(address.into()).map_err(|problem| Wrong::new(problem, text, WANT))?;
    Ok((address, prefix))
}

/// An IPv6 address inside the tunnel, with the prefix length if one was given.
pub(super) fn tunnel_address6(text: &str) -> Result<(Ipv6Addr, Option<u8>)> {
    const WANT: &str = "an IPv6 address such as fd77::2 or fd77::2/128";
    let (host, prefix) = match text.split_once('/') {
        Some((host, prefix)) => (host, Some(prefix)),
        None => (text, None),
    };
    let address: Ipv6Addr = host.parse().map_err(|_| Wrong::new("not an IPv6 address", text, WANT))?;
    let prefix = match prefix.map(number(1..=128, "")) {
        None => None,
        Some(Ok(bits)) => Some(bits as u8),
        Some(Err(_)) => return Err(Wrong::new("bad prefix length", text, WANT)),
    };
    one_host(address.into()).map_err(|problem| Wrong::new(problem, text, WANT))?;
    if address.is_unicast_link_local() || address.to_ipv4_mapped().is_some() {
        return Err(Wrong::new("an address that cannot be routed", text, WANT));
    }
    Ok((address, prefix))
}

/// The address of a device on the LAN.
pub(super) fn device_address(text: &str) -> Result<IpAddr> {
    const WANT: &str = "the device's IPv4 or IPv6 address";
    let address: IpAddr = text.parse().map_err(|_| Wrong::new("not an IP address", text, WANT))?;
    one_host(address).map_err(|problem| Wrong::new(problem, text, WANT))?;
    Ok(address)
}

/// The address of a resolver beyond the tunnel.
pub(super) fn resolver(text: &str) -> Result<IpAddr> {
    const WANT: &str = "the IP address of a resolver on the Internet such as 9.9.9.9";
    let address: IpAddr = text.parse().map_err(|_| Wrong::new("not an IP address", text, WANT))?;
    one_host(address).map_err(|problem| Wrong::new(problem, text, WANT))?;
    let link_local = match address {
        IpAddr::V4(v4) => v4.is_link_local(),
        IpAddr::V6(v6) => v6.is_unicast_link_local(),
    };
    if link_local {
        return Err(Wrong::new("a link-local address cannot be reached through the tunnel", text, WANT));
    }
    Ok(address)
}

/// Why no single machine elsewhere can have that address.
fn one_host(address: IpAddr) -> std::result::Result<(), &'static str> {
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

/// `HOST:PORT`, `ADDRESS:PORT` or `[IPV6]:PORT`.
pub(in crate::config) fn host_port(text: &str) -> Result<HostPort> {
    const WANT: &str = "HOST:PORT such as vpn.example.org:51820 or [2001:db8::1]:51820";
    let wrong = |problem| Wrong::new(problem, text, WANT);
    let (host, port) = match text.strip_prefix('[') {
        Some(rest) => {
            let (host, port) = rest.split_once("]:").ok_or_else(|| wrong("not an address in brackets and a port"))?;
            let address: Ipv6Addr = host.parse().map_err(|_| wrong("not an IPv6 address in the brackets"))?;
            (address.to_string(), port)
        }
        None => {
            if text.parse::<Ipv6Addr>().is_ok() || text.matches(':').count() > 1 {
                return Err(wrong("IPv6 address without brackets and port"));
            }
            let (host, port) = text.split_once(':').ok_or_else(|| wrong("no port"))?;
            if host.parse::<Ipv4Addr>().is_err() && !is_dns_name(host) {
                return Err(wrong("not a host name"));
            }
            (host.to_owned(), port)
        }
    };
    if let Ok(address) = host.parse::<IpAddr>() {
        if address.is_unspecified() || address.is_multicast() {
            return Err(wrong("not the address of one host"));
        }
    }
    let port = number(1..=65535, "")(port).map_err(|_| wrong("bad port"))?;
    Ok(HostPort { host, port: port as u16 })
}

/// `HOST:PORT PUBLIC_KEY`.
pub(super) fn server(text: &str) -> Result<Server> {
    const WANT: &str = "HOST:PORT PUBLIC_KEY of another endpoint";
    let mut words = text.split_whitespace();
    let (Some(at), Some(public_key), None) = (words.next(), words.next(), words.next()) else {
        return Err(Wrong::new("not an address and a key", text, WANT));
    };
    Ok(Server { at: host_port(at)?, public_key: key(public_key)? })
}

/// A DNS name (RFC 1123 §2.1; underscores as resolvers take them). A name of digits only is a mistyped address.
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

/// A time of day in minutes after midnight.
pub(super) fn time_of_day(text: &str) -> Result<u16> {
    let two_digits = |part: &str, most: u16| {
        let digits = part.len() == 2 && part.bytes().all(|b| b.is_ascii_digit());
        part.parse::<u16>().ok().filter(|n| digits && *n <= most)
    };
    text.split_once(':')
        .and_then(|(hour, minute)| Some(two_digits(hour, 23)? * 60 + two_digits(minute, 59)?))
        .ok_or_else(|| Wrong::new("not a time of day", text, "HH:MM, 00:00 to 23:59"))
}
