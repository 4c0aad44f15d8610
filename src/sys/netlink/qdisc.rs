//! Queueing disciplines: the options of HTB, PRIO, pfifo and blackhole (include/uapi/linux/pkt_sched.h).

use super::error::NetlinkError;
use super::message::{Body, attribute, number, string, u32_at_start};
use super::request::NetlinkRequest;
use super::socket::Netlink;
use crate::plan::qdisc_tree::{Handle, Qdisc, QdiscKind};

/// All qdiscs with the index of their interface, parents first, without the kernel's default qdiscs.
pub fn list(netlink: &mut Netlink) -> Result<Vec<(u32, Qdisc)>, NetlinkError> {
    // The kernel lists the qdiscs of all interfaces, whatever the index in the request.
    let messages = netlink.dump(libc::RTM_GETQDISC, &header(0, Handle(0), Handle(0)))?;
    let mut qdiscs: Vec<(u32, Qdisc)> =
        messages.iter().filter_map(|message| Some((index_of(message)?, parse(message)?))).collect();
    qdiscs.sort_unstable_by_key(|(index, qdisc)| (*index, qdisc.parent != Handle::ROOT, qdisc.parent, qdisc.handle));
    Ok(qdiscs)
}

/// The interface index in a `struct tcmsg`.
pub fn index_of(message: &[u8]) -> Option<u32> {
    message.get(4..).and_then(u32_at_start)
}

/// The qdisc in a message without its netlink header; `None` for the kernel's default qdiscs.
pub fn parse(message: &[u8]) -> Option<Qdisc> {
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

/// Adds a qdisc.
pub fn add(index: u32, qdisc: &Qdisc) -> NetlinkRequest {
    NetlinkRequest::create(libc::RTM_NEWQDISC, body(index, qdisc))
}

/// Changes a qdisc's options.
pub fn change(index: u32, qdisc: &Qdisc) -> NetlinkRequest {
    NetlinkRequest::change(libc::RTM_NEWQDISC, body(index, qdisc))
}

/// Removes a qdisc and everything below it.
pub fn delete(index: u32, qdisc: &Qdisc) -> NetlinkRequest {
    NetlinkRequest::change(libc::RTM_DELQDISC, header(index, qdisc.handle, qdisc.parent))
}

fn body(index: u32, qdisc: &Qdisc) -> Body {
    let message = header(index, qdisc.handle, qdisc.parent).string(TCA_KIND, qdisc.kind.name());
    match &qdisc.kind {
        QdiscKind::Htb { default_class, direct_limit } => {
            // struct tc_htb_glob: version, rate2quantum, defcls, debug, direct_pkts.
            let glob: Vec<u8> = [3, 10, *default_class, 0, 0].into_iter().flat_map(u32::to_ne_bytes).collect();
            let options = Body::default().attribute(TCA_HTB_INIT, &glob).number(TCA_HTB_DIRECT_QLEN, *direct_limit);
            message.nest(TCA_OPTIONS, options)
        }
        // struct tc_prio_qopt.
        QdiscKind::Prio { bands, map } => {
            let mut options = bands.to_ne_bytes().to_vec();
            options.extend(map);
            message.attribute(TCA_OPTIONS, &options)
        }
        // struct tc_fifo_qopt.
        QdiscKind::Pfifo { limit } => message.number(TCA_OPTIONS, *limit),
        QdiscKind::Blackhole | QdiscKind::Other(_) => message,
    }
}

/// `struct tcmsg`, of a qdisc or class.
pub fn header(index: u32, handle: Handle, parent: Handle) -> Body {
    let mut bytes = [0; HEADER_BYTES];
    bytes[4..8].copy_from_slice(&index.to_ne_bytes());
    bytes[8..12].copy_from_slice(&handle.0.to_ne_bytes());
    bytes[12..16].copy_from_slice(&parent.0.to_ne_bytes());
    Body::new(&bytes)
}

/// Size of `struct tcmsg`.
pub const HEADER_BYTES: usize = 20;
pub const TCA_KIND: u16 = 1;
pub const TCA_OPTIONS: u16 = 2;
const TCA_HTB_INIT: u16 = 2;
const TCA_HTB_DIRECT_QLEN: u16 = 5;

#[cfg(all(test, target_endian = "little"))]
mod tests {
    use super::*;
    use crate::plan::qdisc_tree::{QdiscTree, ShaperLimits};
    use crate::sys::netlink::golden::{Layout, assert_same};
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
            assert_eq!(parse(&body(7, qdisc).0).as_ref(), Some(qdisc));
        }
    }

    #[test]
    fn htb_is_added_changed_and_removed_as_tc_does() {
        let root = tree().root;
        // tc qdisc add dev mpwg0 root handle 1: htb default 1 direct_qlen 0
        let golden = "50000000 24000506 04c3086b 00000000 00000000 02000000 00000100 ffffffff 00000000 08000100 \
            68746200 24000200 18000200 03000000 0a000000 01000000 00000000 00000000 08000500 00000000";
        assert_eq!(OPTIONS.ours(&add(2, &root)), OPTIONS.golden(golden));
        // tc qdisc change dev mpwg0 root handle 1: htb default 1 direct_qlen 0
        let golden = "50000000 24000500 04c3086b 00000000 00000000 02000000 00000100 ffffffff 00000000 08000100 \
            68746200 24000200 18000200 03000000 0a000000 01000000 00000000 00000000 08000500 00000000";
        assert_eq!(OPTIONS.ours(&change(2, &root)), OPTIONS.golden(golden));
        // tc qdisc del dev mpwg0 root handle 1:
        assert_same(
            &delete(2, &root),
            "24000000 25000500 04c3086b 00000000 00000000 02000000 00000100 ffffffff 00000000",
        );
    }

    #[test]
    fn the_qdiscs_below_are_added_as_tc_adds_them() {
        let below = tree().below;
        // tc qdisc add dev mpwg0 parent 1:1 handle 10: prio bands 3 priomap 2 2 2 2 2 2 2 2 2 2 2 2 2 2 2 2
        let mut golden = PLAIN.golden(
            "4c000000 24000506 04c3086b 00000000 00000000 02000000 00001000 01000100 00000000 09000100 \
            7072696f 00000000 1c000200 03000000 02020202 02020202 02020202 02020202 04000200",
        );
        // tc adds an empty attribute, which the kernel does not read (net/sched/sch_prio.c).
        let options = golden.attributes.get_mut([TCA_OPTIONS].as_slice()).unwrap();
        assert_eq!(options.split_off(20), [4, 0, TCA_OPTIONS as u8, 0]);
        assert_eq!(PLAIN.ours(&add(2, &below[0])), golden);
        // tc qdisc add dev mpwg0 parent 10:1 handle 11: pfifo limit 2
        assert_same(
            &add(2, &below[1]),
            "38000000 24000506 04c3086b 00000000 00000000 02000000 00001100 01001000 00000000 0a000100 \
            70666966 6f000000 08000200 02000000",
        );
        // tc qdisc add dev mpwg0 parent 10:3 handle 13: blackhole
        assert_same(
            &add(2, &below[3]),
            "34000000 24000506 04c3086b 00000000 00000000 02000000 00001300 03001000 00000000 0e000100 \
            626c6163 6b686f6c 65000000",
        );
    }

    const PLAIN: Layout = Layout { header_bytes: HEADER_BYTES, nested: &[] };
    const OPTIONS: Layout = Layout { header_bytes: HEADER_BYTES, nested: &[TCA_OPTIONS] };

    #[test]
    fn truncated_messages_are_skipped() {
        let tree = tree();
        for bytes in [body(7, &tree.root).0, body(7, &tree.below[0]).0] {
            (0..bytes.len()).for_each(|length| _ = parse(&bytes[..length]));
        }
    }
}
