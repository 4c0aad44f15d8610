//! Reads dnsmasq's DHCP leases for the hostnames of devices.

use std::fs;
use std::net::IpAddr;

use crate::config::model::Mac;
use crate::config::printable::printable;

/// The lease file on OpenWrt and on Debian.
const PATHS: [&str; 2] = ["/tmp/dhcp.leases", "/var/lib/misc/dnsmasq.leases"];

/// Maximum length of a hostname; longer ones are truncated.
const MAX_HOSTNAME_CHARS: usize = 64;

/// The lease of one device.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lease {
    /// The device's Ethernet address.
    pub mac: Mac,
    /// The leased address.
    pub address: IpAddr,
    /// The hostname that the device sent.
    pub hostname: Option<String>,
}

/// The leases of this host; empty without a lease file.
pub fn read() -> Vec<Lease> {
    let bytes = PATHS.iter().find_map(|path| fs::read(path).ok()).unwrap_or_default();
    parse(&String::from_utf8_lossy(&bytes))
}

/// Parses one lease per line: expiry, MAC, address, hostname or `*`, client identifier. Other lines are skipped, also
/// those of DHCPv6, which have no MAC.
pub fn parse(text: &str) -> Vec<Lease> {
    text.lines()
        .filter_map(|line| {
            let mut words = line.split_ascii_whitespace().skip(1);
            let (mac, address, hostname) = (Mac::from_text(words.next()?)?, words.next()?.parse().ok()?, words.next()?);
            // The device chooses its name freely.
            let shown: String = printable(hostname).chars().take(MAX_HOSTNAME_CHARS).collect();
            let hostname = (shown != "*").then_some(shown);
            Some(Lease { mac, address, hostname })
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn valid_lines_are_read_and_others_are_skipped() {
        let leases = parse(
            "1764000000 18:b4:30:26:34:40 192.168.1.20 camera 01:18:b4:30:26:34:40\n\
             1764000000 a0:92:08:7b:03:1c 192.168.1.21 * *\n\
             duid 00:01:00:01:2c\n\
             1764000000 12345 fd00::5 laptop 00:01\n\
             1764000000 18:b4:30:26:34:41 192.168.1.23 \u{202e}cod\u{7}\u{61c} *\n\
             1764000000 18:b4:30:26:34 192.168.1.22 short *\n\n",
        );
        let lease = |mac, address: &str, hostname: Option<&str>| Lease {
            mac: Mac(mac),
            address: address.parse().unwrap(),
            hostname: hostname.map(str::to_owned),
        };
        assert_eq!(
            leases,
            [
                lease([0x18, 0xb4, 0x30, 0x26, 0x34, 0x40], "192.168.1.20", Some("camera")),
                lease([0xa0, 0x92, 0x08, 0x7b, 0x03, 0x1c], "192.168.1.21", None),
                lease([0x18, 0xb4, 0x30, 0x26, 0x34, 0x41], "192.168.1.23", Some("\\u{202e}cod\\u{7}\\u{61c}")),
            ]
        );
    }
}
