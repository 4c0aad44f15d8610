//! The journals of the devices: their requests, when these were answered, and unsolicited packets that reached them.
//! Each device writes one file `NAME.csv`; the program in `tests/lab/world` documents the lines.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::net::IpAddr;
use std::path::Path;

use super::testbed::Testbed;
use crate::lab::error::Error;

/// A request without an answer within this time counts as unanswered.
const ANSWER_TIMEOUT_MS: u64 = 5000;

/// One journal per device, in the order of [`Testbed::devices`].
#[derive(Clone, Debug)]
pub struct Journals(pub Vec<Journal>);

/// The journal of one device.
#[derive(Clone, Debug, Default)]
pub struct Journal {
    /// The requests in the order in which they were sent.
    pub requests: Vec<DeviceRequest>,
    /// Kind and time (milliseconds of uptime) of each unsolicited packet that reached the device.
    pub reached: Vec<(String, u64)>,
}

/// A request that a device sent.
#[derive(Clone, Debug)]
pub struct DeviceRequest {
    /// Protocol and address family, for instance `udp4`.
    pub kind: String,
    /// Milliseconds of uptime.
    pub sent_ms: u64,
    /// Milliseconds of uptime at which the answer came, and the device's address as the server saw it.
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
                .ok_or_else(|| Error::content(path, number + 1, format!("`{line}` is not a journal line")))?;
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
                // Duplicate answers, and answers without a request, are ignored.
                if let Some(index) = open.remove(&(kind.to_owned(), number.parse().ok()?)) {
                    self.requests[index].answer = Some((ms, via.parse().ok()));
                }
            }
            ["reached", kind, ms, _from] => self.reached.push((kind.to_owned(), ms.parse().ok()?)),
            _ => return None,
        }
        Some(())
    }

    /// The kinds of requests that the device sent.
    pub fn kinds(&self) -> BTreeSet<&str> {
        self.requests.iter().map(|request| request.kind.as_str()).collect()
    }

    /// Requests sent in this period, milliseconds of uptime.
    pub fn requests_between(&self, from_ms: u64, to_ms: u64) -> impl Iterator<Item = &DeviceRequest> {
        self.requests.iter().filter(move |request| (from_ms..to_ms).contains(&request.sent_ms))
    }
}

impl DeviceRequest {
    /// Whether the answer came within [`ANSWER_TIMEOUT_MS`].
    pub fn is_answered(&self) -> bool {
        self.answer.is_some_and(|(ms, _)| ms.saturating_sub(self.sent_ms) <= ANSWER_TIMEOUT_MS)
    }
}
