//! Queueing disciplines and classes: the options of HTB, PRIO, pfifo and blackhole (include/uapi/linux/pkt_sched.h).

use super::error::NetlinkError;
use super::message::{Body, attribute, number, string, u32_at_start};
use super::socket::{Mode, Netlink};
use crate::plan::qdisc_tree::{Class, Handle, Qdisc, QdiscKind};

/// All qdiscs with the index of their interface, parents first, without the kernel's default qdiscs.
pub fn list(netlink: &mut Netlink) -> Result<Vec<(u32, Qdisc)>, NetlinkError> {
    // The kernel lists the qdiscs of all interfaces, whatever the index in the request.
    let messages = netlink.dump(libc::RTM_GETQDISC, &header(0, Handle(0), Handle(0)))?;
    let mut qdiscs: Vec<(u32, Qdisc)> =
        messages.iter().filter_map(|message| Some((index_of(message)?, parse_qdisc(message)?))).collect();
    qdiscs.sort_by_key(|(index, qdisc)| (*index, qdisc.parent != Handle::ROOT, qdisc.parent, qdisc.handle));
    Ok(qdiscs)
}

/// All HTB classes on the interface with `index`.
pub fn list_classes(netlink: &mut Netlink, index: u32) -> Result<Vec<Class>, NetlinkError> {
    let messages = netlink.dump(libc::RTM_GETTCLASS, &header(index, Handle(0), Handle(0)))?;
    Ok(messages.iter().filter(|message| index_of(message) == Some(index)).filter_map(|m| parse_class(m)).collect())
}

fn index_of(message: &[u8]) -> Option<u32> {
    message.get(4..).and_then(u32_at_start)
}

fn parse_qdisc(message: &[u8]) -> Option<Qdisc> {
    let rest = message.get(HEADER_BYTES..)?;
    let handle = Handle(u32_at_start(&message[8..])?);
    // Handle 0 is a default qdisc that the kernel attached.
    if handle.0 == 0 {
        return None;
    }
    let options = attribute(rest, TCA_OPTIONS).unwrap_or(&[]);
    let kind = match string(rest, TCA_KIND)?.as_str() {
        "htb" => QdiscKind::Htb {
            default_class: attribute(options, TCA_HTB_INIT).and_then(|glob| u32_at_start(glob.get(8..)?))?,
            direct_limit: number(options, TCA_HTB_DIRECT_QLEN)?,
        },
        "prio" => QdiscKind::Prio { bands: u32_at_start(options)?, map: *options.get(4..)?.first_chunk()? },
        "pfifo" => QdiscKind::Pfifo { limit: u32_at_start(options)? },
        "blackhole" => QdiscKind::Blackhole,
        other => QdiscKind::Other(other.to_owned()),
    };
    Some(Qdisc { handle, parent: Handle(u32_at_start(&message[12..])?), kind })
}

fn parse_class(message: &[u8]) -> Option<Class> {
    let rest = message.get(HEADER_BYTES..)?;
    if string(rest, TCA_KIND)? != "htb" {
        return None;
    }
    let options = attribute(rest, TCA_OPTIONS)?;
    let parms = attribute(options, TCA_HTB_PARMS)?;
    let rate = attribute(options, TCA_HTB_RATE64).and_then(|b| b.first_chunk()).map(|b| u64::from_ne_bytes(*b));
    // For a class directly below the qdisc the kernel reports the root as its parent.
    let handle = Handle(u32_at_start(&message[8..])?);
    Some(Class {
        handle,
        parent: Handle(handle.0 & 0xffff_0000),
        rate_bytes_per_second: rate.or_else(|| u32_at_start(parms.get(8..)?).map(u64::from))?,
        burst_ticks: parms.get(24..).and_then(u32_at_start)?,
        overhead_bytes: u16::from_ne_bytes(*parms.get(2..)?.first_chunk()?),
    })
}

/// Adds a qdisc.
pub fn add(netlink: &mut Netlink, index: u32, qdisc: &Qdisc) -> Result<(), NetlinkError> {
    netlink.request(libc::RTM_NEWQDISC, Mode::Create, &qdisc_body(index, qdisc))
}

/// Changes a qdisc's options.
pub fn change(netlink: &mut Netlink, index: u32, qdisc: &Qdisc) -> Result<(), NetlinkError> {
    netlink.request(libc::RTM_NEWQDISC, Mode::Change, &qdisc_body(index, qdisc))
}

/// Removes a qdisc and everything below it.
pub fn delete(netlink: &mut Netlink, index: u32, qdisc: &Qdisc) -> Result<(), NetlinkError> {
    netlink.request(libc::RTM_DELQDISC, Mode::Change, &header(index, qdisc.handle, qdisc.parent))
}

/// Adds a class.
pub fn add_class(netlink: &mut Netlink, index: u32, class: &Class) -> Result<(), NetlinkError> {
    netlink.request(libc::RTM_NEWTCLASS, Mode::Create, &class_body(index, class))
}

/// Changes a class's rate and burst.
pub fn change_class(netlink: &mut Netlink, index: u32, class: &Class) -> Result<(), NetlinkError> {
    netlink.request(libc::RTM_NEWTCLASS, Mode::Change, &class_body(index, class))
}

/// Removes a class.
pub fn delete_class(netlink: &mut Netlink, index: u32, class: &Class) -> Result<(), NetlinkError> {
    netlink.request(libc::RTM_DELTCLASS, Mode::Change, &header(index, class.handle, class.parent))
}

fn qdisc_body(index: u32, qdisc: &Qdisc) -> Body {
    let body = header(index, qdisc.handle, qdisc.parent).string(TCA_KIND, qdisc.kind.name());
    match &qdisc.kind {
        QdiscKind::Htb { default_class, direct_limit } => {
            // struct tc_htb_glob: version, rate2quantum, defcls, debug, direct_pkts.
            let glob: Vec<u8> = [3, 10, *default_class, 0, 0].into_iter().flat_map(u32::to_ne_bytes).collect();
            let options = Body::default().attribute(TCA_HTB_INIT, &glob).number(TCA_HTB_DIRECT_QLEN, *direct_limit);
            body.nest(TCA_OPTIONS, options)
        }
        // struct tc_prio_qopt.
        QdiscKind::Prio { bands, map } => {
            let mut options = bands.to_ne_bytes().to_vec();
            options.extend(map);
            body.attribute(TCA_OPTIONS, &options)
        }
        // struct tc_fifo_qopt.
        QdiscKind::Pfifo { limit } => body.number(TCA_OPTIONS, *limit),
        QdiscKind::Blackhole | QdiscKind::Other(_) => body,
    }
}

/// A class without rate tables: given the link layer, the kernel computes times itself (`htb_change_class` in
/// net/sched/sch_htb.c reads `TCA_HTB_RTAB` only if the link layer is `TC_LINKLAYER_UNAWARE`).
fn class_body(index: u32, class: &Class) -> Body {
    let rate = u32::try_from(class.rate_bytes_per_second).unwrap_or(u32::MAX);
    // struct tc_ratespec: cell_log, linklayer, overhead, cell_align, mpu, rate.
    let mut ratespec = [0; 12];
    ratespec[1] = TC_LINKLAYER_ETHERNET;
    ratespec[2..4].copy_from_slice(&class.overhead_bytes.to_ne_bytes());
    ratespec[8..].copy_from_slice(&rate.to_ne_bytes());
    // struct tc_htb_opt: rate, ceil, buffer, cbuffer, quantum, level, prio.
    let mut parms = [ratespec, ratespec].concat();
    for field in [class.burst_ticks, class.burst_ticks, QUANTUM_BYTES, 0, 0] {
        parms.extend(field.to_ne_bytes());
    }
    let mut options = Body::default().attribute(TCA_HTB_PARMS, &parms);
    if rate == u32::MAX {
        let rate64 = class.rate_bytes_per_second.to_ne_bytes();
        options = options.attribute(TCA_HTB_RATE64, &rate64).attribute(TCA_HTB_CEIL64, &rate64);
    }
    header(index, class.handle, class.parent).string(TCA_KIND, "htb").nest(TCA_OPTIONS, options)
}

/// Set explicitly, because the kernel warns about the quantum that it would compute from a low rate. It has no effect
/// with a single class.
const QUANTUM_BYTES: u32 = 1514;

/// `struct tcmsg`.
fn header(index: u32, handle: Handle, parent: Handle) -> Body {
    let mut bytes = [0; HEADER_BYTES];
    bytes[4..8].copy_from_slice(&index.to_ne_bytes());
    bytes[8..12].copy_from_slice(&handle.0.to_ne_bytes());
    bytes[12..16].copy_from_slice(&parent.0.to_ne_bytes());
    Body::new(&bytes)
}

const HEADER_BYTES: usize = 20;
const TCA_KIND: u16 = 1;
const TCA_OPTIONS: u16 = 2;
const TCA_HTB_PARMS: u16 = 1;
const TCA_HTB_INIT: u16 = 2;
const TCA_HTB_DIRECT_QLEN: u16 = 5;
const TCA_HTB_RATE64: u16 = 6;
const TCA_HTB_CEIL64: u16 = 7;
const TC_LINKLAYER_ETHERNET: u8 = 1;

#[cfg(all(test, target_endian = "little"))]
mod tests {
    use super::*;
    use crate::plan::qdisc_tree::{QdiscTree, ShaperLimits};
    use crate::units::BitsPerSec;

    fn tree() -> QdiscTree {
        let rate = BitsPerSec::from_kbit(160);
        let limits =
            ShaperLimits { rate, inner_bytes: 448, wire_bytes: 508, burst_cells: 1, data_limit: 2, cover_limit: 3 };
        QdiscTree::new("mpwg0", &limits)
    }

    #[test]
    fn the_tree_reads_back_as_it_was_written() {
        let tree = tree();
        for qdisc in std::iter::once(&tree.root).chain(&tree.below) {
            assert_eq!(parse_qdisc(&qdisc_body(7, qdisc).0).as_ref(), Some(qdisc));
        }
        assert_eq!(parse_class(&class_body(7, &tree.class).0), Some(tree.class));
    }

    #[test]
    fn a_rate_beyond_32_bits_survives() {
        let class = Class { rate_bytes_per_second: 5_000_000_000, ..tree().class };
        assert_eq!(parse_class(&class_body(7, &class).0), Some(class));
    }

    /// `tc qdisc add dev mpwg0 root handle 1: htb default 1 direct_qlen 0`, where mpwg0 has index 7.
    #[test]
    fn htb_golden_bytes() {
        #[rustfmt::skip]
        let golden: &[u8] = &[
            0, 0, 0, 0, 7, 0, 0, 0, 0, 0, 1, 0, 0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0,
            8, 0, 1, 0, b'h', b't', b'b', 0,
            36, 0, 2, 0x80,
            24, 0, 2, 0, 3, 0, 0, 0, 10, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,
            8, 0, 5, 0, 0, 0, 0, 0,
        ];
        assert_eq!(qdisc_body(7, &tree().root).0, golden);
    }

    /// `tc class add dev mpwg0 parent 1: classid 1:1 htb rate 160kbit burst 508b overhead 60 linklayer ethernet
    /// quantum 1514`: 20000 bytes a second, 508 bytes in 25.4 ms or 396875 ticks.
    #[test]
    fn class_golden_bytes() {
        let ratespec = [0, 1, 60, 0, 0, 0, 0, 0, 0x20, 0x4e, 0, 0];
        let mut golden = vec![0, 0, 0, 0, 7, 0, 0, 0, 1, 0, 1, 0, 0, 0, 1, 0, 0, 0, 0, 0];
        golden.extend([8, 0, 1, 0, b'h', b't', b'b', 0, 52, 0, 2, 0x80, 48, 0, 1, 0]);
        golden.extend([ratespec, ratespec].concat());
        golden.extend([0x4b, 0x0e, 6, 0, 0x4b, 0x0e, 6, 0, 0xea, 5, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
        assert_eq!(class_body(7, &tree().class).0, golden);
    }

    /// `tc qdisc add dev mpwg0 parent 1:1 handle 10: prio bands 3 priomap 2 2 2 2 2 2 2 2 2 2 2 2 2 2 2 2`.
    #[test]
    fn prio_golden_bytes() {
        let mut golden = vec![0, 0, 0, 0, 7, 0, 0, 0, 0, 0, 0x10, 0, 1, 0, 1, 0, 0, 0, 0, 0];
        golden.extend([9, 0, 1, 0, b'p', b'r', b'i', b'o', 0, 0, 0, 0, 24, 0, 2, 0, 3, 0, 0, 0]);
        golden.extend([2; 16]);
        assert_eq!(qdisc_body(7, &tree().below[0]).0, golden);
    }

    #[test]
    fn truncated_messages_are_skipped() {
        let tree = tree();
        for bytes in [qdisc_body(7, &tree.root).0, qdisc_body(7, &tree.below[0]).0, class_body(7, &tree.class).0] {
            for length in 0..bytes.len() {
                let _ = (parse_qdisc(&bytes[..length]), parse_class(&bytes[..length]));
            }
        }
    }
}
