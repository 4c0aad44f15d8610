//! A device's number, and how it crosses the TUN interface in a packet's header.

use std::fmt;

/// The number of a device. Device sections are numbered from 1 in the order of the settings; addresses of networks that
/// are shaped as a whole use the numbers behind them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct DeviceId(pub u16);

/// Numbers that fit into DSCP: its 64 values without 0, which means that the device is unknown.
pub const DSCP_NUMBERS: u16 = 63;

/// Values of the TTL that carry the upper part of a number, from 255 downwards. None is so small that a packet would
/// be lost on its way if its header were not restored.
const TTL_VALUES: u16 = 224;

/// Values of the TTL that networks shaped as a whole use at most: more of them spread no better, and each is a rule.
const MAX_NETWORK_TTL_VALUES: u16 = 128;
/// Values of the TTL that are left to networks, however many device sections there are.
const MIN_NETWORK_TTL_VALUES: u16 = 16;

/// The TTL of packets whose own one made room for a device's number: the default of RFC 1700, Linux and most devices.
pub const RESTORED_TTL: u8 = 64;

/// Packets with a smaller TTL keep it, and count as an unknown device's: traceroute works, and no packet circles.
pub const MIN_TAGGED_TTL: u8 = 32;

/// The header fields that hold a device's number in packets from the TUN interface. A packet whose DSCP is 0 comes from
/// an unknown device, and has no number. With the TTL, neither has a packet whose TTL is below [`MIN_TAGGED_TTL`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum DeviceTag {
    /// DSCP alone: up to [`DSCP_NUMBERS`] devices.
    #[default]
    Dscp,
    /// DSCP, and the TTL or hop limit.
    DscpAndTtl,
}

impl DeviceId {
    /// A device that has no number.
    pub const UNKNOWN: DeviceId = DeviceId(0);

    /// The highest number of a device section. Further sections share numbers.
    pub const MAX_SECTION: DeviceId = DeviceId(DSCP_NUMBERS * (TTL_VALUES - MIN_NETWORK_TTL_VALUES));

    /// The number of the device section with that index, which starts at 0.
    pub fn of_section(index: usize) -> DeviceId {
        DeviceId((index % usize::from(DeviceId::MAX_SECTION.0)) as u16 + 1)
    }

    /// Whether bit N of `devices` is set, for number N. Numbers above 63 are in none.
    pub fn is_in(self, devices: u64) -> bool {
        devices.checked_shr(self.0.into()).is_some_and(|bits| bits & 1 == 1)
    }

    /// The number in these fields.
    pub fn from_tag(dscp: u8, ttl: u8) -> DeviceId {
        match u16::from(dscp) {
            dscp if dscp == 0 || ttl < MIN_TAGGED_TTL => DeviceId::UNKNOWN,
            dscp => DeviceId(u16::from(u8::MAX - ttl) * DSCP_NUMBERS + dscp),
        }
    }

    /// The number's part in DSCP: 1 to 63. The number must not be 0.
    pub fn dscp(self) -> u8 {
        ((self.0 - 1) % DSCP_NUMBERS + 1) as u8
    }

    /// The number's part in the TTL. The number must not be 0.
    pub fn ttl(self) -> u8 {
        u8::MAX - ((self.0 - 1) / DSCP_NUMBERS) as u8
    }
}

impl DeviceTag {
    /// The tag that suffices for that many device sections, and for networks that are shaped as a whole.
    pub fn for_sections(sections: usize, has_networks: bool) -> DeviceTag {
        match has_networks || sections > usize::from(DSCP_NUMBERS) {
            true => DeviceTag::DscpAndTtl,
            false => DeviceTag::Dscp,
        }
    }

    /// The TTL values of networks that are shaped as a whole and have that many addresses, beside that many device
    /// sections: the highest one, and how many follow downwards, itself included. They are so many that half of the
    /// numbers stay unused, if possible.
    pub fn network_ttls(sections: usize, addresses: usize) -> (u8, u8) {
        let sections = sections.min(usize::from(DeviceId::MAX_SECTION.0)) as u16;
        let used = sections.div_ceil(DSCP_NUMBERS);
        let wanted = (2 * addresses).div_ceil(usize::from(DSCP_NUMBERS)).clamp(1, MAX_NETWORK_TTL_VALUES.into());
        (u8::MAX - used as u8, (TTL_VALUES - used).min(wanted as u16) as u8)
    }
}

impl fmt::Display for DeviceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_number_has_a_tag_of_its_own() {
        for number in 1..=DSCP_NUMBERS * TTL_VALUES {
            let (dscp, ttl) = (DeviceId(number).dscp(), DeviceId(number).ttl());
            assert!((1..64).contains(&dscp) && ttl >= MIN_TAGGED_TTL, "{number}: {dscp} {ttl}");
            assert_eq!(DeviceId::from_tag(dscp, ttl), DeviceId(number));
        }
        for (dscp, ttl) in [(0, 255), (0, 17), (9, 31)] {
            assert_eq!(DeviceId::from_tag(dscp, ttl), DeviceId::UNKNOWN);
        }
    }

    #[test]
    fn ten_thousand_sections_and_networks_have_numbers() {
        assert_eq!(DeviceId::MAX_SECTION, DeviceId(13_104));
        for sections in [0, 1, 63, 64, 10_000, 13_104, 20_000] {
            let (first, count) = DeviceTag::network_ttls(sections, 100_000);
            let last = DeviceId::of_section(sections.saturating_sub(1).min(13_103));
            assert!(sections == 0 || first < last.ttl(), "{sections} sections: {first}");
            assert!(count >= 16 && first - (count - 1) >= MIN_TAGGED_TTL, "{sections} sections: {first} {count}");
        }
        assert_eq!(DeviceTag::network_ttls(0, 254), (255, 9), "a small network needs few rules");
        assert_eq!(DeviceId::of_section(13_104), DeviceId(1), "further sections share");
    }
}
