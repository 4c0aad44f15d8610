//! The addresses that an endpoint assigns to its homes, from the networks of its own tunnel addresses.

use std::collections::BTreeSet;
use std::net::{Ipv4Addr, Ipv6Addr};

use super::uci::{self, Section};

/// An endpoint's networks inside the tunnel, and the addresses in use there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AddressPool {
    own: Ipv4Addr,
    bits: u8,
    own6: Option<(Ipv6Addr, u8)>,
    taken: BTreeSet<Ipv4Addr>,
}

/// An IPv4 address, and an IPv6 address if the endpoint has an IPv6 network inside the tunnel.
pub type Addresses = (Ipv4Addr, Option<Ipv6Addr>);

impl AddressPool {
    /// The pool of a valid settings file. `None` if `tunnel.address` is missing.
    pub fn from_settings(settings: &[u8]) -> Option<AddressPool> {
        let (sections, _) = uci::parse(settings);
        let tunnel = sections.iter().find(|section| section.kind == "tunnel")?;
        let (own, bits) = split(value(tunnel, "address")?, 32)?;
        let own6 = value(tunnel, "address6").and_then(|text| split(text, 128));
        let homes = sections.iter().filter(|section| section.kind == "home");
        let taken = homes.filter_map(|home| split(value(home, "address")?, 32)).map(|(address, _)| address);
        Some(AddressPool { own, bits, own6, taken: taken.collect() })
    }

    /// The lowest free IPv4 address, and the IPv6 address with the same host number. `None` if the network is full.
    pub fn lowest_free(&self) -> Option<Addresses> {
        let host_bits = 32 - u32::from(self.bits.min(32));
        let mask = u32::MAX.checked_shl(host_bits).unwrap_or(0);
        let network = u32::from(self.own) & mask;
        // The first and the last are the network and broadcast addresses.
        let last = (!mask).checked_sub(1)?;
        let number = (1..=last).find(|number| {
            let address = Ipv4Addr::from(network | number);
            address != self.own && !self.taken.contains(&address)
        })?;
        let address6 = self.own6.and_then(|(own6, bits)| {
            let mask = u128::MAX.checked_shr(bits.into()).unwrap_or(0);
            let address = Ipv6Addr::from(u128::from(own6) & !mask | u128::from(number));
            (u128::from(number) <= mask && address != own6).then_some(address)
        });
        Some(((network | number).into(), address6))
    }

    /// How many homes fit into the network in total.
    pub fn capacity(&self) -> u32 {
        let host_bits = 32 - u32::from(self.bits.min(32));
        1u32.checked_shl(host_bits).unwrap_or(u32::MAX).saturating_sub(3)
    }
}

fn value<'a>(section: &'a Section, option: &str) -> Option<&'a str> {
    let option = section.options.iter().find(|found| found.name == option)?;
    option.values.last().map(|value| value.text.trim())
}

/// An address and its prefix length; `all` bits if the text has no prefix length.
fn split<A: std::str::FromStr>(text: &str, all: u8) -> Option<(A, u8)> {
    let (address, bits) = text.split_once('/').map_or((text, None), |(address, bits)| (address, Some(bits)));
    Some((address.parse().ok()?, bits.map_or(Some(all), |bits| bits.parse().ok())?.min(all)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pool(address: &str, address6: &str, homes: &[&str]) -> AddressPool {
        let homes: String = homes.iter().map(|home| format!("config home\n\toption address '{home}'\n")).collect();
        let text =
            format!("config tunnel tunnel\n\toption address '{address}'\n\toption address6 '{address6}'\n{homes}");
        AddressPool::from_settings(text.as_bytes()).unwrap()
    }

    fn free(address: &str, address6: &str, homes: &[&str]) -> Option<(String, Option<String>)> {
        let (v4, v6) = pool(address, address6, homes).lowest_free()?;
        Some((v4.to_string(), v6.map(|v6| v6.to_string())))
    }

    #[test]
    fn returns_the_lowest_free_address() {
        let v4 = |address: &str| Some((address.to_owned(), None));
        assert_eq!(free("10.77.0.1/16", "", &[]), v4("10.77.0.2"));
        assert_eq!(free("10.77.0.9/16", "", &[]), v4("10.77.0.1"));
        assert_eq!(free("10.77.0.1/16", "", &["10.77.0.2", "10.77.0.4/32"]), v4("10.77.0.3"));
        let homes: Vec<String> = (2..256).map(|host| format!("10.77.0.{host}")).collect();
        let homes: Vec<&str> = homes.iter().map(String::as_str).collect();
        assert_eq!(free("10.77.0.1/16", "", &homes), v4("10.77.1.0"));
        let both = Some(("10.77.0.2".to_owned(), Some("fd77::2".to_owned())));
        assert_eq!(free("10.77.0.1/24", "fd77::1/64", &[]), both);
    }

    #[test]
    fn a_full_network_has_no_free_address() {
        let homes: Vec<String> = (2..255).map(|host| format!("10.77.0.{host}")).collect();
        let homes: Vec<&str> = homes.iter().map(String::as_str).collect();
        assert_eq!(pool("10.77.0.1/24", "", &[]).capacity(), 253);
        assert!(free("10.77.0.1/24", "", &homes[1..]).is_some());
        assert_eq!(free("10.77.0.1/24", "", &homes), None);
        for single in ["10.77.0.1", "10.77.0.1/32", "10.77.0.1/31"] {
            assert_eq!(free(single, "", &[]), None, "{single}");
        }
        // The IPv6 network here has fewer host numbers than the IPv4 network.
        assert_eq!(free("10.77.0.9/24", "fd77::1/128", &[]), Some(("10.77.0.1".into(), None)));
    }
}
