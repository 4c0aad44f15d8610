//! Classes of HTB: a rate and a burst (include/uapi/linux/pkt_sched.h).

use super::error::NetlinkError;
use super::message::{Body, attribute, string, u32_at_start};
use super::qdisc::{HEADER_BYTES, TCA_KIND, TCA_OPTIONS, header, index_of};
use super::request::NetlinkRequest;
use super::socket::Netlink;
use crate::plan::qdisc_tree::{Class, Handle};

/// All HTB classes on the interface with `index`.
pub fn list(netlink: &mut Netlink, index: u32) -> Result<Vec<Class>, NetlinkError> {
    let messages = netlink.dump(libc::RTM_GETTCLASS, &header(index, Handle(0), Handle(0)))?;
    Ok(messages.iter().filter(|message| index_of(message) == Some(index)).filter_map(|m| parse(m)).collect())
}

/// The class in a message without its netlink header; `None` for other kinds than HTB.
pub fn parse(message: &[u8]) -> Option<Class> {
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

/// Adds a class.
pub fn add(index: u32, class: &Class) -> NetlinkRequest {
    NetlinkRequest::create(libc::RTM_NEWTCLASS, body(index, class))
}

/// Changes a class's rate and burst.
pub fn change(index: u32, class: &Class) -> NetlinkRequest {
    NetlinkRequest::change(libc::RTM_NEWTCLASS, body(index, class))
}

/// Removes a class.
pub fn delete(index: u32, class: &Class) -> NetlinkRequest {
    NetlinkRequest::change(libc::RTM_DELTCLASS, header(index, class.handle, class.parent))
}

/// A class without rate tables: given the link layer, the kernel computes times itself (`htb_change_class` in
/// net/sched/sch_htb.c reads `TCA_HTB_RTAB` only if the link layer is `TC_LINKLAYER_UNAWARE`).
fn body(index: u32, class: &Class) -> Body {
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

const TCA_HTB_PARMS: u16 = 1;
const TCA_HTB_RATE64: u16 = 6;
const TCA_HTB_CEIL64: u16 = 7;
const TC_LINKLAYER_ETHERNET: u8 = 1;

#[cfg(all(test, target_endian = "little"))]
mod tests {
    use super::*;
    use crate::plan::qdisc_tree::{QdiscTree, ShaperLimits};
    use crate::sys::netlink::golden::{GoldenMessage, Layout, assert_same};
    use crate::units::BitsPerSec;

    /// 160 kbit/s, and a burst of 508 bytes: 25.4 ms, or 396875 ticks.
    const CLASS: Class = Class {
        handle: Handle(0x0001_0001),
        parent: Handle(0x0001_0000),
        rate_bytes_per_second: 20_000,
        burst_ticks: 396_875,
        overhead_bytes: 60,
    };

    #[test]
    fn the_plans_class_is_the_captured_one() {
        let rate = BitsPerSec::from_kbit(160);
        let limits =
            ShaperLimits { rate, inner_bytes: 448, wire_bytes: 508, burst_cells: 1, data_limit: 2, cover_limit: 3 };
        assert_eq!(QdiscTree::new("mpwg0", &limits).class, CLASS);
    }

    #[test]
    fn a_class_reads_back_as_it_was_written() {
        // The second rate needs more than 32 bits.
        for rate_bytes_per_second in [20_000, 5_000_000_000] {
            let class = Class { rate_bytes_per_second, ..CLASS };
            assert_eq!(parse(&body(7, &class).0), Some(class));
        }
    }

    /// The captures lack the end of tc's message, two tables of rates with 1 KiB each, and have the lengths without
    /// them: see [`body`].
    #[test]
    fn a_class_is_added_changed_and_removed_as_tc_does() {
        // tc class add dev mpwg0 parent 1: classid 1:1 htb rate 160kbit burst 508b cburst 508b
        // overhead 60 linklayer ethernet quantum 1514
        let golden = "60000000 28000506 04c3086b 00000000 00000000 02000000 01000100 00000100 00000000 08000100 \
            68746200 34000200 30000100 03013c00 ffff0000 204e0000 03013c00 ffff0000 204e0000 4b0e0600 \
            4b0e0600 ea050000 00000000 00000000";
        assert_eq!(LAYOUT.ours(&add(2, &CLASS)), without_cells(LAYOUT.golden(golden)));
        // tc class change dev mpwg0 parent 1: classid 1:1 htb rate 160kbit burst 508b cburst 508b
        // overhead 60 linklayer ethernet quantum 1514
        let golden = "60000000 28000500 04c3086b 00000000 00000000 02000000 01000100 00000100 00000000 08000100 \
            68746200 34000200 30000100 03013c00 ffff0000 204e0000 03013c00 ffff0000 204e0000 4b0e0600 \
            4b0e0600 ea050000 00000000 00000000";
        assert_eq!(LAYOUT.ours(&change(2, &CLASS)), without_cells(LAYOUT.golden(golden)));
        // tc class add dev mpwg0 parent 1: classid 1:2 htb rate 40gbit burst 508b cburst 508b
        // overhead 60 linklayer ethernet quantum 1514
        let golden = "78000000 28000506 04c3086b 00000000 00000000 02000000 02000100 00000100 00000000 08000100 \
            68746200 4c000200 0c000600 00f2052a 01000000 0c000700 00f2052a 01000000 30000100 03013c00 \
            ffff0000 ffffffff 03013c00 ffff0000 ffffffff 00000000 00000000 ea050000 00000000 00000000";
        let fast = Class { handle: Handle(0x0001_0002), rate_bytes_per_second: 5_000_000_000, burst_ticks: 0, ..CLASS };
        assert_eq!(LAYOUT.ours(&add(2, &fast)), without_cells(LAYOUT.golden(golden)));
        // tc class del dev mpwg0 parent 1: classid 1:1
        assert_same(
            &delete(2, &CLASS),
            "24000000 29000500 04c3086b 00000000 00000000 02000000 01000100 00000100 00000000",
        );
    }

    const LAYOUT: Layout = Layout { header_bytes: HEADER_BYTES, nested: &[TCA_OPTIONS] };

    /// tc's message without how to look up its tables: the size of their cells, 8 bytes, and their alignment, -1.
    fn without_cells(mut golden: GoldenMessage) -> GoldenMessage {
        let parms = golden.attributes.get_mut([TCA_OPTIONS, TCA_HTB_PARMS].as_slice()).unwrap();
        for ratespec in parms[..24].chunks_exact_mut(12) {
            assert_eq!((std::mem::take(&mut ratespec[0]), &ratespec[4..6]), (3, [255, 255].as_slice()));
            ratespec[4..6].fill(0);
        }
        golden
    }

    #[test]
    fn truncated_messages_are_skipped() {
        let bytes = body(7, &CLASS).0;
        (0..bytes.len()).for_each(|length| _ = parse(&bytes[..length]));
    }
}
