//! The policy for what this machine itself sends.

use super::model::{Policy, Settings};

impl Settings {
    /// The strictest policy for what this machine itself sends, if it is confined. OpenWrt's programs do not support
    /// it.
    pub fn own_policy(&self) -> Option<Policy> {
        let own = self.devices.iter().filter(|device| device.is_self && cfg!(feature = "endpoint"));
        let own: Vec<Policy> = own.map(|device| device.policy).collect();
        [Policy::Block, Policy::Shape].into_iter().find(|policy| own.contains(policy))
    }
}
