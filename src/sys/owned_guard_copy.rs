//! A copy of the guard's table that belongs to this process: as long as it runs, nobody else can remove it, not by
//! `nft flush ruleset` either. Where the guard itself is flushed away, the copy confines until it is back.
//!
//! An nftables table with the flag `owner` goes with the socket that made it. `nft` closes its own when it ends, so this
//! speaks to the kernel itself. It knows no rule: what the kernel lists of one table is sent back to it as another,
//! expressions and elements as they are. Numbers are those of include/uapi/linux/netfilter/nf_tables.h.

use std::cell::RefCell;

use netlink_packet_core::NLA_F_NESTED;
use nix::libc;

use super::netlink::{Body, Netlink, NetlinkError, attribute, attributes};
use crate::apply::Cause;
use crate::plan::ownership::{GUARD_TABLE, HELD_TABLE};

/// The copy, of which there is none at first. Whoever drops it removes it.
pub struct OwnedGuardCopy(RefCell<Netlink>);

/// `NFT_TABLE_F_OWNER`, since Linux 5.12.
const OWNER: u32 = 1 << 1;

/// What an object is called in messages, and what is copied of it beside the name of its table, which comes first in
/// each.
struct ObjectKind {
    new: u16,
    list: u16,
    copied: &'static [u16],
}

/// `NFTA_CHAIN_*`: name, hook, policy, type.
const CHAIN: ObjectKind = ObjectKind { new: 3, list: 4, copied: &[3, 4 | NLA_F_NESTED, 5, 7] };
/// `NFTA_RULE_*`: its chain, expressions, user data.
const RULE: ObjectKind = ObjectKind { new: 6, list: 7, copied: &[2, 4 | NLA_F_NESTED, 7] };
/// `NFTA_SET_*`: name, flags, types and lengths of keys and data, policy, description, timeout, interval of collection,
/// user data.
const SET: ObjectKind =
    ObjectKind { new: 9, list: 10, copied: &[SET_NAME, 3, 4, 5, 6, 7, 8, 9 | NLA_F_NESTED, 11, 12, 13] };
/// `NFTA_SET_ELEM_LIST_*`: the set, elements.
const ELEMENTS: ObjectKind = ObjectKind { new: 12, list: 13, copied: &[ELEMENTS_SET, 3 | NLA_F_NESTED] };

const NEW_TABLE: u16 = 0;
const GET_TABLE: u16 = 1;
const DELETE_TABLE: u16 = 2;

const TABLE_NAME: u16 = 1;
const TABLE_FLAGS: u16 = 2;
const TABLE_USERDATA: u16 = 6;
const SET_NAME: u16 = 2;
const SET_ID: u16 = 10;
const ELEMENTS_SET: u16 = 2;

impl OwnedGuardCopy {
    /// Finds out whether this kernel knows such tables. Fails where it does not, or where another process holds one.
    pub fn open() -> Result<OwnedGuardCopy, Cause> {
        let mut netlink = Netlink::open(libc::NETLINK_NETFILTER as isize)?;
        netlink.transact(&[(NEW_TABLE, held_table(None)), (DELETE_TABLE, of_table(HELD_TABLE))])?;
        Ok(OwnedGuardCopy(RefCell::new(netlink)))
    }

    /// Makes the copy one of the guard that stands, all at once; gives whether it was another. Where no guard stands the
    /// copy stays as it is. The copy is the process's that opened this, a child of its may do it too.
    pub fn follow(&self) -> Result<bool, Cause> {
        let mut netlink = self.0.borrow_mut();
        // A child that was ended at this work has left answers behind.
        netlink.drain();
        let marks = |netlink: &mut Netlink, name| -> Result<Option<Vec<u8>>, NetlinkError> {
            let mut userdata = None;
            match netlink.query(message(GET_TABLE), &of_table(name), |table| {
                userdata = Some(attribute(body(table), TABLE_USERDATA).unwrap_or_default().to_vec());
            }) {
                Err(error) if error.errno() == Some(libc::ENOENT) => Ok(None),
                asked => asked.map(|()| userdata),
            }
        };
        let Some(wanted) = marks(&mut netlink, GUARD_TABLE)? else { return Ok(false) };
        // The comment, with its fingerprints, stands for all of it: nobody but us can have changed the copy.
        if !wanted.is_empty() && marks(&mut netlink, HELD_TABLE)?.as_ref() == Some(&wanted) {
            return Ok(false);
        }
        let transaction = copy(&mut netlink, &wanted)?;
        netlink.transact(&transaction)?;
        Ok(true)
    }
}

/// The transaction that puts a copy of the guard into the place of the one before.
fn copy(netlink: &mut Netlink, userdata: &[u8]) -> Result<Vec<(u16, Body)>, NetlinkError> {
    let (named, emptied) = (held_table(None), of_table(HELD_TABLE));
    let table = held_table(Some(userdata));
    let mut transaction = vec![(NEW_TABLE, named), (DELETE_TABLE, emptied), (NEW_TABLE, table)];
    let mut list = |kind: &ObjectKind, of: Body| -> Result<Vec<Vec<u8>>, NetlinkError> {
        let mut objects = netlink.dump(message(kind.list), &of)?;
        // Chains are listed whatever their table.
        objects.retain(|object| attribute(body(object), TABLE_NAME) == Some(with_zero(GUARD_TABLE).as_slice()));
        Ok(objects)
    };
    let chains = list(&CHAIN, of_table(GUARD_TABLE))?;
    transaction.extend(chains.iter().map(|chain| CHAIN.copy_of(chain)));
    for (id, set) in (1..).zip(list(&SET, of_table(GUARD_TABLE))?) {
        let (new, copied) = SET.copy_of(&set);
        transaction.push((new, copied.attribute(SET_ID, &u32::to_be_bytes(id))));
        let Some(name) = attribute(body(&set), SET_NAME) else { continue };
        let elements = list(&ELEMENTS, of_table(GUARD_TABLE).attribute(ELEMENTS_SET, name))?;
        transaction.extend(elements.iter().map(|elements| ELEMENTS.copy_of(elements)));
    }
    // Last, since they name all the others, and a set that a rule uses may be closed to new elements.
    let rules = list(&RULE, of_table(GUARD_TABLE))?;
    transaction.extend(rules.iter().map(|rule| RULE.copy_of(rule)));
    Ok(transaction)
}

impl ObjectKind {
    /// The message that makes the same in the copy.
    fn copy_of(&self, object: &[u8]) -> (u16, Body) {
        let copied = attributes(body(object)).filter_map(|(kind, value)| {
            let kind = self.copied.iter().find(|copied| **copied & !NLA_F_NESTED == kind)?;
            Some((*kind, value))
        });
        let copy = copied.fold(of_table(HELD_TABLE), |copy, (kind, value)| copy.attribute(kind, value));
        (self.new, copy)
    }
}

/// The number of a message of nf_tables'.
fn message(kind: u16) -> u16 {
    (libc::NFNL_SUBSYS_NFTABLES as u16) << 8 | kind
}

/// `struct nfgenmsg` of family `inet`, and the table's name.
fn of_table(name: &str) -> Body {
    Body::new(&[libc::NFPROTO_INET as u8, 0, 0, 0]).string(TABLE_NAME, name)
}

fn held_table(userdata: Option<&[u8]>) -> Body {
    let table = of_table(HELD_TABLE).attribute(TABLE_FLAGS, &OWNER.to_be_bytes());
    match userdata {
        Some(userdata) if !userdata.is_empty() => table.attribute(TABLE_USERDATA, userdata),
        _ => table,
    }
}

/// The attributes behind `struct nfgenmsg`.
fn body(object: &[u8]) -> &[u8] {
    object.get(4..).unwrap_or_default()
}

fn with_zero(name: &str) -> Vec<u8> {
    [name.as_bytes(), &[0]].concat()
}
