//! The busy flows of all devices. Memory grows with the devices that were seen and with the flows that are busy at the
//! same time, up to a bound.

use std::ops::{Index, IndexMut};

use super::flow::Flow;
use super::heavy_devices::{DeviceQueue, HeavyDevices};
use super::packet::{NIL, PacketId, Store};
use crate::core::device_map::DeviceMap;
use crate::units::DeviceId;

/// Flows for which there is memory from the start: as many as there can be in a queue of the default size. Pages that
/// are not needed are never touched.
const INITIAL_FLOWS: usize = 2048;
/// The same of devices: 63, and the flows of unknown devices.
const INITIAL_DEVICES: usize = 320;

/// Flows by their index.
pub(super) struct FlowTable {
    flows: Vec<Flow>,
    max_flows: u16,
    /// The first free flow, or [`NIL`]; the others follow it by their `next`.
    free: u16,
    devices: DeviceMap<DeviceQueue>,
    heavy: HeavyDevices,
}

impl FlowTable {
    /// No flows yet, and never more than that many.
    pub fn new(max_flows: u16) -> FlowTable {
        let max = usize::from(max_flows);
        FlowTable {
            flows: Vec::with_capacity(max.min(INITIAL_FLOWS)),
            max_flows,
            free: NIL,
            devices: DeviceMap::with_capacity(max.min(INITIAL_DEVICES)),
            heavy: HeavyDevices::new(),
        }
    }

    /// Memory beside the type itself of a table with so few flows that all are reserved, in bytes.
    pub const fn bytes(flows: usize) -> usize {
        flows * size_of::<Flow>() + DeviceMap::<DeviceQueue>::bytes(flows)
    }

    /// The busy flow of that device and bucket, or a new one, and whether it is new. If there are too many, it is any
    /// other flow, by `hash`.
    pub fn flow(&mut self, device: DeviceId, bucket: u8, hash: u32) -> (u16, bool) {
        match self.find(device, bucket) {
            NIL => {
                let device = self.devices.position(device) as u16;
                self.allocate(device, bucket)
                    .map_or(((hash % u32::from(self.max_flows)) as u16, false), |new| (new, true))
            }
            index => (index, false),
        }
    }

    /// The busy flow of that device and bucket, or [`NIL`].
    pub fn find(&self, device: DeviceId, bucket: u8) -> u16 {
        let mut index = self.devices.get(device).map_or(NIL, |device| device.flows);
        while index != NIL && self[index].bucket != bucket {
            index = self[index].sibling;
        }
        index
    }

    /// Appends a packet to a flow.
    pub fn append(&mut self, index: u16, store: &mut impl Store, id: PacketId, bytes: u16) {
        self[index].append(store, id, bytes);
        self.heavy.change(&mut self.devices, self.flows[usize::from(index)].device, bytes.into(), 0);
    }

    /// Takes a flow's first packet, which must exist, out of the flow. It stays in the store.
    pub fn unlink_head(&mut self, index: u16, store: &impl Store) {
        let before = self[index].bytes;
        self[index].unlink_head(store);
        let Flow { device, bytes, .. } = self[index];
        self.heavy.change(&mut self.devices, device, 0, before - bytes);
    }

    /// The longest flow of the device that holds most bytes; `None` if no packet waits.
    pub fn longest(&self) -> Option<u16> {
        let mut index = self.device(self.heavy.heaviest(&self.devices)?).flows;
        let mut longest = index;
        while index != NIL {
            if self[index].bytes > self[longest].bytes {
                longest = index;
            }
            index = self[index].sibling;
        }
        Some(longest)
    }

    /// Frees a flow that is empty and in no list.
    pub fn release(&mut self, index: u16) {
        let Flow { device, sibling, .. } = self[index];
        let queue = self.device_mut(device);
        queue.busy_flows -= 1;
        if queue.flows == index {
            queue.flows = sibling;
        } else {
            let mut before = queue.flows;
            while self[before].sibling != index {
                before = self[before].sibling;
            }
            self[before].sibling = sibling;
        }
        self[index].next = self.free;
        self.free = index;
    }

    /// The device at that position.
    pub fn device(&self, position: u16) -> &DeviceQueue {
        self.devices.at(position.into())
    }

    /// The device at that position.
    pub fn device_mut(&mut self, position: u16) -> &mut DeviceQueue {
        self.devices.at_mut(position.into())
    }

    /// A new flow of the device at that position; `None` if there are too many.
    fn allocate(&mut self, device: u16, bucket: u8) -> Option<u16> {
        let flow = Flow::new(device, bucket, self.device(device).flows);
        let index = match self.free {
            NIL if self.flows.len() >= usize::from(self.max_flows) => return None,
            NIL => {
                self.flows.push(flow);
                (self.flows.len() - 1) as u16
            }
            index => {
                self.free = self[index].next;
                self[index] = flow;
                index
            }
        };
        let queue = self.device_mut(device);
        queue.flows = index;
        queue.busy_flows += 1;
        Some(index)
    }
}

impl Index<u16> for FlowTable {
    type Output = Flow;
    fn index(&self, index: u16) -> &Flow {
        &self.flows[usize::from(index)]
    }
}

impl IndexMut<u16> for FlowTable {
    fn index_mut(&mut self, index: u16) -> &mut Flow {
        &mut self.flows[usize::from(index)]
    }
}
