//! Accounts for packets: how many a command read, how many it used, and why it skipped the others.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// What a reader did with a packet: used it, or skipped it for a reason such as `not IP`, which completes the phrase
/// "12 packets ...".
pub type PacketUse = Result<(), &'static str>;

/// The packets of one or more captures.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PacketTally {
    captures: u64,
    used: u64,
    skipped: BTreeMap<&'static str, u64>,
}

/// What this process read, and remarks about it. A reader that fails still shows up here.
#[derive(Debug, Default)]
struct Account {
    tally: PacketTally,
    remarks: Vec<String>,
}

static ACCOUNT: Mutex<Account> = Mutex::new(Account { tally: PacketTally::EMPTY, remarks: Vec::new() });

impl PacketTally {
    const EMPTY: PacketTally = PacketTally { captures: 0, used: 0, skipped: BTreeMap::new() };

    /// A capture of which no packet has been read yet.
    pub(super) fn of_one_capture() -> PacketTally {
        PacketTally { captures: 1, ..PacketTally::EMPTY }
    }

    /// Counts a packet.
    pub(super) fn count(&mut self, result: PacketUse) {
        match result {
            Ok(()) => self.used += 1,
            Err(reason) => *self.skipped.entry(reason).or_default() += 1,
        }
    }

    /// Counts `packets` of the used ones as skipped, because the reader learned only later that it has no use for them.
    pub fn reclassify(&mut self, packets: u64, reason: &'static str) {
        let packets = packets.min(self.used);
        if packets > 0 {
            self.used -= packets;
            *self.skipped.entry(reason).or_default() += packets;
        }
    }

    /// Number of packets that were used.
    pub fn used(&self) -> u64 {
        self.used
    }

    /// Number of packets that were skipped for a reason.
    pub fn skipped(&self, reason: &str) -> u64 {
        self.skipped.get(reason).copied().unwrap_or(0)
    }

    /// Number of packets, used or skipped.
    pub fn read(&self) -> u64 {
        self.used + self.skipped.values().sum::<u64>()
    }

    /// Adds the packets to what this process read.
    pub(super) fn publish(&self) {
        let mut account = account();
        account.tally.captures += self.captures;
        account.tally.used += self.used;
        for (reason, count) in &self.skipped {
            *account.tally.skipped.entry(reason).or_default() += count;
        }
    }
}

/// Returns the remarks about what this process read, and a line that accounts for all its packets; none if it read no
/// capture.
pub fn account_lines() -> Vec<String> {
    let account = account();
    let total = (account.tally.captures > 0).then(|| account.tally.to_string());
    account.remarks.iter().cloned().chain(total).collect()
}

/// Adds a remark about a capture that [`account_lines`] returns.
pub fn remark(text: String) {
    account().remarks.push(text);
}

fn account() -> MutexGuard<'static, Account> {
    ACCOUNT.lock().unwrap_or_else(PoisonError::into_inner)
}

impl fmt::Display for PacketTally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let captures = if self.captures == 1 { "capture" } else { "captures" };
        write!(f, "used {} of {} packets in {} {captures}", self.used, self.read(), self.captures)?;
        let mut most_first: Vec<_> = self.skipped.iter().collect();
        most_first.sort_by_key(|(_, count)| std::cmp::Reverse(**count));
        for (index, (reason, count)) in most_first.into_iter().enumerate() {
            write!(f, "{} {count} {reason}", if index == 0 { "; skipped" } else { "," })?;
        }
        Ok(())
    }
}
