//! Values by device number. Memory grows with the devices that were seen, and finding one takes as long with thousands
//! as with few.

use crate::units::DeviceId;

/// Marks a slot without an entry.
const EMPTY: u16 = u16::MAX;

/// A hash table with open addressing. Entries keep their position until all are removed.
#[derive(Clone, Debug)]
pub struct DeviceMap<T> {
    entries: Vec<(DeviceId, T)>,
    /// Positions of entries; a power of two of them, a quarter of which is empty.
    slots: Vec<u16>,
}

impl<T> Default for DeviceMap<T> {
    fn default() -> DeviceMap<T> {
        DeviceMap { entries: Vec::new(), slots: Vec::new() }
    }
}

impl<T: Default> DeviceMap<T> {
    /// A map with memory for that many devices.
    pub fn with_capacity(devices: usize) -> DeviceMap<T> {
        DeviceMap { entries: Vec::with_capacity(devices), slots: vec![EMPTY; slots(devices)] }
    }

    /// Memory beside the type itself of a map with memory for that many devices, in bytes.
    pub const fn bytes(devices: usize) -> usize {
        devices * size_of::<(DeviceId, T)>() + slots(devices) * size_of::<u16>()
    }

    /// The position of a device's entry, which is added if there is none.
    pub fn position(&mut self, device: DeviceId) -> usize {
        if self.slots.is_empty() {
            self.slots = vec![EMPTY; 8];
        }
        let slot = match self.find(device) {
            Ok(position) => return position,
            Err(slot) => slot,
        };
        let position = self.entries.len();
        if position == self.entries.capacity() {
            // Not twice as many: most devices of a large building come once, when it moves in.
            self.entries.reserve_exact(position / 4 + 4);
        }
        self.entries.push((device, T::default()));
        self.slots[slot] = position as u16;
        if self.entries.len() * 4 > self.slots.len() * 3 {
            self.slots = vec![EMPTY; self.slots.len() * 2];
            for position in 0..self.entries.len() {
                if let Err(slot) = self.find(self.entries[position].0) {
                    self.slots[slot] = position as u16;
                }
            }
        }
        position
    }

    /// The value of a device, which is added if there is none.
    pub fn entry(&mut self, device: DeviceId) -> &mut T {
        let position = self.position(device);
        &mut self.entries[position].1
    }

    /// The value at a position.
    pub fn at(&self, position: usize) -> &T {
        &self.entries[position].1
    }

    /// The value at a position.
    pub fn at_mut(&mut self, position: usize) -> &mut T {
        &mut self.entries[position].1
    }

    /// The value of a device.
    pub fn get(&self, device: DeviceId) -> Option<&T> {
        match self.slots.is_empty() {
            true => None,
            false => self.find(device).ok().map(|position| self.at(position)),
        }
    }

    /// All devices with their values, in the order in which they were added.
    pub fn iter(&self) -> impl Iterator<Item = &(DeviceId, T)> {
        self.entries.iter()
    }

    /// Memory in use beside the type itself, in bytes.
    #[cfg(test)]
    pub fn memory(&self) -> usize {
        self.entries.capacity() * size_of::<(DeviceId, T)>() + self.slots.capacity() * size_of::<u16>()
    }

    /// Number of devices.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether there is no device.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// The position of a device's entry, or the slot for a new one. There must be slots.
    fn find(&self, device: DeviceId) -> Result<usize, usize> {
        // Fibonacci hashing (Knuth, volume 3, section 6.4): neighbours spread.
        let mask = self.slots.len() - 1;
        let mut slot = usize::from(device.0.wrapping_mul(0x9e37) >> (16 - self.slots.len().trailing_zeros()));
        loop {
            match self.slots[slot] {
                EMPTY => return Err(slot),
                position if self.entries[usize::from(position)].0 == device => return Ok(usize::from(position)),
                _ => slot = (slot + 1) & mask,
            }
        }
    }
}

/// Number of slots for that many devices.
const fn slots(devices: usize) -> usize {
    (devices * 4 / 3 + 1).next_power_of_two()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_number_has_its_own_value() {
        let mut map: DeviceMap<u16> = DeviceMap::default();
        let numbers = || (0..u16::MAX).step_by(3).map(DeviceId);
        assert_eq!(map.get(DeviceId(3)), None);
        for device in numbers() {
            *map.entry(device) = device.0;
        }
        for device in numbers() {
            assert_eq!((map.get(device), map.get(DeviceId(device.0 + 1))), (Some(&device.0), None));
        }
        assert_eq!(map.len(), 21_845);
        let position = map.position(DeviceId(9));
        assert_eq!((position, *map.at(position), map.len()), (3, 9, 21_845));
    }
}
