//! A server's name and port.

/// A host name or address, and a UDP port.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HostPort {
    /// DNS name, IPv4 address, or IPv6 address without brackets.
    pub host: String,
    /// UDP port, not zero.
    pub port: u16,
}

impl std::fmt::Display for HostPort {
    /// The notation in the settings; an IPv6 address is in brackets.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.host.contains(':') {
            true => write!(f, "[{}]:{}", self.host, self.port),
            false => write!(f, "{}:{}", self.host, self.port),
        }
    }
}
