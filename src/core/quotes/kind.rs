//! The ways in which a packet can quote a device.

/// The part of a confined device's traffic that a packet outside the tunnel repeats.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum QuoteKind {
    /// One of the device's own addresses, as source, as destination, or inside the packet.
    Address,
    /// The header of one of its packets, as in an ICMP error.
    Header,
    /// The packet answers one of the device's packets.
    Answer,
    /// The packet continues one of its connections: the same server and the same two ports.
    Connection,
    /// Bytes that one of its packets carried.
    Content,
    /// A name that it asked DNS for.
    Name,
    /// A multicast group that it joined.
    Group,
    /// The packet goes to a server and port that the device used within the second before.
    Server,
}

impl QuoteKind {
    /// Every kind.
    pub const ALL: [QuoteKind; 8] = [
        QuoteKind::Address,
        QuoteKind::Header,
        QuoteKind::Answer,
        QuoteKind::Connection,
        QuoteKind::Content,
        QuoteKind::Name,
        QuoteKind::Group,
        QuoteKind::Server,
    ];

    /// The stable name, for programs.
    pub fn name(self) -> &'static str {
        match self {
            QuoteKind::Address => "address",
            QuoteKind::Header => "header",
            QuoteKind::Answer => "answer",
            QuoteKind::Connection => "connection",
            QuoteKind::Content => "content",
            QuoteKind::Name => "name",
            QuoteKind::Group => "group",
            QuoteKind::Server => "server",
        }
    }

    /// What the packets do, for people: `packets that ... of NAME`.
    pub fn phrase(self) -> &'static str {
        match self {
            QuoteKind::Address => "bear an address",
            QuoteKind::Header => "quote the header of packets",
            QuoteKind::Answer => "answer packets",
            QuoteKind::Connection => "continue connections",
            QuoteKind::Content => "repeat the content of packets",
            QuoteKind::Name => "repeat DNS questions",
            QuoteKind::Group => "repeat memberships of multicast groups",
            QuoteKind::Server => "follow packets to the same server",
        }
    }

    /// The kind with this name.
    pub fn from_name(name: &str) -> Option<QuoteKind> {
        QuoteKind::ALL.into_iter().find(|kind| kind.name() == name)
    }

    /// How many packets make a finding. A shared server is weak evidence: one packet may be the router's own.
    pub fn min_packets(self) -> u64 {
        if self == QuoteKind::Server { 3 } else { 1 }
    }

    /// Whether traffic that is not the device's can look the same, so that what others did before excuses a packet.
    pub(super) fn is_excusable(self) -> bool {
        !matches!(self, QuoteKind::Address | QuoteKind::Header | QuoteKind::Content)
    }
}
