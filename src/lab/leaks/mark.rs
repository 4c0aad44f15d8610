//! The marks that the scenario sends at the provider, as datagrams to a multicast group, so that the capture contains
//! them in order with all other packets:
//!
//! ```text
//! MS begin NAME               an event begins and the previous one ends; packets before the first mark count to it
//! MS policy DEVICE POLICY     shape or block: in force from here on; direct: may be in force from here on
//! MS cause_ended              the cause of the event has ended: service is due again
//! MS outage FROM_MS TO_MS     the event itself interrupted the service of unshaped devices in this period
//! MS end                      later packets are ignored
//! ```
//! Times are milliseconds of uptime, as in the journals.

use std::net::{IpAddr, Ipv4Addr};

use serde::Deserialize;

use crate::lab::capture::IpHeader;

/// Address and UDP port of the marks.
pub const GROUP: (IpAddr, u16) = (IpAddr::V4(Ipv4Addr::new(239, 255, 77, 77)), 7777);

/// A mark and its time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mark {
    /// Milliseconds of uptime.
    pub ms: u64,
    /// The content of the mark.
    pub kind: MarkKind,
}

/// The content of a mark.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum MarkKind {
    /// An event begins.
    Begin(String),
    /// A device's policy changes.
    Policy {
        /// The device's name.
        device: String,
        /// The new policy.
        policy: Policy,
    },
    /// Service is due again.
    CauseEnded,
    /// A period without any service: from, to, in milliseconds of uptime.
    Outage(u64, u64),
    /// The recording ends.
    End,
}

/// A device's policy.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Policy {
    /// Only through the tunnel.
    Shape,
    /// No Internet access.
    Block,
    /// Not handled by millpond.
    Direct,
}

impl Policy {
    /// Whether the provider must not see any packet of the device outside the tunnel.
    pub fn protects(self) -> bool {
        self != Policy::Direct
    }

    fn from_name(name: &str) -> Option<Policy> {
        Some(match name {
            "shape" => Policy::Shape,
            "block" => Policy::Block,
            "direct" => Policy::Direct,
            _ => return None,
        })
    }
}

impl Mark {
    /// The mark in a packet; `None` for other packets, an error text for an unreadable mark.
    pub fn of(ip: &IpHeader<'_>) -> Option<Result<Mark, String>> {
        let udp = ip.udp().filter(|udp| (ip.destination, udp.destination_port) == GROUP)?;
        let text = String::from_utf8_lossy(udp.payload);
        Some(Mark::parse(text.trim()).ok_or_else(|| format!("`{}` is not a mark", text.trim())))
    }

    /// Parses the text of a mark.
    pub fn parse(text: &str) -> Option<Mark> {
        let words: Vec<&str> = text.split_whitespace().collect();
        let (ms, words) = words.split_first()?;
        let kind = match *words {
            ["begin", name] => MarkKind::Begin(name.to_owned()),
            ["policy", device, policy] => {
                MarkKind::Policy { device: device.to_owned(), policy: Policy::from_name(policy)? }
            }
            ["cause_ended"] => MarkKind::CauseEnded,
            ["outage", from, to] => MarkKind::Outage(from.parse().ok()?, to.parse().ok()?),
            ["end"] => MarkKind::End,
            _ => return None,
        };
        Some(Mark { ms: ms.parse().ok()?, kind })
    }
}
