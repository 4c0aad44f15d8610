//! Services of the router that confined devices may use.

/// A service of the router, by the port that it listens on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RouterService {
    /// Its transport protocol.
    pub protocol: Protocol,
    /// Its port, 1..=65535.
    pub port: u16,
}

/// A transport protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protocol {
    /// TCP.
    Tcp,
    /// UDP.
    Udp,
}
