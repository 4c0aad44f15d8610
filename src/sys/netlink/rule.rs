//! Routing rules through rtnetlink.

use super::error::NetlinkError;
use super::message::{Body, attribute, number, string};
use super::request::NetlinkRequest;
use super::socket::Netlink;
use crate::plan::coexistence::ForeignRule;
use crate::plan::ownership::ROUTE_PROTOCOL;
#[cfg(feature = "endpoint")]
use crate::plan::routing::Prefix;
use crate::plan::routing::{Family, Rule, Selector};

/// millpond's rules of both families.
pub fn list(netlink: &mut Netlink) -> Result<Vec<Rule>, NetlinkError> {
    Ok(dump(netlink)?.iter().filter_map(|message| parse(message)).collect())
}

/// Other programs' rules of both families.
pub fn list_others(netlink: &mut Netlink) -> Result<Vec<ForeignRule>, NetlinkError> {
    Ok(dump(netlink)?.iter().filter_map(|message| parse_other(message)).collect())
}

fn dump(netlink: &mut Netlink) -> Result<Vec<Vec<u8>>, NetlinkError> {
    let mut rules = Vec::new();
    for family in [Family::V4, Family::V6] {
        let mut header = [0; HEADER_BYTES];
        header[0] = family_number(family);
        match netlink.dump(libc::RTM_GETRULE, &Body::new(&header)) {
            // A kernel without IPv6, or without IPv6 policy routing, refuses this request, or lists the IPv4 rules
            // again.
            Ok(messages) => rules.extend(messages.into_iter().filter(|message| message.first() == header.first())),
            Err(_) if family == Family::V6 => {}
            Err(error) => return Err(error),
        }
    }
    Ok(rules)
}

fn is_ours(attributes: &[u8]) -> bool {
    attribute(attributes, FRA_PROTOCOL) == Some(&[ROUTE_PROTOCOL])
}

/// The rule in a message without its netlink header, if it is millpond's.
pub fn parse(message: &[u8]) -> Option<Rule> {
    let rest = message.get(HEADER_BYTES..).filter(|rest| is_ours(rest))?;
    let priority = number(rest, FRA_PRIORITY).unwrap_or(0);
    let selector = match (number(rest, FRA_FWMARK), string(rest, FRA_OIFNAME)) {
        (Some(mark), None) if number(rest, FRA_FWMASK) == Some(mark) => Selector::Mark(mark),
        (None, Some(dev)) => Selector::Oif(dev),
        #[cfg(feature = "endpoint")]
        (None, None) => {
            Selector::From(Prefix { address: super::addr::address(attribute(rest, FRA_SRC)?)?, length: message[2] })
        }
        _ => return None,
    };
    let family = if i32::from(message[0]) == libc::AF_INET { Family::V4 } else { Family::V6 };
    Some(Rule { family, priority, selector, table: number(rest, FRA_TABLE).unwrap_or(u32::from(message[4])) })
}

/// The rule in a message without its netlink header, if it is another program's.
pub fn parse_other(message: &[u8]) -> Option<ForeignRule> {
    let rest = message.get(HEADER_BYTES..).filter(|rest| !is_ours(rest))?;
    let (family, destination_bits, action) = (message[0], message[1], message[7]);
    let suppressed = number(rest, FRA_SUPPRESS_PREFIXLEN).is_some_and(|length| length != u32::MAX);
    let oif = attribute(rest, FRA_OIFNAME).is_some();
    Some(ForeignRule {
        ipv6: i32::from(family) == libc::AF_INET6,
        priority: number(rest, FRA_PRIORITY).unwrap_or(0),
        mark: number(rest, FRA_FWMARK).unwrap_or(0),
        mask: number(rest, FRA_FWMASK).unwrap_or(0),
        iif: string(rest, FRA_IIFNAME),
        is_narrow: destination_bits != 0 || oif || suppressed || action != FR_ACT_TO_TBL,
        table: number(rest, FRA_TABLE).unwrap_or(u32::from(message[4])),
    })
}

/// Adds a rule.
pub fn add(rule: &Rule) -> NetlinkRequest {
    NetlinkRequest::create(libc::RTM_NEWRULE, body(rule))
}

/// Removes a rule.
pub fn delete(rule: &Rule) -> NetlinkRequest {
    NetlinkRequest::change(libc::RTM_DELRULE, body(rule))
}

fn body(rule: &Rule) -> Body {
    let mut header = [0; HEADER_BYTES];
    header[0] = family_number(rule.family);
    header[7] = FR_ACT_TO_TBL;
    #[cfg(feature = "endpoint")]
    if let Selector::From(prefix) = &rule.selector {
        header[2] = prefix.length;
    }
    let body = Body::new(&header).number(FRA_PRIORITY, rule.priority).number(FRA_TABLE, rule.table);
    let body = body.attribute(FRA_PROTOCOL, &[ROUTE_PROTOCOL]);
    match &rule.selector {
        Selector::Mark(mark) => body.number(FRA_FWMARK, *mark).number(FRA_FWMASK, *mark),
        Selector::Oif(dev) => body.string(FRA_OIFNAME, dev),
        #[cfg(feature = "endpoint")]
        Selector::From(prefix) => body.attribute(FRA_SRC, &super::addr::octets(prefix.address)),
    }
}

fn family_number(family: Family) -> u8 {
    (if family == Family::V4 { libc::AF_INET } else { libc::AF_INET6 }) as u8
}

/// `struct fib_rule_hdr` and the attributes of include/uapi/linux/fib_rules.h.
const HEADER_BYTES: usize = 12;
const FR_ACT_TO_TBL: u8 = 1;
#[cfg(feature = "endpoint")]
const FRA_SRC: u16 = 2;
const FRA_IIFNAME: u16 = 3;
const FRA_PRIORITY: u16 = 6;
const FRA_FWMARK: u16 = 10;
const FRA_SUPPRESS_PREFIXLEN: u16 = 14;
const FRA_TABLE: u16 = 15;
const FRA_FWMASK: u16 = 16;
const FRA_OIFNAME: u16 = 17;
const FRA_PROTOCOL: u16 = 21;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rule_reads_back_as_it_was_written() {
        for (family, selector) in
            [(Family::V4, Selector::Oif("mpwg0".into())), (Family::V6, Selector::Mark(0x0100_0000))]
        {
            let rule = Rule { family, priority: 28_011, selector, table: 28_016 };
            assert_eq!(parse(&body(&rule).0), Some(rule));
        }
    }

    #[cfg(all(feature = "endpoint", target_endian = "little"))]
    #[test]
    fn a_rule_for_a_network_is_added_as_ip_adds_it() {
        let prefix = Prefix { address: [10, 77, 0, 4].into(), length: 30 };
        let rule = Rule { family: Family::V4, priority: 912, selector: Selector::From(prefix), table: 28_017 };
        assert_eq!(parse(&body(&rule).0), Some(rule.clone()));
        // ip rule add from 10.77.0.4/30 lookup 28017 priority 912 protocol 109
        let layout = crate::sys::netlink::golden::Layout { header_bytes: HEADER_BYTES, nested: &[] };
        let golden = "3c000000 20000506 03c3086b 00000000 02001e00 00000001 00000000 08000200 0a4d0004 08000f00 \
            716d0000 08000600 90030000 05001500 6d000000";
        assert_eq!(layout.ours(&add(&rule)), layout.golden(golden));
        let v6 = Prefix { address: "fd77::4".parse().unwrap(), length: 128 };
        let rule = Rule { family: Family::V6, selector: Selector::From(v6), ..rule };
        assert_eq!(parse(&body(&rule).0), Some(rule));
    }

    #[test]
    fn rules_of_other_programs_are_told_apart() {
        // `ip rule add iif lan0 fwmark 0x100/0x3f00 lookup 1 priority 2001`.
        let mut header = [0; HEADER_BYTES];
        (header[0], header[7]) = (libc::AF_INET as u8, FR_ACT_TO_TBL);
        let body = Body::new(&header).number(FRA_PRIORITY, 2001).number(FRA_TABLE, 1).string(FRA_IIFNAME, "lan0");
        let body = body.number(FRA_FWMARK, 0x100).number(FRA_FWMASK, 0x3f00).attribute(FRA_PROTOCOL, &[4]);
        assert_eq!(parse(&body.0), None);
        let wanted = ForeignRule {
            ipv6: false,
            priority: 2001,
            mark: 0x100,
            mask: 0x3f00,
            iif: Some("lan0".into()),
            is_narrow: false,
            table: 1,
        };
        assert_eq!(parse_other(&body.0), Some(wanted));
        let ours = Rule { family: Family::V4, priority: 1, selector: Selector::Mark(1), table: 1 };
        assert_eq!(parse_other(&super::body(&ours).0), None);
        let for_a_socket = body.string(FRA_OIFNAME, "wan0");
        assert!(parse_other(&for_a_socket.0).is_some_and(|rule| rule.is_narrow));
    }

    #[cfg(target_endian = "little")]
    #[test]
    fn rules_are_added_and_removed_as_ip_does() {
        let layout = crate::sys::netlink::golden::Layout { header_bytes: HEADER_BYTES, nested: &[] };
        let by_mark = |family| {
            let selector = Selector::Mark(0x0100_0000);
            Rule { family, priority: 28_011, selector, table: 28_016 }
        };
        // ip rule add fwmark 0x1000000/0x1000000 lookup 28016 priority 28011 protocol 109
        let golden = "44000000 20000506 03c3086b 00000000 02000000 00000001 00000000 08000a00 00000001 08001000 \
            00000001 08000f00 706d0000 08000600 6b6d0000 05001500 6d000000";
        assert_eq!(layout.ours(&add(&by_mark(Family::V4))), layout.golden(golden));
        // ip -6 rule add fwmark 0x1000000/0x1000000 lookup 28016 priority 28011 protocol 109
        let golden = "44000000 20000506 03c3086b 00000000 0a000000 00000001 00000000 08000a00 00000001 08001000 \
            00000001 08000f00 706d0000 08000600 6b6d0000 05001500 6d000000";
        assert_eq!(layout.ours(&add(&by_mark(Family::V6))), layout.golden(golden));
        // ip -6 rule add oif mpwg0 lookup 28016 priority 28012 protocol 109
        let golden = "40000000 20000506 03c3086b 00000000 0a000000 00000001 00000000 0a001100 6d707767 30000000 \
            08000f00 706d0000 08000600 6c6d0000 05001500 6d000000";
        let by_interface =
            Rule { family: Family::V6, priority: 28_012, selector: Selector::Oif("mpwg0".into()), table: 28_016 };
        assert_eq!(layout.ours(&add(&by_interface)), layout.golden(golden));
        // ip rule del fwmark 0x1000000/0x1000000 lookup 28016 priority 28011 protocol 109
        let mut golden = layout.golden(
            "44000000 21000500 03c3086b 00000000 02000000 00000000 00000000 08000a00 00000001 08001000 \
            00000001 08000f00 706d0000 08000600 6b6d0000 05001500 6d000000",
        );
        // ip removes a rule with any action.
        golden.header[7] = FR_ACT_TO_TBL;
        assert_eq!(layout.ours(&delete(&by_mark(Family::V4))), golden);
    }
}
