//! The Internet addresses of the scenario `leaks`: each device has its own server address for each kind of traffic, so
//! that a capture behind the NAT still shows which device a packet belongs to.
//!
//! ```text
//! 198.18.DEVICE.KIND   2001:db8:18:DEVICE::KIND   the device's servers
//! 198.19.DEVICE.1      2001:db8:19:DEVICE::1      a host that tries to reach the device
//! 239.18.DEVICE.1                                 a multicast group that only the device joins
//! ```

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// UDP port of the echo servers.
pub const ECHO_PORT: u16 = 7001;
/// TCP port of the servers that answer each line with a line.
pub const LINE_PORT: u16 = 7002;
/// TCP and UDP port of the servers that answer like those at [`LINE_PORT`] and [`ECHO_PORT`]. In some events, a program
/// on the router takes what is sent to it.
pub const PROXIED_PORT: u16 = 7004;
/// TCP port of resolvers that are asked over TLS (RFC 7858). These answer as those at [`LINE_PORT`] do.
pub const DOT_PORT: u16 = 853;
/// TCP port of the servers that repeat a line without end.
pub const DOWNLOAD_PORT: u16 = 7003;
/// TCP ports of the router's proxies.
pub const HTTP_PORT: u16 = 8080;
/// See [`HTTP_PORT`].
pub const SOCKS_PORT: u16 = 1080;
/// Port on which devices listen. The router forwards this port plus the device's number to the device.
pub const DEVICE_PORT: u16 = 40000;

/// IPv4 or IPv6.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Family {
    /// IPv4.
    V4,
    /// IPv6.
    V6,
}

impl Family {
    /// Both families.
    pub const ALL: [Family; 2] = [Family::V4, Family::V6];

    /// The digit in names.
    pub const fn digit(self) -> u8 {
        match self {
            Family::V4 => 4,
            Family::V6 => 6,
        }
    }
}

/// A kind of traffic. The discriminant is part of the server's address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// UDP datagrams of one flow.
    Udp = 1,
    /// A new TCP connection for each exchange.
    Tcp = 2,
    /// Lines on one long TCP connection.
    Stream = 3,
    /// DNS queries to a resolver on the Internet, over UDP.
    DnsUdp = 4,
    /// DNS queries to a resolver on the Internet, over TCP.
    DnsTcp = 5,
    /// ICMP echo requests.
    Icmp = 6,
    /// UDP datagrams to the NTP port.
    Ntp = 7,
    /// DNS queries to the router's resolver, over UDP.
    RouterUdp = 8,
    /// DNS queries to the router's resolver, over TCP.
    RouterTcp = 9,
}

impl Kind {
    /// All kinds.
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

    /// The name in logs.
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

/// The device's server for this kind of traffic. Number 0 belongs to no device: it is for the common resolvers.
pub fn server(device: u8, kind: Kind, family: Family) -> IpAddr {
    host(device, kind as u8, family, 18)
}

/// Address of the host that tries to reach the device.
pub fn intruder(device: u8, family: Family) -> IpAddr {
    host(device, 1, family, 19)
}

/// The resolver that must receive shaped devices' queries, and the upstream of the router's own resolver.
pub fn common_resolvers(family: Family) -> [IpAddr; 2] {
    [host(0, 53, family, 18), host(0, 54, family, 18)]
}

/// The multicast group that only the device joins.
pub fn group(device: u8) -> Ipv4Addr {
    Ipv4Addr::new(239, 18, device, 1)
}

fn host(device: u8, host: u8, family: Family, net: u8) -> IpAddr {
    match family {
        Family::V4 => Ipv4Addr::new(198, net, device, host).into(),
        // The decimal digits of the IPv4 address, as hexadecimal digits: 2001:db8:18:3::53.
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
    fn addresses_have_the_same_digits_in_both_families() {
        assert_eq!(server(3, Kind::DnsTcp, Family::V4).to_string(), "198.18.3.5");
        assert_eq!(server(3, Kind::DnsTcp, Family::V6).to_string(), "2001:db8:18:3::5");
        assert_eq!(common_resolvers(Family::V6)[1].to_string(), "2001:db8:18::54");
        assert_eq!(intruder(6, Family::V6).to_string(), "2001:db8:19:6::1");
    }
}
