//! The marks that the scenario sets at the provider, as datagrams to a multicast group, for all to be in one order:
//!
//! ```text
//! MS begin NAME               an event begins; the one before it ends. What is seen before the first belongs to the first
//! MS policy DEVICE POLICY     shape and block: from here on; direct: may be from here on
//! MS cause_ended              the event's cause has ended: service is due again
//! MS outage FROM_MS TO_MS     whoever is not shaped had no service in that time, by the event's own doing
//! MS end                      nothing after this counts
//! ```
//! Times are milliseconds of uptime, as in the journals.

use std::net::{IpAddr, Ipv4Addr};

use serde::Deserialize;

use crate::lab::capture::IpHeader;

/// Where marks go.
pub const GROUP: (IpAddr, u16) = (IpAddr::V4(Ipv4Addr::new(239, 255, 77, 77)), 7777);

/// A mark with the time at which it was set.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mark {
    /// Milliseconds of uptime.
    pub ms: u64,
    /// What it says.
    pub kind: MarkKind,
}

/// What a mark says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum MarkKind {
    /// An event begins.
    Begin(String),
    /// A device's policy changes.
    Policy {
        /// The device's name.
        device: String,
        /// What it is now.
        policy: Policy,
    },
    /// Service is due again.
    CauseEnded,
    /// No service for anybody, milliseconds of uptime.
    Outage(u64, u64),
    /// The recording ends.
    End,
}

/// A device's policy.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Policy {
    /// Through the tunnel or not at all.
    Shape,
    /// Not at all.
    Block,
    /// As without millpond.
    Direct,
}

impl Policy {
    /// Whether nothing of the device may be seen.
    pub fn confines(self) -> bool {
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
    /// The mark in a packet, if it is one.
    pub fn of(ip: &IpHeader<'_>) -> Option<Result<Mark, String>> {
        let udp = ip.udp().filter(|udp| (ip.destination, udp.destination_port) == GROUP)?;
        let text = String::from_utf8_lossy(udp.payload);
        Some(Mark::parse(text.trim()).ok_or_else(|| format!("`{}` is no mark", text.trim())))
    }

    /// Reads a mark's text.
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
