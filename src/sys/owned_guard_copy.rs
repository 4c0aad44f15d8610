//! A copy of the guard table that this process owns: while the process runs, no other program can remove it, not even
//! `nft flush ruleset`. If the guard itself is flushed, the copy confines devices until the guard is back.
//!
//! An nftables table with the flag `owner` disappears with the netlink socket that created it. `nft` closes its socket
//! when it exits, so this module talks to the kernel directly. It interprets no rule: it sends the kernel's listing of
//! one table back as another table, with expressions and elements unchanged. Numbers are those of
//! include/uapi/linux/netfilter/nf_tables.h.

use std::cell::{Cell, RefCell};
use std::collections::BTreeSet;

use netlink_packet_core::NLA_F_NESTED;

use super::netlink::error::NetlinkError;
use super::netlink::message::{Body, attribute, attributes};
use super::netlink::socket::Netlink;
use crate::apply::Cause;
use crate::config::model::Mac;
use crate::plan::ASTRAY;
use crate::plan::ownership::{GUARD_TABLE, OWNED_COPY_TABLE};

/// The copy. [`OwnedGuardCopy::sync`] creates it; dropping this value removes it.
pub struct OwnedGuardCopy {
    netlink: RefCell<Netlink>,
    /// The handle of the guard that knew everything the copy knows. A guard that was loaded again has another one.
    complete_guard: Cell<Option<u64>>,
}

/// Attempts to copy a guard that changes meanwhile.
const ATTEMPTS: u8 = 5;
/// `NFT_TABLE_F_OWNER`, since Linux 5.12.
const OWNER: u32 = 1 << 1;

/// A kind of object: its message numbers, and the attributes to copy in addition to the name of the table, which comes
/// first in each message.
struct ObjectKind {
    new: u16,
    list: u16,
    copied: &'static [u16],
}

/// `NFTA_CHAIN_*`: name, hook, policy, type.
const CHAIN: ObjectKind = ObjectKind { new: 3, list: 4, copied: &[3, 4 | NLA_F_NESTED, 5, 7] };
/// `NFTA_RULE_*`: chain, expressions, user data.
const RULE: ObjectKind = ObjectKind { new: 6, list: 7, copied: &[2, 4 | NLA_F_NESTED, 7] };
/// `NFTA_SET_*`: name, flags, types and lengths of keys and data, policy, description, timeout, garbage collection
/// interval, user data.
const SET: ObjectKind =
    ObjectKind { new: 9, list: 10, copied: &[SET_NAME, 3, 4, 5, 6, 7, 8, 9 | NLA_F_NESTED, 11, 12, 13] };
/// `NFTA_SET_ELEM_LIST_*`: set, elements.
const ELEMENTS: ObjectKind = ObjectKind { new: 12, list: 13, copied: &[ELEMENTS_SET, 3 | NLA_F_NESTED] };

const NEW_TABLE: u16 = 0;
const GET_TABLE: u16 = 1;
const DELETE_TABLE: u16 = 2;
const GET_GENERATION: u16 = 16;

/// `NFTA_GEN_ID`.
const GENERATION_NUMBER: u16 = 1;
const TABLE_NAME: u16 = 1;
const TABLE_FLAGS: u16 = 2;
const TABLE_HANDLE: u16 = 4;
const TABLE_USERDATA: u16 = 6;
const SET_NAME: u16 = 2;
const SET_ID: u16 = 10;
const ELEMENTS_SET: u16 = 2;
const ELEMENTS_LIST: u16 = 3;
const ELEMENT: u16 = 1;
const ELEMENT_KEY: u16 = 1;
const DATA_VALUE: u16 = 1;

impl OwnedGuardCopy {
    /// Checks that the kernel supports owned tables. Fails if it does not, or if another process owns the copy.
    pub fn open() -> Result<OwnedGuardCopy, Cause> {
        let mut netlink = Netlink::open(libc::NETLINK_NETFILTER as isize)?;
        netlink.transact(None, &[(NEW_TABLE, copy_table(None)), (DELETE_TABLE, of_table(OWNED_COPY_TABLE))])?;
        Ok(OwnedGuardCopy { netlink: RefCell::new(netlink), complete_guard: Cell::new(None) })
    }

    /// Replaces the copy with one of the loaded guard, atomically. Returns whether the copy changed. Without a loaded
    /// guard the copy stays as it is. The process that opened this value owns the copy; a forked child may also call
    /// this.
    pub fn sync(&self) -> Result<bool, Cause> {
        self.attempt(|netlink| {
            let generation = generation(netlink)?;
            let Some(guard) = table(netlink, GUARD_TABLE)? else { return Ok(false) };
            // Comparing the comment with its fingerprints is enough, since only this process can change the copy.
            let copy = table(netlink, OWNED_COPY_TABLE)?;
            if !guard.userdata.is_empty() && copy.is_some_and(|copy| copy.userdata == guard.userdata) {
                return Ok(false);
            }
            replace(netlink, generation, &guard)
        })
    }

    /// As [`OwnedGuardCopy::sync`], and copies again what the guard has learned since. First restores `sets` as
    /// [`OwnedGuardCopy::restore_learned`] does if the guard was loaded again since that was called.
    pub fn sync_learned(&self, sets: &[&str]) -> Result<bool, Cause> {
        self.attempt(|netlink| {
            let mut generation = generation(netlink)?;
            let Some(guard) = table(netlink, GUARD_TABLE)? else { return Ok(false) };
            if self.complete_guard.get() != Some(guard.handle) && self.restore(netlink, generation, sets)? {
                generation = self::generation(netlink)?;
                // Loaded once more in between?
                if table(netlink, GUARD_TABLE)? != Some(guard.clone()) {
                    return Err(NetlinkError::Changing);
                }
            }
            replace(netlink, generation, &guard)
        })
    }

    /// Adds to these sets of the guard what only the copy still knows, with the time that is left for it. Another
    /// program may have loaded the guard again from its file, which leaves out the addresses that devices have shown.
    /// Does nothing without a copy of the same guard. Returns whether the guard changed.
    pub fn restore_learned(&self, sets: &[&str]) -> Result<bool, Cause> {
        self.attempt(|netlink| {
            let generation = generation(netlink)?;
            self.restore(netlink, generation, sets)
        })
    }

    fn restore(&self, netlink: &mut Netlink, generation: u32, sets: &[&str]) -> Result<bool, NetlinkError> {
        let Some(guard) = table(netlink, GUARD_TABLE)? else { return Ok(false) };
        let mut transaction = Vec::new();
        let copy = table(netlink, OWNED_COPY_TABLE)?;
        let sets = if copy.is_some_and(|copy| copy.userdata == guard.userdata) { sets } else { &[] };
        for set in sets {
            let known = elements_of(netlink, GUARD_TABLE, set)?;
            // A device may have filled the set.
            let keys: BTreeSet<_> = known.iter().map(|element| attribute(element, ELEMENT_KEY)).collect();
            let mut missing = elements_of(netlink, OWNED_COPY_TABLE, set)?;
            missing.retain(|element| !keys.contains(&attribute(element, ELEMENT_KEY)));
            if !missing.is_empty() {
                let list =
                    missing.iter().fold(Body::default(), |list, one| list.attribute(ELEMENT | NLA_F_NESTED, one));
                let elements = of_table(GUARD_TABLE).string(ELEMENTS_SET, set).nest(ELEMENTS_LIST, list);
                transaction.push((ELEMENTS.new, elements));
            }
        }
        if !transaction.is_empty() {
            netlink.transact(Some(generation), &transaction)?;
        }
        self.complete_guard.set(Some(guard.handle));
        Ok(!transaction.is_empty())
    }

    /// The shaped devices whose packets the copy has refused because they were routed past the tunnel. The copy sees
    /// packets before the guard does. Empty if there is no copy.
    pub fn astray(&self) -> Vec<Mac> {
        let mut netlink = self.netlink.borrow_mut();
        netlink.drain();
        let elements = elements_of(&mut netlink, OWNED_COPY_TABLE, ASTRAY).unwrap_or_default();
        let keys = elements.iter().filter_map(|element| attribute(element, ELEMENT_KEY));
        keys.filter_map(|key| attribute(key, DATA_VALUE)?.try_into().ok().map(Mac)).collect()
    }

    /// Repeats what the kernel refuses with `ERESTART` because the ruleset changed between the first listing and the
    /// transaction: the listings might be those of a guard that somebody was just deleting.
    fn attempt(&self, mut once: impl FnMut(&mut Netlink) -> Result<bool, NetlinkError>) -> Result<bool, Cause> {
        let mut netlink = self.netlink.borrow_mut();
        // A child that was killed during a call may have left answers behind.
        netlink.drain();
        for _ in 0..ATTEMPTS {
            match once(&mut netlink) {
                Err(NetlinkError::Changing) => {}
                Err(error) if error.errno() == Some(libc::ERESTART) => {}
                result => return Ok(result?),
            }
        }
        Err(NetlinkError::Changing.into())
    }
}

/// Replaces the copy with one of this guard.
fn replace(netlink: &mut Netlink, generation: u32, guard: &Table) -> Result<bool, NetlinkError> {
    let transaction = copy_transaction(netlink, &guard.userdata)?;
    netlink.transact(Some(generation), &transaction)?;
    Ok(true)
}

/// The number of the ruleset's generation, which grows with each transaction, but not with what rules learn.
fn generation(netlink: &mut Netlink) -> Result<u32, NetlinkError> {
    let mut number = None;
    netlink.query(message(GET_GENERATION), &of_family(libc::NFPROTO_UNSPEC as u8), |generation| {
        let bytes = attribute(body(generation), GENERATION_NUMBER).and_then(|value| value.try_into().ok());
        number = bytes.map(u32::from_be_bytes);
    })?;
    number.ok_or(NetlinkError::Malformed)
}

/// The attributes of each element of a set.
fn elements_of(netlink: &mut Netlink, table: &str, set: &str) -> Result<Vec<Vec<u8>>, NetlinkError> {
    let lists = netlink.dump(message(ELEMENTS.list), &of_table(table).string(ELEMENTS_SET, set))?;
    let lists = lists.iter().filter_map(|list| attribute(body(list), ELEMENTS_LIST));
    Ok(lists.flat_map(attributes).map(|(_, element)| element.to_vec()).collect())
}

/// What tells one table from another of the same name.
#[derive(Clone, PartialEq, Eq)]
struct Table {
    /// The comment, empty if there is none.
    userdata: Vec<u8>,
    /// Another one after each load.
    handle: u64,
}

fn table(netlink: &mut Netlink, name: &str) -> Result<Option<Table>, NetlinkError> {
    let mut found = None;
    match netlink.query(message(GET_TABLE), &of_table(name), |table| {
        let userdata = attribute(body(table), TABLE_USERDATA).unwrap_or_default().to_vec();
        let handle = attribute(body(table), TABLE_HANDLE).and_then(|value| value.try_into().ok());
        found = Some(Table { userdata, handle: handle.map_or(0, u64::from_be_bytes) });
    }) {
        Err(error) if error.errno() == Some(libc::ENOENT) => Ok(None),
        result => result.map(|()| found),
    }
}

/// The transaction that replaces the copy with one of the loaded guard.
fn copy_transaction(netlink: &mut Netlink, userdata: &[u8]) -> Result<Vec<(u16, Body)>, NetlinkError> {
    // Creating the table first lets the deletion succeed even if there is no copy.
    let (created, deleted) = (copy_table(None), of_table(OWNED_COPY_TABLE));
    let table = copy_table(Some(userdata));
    let mut transaction = vec![(NEW_TABLE, created), (DELETE_TABLE, deleted), (NEW_TABLE, table)];
    let mut list = |kind: &ObjectKind, of: Body| -> Result<Vec<Vec<u8>>, NetlinkError> {
        let mut objects = netlink.dump(message(kind.list), &of)?;
        // The kernel lists the chains of all tables.
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
    // Rules come last: they refer to all other objects, and a set that a rule uses may accept no new elements.
    let rules = list(&RULE, of_table(GUARD_TABLE))?;
    transaction.extend(rules.iter().map(|rule| RULE.copy_of(rule)));
    Ok(transaction)
}

impl ObjectKind {
    /// The message that creates the same object in the copy.
    fn copy_of(&self, object: &[u8]) -> (u16, Body) {
        let copied = attributes(body(object)).filter_map(|(kind, value)| {
            let kind = self.copied.iter().find(|copied| **copied & !NLA_F_NESTED == kind)?;
            Some((*kind, value))
        });
        let copy = copied.fold(of_table(OWNED_COPY_TABLE), |copy, (kind, value)| copy.attribute(kind, value));
        (self.new, copy)
    }
}

/// The full number of an nf_tables message.
fn message(kind: u16) -> u16 {
    (libc::NFNL_SUBSYS_NFTABLES as u16) << 8 | kind
}

/// `struct nfgenmsg`.
fn of_family(family: u8) -> Body {
    Body::new(&[family, 0, 0, 0])
}

/// `struct nfgenmsg` of family `inet`, and the table's name.
fn of_table(name: &str) -> Body {
    of_family(libc::NFPROTO_INET as u8).string(TABLE_NAME, name)
}

fn copy_table(userdata: Option<&[u8]>) -> Body {
    let table = of_table(OWNED_COPY_TABLE).attribute(TABLE_FLAGS, &OWNER.to_be_bytes());
    match userdata {
        Some(userdata) if !userdata.is_empty() => table.attribute(TABLE_USERDATA, userdata),
        _ => table,
    }
}

/// The attributes after `struct nfgenmsg`.
fn body(object: &[u8]) -> &[u8] {
    object.get(4..).unwrap_or_default()
}

fn with_zero(name: &str) -> Vec<u8> {
    [name.as_bytes(), &[0]].concat()
}
