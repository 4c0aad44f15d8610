//! Labelled captures: the traffic of a device and the events known to have happened in it.

use std::fs;
use std::path::{Path, PathBuf};

use serde::Serialize;

use crate::lab::error::Error;
use crate::lab::trace::{DataFolder, DeviceKind, KnownDevice, Trace, extract};
use crate::units::Nanos;

const QUESTIONS: &str = "echo-queries/query_events.csv";
const SCRIPTED: &str = "smart-home-firewall/events_aligned.csv";
const SWITCHED: &str = "ssi-smart-plug/README.md";
const SWITCHED_CAPTURE: &str = "ssi-smart-plug/2-smartPowerPlugActiveMeasurements.pcap";
/// Heading of the section about that capture.
const SWITCHED_SECTION: &str = "#### Active measurements";
/// Between this entry and the next, the list omits events.
const UNLISTED: &str = "Start of manual";
/// Entries of that list that are not uses of the device.
const NO_USE: [&str; 3] = ["Start of active", "End of active", "End of manual"];
const FITTED: &str = "event times were fitted to the traffic, so scoring onsets against them is circular";

/// An event known to have happened.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Label {
    /// Start in seconds from the first packet of the capture.
    pub start_s: f64,
    /// Duration in seconds; 0 if unknown.
    pub duration_s: f64,
    /// Description of the event.
    pub what: String,
}

/// One device's traffic in a capture, with the events in it.
#[derive(Clone, Debug)]
pub struct LabelledCapture {
    /// Name of the capture.
    pub name: String,
    /// The kind of activity.
    pub kind: &'static str,
    /// Why the capture is not a fair measure; `None` if it is one.
    pub caveat: Option<&'static str>,
    /// The device's traffic, from the first packet of the capture.
    pub trace: Trace,
    /// Events in order of time.
    pub labels: Vec<Label>,
    /// Time spans in seconds with unlabelled events: neither onsets nor labels count there.
    pub unscored_s: Vec<(f64, f64)>,
}

impl LabelledCapture {
    /// Returns whether an onset at this time is excluded from the score.
    pub fn is_unscored(&self, at_s: f64) -> bool {
        self.unscored_s.iter().any(|&(start, end)| (start..=end).contains(&at_s))
    }
}

/// Reads every labelled capture of the folder and calls `progress` with the numbers of captures read and in total.
/// Skips label files that the folder lacks.
pub fn labelled_captures(
    folder: &DataFolder,
    mut progress: impl FnMut(usize, usize),
) -> Result<Vec<LabelledCapture>, Error> {
    let mut unread = questions(folder)?;
    unread.extend(scripted(folder)?);
    unread.extend(switched(folder)?);
    let devices = folder.devices()?;
    let total = unread.len();
    let mut captures = Vec::new();
    for (index, unread) in unread.into_iter().enumerate() {
        captures.extend(unread.read(&devices)?);
        progress(index + 1, total);
    }
    Ok(captures)
}

/// Generates captures whose events are known: background traffic with bursts at given times.
pub fn synthetic_captures(seed: u64) -> Vec<LabelledCapture> {
    let (length, pause) = (Nanos::from_secs(20 * 60), 47.0);
    let capture = |(name, kind): (&str, DeviceKind)| {
        let background = DeviceKind::Plug.trace(name, Nanos::from_secs(3), seed);
        let mut trace = Trace { device: name.to_owned(), packets: Vec::new() };
        let mut labels = Vec::new();
        for round in 0..(length.as_secs_f64() / pause) as u64 {
            let start = Nanos(((round as f64 + 0.5) * pause * 1e9) as u64);
            let mut burst = kind.trace(name, Nanos::from_secs(120), seed + round);
            let first = burst.packets.iter().position(|event| event.bytes > 150).unwrap_or(0);
            let offset = burst.packets.get(first).map_or(Nanos::ZERO, |event| event.time);
            burst = burst.cut(offset, Nanos::from_secs(5));
            trace.packets.extend(burst.packets.iter().chain(&background.packets).map(|event| {
                let mut moved = *event;
                moved.time = event.time + start;
                moved
            }));
            labels.push(Label { start_s: start.as_secs_f64(), duration_s: 5.0, what: "use".to_owned() });
        }
        trace.packets.sort();
        LabelledCapture {
            name: name.to_owned(),
            kind: "synthetic",
            caveat: None,
            trace,
            labels,
            unscored_s: Vec::new(),
        }
    };
    [("voice-assistant", DeviceKind::VoiceAssistant), ("camera", DeviceKind::Camera)].map(capture).into()
}

/// A capture whose labels are read, but whose packets are not yet.
struct UnreadCapture {
    path: PathBuf,
    name: String,
    device: &'static str,
    kind: &'static str,
    caveat: Option<&'static str>,
    labels: Vec<Label>,
    unscored_s: Vec<(f64, f64)>,
}

impl UnreadCapture {
    fn read(mut self, devices: &[KnownDevice]) -> Result<Option<LabelledCapture>, Error> {
        let Some(known) = devices.iter().find(|known| known.name == self.device) else { return Ok(None) };
        let mut extracted = extract(&self.path, &[(known.name.clone(), known.mac)])?;
        let trace = extracted.traces.remove(0);
        // No onset can match a label after the end of the capture.
        let end_s = trace.length().as_secs_f64();
        self.labels.retain(|label| (0.0..=end_s).contains(&label.start_s));
        self.labels.sort_by(|a, b| a.start_s.total_cmp(&b.start_s));
        let UnreadCapture { name, kind, caveat, labels, unscored_s, .. } = self;
        Ok((!labels.is_empty()).then_some(LabelledCapture { name, kind, caveat, trace, labels, unscored_s }))
    }
}

/// Lines `capture,query_start_s_from_capture_start,duration_s,...`
fn questions(folder: &DataFolder) -> Result<Vec<UnreadCapture>, Error> {
    let label = |path: &Path, number: usize, fields: &[&str]| {
        let [_, start, duration, ..] = fields else { return Err(Error::content(path, number, "too few fields")) };
        Ok(Label {
            start_s: seconds(path, number, start)?,
            duration_s: seconds(path, number, duration)?,
            what: "question".to_owned(),
        })
    };
    by_capture(folder, QUESTIONS, label, |_| Some(("echo", "voice questions", None)))
}

/// Lines `capture,event_no,event,nominal_s,estimated_s_from_capture_start,...`
fn scripted(folder: &DataFolder) -> Result<Vec<UnreadCapture>, Error> {
    let label = |path: &Path, number: usize, fields: &[&str]| {
        let [_, _, what, _, start, ..] = fields else { return Err(Error::content(path, number, "too few fields")) };
        Ok(Label { start_s: seconds(path, number, start)?, duration_s: 0.0, what: (*what).to_owned() })
    };
    by_capture(folder, SCRIPTED, label, |capture| match capture.split('/').next() {
        Some("tplink-plug") => Some(("tplink-plug", "plug, by app and voice", None)),
        Some("dlink-cam") => Some(("dlink-cam", "camera streaming", Some(FITTED))),
        Some("xiaomi-cam") => Some(("xiaomi-cam", "camera, streaming and motion", Some(FITTED))),
        _ => None,
    })
}

/// Lines `| seconds | what |` of one section.
fn switched(folder: &DataFolder) -> Result<Vec<UnreadCapture>, Error> {
    let path = folder.root().join(SWITCHED);
    let Some(text) = list(&path)? else { return Ok(Vec::new()) };
    let section = text.split(SWITCHED_SECTION).nth(1).unwrap_or("");
    let entries: Vec<(f64, &str)> = section
        .lines()
        .filter_map(|line| {
            let mut fields = line.trim().trim_matches('|').splitn(2, '|').map(str::trim);
            Some((fields.next()?.parse().ok()?, fields.next()?))
        })
        .collect();
    let mut labels = Vec::new();
    let mut unscored_s = Vec::new();
    for (index, &(start_s, what)) in entries.iter().enumerate() {
        if what.starts_with(UNLISTED) {
            let end_s = entries.get(index + 1).map_or(f64::MAX, |next| next.0);
            unscored_s.push((start_s - 2.0, end_s + 10.0));
        } else if !NO_USE.iter().any(|prefix| what.starts_with(prefix)) {
            labels.push(Label { start_s, duration_s: 0.0, what: what.to_owned() });
        }
    }
    let unread = UnreadCapture {
        path: folder.root().join(SWITCHED_CAPTURE),
        name: SWITCHED_CAPTURE.to_owned(),
        device: "tuya-plug",
        kind: "plug, by app and timer",
        caveat: None,
        labels,
        unscored_s,
    };
    Ok(if unread.path.is_file() { vec![unread] } else { Vec::new() })
}

fn by_capture(
    folder: &DataFolder,
    list_name: &str,
    label: impl Fn(&Path, usize, &[&str]) -> Result<Label, Error>,
    what: impl Fn(&str) -> Option<(&'static str, &'static str, Option<&'static str>)>,
) -> Result<Vec<UnreadCapture>, Error> {
    let path = folder.root().join(list_name);
    let Some(text) = list(&path)? else { return Ok(Vec::new()) };
    let parent = path.parent().unwrap_or(folder.root());
    let mut unread: Vec<UnreadCapture> = Vec::new();
    for (index, line) in text.lines().enumerate().skip(1).filter(|(_, line)| !line.trim().is_empty()) {
        let fields = fields(line);
        let Some((device, kind, caveat)) = what(fields[0]) else { continue };
        let label = label(&path, index + 1, &fields)?;
        match unread.iter_mut().find(|unread| unread.name == fields[0]) {
            Some(known) => known.labels.push(label),
            None => unread.push(UnreadCapture {
                path: parent.join(fields[0]),
                name: fields[0].to_owned(),
                device,
                kind,
                caveat,
                labels: vec![label],
                unscored_s: Vec::new(),
            }),
        }
    }
    unread.retain(|unread| unread.path.is_file());
    Ok(unread)
}

/// Splits a line of CSV; commas within quotation marks are not separators (RFC 4180).
fn fields(line: &str) -> Vec<&str> {
    let mut quoted = false;
    let parts = line.split(|letter| {
        quoted ^= letter == '"';
        letter == ',' && !quoted
    });
    parts.map(|field| field.trim().trim_matches('"')).collect()
}

fn list(path: &Path) -> Result<Option<String>, Error> {
    if !path.is_file() {
        return Ok(None);
    }
    fs::read_to_string(path).map(Some).map_err(Error::io("reading", path))
}

fn seconds(path: &Path, number: usize, field: &str) -> Result<f64, Error> {
    let parsed = field.parse::<f64>().ok().filter(|seconds| seconds.is_finite());
    parsed.ok_or_else(|| Error::content(path, number, format!("`{field}` is not a time in seconds")))
}
