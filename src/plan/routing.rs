//! Prefixes, routes and routing rules as millpond uses them.

use std::fmt;
use std::net::IpAddr;

use super::ownership::ROUTE_PROTOCOL;

/// Address family of a route or rule.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Family {
    /// IPv4.
    V4,
    /// IPv6.
    V6,
}

impl Family {
    /// The family of an address.
    pub fn of(address: IpAddr) -> Family {
        if address.is_ipv4() { Family::V4 } else { Family::V6 }
    }
}

impl fmt::Display for Family {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Family::V4 => "-4",
            Family::V6 => "-6",
        })
    }
}

/// A network: an address and a prefix length.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Prefix {
    /// Any address inside the network; [`Prefix::network`] clears the host bits.
    pub address: IpAddr,
    /// Prefix length in bits: 0..=32 or 0..=128.
    pub length: u8,
}

impl Prefix {
    /// The prefix of a single address.
    pub fn host(address: impl Into<IpAddr>) -> Prefix {
        let address = address.into();
        Prefix { address, length: if address.is_ipv4() { 32 } else { 128 } }
    }

    /// The prefix of all addresses of a family.
    pub fn all(family: Family) -> Prefix {
        match family {
            Family::V4 => Prefix { address: [0, 0, 0, 0].into(), length: 0 },
            Family::V6 => Prefix { address: [0u16; 8].into(), length: 0 },
        }
    }

    /// The same prefix with the host bits cleared.
    pub fn network(self) -> Prefix {
        let address = match self.address {
            IpAddr::V4(a) => {
                let mask = u32::MAX.checked_shl(32 - u32::from(self.length.min(32))).unwrap_or(0);
                IpAddr::from((u32::from(a) & mask).to_be_bytes())
            }
            IpAddr::V6(a) => {
                let mask = u128::MAX.checked_shl(128 - u32::from(self.length.min(128))).unwrap_or(0);
                IpAddr::from((u128::from(a) & mask).to_be_bytes())
            }
        };
        Prefix { address, length: self.length }
    }

    /// Whether the network contains `address`.
    pub fn contains(self, address: IpAddr) -> bool {
        self.family() == Family::of(address) && Prefix { address, length: self.length }.network() == self.network()
    }

    /// Reads `ADDRESS/LENGTH`, or the address of a single host.
    pub fn parse(text: &str) -> Option<Prefix> {
        let Some((address, length)) = text.split_once('/') else {
            return Some(Prefix::host(text.parse::<IpAddr>().ok()?));
        };
        let prefix = Prefix { address: address.parse().ok()?, length: length.parse().ok()? };
        (prefix.length <= Prefix::host(prefix.address).length).then_some(prefix)
    }

    /// The family of its address.
    pub fn family(self) -> Family {
        Family::of(self.address)
    }
}

impl fmt::Display for Prefix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.length {
            0 => f.write_str("default"),
            length => write!(f, "{}/{length}", self.address),
        }
    }
}

/// The prefixes in order, without those inside others: nft refuses overlapping elements.
pub fn without_nested(prefixes: impl IntoIterator<Item = Prefix>) -> Vec<Prefix> {
    let mut sorted: Vec<Prefix> = prefixes.into_iter().collect();
    sorted.sort_unstable();
    let mut kept: Vec<Prefix> = Vec::new();
    for prefix in sorted {
        if !kept.last().is_some_and(|last| last.contains(prefix.address)) {
            kept.push(prefix);
        }
    }
    kept
}

/// The type and target of a route.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum RouteKind {
    /// Through this interface.
    Dev(String),
    /// Rejected; the sender receives an ICMP error.
    Unreachable,
    /// The lookup in this table ends, and the next rule applies.
    Throw,
}

/// A route with millpond's protocol number.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Route {
    /// Table number; 254 is `main`.
    pub table: u32,
    /// Destination.
    pub prefix: Prefix,
    /// Metric; the kernel's default is 0 for IPv4 and 1024 for IPv6.
    pub metric: u32,
    /// Its type and target.
    pub kind: RouteKind,
}

/// Number of the routing table `main`.
pub const MAIN: u32 = 254;

impl fmt::Display for Route {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.kind {
            RouteKind::Dev(dev) => write!(f, "{} dev {dev}", self.prefix)?,
            RouteKind::Unreachable => write!(f, "unreachable {}", self.prefix)?,
            RouteKind::Throw => write!(f, "throw {}", self.prefix)?,
        }
        if self.table != MAIN {
            write!(f, " table {}", self.table)?;
        }
        write!(f, " proto {ROUTE_PROTOCOL}")?;
        if self.metric != 0 {
            write!(f, " metric {}", self.metric)?;
        }
        Ok(())
    }
}

/// The packets that a rule matches.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Selector {
    /// Packets whose mark has all these bits set.
    Mark(u32),
    /// Packets from sockets that are bound to this interface.
    Oif(String),
    /// Packets with a source address in this network.
    #[cfg(feature = "endpoint")]
    From(Prefix),
}

/// A routing rule with a priority in millpond's range and millpond's protocol number.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Rule {
    /// Address family.
    pub family: Family,
    /// Priority; the kernel tries lower numbers first.
    pub priority: u32,
    /// The packets that it matches.
    pub selector: Selector,
    /// The routing table that it looks up.
    pub table: u32,
}

impl fmt::Display for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "priority {} ", self.priority)?;
        match &self.selector {
            Selector::Mark(mark) => write!(f, "fwmark {mark:#x}/{mark:#x}")?,
            Selector::Oif(dev) => write!(f, "oif {dev}")?,
            #[cfg(feature = "endpoint")]
            Selector::From(prefix) => write!(f, "from {prefix}")?,
        }
        write!(f, " lookup {} protocol {ROUTE_PROTOCOL}", self.table)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn network_clears_host_bits() {
        let prefix = |s: &str, length| Prefix { address: s.parse().unwrap(), length };
        assert_eq!(prefix("192.168.1.77", 24).network(), prefix("192.168.1.0", 24));
        assert_eq!(prefix("10.1.2.3", 0).network(), prefix("0.0.0.0", 0));
        assert_eq!(prefix("10.1.2.3", 32).network(), prefix("10.1.2.3", 32));
        assert_eq!(prefix("fd00:1:2:3::4", 48).network(), prefix("fd00:1:2::", 48));
    }

    #[test]
    fn a_prefix_is_read_as_it_is_shown() {
        for text in ["192.168.1.0/24", "192.168.1.7/32", "fd00:1::/64"] {
            assert_eq!(Prefix::parse(text).unwrap().to_string(), text);
        }
        assert_eq!(Prefix::parse("192.168.1.7"), Prefix::parse("192.168.1.7/32"));
        for text in ["", "192.168.1.0/33", "fd00::/129", "192.168.1/24", "192.168.1.0/", "/8"] {
            assert_eq!(Prefix::parse(text), None, "{text:?}");
        }
    }

    #[test]
    fn nested_prefixes_are_left_out() {
        let prefixes = ["192.168.1.0/24", "192.168.0.0/16", "fd00::1/128", "192.168.0.0/16", "fd00::/64", "10.0.0.0/8"];
        let kept = without_nested(prefixes.map(|text| Prefix::parse(text).unwrap()));
        let kept: Vec<String> = kept.iter().map(Prefix::to_string).collect();
        assert_eq!(kept, ["10.0.0.0/8", "192.168.0.0/16", "fd00::/64"]);
    }
}
