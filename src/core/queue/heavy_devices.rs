//! Finds the device that holds most of a full queue, without a look at every device: devices are listed by the
//! magnitude of what they hold.

use super::packet::NIL;
use crate::core::device_map::DeviceMap;

/// Number of magnitudes, each four times the one before; the highest holds more than a queue can.
const MAGNITUDES: usize = 12;
/// Devices of the highest magnitude that are compared. With more of them, the device found may hold a quarter of what
/// the one with most holds.
const MAX_COMPARED: usize = 64;

/// The waiting packets of one device.
#[derive(Clone, Copy, Debug)]
pub(super) struct DeviceQueue {
    /// Length of all its packets in bytes.
    bytes: u32,
    /// Its first flow, or [`NIL`].
    pub flows: u16,
    /// Number of its flows.
    pub busy_flows: u16,
    /// The devices of the same magnitude before and after this one, or [`NIL`].
    before: u16,
    after: u16,
    /// Whether one of its flows goes before the sparse flows of others.
    pub has_first: bool,
}

impl Default for DeviceQueue {
    fn default() -> DeviceQueue {
        DeviceQueue { bytes: 0, flows: NIL, busy_flows: 0, before: NIL, after: NIL, has_first: false }
    }
}

/// The first device of each magnitude, or [`NIL`].
pub(super) struct HeavyDevices([u16; MAGNITUDES]);

impl HeavyDevices {
    pub fn new() -> HeavyDevices {
        HeavyDevices([NIL; MAGNITUDES])
    }

    /// Records that a device holds `added` bytes more, and `removed` bytes less.
    pub fn change(&mut self, devices: &mut DeviceMap<DeviceQueue>, device: u16, added: u32, removed: u32) {
        let DeviceQueue { bytes, before, after, .. } = *devices.at(usize::from(device));
        let now = bytes + added - removed;
        devices.at_mut(usize::from(device)).bytes = now;
        let (from, to) = (magnitude(bytes), magnitude(now));
        if from == to {
            return;
        }
        if let Some(from) = from {
            match before {
                NIL => self.0[from] = after,
                before => devices.at_mut(usize::from(before)).after = after,
            }
            if after != NIL {
                devices.at_mut(usize::from(after)).before = before;
            }
        }
        if let Some(to) = to {
            let next = std::mem::replace(&mut self.0[to], device);
            if next != NIL {
                devices.at_mut(usize::from(next)).before = device;
            }
            let entry = devices.at_mut(usize::from(device));
            (entry.before, entry.after) = (NIL, next);
        }
    }

    /// The device that holds most bytes; `None` if none holds any.
    pub fn heaviest(&self, devices: &DeviceMap<DeviceQueue>) -> Option<u16> {
        let mut next = *self.0.iter().rev().find(|first| **first != NIL)?;
        let (mut heaviest, mut most) = (next, 0);
        for _ in 0..MAX_COMPARED {
            if next == NIL {
                break;
            }
            let device = devices.at(usize::from(next));
            if device.bytes > most {
                (heaviest, most) = (next, device.bytes);
            }
            next = device.after;
        }
        Some(heaviest)
    }
}

/// The list of devices that hold `bytes` bytes; `None` for those that hold none.
fn magnitude(bytes: u32) -> Option<usize> {
    Some(((bytes.checked_ilog2()? / 2) as usize).min(MAGNITUDES - 1))
}
