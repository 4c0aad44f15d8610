//! The qdisc tree on the tunnel's interface: `HTB 1: -> class 1:1 -> PRIO 10: -> data, cover, blackhole`.
//!
//! A cell is sent with `SO_PRIORITY` 0x00100001 or 0x00100002. HTB has no class with that number and uses its default
//! class, 1:1. PRIO takes the band from the minor number (net/sched/sch_prio.c, `prio_classify`). Every other packet
//! has a priority below 16, which PRIO's map sends to the third band, a blackhole. HTB's direct queue has length 0, so
//! a packet whose priority is HTB's own handle, or that arrives before the class exists, is dropped too
//! (net/sched/sch_htb.c, `htb_enqueue`).

use std::fmt;

use crate::units::BitsPerSec;

/// A traffic control handle: major and minor number, 16 bits each.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Handle(pub u32);

impl Handle {
    /// The parent of a root qdisc, `TC_H_ROOT`.
    pub const ROOT: Handle = Handle(0xffff_ffff);

    const fn new(major: u16, minor: u16) -> Handle {
        Handle((major as u32) << 16 | minor as u32)
    }
}

impl fmt::Display for Handle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.0 >> 16, self.0 & 0xffff) {
            (major, 0) => write!(f, "{major:x}:"),
            (major, minor) => write!(f, "{major:x}:{minor:x}"),
        }
    }
}

const HTB: Handle = Handle::new(1, 0);
const CLASS: Handle = Handle::new(1, 1);
const PRIO: Handle = Handle::new(0x10, 0);

/// `SO_PRIORITY` of data cells: PRIO's first band.
pub const DATA_PRIORITY: u32 = Handle::new(0x10, 1).0;

/// `SO_PRIORITY` of cover cells: PRIO's second band.
pub const COVER_PRIORITY: u32 = Handle::new(0x10, 2).0;

const BLACKHOLE_BAND: Handle = Handle::new(0x10, 3);

/// The limits of the tree. HTB's rate is a ceiling far above the schedule's rate or, for the law `kernel`, the pace
/// itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ShaperLimits {
    /// HTB's rate on the wire; at least 8 bit/s.
    pub rate: BitsPerSec,
    /// Length of a cell on the tunnel's interface in bytes, IP header included.
    pub inner_bytes: u16,
    /// Length of a cell on the wire in bytes; at least `inner_bytes`.
    pub wire_bytes: u16,
    /// HTB's burst in cells; at least 1.
    pub burst_cells: u32,
    /// Maximum number of cells in the data band's queue.
    pub data_limit: u32,
    /// Maximum number of cells in the cover band's queue.
    pub cover_limit: u32,
}

/// A queueing discipline with its position in the tree.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Qdisc {
    /// Its own handle.
    pub handle: Handle,
    /// [`Handle::ROOT`], or the parent class.
    pub parent: Handle,
    /// Its kind and parameters.
    pub kind: QdiscKind,
}

/// The kind of a qdisc.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum QdiscKind {
    /// Hierarchical token bucket.
    Htb {
        /// Minor number of the class for packets that no filter or priority assigns to a class.
        default_class: u32,
        /// Length of the queue for packets outside all classes.
        direct_limit: u32,
    },
    /// Strict priority.
    Prio {
        /// Number of bands.
        bands: u32,
        /// The band for each priority from 0 to 15, for packets whose priority is not one of its classes.
        map: [u8; 16],
    },
    /// First in, first out.
    Pfifo {
        /// Maximum number of packets in the queue.
        limit: u32,
    },
    /// Drops everything.
    Blackhole,
    /// Any other qdisc, by its name in the kernel.
    Other(String),
}

impl QdiscKind {
    /// The name in the kernel.
    pub fn name(&self) -> &str {
        match self {
            QdiscKind::Htb { .. } => "htb",
            QdiscKind::Prio { .. } => "prio",
            QdiscKind::Pfifo { .. } => "pfifo",
            QdiscKind::Blackhole => "blackhole",
            QdiscKind::Other(name) => name,
        }
    }
}

impl fmt::Display for Qdisc {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.parent {
            Handle::ROOT => f.write_str("root")?,
            parent => write!(f, "parent {parent}")?,
        }
        write!(f, " handle {} {}", self.handle, self.kind.name())?;
        match &self.kind {
            QdiscKind::Htb { default_class, direct_limit } => {
                write!(f, " default {default_class:x} direct_qlen {direct_limit}")
            }
            QdiscKind::Prio { bands, map } => {
                write!(f, " bands {bands} priomap")?;
                map.iter().try_for_each(|band| write!(f, " {band}"))
            }
            QdiscKind::Pfifo { limit } => write!(f, " limit {limit}"),
            QdiscKind::Blackhole | QdiscKind::Other(_) => Ok(()),
        }
    }
}

/// An HTB class whose rate is also its ceiling.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Class {
    /// Its handle.
    pub handle: Handle,
    /// The parent qdisc or class.
    pub parent: Handle,
    /// Bytes per second, `overhead_bytes` included.
    pub rate_bytes_per_second: u64,
    /// Burst as the kernel stores it: its duration at the rate, in ticks of 64 ns (`PSCHED_SHIFT` 6).
    pub burst_ticks: u32,
    /// Bytes that HTB adds to the length of each packet.
    pub overhead_bytes: u16,
}

const TICK_NS: u128 = 64;

impl fmt::Display for Class {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let rate = self.rate_bytes_per_second * 8;
        let burst = u128::from(self.burst_ticks) * TICK_NS * u128::from(self.rate_bytes_per_second);
        let burst = (burst + 500_000_000) / 1_000_000_000;
        write!(f, "parent {} classid {} htb rate {rate}bit ceil {rate}bit", self.parent, self.handle)?;
        write!(f, " burst {burst}b cburst {burst}b overhead {} linklayer ethernet", self.overhead_bytes)
    }
}

/// The complete tree of one interface, parents first.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct QdiscTree {
    /// The interface.
    pub dev: String,
    /// The root qdisc, HTB.
    pub root: Qdisc,
    /// The only class.
    pub class: Class,
    /// The qdiscs below the class, parents first.
    pub below: Vec<Qdisc>,
}

impl QdiscTree {
    /// The tree on `dev` that passes cells within `limits` and drops all other packets.
    pub fn new(dev: &str, limits: &ShaperLimits) -> QdiscTree {
        let qdisc = |handle, parent, kind| Qdisc { handle, parent, kind };
        let pfifo = |limit| QdiscKind::Pfifo { limit };
        QdiscTree {
            dev: dev.to_owned(),
            root: root(),
            class: class(limits),
            below: vec![
                qdisc(PRIO, CLASS, QdiscKind::Prio { bands: 3, map: [2; 16] }),
                qdisc(Handle::new(0x11, 0), Handle(DATA_PRIORITY), pfifo(limits.data_limit)),
                qdisc(Handle::new(0x12, 0), Handle(COVER_PRIORITY), pfifo(limits.cover_limit)),
                qdisc(Handle::new(0x13, 0), BLACKHOLE_BAND, QdiscKind::Blackhole),
            ],
        }
    }
}

impl Qdisc {
    /// Whether this is the root of a millpond tree, on any interface. No other program gives HTB a direct queue of
    /// length 0.
    pub fn is_our_root(&self) -> bool {
        *self == root()
    }
}

fn root() -> Qdisc {
    let kind = QdiscKind::Htb { default_class: CLASS.0 & 0xffff, direct_limit: 0 };
    Qdisc { handle: HTB, parent: Handle::ROOT, kind }
}

fn class(limits: &ShaperLimits) -> Class {
    let rate = (limits.rate.0 / 8).max(1);
    let burst_bytes = u128::from(limits.burst_cells) * u128::from(limits.wire_bytes);
    let ticks = burst_bytes * 1_000_000_000 / u128::from(rate) / TICK_NS;
    Class {
        handle: CLASS,
        parent: HTB,
        rate_bytes_per_second: rate,
        burst_ticks: u32::try_from(ticks).unwrap_or(u32::MAX).max(1),
        overhead_bytes: limits.wire_bytes.saturating_sub(limits.inner_bytes),
    }
}
