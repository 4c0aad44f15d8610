//! A first pass over a capture: which packets are copies of others, and where the clock was set.

use std::collections::{BTreeMap, VecDeque};
use std::net::IpAddr;
use std::path::Path;

use super::frame::{Frame, IpHeader};
use super::read::{CapturedPacket, read_quietly};
use crate::lab::error::Error;

/// A copy of a packet on another interface of the same host follows within this time.
const COPY_WINDOW_NS: u64 = 100_000;
/// At most this many packets are compared with the next one.
const MAX_COMPARED: usize = 64;
/// The packets of a flow count as copied if at least this many in a hundred are copies: half of them if each is there
/// twice, a few less if the capturing host lost some. By chance, equal packets follow each other more rarely.
const COPIED_PERCENT: u64 = 40;
/// Bytes after the IP header that must be captured for a comparison, unless the packet is captured completely.
const MIN_COMPARED_BYTES: usize = 24;
/// A clock before 2001 was not yet set: it started at 1970.
const CLOCK_IS_SET_NS: u64 = 978_307_200_000_000_000;
const DAY_NS: u64 = 86_400_000_000_000;
/// A clock that goes back by more than this was set; interfaces that are read in turn disagree by less.
const MIN_STEP_BACK_NS: u64 = 10_000_000_000;
/// With more steps back than this, the file is not in order of time at all.
const MAX_STEPS_BACK: usize = 8;

/// What the first pass found.
#[derive(Debug, Default)]
pub(super) struct Survey {
    /// Indices of the packets that are copies, ascending.
    pub(super) copies: Vec<u64>,
    /// Where the clock was set, ascending.
    pub(super) steps: Vec<ClockStep>,
}

/// A moment at which the capturing host's clock was set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct ClockStep {
    /// Index of the first packet with the new time.
    pub(super) index: u64,
    /// Timestamps before and after, in nanoseconds of Unix time.
    pub(super) from_to_ns: (u64, u64),
}

/// Reads the capture at `path` once. Ignores damage, which the second pass finds too.
pub(super) fn survey(path: &Path) -> Result<Survey, Error> {
    let mut copies = CopyFinder::default();
    let mut clock = ClockWatch::default();
    let mut index = 0;
    read_quietly(path, |packet| {
        clock.handle(index, packet.time_ns);
        copies.handle(index, &packet);
        index += 1;
        Ok(())
    })?;
    Ok(Survey { copies: copies.finish(), steps: clock.finish(index) })
}

/// A pair of addresses: source and destination.
type AddressPair = (IpAddr, IpAddr);

/// Finds packets that are in the capture more than once, as those of a bridge and of its port.
#[derive(Default)]
struct CopyFinder {
    recent: VecDeque<RecentPacket>,
    found: Vec<(u64, AddressPair)>,
    /// Number of packets and of copies of each flow.
    flows: BTreeMap<AddressPair, (u64, u64)>,
}

struct RecentPacket {
    time_ns: u64,
    ip_bytes: usize,
    data: Vec<u8>,
}

impl CopyFinder {
    fn handle(&mut self, index: u64, packet: &CapturedPacket<'_>) {
        let Some(frame) = packet.frame() else { return };
        let Some(ip) = frame.ip() else { return };
        let flow = (ip.source, ip.destination);
        let counts = self.flows.entry(flow).or_default();
        counts.0 += 1;
        let ip_bytes = packet.orig_len.saturating_sub(frame.header_bytes);
        if !is_comparable(packet, &frame, &ip) {
            return;
        }
        let now = packet.time_ns;
        while self.recent.front().is_some_and(|old| old.time_ns.abs_diff(now) > COPY_WINDOW_NS)
            || self.recent.len() >= MAX_COMPARED
        {
            self.recent.pop_front();
        }
        let same = |old: &RecentPacket| {
            old.time_ns.abs_diff(now) <= COPY_WINDOW_NS && old.ip_bytes == ip_bytes && old.data == frame.payload
        };
        if self.recent.iter().any(same) {
            counts.1 += 1;
            self.found.push((index, flow));
        } else {
            self.recent.push_back(RecentPacket { time_ns: now, ip_bytes, data: frame.payload.to_vec() });
        }
    }

    fn finish(self) -> Vec<u64> {
        let is_copied = |flow: &AddressPair| {
            self.flows.get(flow).is_some_and(|(packets, copies)| copies * 100 >= packets * COPIED_PERCENT)
        };
        self.found.iter().filter(|(_, flow)| is_copied(flow)).map(|(index, _)| *index).collect()
    }
}

/// Whether enough of the packet was captured to tell it from another one of the same flow.
fn is_comparable(packet: &CapturedPacket<'_>, frame: &Frame<'_>, ip: &IpHeader<'_>) -> bool {
    packet.data.len() >= packet.orig_len.max(frame.header_bytes + 1) || ip.payload.len() >= MIN_COMPARED_BYTES
}

/// Finds the moments at which the clock was set.
#[derive(Default)]
struct ClockWatch {
    previous_ns: Option<u64>,
    steps: Vec<ClockStep>,
    steps_back: usize,
}

impl ClockWatch {
    fn handle(&mut self, index: u64, time_ns: u64) {
        let Some(previous_ns) = self.previous_ns.replace(time_ns) else { return };
        let was_set = previous_ns < CLOCK_IS_SET_NS && time_ns.saturating_sub(previous_ns) > DAY_NS;
        let went_back = previous_ns.saturating_sub(time_ns) > MIN_STEP_BACK_NS;
        self.steps_back += usize::from(went_back);
        // A file in no order would fill the memory with steps.
        if (was_set || went_back) && self.steps_back <= MAX_STEPS_BACK {
            self.steps.push(ClockStep { index, from_to_ns: (previous_ns, time_ns) });
        }
    }

    fn finish(self, packets: u64) -> Vec<ClockStep> {
        // Steps back in a good part of all packets are no steps: several recordings were mixed, and sorting is right.
        let unordered = self.steps_back > MAX_STEPS_BACK || self.steps_back as u64 * 20 > packets;
        if unordered { Vec::new() } else { self.steps }
    }
}
