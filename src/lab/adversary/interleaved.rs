//! Reads a capture in which conditions alternate, and the timeline of these conditions.

use std::fs;
use std::net::IpAddr;
use std::path::Path;

use serde::Deserialize;

use super::{Case, cases};
use crate::lab::distinguish::Condition;
use crate::lab::distinguish::tunnel::{self, TunnelAddresses, TunnelCapture};
use crate::lab::error::Error;
use crate::law::Law;

/// The condition that all others are compared with.
const IDLE: &str = "idle";

/// The capture and timeline of one law's run.
pub struct InterleavedCapture {
    law: Law,
    tunnel: TunnelCapture,
    spans: Vec<ConditionSpan>,
}

/// One period of a condition, in nanoseconds of the capture's clock.
struct ConditionSpan {
    condition: String,
    from_to_ns: (u64, u64),
}

/// The fields of `run.json` that are needed here.
#[derive(Deserialize)]
struct RunMetadata {
    router_wan: IpAddr,
    endpoint: IpAddr,
}

impl InterleavedCapture {
    /// Reads `wan.pcap`, `run.json` and `timeline.csv` of the folder FOLDER/LAW. Returns `None` if there is no such
    /// folder.
    pub fn read(folder: &Path, law: Law) -> Result<Option<InterleavedCapture>, Error> {
        let folder = folder.join(law.name());
        if !folder.exists() {
            return Ok(None);
        }
        let path = folder.join("run.json");
        let text = fs::read_to_string(&path).map_err(Error::io("reading the run", &path))?;
        let run: RunMetadata =
            serde_json::from_str(&text).map_err(|error| Error::content(&path, error.line(), error.to_string()))?;
        let addresses = TunnelAddresses { router: run.router_wan, endpoint: run.endpoint };
        let tunnel = tunnel::read(&folder.join("wan.pcap"), Some(addresses))?;
        let spans = read_spans(&folder.join("timeline.csv"))?;
        Ok(Some(InterleavedCapture { law, tunnel, spans }))
    }

    /// Compares every condition with the idle home.
    pub fn cases(&self, seed: u64) -> Result<Vec<Case>, Error> {
        let idle = self.condition(IDLE);
        let mut names: Vec<&str> =
            self.spans.iter().map(|span| span.condition.as_str()).filter(|name| *name != IDLE).collect();
        names.sort_unstable();
        names.dedup();
        let mut all = Vec::new();
        for name in names {
            all.extend(cases(self.law, "emulated", (name, &self.condition(name)), &idle, seed)?);
        }
        Ok(all)
    }

    fn condition(&self, name: &str) -> Condition {
        let spans = self.spans.iter().filter(|span| span.condition == name).map(|span| span.from_to_ns);
        Condition::within(&self.tunnel, &spans.collect::<Vec<_>>())
    }
}

/// Reads lines `condition,start_ns,stop_ns` that follow a header.
fn read_spans(path: &Path) -> Result<Vec<ConditionSpan>, Error> {
    let text = fs::read_to_string(path).map_err(Error::io("reading the timeline", path))?;
    let lines = text.lines().enumerate().skip(1).filter(|(_, line)| !line.is_empty());
    lines
        .map(|(index, line)| {
            let fields: Vec<&str> = line.split(',').collect();
            let [name, start, stop] = fields[..] else {
                return Err(Error::content(path, index + 1, "expected `condition,start_ns,stop_ns`"));
            };
            match (start.parse(), stop.parse()) {
                (Ok(start), Ok(stop)) if start < stop => {
                    Ok(ConditionSpan { condition: name.to_owned(), from_to_ns: (start, stop) })
                }
                _ => Err(Error::content(path, index + 1, "expected two times in nanoseconds, start before stop")),
            }
        })
        .collect()
}
