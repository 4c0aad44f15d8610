//! The daemon's status. [`StatusView`] collects it.

mod text;
mod view;

use std::borrow::Cow;
use std::fmt;

use serde::Serialize;

pub use self::view::StatusView;
use crate::daemon::advice::bursts::BurstAnswer;
use crate::daemon::audit::answer::StatusAudit;
use crate::daemon::rounded::Rounded;
use crate::daemon::schedule::data_usage::UsageAnswer;

/// The answer to `status`. The keys from `role` to `download_kbit` are absent while there are no valid settings.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[cfg_attr(any(test, feature = "lab"), derive(serde::Deserialize))]
pub struct StatusAnswer {
    /// Version of the keys, raised when a key changes its meaning or disappears.
    pub interface: u32,
    /// Version of millpond.
    pub version: Cow<'static, str>,
    /// Name of the daemon's state.
    pub state: Cow<'static, str>,
    /// How long the state has lasted, in seconds.
    pub state_age_s: Rounded,
    /// How long the daemon has run, in seconds.
    pub uptime_s: Rounded,
    /// `router` or `endpoint`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub role: Option<Cow<'static, str>>,
    /// The level in force.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub level: Option<Cow<'static, str>>,
    /// The source of that level: `settings`, `schedule`, `cap-day` or `wan`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub level_by: Option<Cow<'static, str>>,
    /// The network of the line in use, if the level is that line's.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub wan: Option<String>,
    /// Whether the promise holds now: `true`, `false`, or `bounded` with bursts.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub promise: Option<PromiseAnswer>,
    /// What bursts show; absent without any.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub burst: Option<BurstAnswer>,
    /// The effect of level `off`: `tunnel` or `block`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub off: Option<Cow<'static, str>>,
    /// The law in force.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub law: Option<Cow<'static, str>>,
    /// Upload rate in force on the wire, in kbit/s.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub upload_kbit: Option<Rounded>,
    /// Download rate in force on the wire, in kbit/s.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub download_kbit: Option<Rounded>,
    /// Size of a cell, once it is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cell: Option<CellBytes>,
    /// Whether the wall clock has been set.
    pub clock_set: bool,
    /// Data usage of the billing period; absent until the clock is set.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub data: Option<UsageAnswer>,
    /// The running or the last audit; absent until there was one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub audit: Option<StatusAudit>,
    /// Bytes sent by the devices since the start.
    pub home_upload_bytes: u64,
    /// Bytes received by the devices since the start.
    pub home_download_bytes: u64,
    /// Bytes from home to endpoint on the wire since the start, all headers included.
    pub wire_upload_bytes: u64,
    /// Bytes from endpoint to home on the wire since the start, all headers included.
    pub wire_download_bytes: u64,
    /// Mean delay of the packets of the last 10 s, in milliseconds; absent if there were none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub delay_now_ms: Option<Rounded>,
    /// The endpoint, or every home.
    pub peers: Vec<PeerAnswer>,
    /// The current problems.
    pub problems: Vec<ProblemAnswer>,
}

/// Whether the promise holds.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[cfg_attr(any(test, feature = "lab"), derive(serde::Deserialize))]
#[serde(untagged)]
pub enum PromiseAnswer {
    /// It does, or not.
    Holds(bool),
    /// `bounded`: the weaker promise of a line with bursts does.
    Weaker(Cow<'static, str>),
}

/// The size of a cell in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[cfg_attr(any(test, feature = "lab"), derive(serde::Deserialize))]
pub struct CellBytes {
    /// On the wire.
    pub wire_bytes: u64,
    /// Inside the tunnel.
    pub inner_bytes: u64,
}

/// A peer. The keys from `law` to `cell_wire_bytes` are present on an endpoint, once the home has been granted a rate.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[cfg_attr(any(test, feature = "lab"), derive(serde::Deserialize))]
pub struct PeerAnswer {
    /// The home's name, or `endpoint`.
    pub name: String,
    /// IPv4 address inside the tunnel.
    pub address: String,
    /// Name of the session's state.
    pub state: Cow<'static, str>,
    /// How long the state has lasted, in seconds.
    pub state_age_s: Rounded,
    /// The granted law.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub law: Option<Cow<'static, str>>,
    /// The granted rate to the home, in kbit/s.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub download_kbit: Option<Rounded>,
    /// The agreed size of a cell on the wire, in bytes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cell_wire_bytes: Option<u16>,
    /// Cells that leave to this peer together; absent if cells leave one by one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub train_cells: Option<u8>,
    /// Cells sent with packets inside.
    pub cells_data: u64,
    /// Cells sent without packets inside.
    pub cells_cover: u64,
    /// Cells received.
    pub cells_received: u64,
    /// Numbers missing among the received cells.
    pub cells_lost: u64,
    /// Scheduled departures that were missed.
    pub missed_slots: u64,
    /// Packets accepted from the devices, or for the home.
    pub packets_in: u64,
    /// Packets extracted from the peer's cells.
    pub packets_out: u64,
    /// Bytes of the packets accepted.
    pub bytes_in: u64,
    /// Bytes of the packets extracted.
    pub bytes_out: u64,
    /// Drops by cause.
    pub drops: DropCounts,
    /// From a packet's arrival to the departure of its last byte, in milliseconds.
    pub delay_ms: Percentiles,
    /// From the scheduled to the actual departure of a cell, in microseconds.
    pub lateness_us: Percentiles,
    /// Least number of days for which anyone must watch the cells sent to tell a busy home from an idle one; absent if
    /// it is not known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub min_watch_days: Option<Rounded>,
    /// The devices that have sent packets.
    pub devices: Vec<DeviceDelay>,
}

/// Number of drops by cause.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[cfg_attr(any(test, feature = "lab"), derive(serde::Deserialize))]
pub struct DropCounts {
    /// Packets of the devices that are not IP, have a wrong length, or are too long.
    pub malformed_packet: u64,
    /// Packets of the longest flow, because the queue was full.
    pub overflow: u64,
    /// Packets that had waited too long.
    pub aged: u64,
    /// Datagrams that are not valid cells.
    pub malformed_cell: u64,
    /// Cells that arrived twice, or after the reordering window had passed them.
    pub late_cell: u64,
    /// Cells whose sequence number is far behind.
    pub ancient_cell: u64,
    /// Rests of cells, from an invalid block on.
    pub malformed_block: u64,
    /// Packets of which a lost cell contained a part.
    pub lost_fragment: u64,
    /// Control messages of another version or of an unknown kind.
    pub newer_control: u64,
    /// Control messages with an invalid length or value.
    pub malformed_control: u64,
    /// Packets that the daemon did not fetch in time.
    pub not_fetched: u64,
}

/// Durations, in the unit that the key of this object names.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
#[cfg_attr(any(test, feature = "lab"), derive(serde::Deserialize))]
pub struct Percentiles {
    /// The mean.
    pub mean: Rounded,
    /// The median.
    pub p50: Rounded,
    /// The 99th percentile.
    pub p99: Rounded,
    /// The maximum.
    pub max: Rounded,
}

/// The packets that one device has sent.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
#[cfg_attr(any(test, feature = "lab"), derive(serde::Deserialize))]
pub struct DeviceDelay {
    /// The place of the device's section in the settings, 1 to 63; 0 is all others.
    pub number: u64,
    /// Packets sent.
    pub packets: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Mean delay in milliseconds.
    pub delay_mean_ms: Rounded,
    /// Longest delay in milliseconds.
    pub delay_max_ms: Rounded,
}

/// A problem that the owner should know.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[cfg_attr(any(test, feature = "lab"), derive(serde::Deserialize))]
pub struct ProblemAnswer {
    /// Its stable code.
    pub code: Cow<'static, str>,
    /// `error`, `warning` or `info`.
    pub severity: Cow<'static, str>,
    /// A description for people.
    pub text: String,
    /// The remedy in one line.
    pub fix: Cow<'static, str>,
}

/// The answer to `state`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[cfg_attr(any(test, feature = "lab"), derive(serde::Deserialize))]
pub struct StateAnswer {
    /// Name of the daemon's state.
    pub state: Cow<'static, str>,
}

impl fmt::Display for StateAnswer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}", self.state)
    }
}

/// The event of a changed state.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[cfg_attr(any(test, feature = "lab"), derive(serde::Deserialize))]
pub struct StateEvent {
    /// Name of the new state.
    pub state: Cow<'static, str>,
    /// Name of the previous state.
    pub before: Cow<'static, str>,
    /// Codes of the current problems.
    pub problems: Vec<Cow<'static, str>>,
}
