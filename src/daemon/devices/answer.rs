//! The answer to `devices`.

use std::borrow::Cow;
use std::fmt;

use serde::Serialize;

use crate::daemon::rounded::Rounded;
use crate::units::decimals::with_decimals;

/// All devices: those in the settings in the order of the file, then the others by MAC.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[cfg_attr(any(test, feature = "lab"), derive(serde::Deserialize))]
pub struct DevicesAnswer {
    /// The devices.
    pub devices: Vec<DeviceAnswer>,
    /// Whether some devices were left out.
    pub cut: bool,
}

/// One device. The keys from `upload_packets` on are present for devices with a section of their own, the delays only
/// if one of their packets has left.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
#[cfg_attr(any(test, feature = "lab"), derive(serde::Deserialize))]
pub struct DeviceAnswer {
    /// The MAC address; absent where it is not known. The one seen last if the settings name several.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mac: Option<String>,
    /// The other MAC addresses of the device in the settings; absent where there are none.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub other_macs: Vec<String>,
    /// Whether the MAC is locally administered; absent without a MAC.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub random_mac: Option<bool>,
    /// IPv4 and IPv6 addresses, at most 8, IPv4 first.
    pub addresses: Vec<String>,
    /// The name that the device gave to DHCP.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hostname: Option<String>,
    /// The name of its section in the settings.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Its network.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub network: Option<String>,
    /// The kernel's interface to it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub interface: Option<String>,
    /// `shape`, `block` or `direct`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub policy: Option<Cow<'static, str>>,
    /// The section that the policy comes from: `device`, `network` or `nothing`.
    pub chosen_by: Cow<'static, str>,
    /// How long ago it was seen, in seconds; absent if never.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_seen_s: Option<u64>,
    /// Packets sent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub upload_packets: Option<u64>,
    /// Bytes sent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub upload_bytes: Option<u64>,
    /// Packets received.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub download_packets: Option<u64>,
    /// Bytes received.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub download_bytes: Option<u64>,
    /// Mean delay of the packets sent, in milliseconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub delay_mean_ms: Option<Rounded>,
    /// Longest delay of the packets sent, in milliseconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub delay_max_ms: Option<Rounded>,
}

impl fmt::Display for DevicesAnswer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.devices.iter().try_for_each(|device| device.fmt(f))?;
        f.write_str(if self.cut { "further devices are not shown\n" } else { "" })
    }
}

impl fmt::Display for DeviceAnswer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let policy = self.policy.as_deref().unwrap_or("unknown");
        let mac = self.mac.as_deref().unwrap_or("-");
        let name = self.name.as_ref().or(self.hostname.as_ref()).map_or("-", String::as_str);
        write!(f, "{policy:6} {mac:17} {name}")?;
        self.addresses.iter().chain(&self.network).try_for_each(|text| write!(f, ", {text}"))?;
        self.last_seen_s.iter().try_for_each(|seconds| write!(f, ", seen {seconds} s ago"))?;
        let packets = self.upload_packets.unwrap_or(0) + self.download_packets.unwrap_or(0);
        if let (Some(up), Some(down), 1..) = (self.upload_bytes, self.download_bytes, packets) {
            let delay = with_decimals(self.delay_mean_ms.unwrap_or_default().0, 1);
            write!(f, ", {up} bytes up, {down} down, delay {delay} ms mean")?;
        }
        let warning = ", changes its MAC: choose its network instead of the device";
        writeln!(f, "{}", if self.random_mac == Some(true) { warning } else { "" })
    }
}
