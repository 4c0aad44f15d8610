//! What is known to have happened in the captures of the data folder.

use std::fs;
use std::path::{Path, PathBuf};

use serde::Serialize;

use crate::lab::error::Error;
use crate::lab::trace::{DataFolder, Kind, KnownDevice, Trace, extract};
use crate::units::Nanos;

const QUESTIONS: &str = "echo-queries/query_events.csv";
const SCRIPTED: &str = "smart-home-firewall/events_aligned.csv";
const SWITCHED: &str = "ssi-smart-plug/README.md";
const SWITCHED_CAPTURE: &str = "ssi-smart-plug/2-smartPowerPlugActiveMeasurements.pcap";
/// The list's section on that capture.
const SWITCHED_SECTION: &str = "#### Active measurements";
/// In that list, from this entry to the next, things happened that are not listed one by one.
const UNLISTED: &str = "Start of manual";
/// Entries there that are no use of the device.
const NO_USE: [&str; 3] = ["Start of active", "End of active", "End of manual"];
const FITTED: &str = "times were fitted to the traffic: circular as a measure of onsets";

/// Something that happened.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Label {
    /// When, in seconds from the first packet of the capture.
    pub start_s: f64,
    /// How long it took; 0 if that is not known.
    pub duration_s: f64,
    /// What.
    pub what: String,
}

/// A capture of one device with what happened in it.
#[derive(Clone, Debug)]
pub struct Case {
    /// The capture.
    pub name: String,
    /// The kind of activity.
    pub kind: &'static str,
    /// Why it is no fair measure, if it is none.
    pub caveat: Option<&'static str>,
    /// The device's traffic, from the first packet of the capture.
    pub trace: Trace,
    /// In order of time.
    pub labels: Vec<Label>,
    /// Spans in seconds in which more happened than is labelled: neither onsets nor labels count there.
    pub unscored_s: Vec<(f64, f64)>,
}

impl Case {
    /// Whether onsets at that time count neither way.
    pub fn is_unscored(&self, at_s: f64) -> bool {
        self.unscored_s.iter().any(|&(start, end)| (start..=end).contains(&at_s))
    }
}

/// Every labelled capture of the folder, telling `progress` how many of how many are read. Lists that the folder does not
/// have are passed over.
pub fn cases(folder: &DataFolder, mut progress: impl FnMut(usize, usize)) -> Result<Vec<Case>, Error> {
    let mut wanted = questions(folder)?;
    wanted.extend(scripted(folder)?);
    wanted.extend(switched(folder)?);
    let devices = folder.devices()?;
    let total = wanted.len();
    let mut cases = Vec::new();
    for (index, wanted) in wanted.into_iter().enumerate() {
        cases.extend(wanted.case(&devices)?);
        progress(index + 1, total);
    }
    Ok(cases)
}

/// Made-up captures whose activity is known because it was made up: pieces of background with bursts at given times.
pub fn synthetic_cases(seed: u64) -> Vec<Case> {
    let (length, pause) = (Nanos::from_secs(20 * 60), 47.0);
    let case = |(name, kind): (&str, Kind)| {
        let background = Kind::Plug.trace(name, Nanos::from_secs(3), seed);
        let mut trace = Trace { device: name.to_owned(), events: Vec::new() };
        let mut labels = Vec::new();
        for round in 0..(length.as_secs_f64() / pause) as u64 {
            let start = Nanos(((round as f64 + 0.5) * pause * 1e9) as u64);
            let mut burst = kind.trace(name, Nanos::from_secs(120), seed + round);
            let first = burst.events.iter().position(|event| event.bytes > 150).unwrap_or(0);
            let offset = burst.events.get(first).map_or(Nanos::ZERO, |event| event.time);
            burst = burst.cut(offset, Nanos::from_secs(5));
            trace.events.extend(burst.events.iter().chain(&background.events).map(|event| {
                let mut moved = *event;
                moved.time = event.time + start;
                moved
            }));
            labels.push(Label { start_s: start.as_secs_f64(), duration_s: 5.0, what: "use".to_owned() });
        }
        trace.events.sort();
        Case { name: name.to_owned(), kind: "made up", caveat: None, trace, labels, unscored_s: Vec::new() }
    };
    [("voice-assistant", Kind::VoiceAssistant), ("camera", Kind::Camera)].map(case).into()
}

struct Wanted {
    path: PathBuf,
    name: String,
    device: &'static str,
    kind: &'static str,
    caveat: Option<&'static str>,
    labels: Vec<Label>,
    unscored_s: Vec<(f64, f64)>,
}

impl Wanted {
    fn case(mut self, devices: &[KnownDevice]) -> Result<Option<Case>, Error> {
        let Some(known) = devices.iter().find(|known| known.name == self.device) else { return Ok(None) };
        let mut extracted = extract(&self.path, &[(known.name.clone(), known.mac)])?;
        let trace = extracted.traces.remove(0);
        // A label after the end of the capture cannot be answered by it.
        let end_s = trace.length().as_secs_f64();
        self.labels.retain(|label| (0.0..=end_s).contains(&label.start_s));
        self.labels.sort_by(|a, b| a.start_s.total_cmp(&b.start_s));
        let Wanted { name, kind, caveat, labels, unscored_s, .. } = self;
        Ok((!labels.is_empty()).then_some(Case { name, kind, caveat, trace, labels, unscored_s }))
    }
}

/// `capture,query_start_s_from_capture_start,duration_s,...`
fn questions(folder: &DataFolder) -> Result<Vec<Wanted>, Error> {
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

/// `capture,event_no,event,nominal_s,estimated_s_from_capture_start,...`
fn scripted(folder: &DataFolder) -> Result<Vec<Wanted>, Error> {
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

/// `| seconds | what |` in a section of its own.
fn switched(folder: &DataFolder) -> Result<Vec<Wanted>, Error> {
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
    let wanted = Wanted {
        path: folder.root().join(SWITCHED_CAPTURE),
        name: SWITCHED_CAPTURE.to_owned(),
        device: "tuya-plug",
        kind: "plug, by app and timer",
        caveat: None,
        labels,
        unscored_s,
    };
    Ok(if wanted.path.is_file() { vec![wanted] } else { Vec::new() })
}

fn by_capture(
    folder: &DataFolder,
    list_name: &str,
    label: impl Fn(&Path, usize, &[&str]) -> Result<Label, Error>,
    what: impl Fn(&str) -> Option<(&'static str, &'static str, Option<&'static str>)>,
) -> Result<Vec<Wanted>, Error> {
    let path = folder.root().join(list_name);
    let Some(text) = list(&path)? else { return Ok(Vec::new()) };
    let parent = path.parent().unwrap_or(folder.root());
    let mut wanted: Vec<Wanted> = Vec::new();
    for (index, line) in text.lines().enumerate().skip(1).filter(|(_, line)| !line.trim().is_empty()) {
        let fields = fields(line);
        let Some((device, kind, caveat)) = what(fields[0]) else { continue };
        let label = label(&path, index + 1, &fields)?;
        match wanted.iter_mut().find(|wanted| wanted.name == fields[0]) {
            Some(known) => known.labels.push(label),
            None => wanted.push(Wanted {
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
    wanted.retain(|wanted| wanted.path.is_file());
    Ok(wanted)
}

/// The fields of a line with commas; those within quotation marks part nothing (RFC 4180).
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
