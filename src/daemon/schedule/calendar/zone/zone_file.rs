//! Files with a time zone (RFC 8536), such as `/etc/localtime`.

use super::rule::ZoneRule;

/// Bytes of a header up to its six counters, and in all.
const COUNTERS: usize = 20;
const HEADER_BYTES: usize = 44;

/// The changes of the clock in a file, each with the offset before it, and the rule after the last one.
#[derive(Clone, Debug)]
pub struct ZoneFile {
    /// The times in seconds of Unix time, in order, and the seconds by which local time was ahead before.
    pub changes: Vec<(i64, i64)>,
    /// The rule after the last change.
    pub rule: ZoneRule,
}

impl ZoneFile {
    /// Parses a file; `None` if it is damaged. Leap seconds are ignored.
    pub fn parse(data: &[u8]) -> Option<ZoneFile> {
        let (file, rest) = parse_block(data, 4)?;
        // From version 2 on, a block with times of eight bytes and a rule follow.
        if data[4] < b'2' {
            return Some(file);
        }
        let (file, rule) = parse_block(rest, 8)?;
        match std::str::from_utf8(rule).ok()?.trim() {
            "" => Some(file),
            rule => Some(ZoneFile { rule: ZoneRule::parse(rule)?, ..file }),
        }
    }
}

/// Parses a header and its data, and returns the bytes after them.
fn parse_block(data: &[u8], time_bytes: usize) -> Option<(ZoneFile, &[u8])> {
    let (header, mut rest) = data.split_at_checked(HEADER_BYTES)?;
    if !header.starts_with(b"TZif") {
        return None;
    }
    let mut counters = header[COUNTERS..].chunks_exact(4).map(|bytes| big_endian(bytes) as usize);
    let [universal, standard, leaps, times, kinds, letters] = std::array::from_fn(|_| counters.next().unwrap_or(0));
    let mut take = |count: usize, bytes: usize| {
        let (taken, left) = rest.split_at_checked(count.saturating_mul(bytes))?;
        rest = left;
        Some(taken)
    };
    let (times, kind_of_time, kinds) = (take(times, time_bytes)?, take(times, 1)?, take(kinds, 6)?);
    for (count, bytes) in [(letters, 1), (leaps, time_bytes + 4), (standard, 1), (universal, 1)] {
        take(count, bytes)?;
    }
    let offset = |kind: u8| kinds.chunks_exact(6).nth(kind.into()).map(|kind| big_endian(&kind[..4]));
    let mut changes = Vec::new();
    let mut before = offset(0)?;
    for (time, kind) in times.chunks_exact(time_bytes).zip(kind_of_time) {
        changes.push((big_endian(time), before));
        before = offset(*kind)?;
    }
    Some((ZoneFile { changes, rule: ZoneRule::fixed(before) }, rest))
}

/// A signed number.
fn big_endian(bytes: &[u8]) -> i64 {
    let sign = if bytes[0] < 0x80 { 0 } else { -1 };
    bytes.iter().fold(sign, |number, byte| number << 8 | i64::from(*byte))
}
