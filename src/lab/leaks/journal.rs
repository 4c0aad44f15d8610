//! What the devices wrote down: what they asked and when it was answered, and who got in to them.
//! One file `NAME.csv` each; the world's program documents the lines.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::net::IpAddr;
use std::path::Path;

use super::testbed::Testbed;
use crate::lab::error::Error;

/// An answer that takes longer is none.
const ANSWER_TIMEOUT_MS: u64 = 5000;

/// One for each device, in the order of the testbed.
#[derive(Clone, Debug)]
pub struct Journals(pub Vec<Journal>);

/// A device's journal.
#[derive(Clone, Debug, Default)]
pub struct Journal {
    /// In the order in which they were asked.
    pub requests: Vec<DeviceRequest>,
    /// Kind and time of what came in unasked, milliseconds of uptime.
    pub reached: Vec<(String, u64)>,
}

/// Something that a device asked.
#[derive(Clone, Debug)]
pub struct DeviceRequest {
    /// The way of talking, with its family: `udp4`.
    pub kind: String,
    /// Milliseconds of uptime.
    pub sent_ms: u64,
    /// When its answer came, and the device's address as the other side saw it.
    pub answer: Option<(u64, Option<IpAddr>)>,
}

impl Journals {
    /// Reads the journals of all devices in `folder`.
    pub fn read(folder: &Path, testbed: &Testbed) -> Result<Journals, Error> {
        let read = |name: &str| Journal::read(&folder.join(format!("{name}.csv")));
        Ok(Journals(testbed.devices.iter().map(|device| read(&device.name)).collect::<Result<_, _>>()?))
    }
}

impl Journal {
    fn read(path: &Path) -> Result<Journal, Error> {
        let text = fs::read_to_string(path).map_err(Error::io("reading", path))?;
        let mut journal = Journal::default();
        let mut open: BTreeMap<(String, u32), usize> = BTreeMap::new();
        for (number, line) in text.lines().enumerate() {
            journal
                .parse_line(line, &mut open)
                .ok_or_else(|| Error::content(path, number + 1, format!("`{line}` is no line of a journal")))?;
        }
        Ok(journal)
    }

    fn parse_line(&mut self, line: &str, open: &mut BTreeMap<(String, u32), usize>) -> Option<()> {
        let fields: Vec<&str> = line.split(',').collect();
        match fields[..] {
            ["sent", kind, number, ms] => {
                open.insert((kind.to_owned(), number.parse().ok()?), self.requests.len());
                self.requests.push(DeviceRequest { kind: kind.to_owned(), sent_ms: ms.parse().ok()?, answer: None });
            }
            ["answer", kind, number, ms, via] => {
                let ms = ms.parse().ok()?;
                // A second answer, or one to a request that nobody asked, tells nothing.
                if let Some(place) = open.remove(&(kind.to_owned(), number.parse().ok()?)) {
                    self.requests[place].answer = Some((ms, via.parse().ok()));
                }
            }
            ["reached", kind, ms, _from] => self.reached.push((kind.to_owned(), ms.parse().ok()?)),
            _ => return None,
        }
        Some(())
    }

    /// Ways of talking that it used.
    pub fn kinds(&self) -> BTreeSet<&str> {
        self.requests.iter().map(|request| request.kind.as_str()).collect()
    }

    /// Questions asked in that time, milliseconds of uptime.
    pub fn asked(&self, from_ms: u64, to_ms: u64) -> impl Iterator<Item = &DeviceRequest> {
        self.requests.iter().filter(move |request| (from_ms..to_ms).contains(&request.sent_ms))
    }
}

impl DeviceRequest {
    /// Whether it was answered in time.
    pub fn is_answered(&self) -> bool {
        self.answer.is_some_and(|(ms, _)| ms.saturating_sub(self.sent_ms) <= ANSWER_TIMEOUT_MS)
    }
}
