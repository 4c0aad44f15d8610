//! Who meets whom in the scenario `leaks`: every device has Internet addresses that nobody else talks to, one for each
//! way of talking, so that whoever captures behind the address translation can still tell whose a packet is.
//!
//! ```text
//! 198.18.DEVICE.KIND   2001:db8:18:DEVICE::KIND   servers of the device
//! 198.19.DEVICE.1      2001:db8:19:DEVICE::1      whoever tries to get in to it
//! ```

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// UDP port of the servers that send back what they get.
pub const ECHO_PORT: u16 = 7001;
/// TCP port of the servers that answer line by line.
pub const LINE_PORT: u16 = 7002;
/// What devices listen on, and with the device's number added, what the router forwards to them.
pub const DOOR_PORT: u16 = 40000;

/// IPv4 or IPv6.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Family {
    /// IPv4.
    V4,
    /// IPv6.
    V6,
}

impl Family {
    /// Both.
    pub const ALL: [Family; 2] = [Family::V4, Family::V6];

    /// The digit in names.
    pub const fn digit(self) -> u8 {
        match self {
            Family::V4 => 4,
            Family::V6 => 6,
        }
    }
}

/// A way of talking; the discriminant is part of the address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Datagrams of one flow.
    Udp = 1,
    /// A new connection each time.
    Tcp = 2,
    /// Lines on a connection that is kept.
    Stream = 3,
    /// Questions to a foreign resolver.
    DnsUdp = 4,
    /// The same over TCP.
    DnsTcp = 5,
    /// Echo requests.
    Icmp = 6,
    /// Datagrams to the port of NTP.
    Ntp = 7,
    /// Questions to the router's resolver.
    RouterUdp = 8,
    /// The same over TCP.
    RouterTcp = 9,
}

impl Kind {
    /// All of them.
    pub const ALL: [Kind; 9] = [
        Kind::Udp,
        Kind::Tcp,
        Kind::Stream,
        Kind::DnsUdp,
        Kind::DnsTcp,
        Kind::Icmp,
        Kind::Ntp,
        Kind::RouterUdp,
        Kind::RouterTcp,
    ];

    /// The name in journals.
    pub const fn name(self) -> &'static str {
        match self {
            Kind::Udp => "udp",
            Kind::Tcp => "tcp",
            Kind::Stream => "stream",
            Kind::DnsUdp => "dns-udp",
            Kind::DnsTcp => "dns-tcp",
            Kind::Icmp => "icmp",
            Kind::Ntp => "ntp",
            Kind::RouterUdp => "router-udp",
            Kind::RouterTcp => "router-tcp",
        }
    }
}

/// The device's server for that way of talking. Device 0 is nobody: there stand resolvers that all may use.
pub fn server(device: u8, kind: Kind, family: Family) -> IpAddr {
    host(device, kind as u8, family, 18)
}

/// Where the device's intruder comes from.
pub fn intruder(device: u8, family: Family) -> IpAddr {
    host(device, 1, family, 19)
}

/// The resolver that shaped devices' questions are meant to reach, and the one that the router's own resolver asks.
pub fn common_resolvers(family: Family) -> [IpAddr; 2] {
    [host(0, 53, family, 18), host(0, 54, family, 18)]
}

fn host(device: u8, host: u8, family: Family, net: u8) -> IpAddr {
    match family {
        Family::V4 => Ipv4Addr::new(198, net, device, host).into(),
        // Written in hexadecimal as the others are in decimal: 2001:db8:18:3::53.
        Family::V6 => {
            let digits = |number: u8| u16::from(number / 10) * 16 + u16::from(number % 10);
            Ipv6Addr::new(0x2001, 0xdb8, digits(net), digits(device), 0, 0, 0, digits(host)).into()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_read_alike_in_both_families() {
        assert_eq!(server(3, Kind::DnsTcp, Family::V4).to_string(), "198.18.3.5");
        assert_eq!(server(3, Kind::DnsTcp, Family::V6).to_string(), "2001:db8:18:3::5");
        assert_eq!(common_resolvers(Family::V6)[1].to_string(), "2001:db8:18::54");
        assert_eq!(intruder(6, Family::V6).to_string(), "2001:db8:19:6::1");
    }
}
