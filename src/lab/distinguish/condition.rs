//! The tunnel's packets under one condition.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use super::tunnel::{Cell, TunnelCapture};
use crate::lab::error::Error;
use crate::lab::trace::Direction;
use crate::lab::trains::Trains;

/// The tunnel's packets under one condition, split into uninterrupted stretches of time.
#[derive(Clone, Debug, Default)]
pub struct Condition {
    /// Stretches in order of time.
    pub stretches: Vec<Stretch>,
    /// Number of the home's packets outside the tunnel.
    pub strays: usize,
    /// Number of handshake packets in each direction.
    pub handshakes: [usize; 2],
    /// Pairs of traffic class and hop limit in the data packets of each direction.
    pub class_and_hops: [BTreeSet<(u8, u8)>; 2],
    /// Number of trains without all their cells in each direction; see [`Condition::by_train`].
    pub short_trains: [usize; 2],
    /// Time from the first to the last cell of each train in milliseconds, in each direction.
    pub train_lengths_ms: [Vec<f64>; 2],
}

/// An uninterrupted stretch of time.
#[derive(Clone, Debug, Default)]
pub struct Stretch {
    /// Data packets in order of time.
    pub cells: Vec<Cell>,
}

impl Condition {
    /// Returns the whole capture as one condition, with a stretch before and after each interruption.
    pub fn whole(tunnel: &TunnelCapture) -> Condition {
        let (strays, class_and_hops) = (tunnel.strays.len(), tunnel.class_and_hops.clone());
        let mut condition = Condition { strays, class_and_hops, ..Condition::default() };
        let uninterrupted = |a: &Cell, b: &Cell| !tunnel.is_interrupted(a.time_ns, b.time_ns);
        condition.stretches =
            tunnel.cells.chunk_by(uninterrupted).map(|cells| Stretch { cells: cells.to_vec() }).collect();
        for (_, direction) in &tunnel.handshakes {
            condition.handshakes[*direction as usize] += 1;
        }
        condition
    }

    /// Splits a capture into the times outside the given spans and those inside. Spans are in nanoseconds of Unix time,
    /// ascending and disjoint.
    pub fn split(tunnel: &TunnelCapture, spans: &[(u64, u64)]) -> (Condition, Condition) {
        let inside = |time: u64| spans.iter().position(|&(start, end)| (start..end).contains(&time));
        let (mut quiet, mut eventful) = (Condition::default(), Condition::default());
        let mut last = None;
        for cell in &tunnel.cells {
            let place = inside(cell.time_ns);
            let condition = if place.is_some() { &mut eventful } else { &mut quiet };
            let continues =
                |(last_place, last_ns)| last_place == place && !tunnel.is_interrupted(last_ns, cell.time_ns);
            if !last.is_some_and(continues) {
                condition.stretches.push(Stretch::default());
            }
            last = Some((place, cell.time_ns));
            if let Some(stretch) = condition.stretches.last_mut() {
                stretch.cells.push(*cell);
            }
        }
        for &time in &tunnel.strays {
            if inside(time).is_some() { eventful.strays += 1 } else { quiet.strays += 1 }
        }
        for &(time, direction) in &tunnel.handshakes {
            let condition = if inside(time).is_some() { &mut eventful } else { &mut quiet };
            condition.handshakes[direction as usize] += 1;
        }
        // The pairs are not stored for each packet, so both conditions get all of them.
        quiet.class_and_hops = tunnel.class_and_hops.clone();
        eventful.class_and_hops = tunnel.class_and_hops.clone();
        (quiet, eventful)
    }

    /// Replaces the cells of each train by one, at the time of the first, where `trains` says how many cells leave
    /// together in each direction. It has the size of a cell that differs from most, if the train has one.
    pub fn by_train(mut self, trains: [u8; 2]) -> Condition {
        for direction in Direction::ALL {
            let way = direction as usize;
            if trains[way] <= 1 {
                continue;
            }
            let usual = self.usual_bytes(direction);
            for stretch in &mut self.stretches {
                let (own, mut cells): (Vec<Cell>, Vec<Cell>) =
                    stretch.cells.iter().copied().partition(|cell| cell.direction == direction);
                let found = Trains::of(own.iter().map(|cell| cell.time_ns), trains[way]);
                self.short_trains[way] += found.short as usize;
                self.train_lengths_ms[way].extend(found.lengths_ns.iter().map(|length_ns| *length_ns as f64 / 1e6));
                for (start_ns, length_ns) in found.starts_ns.into_iter().zip(found.lengths_ns) {
                    let from = own.partition_point(|cell| cell.time_ns < start_ns);
                    let train = own[from..].iter().take_while(|cell| cell.time_ns <= start_ns + length_ns);
                    let bytes = train.map(|cell| cell.bytes).find(|bytes| *bytes != usual).unwrap_or(usual);
                    cells.push(Cell { time_ns: start_ns, direction, bytes });
                }
                cells.sort_by_key(|cell| cell.time_ns);
                stretch.cells = cells;
            }
        }
        self
    }

    /// The most frequent size of one direction's data packets.
    fn usual_bytes(&self, direction: Direction) -> u32 {
        let mut sizes: BTreeMap<u32, usize> = BTreeMap::new();
        for cell in self.cells().filter(|cell| cell.direction == direction) {
            *sizes.entry(cell.bytes).or_default() += 1;
        }
        sizes.into_iter().max_by_key(|(_, count)| *count).map_or(0, |(bytes, _)| bytes)
    }

    /// Returns only the times inside the given spans.
    pub fn within(tunnel: &TunnelCapture, spans: &[(u64, u64)]) -> Condition {
        Condition::split(tunnel, spans).1
    }

    /// Returns the number of data packets of one direction.
    pub fn count(&self, direction: Direction) -> usize {
        self.cells().filter(|cell| cell.direction == direction).count()
    }

    /// Returns the data packets.
    pub fn cells(&self) -> impl Iterator<Item = &Cell> {
        self.stretches.iter().flat_map(|stretch| &stretch.cells)
    }

    /// Returns the total length of the stretches in seconds.
    pub fn seconds(&self) -> f64 {
        let length = |stretch: &Stretch| match (stretch.cells.first(), stretch.cells.last()) {
            (Some(first), Some(last)) => (last.time_ns - first.time_ns) as f64 / 1e9,
            _ => 0.0,
        };
        self.stretches.iter().map(length).sum()
    }

    /// Returns the intervals in milliseconds between consecutive packets of one direction, for each stretch.
    pub fn intervals_ms(&self, direction: Direction) -> Vec<Vec<f64>> {
        let of = |stretch: &Stretch| {
            let times: Vec<u64> =
                stretch.cells.iter().filter(|c| c.direction == direction).map(|cell| cell.time_ns).collect();
            times.windows(2).map(|pair| (pair[1] - pair[0]) as f64 / 1e6).collect()
        };
        self.stretches.iter().map(of).collect()
    }
}

/// Reads the spans of events from lines `start_s[,end_s]`, in seconds from the capture's first packet, and extends each
/// span by `reach_s`. Skips lines that start with a letter or `#`, so the file may have a header. Returns the merged
/// spans in nanoseconds of Unix time.
pub fn read_events(path: &Path, first_ns: u64, reach_s: f64) -> Result<Vec<(u64, u64)>, Error> {
    let text = fs::read_to_string(path).map_err(Error::io("reading events", path))?;
    let mut spans: Vec<(f64, f64)> = Vec::new();
    for (index, line) in text.lines().map(str::trim).enumerate() {
        if line.is_empty() || line.starts_with(|first: char| first == '#' || first.is_ascii_alphabetic()) {
            continue;
        }
        let seconds = |field: &str| {
            let parsed = field.trim().parse::<f64>().ok().filter(|value| value.is_finite() && *value >= 0.0);
            parsed.ok_or_else(|| Error::content(path, index + 1, format!("`{field}` is not a time in seconds")))
        };
        let mut fields = line.split(',');
        let start = seconds(fields.next().unwrap_or(""))?;
        let end = fields.next().map_or(Ok(start), seconds)?;
        if end < start {
            return Err(Error::content(path, index + 1, "an event must not end before it starts"));
        }
        spans.push((start, end + reach_s));
    }
    if spans.is_empty() {
        return Err(Error::content(path, 0, "no events; expected lines such as `12.5` or `12.5,14`"));
    }
    spans.sort_by(|a, b| a.0.total_cmp(&b.0));
    let mut merged: Vec<(u64, u64)> = Vec::new();
    for (start, end) in spans {
        let (start, end) = (first_ns + (start * 1e9) as u64, first_ns + (end * 1e9) as u64);
        match merged.last_mut() {
            Some(last) if start <= last.1 => last.1 = last.1.max(end),
            _ => merged.push((start, end)),
        }
    }
    Ok(merged)
}
