//! The daemon's status, as keys and values or as a text.

use std::fmt::Write;

use crate::config::model::{OffPolicy, Role, Settings};
use crate::core::{Histogram, Stats};
use crate::daemon::audit::Audits;
use crate::daemon::control::answer::Object;
use crate::daemon::dataplane::session::Session;
use crate::daemon::history::History;
use crate::daemon::problem::Problem;
use crate::daemon::schedule::calendar::LevelSource;
use crate::daemon::schedule::data_usage::Usage;
use crate::daemon::state::{State, StateSince};
use crate::units::Nanos;

/// Version of the keys, raised when a key changes its meaning or disappears.
const INTERFACE: u64 = 1;

/// The sources of a status report.
pub struct StatusView<'a> {
    /// The settings in force, if any.
    pub settings: Option<&'a Settings>,
    /// The sessions.
    pub sessions: &'a [Session],
    /// The current problems.
    pub problems: &'a [Problem],
    /// Bytes of a cell inside the tunnel and on the wire, once known.
    pub cell_bytes: Option<(usize, usize)>,
    /// Past rates and totals.
    pub history: &'a History,
    /// What selected the level in force.
    pub level_source: LevelSource,
    /// Whether the wall clock has been set.
    pub is_clock_set: bool,
    /// The data usage of the billing period, once the clock is set.
    pub usage: Option<Usage>,
    /// The running and the last audit.
    pub audits: &'a Audits,
    /// The daemon's state and when it began.
    pub state_since: StateSince,
    /// How long the daemon has run.
    pub uptime: Nanos,
    /// The current time.
    pub now: Nanos,
}

impl StatusView<'_> {
    /// Writes the report as keys and values; every number's key names its unit.
    pub fn put(&self, top: &mut Object<'_>) {
        top.number("interface", INTERFACE);
        top.text("version", env!("CARGO_PKG_VERSION"));
        top.text("state", self.state_since.state.name());
        top.decimal("state_age_s", self.now.saturating_since(self.state_since.since).as_secs_f64());
        top.decimal("uptime_s", self.uptime.as_secs_f64());
        if let Some(settings) = self.settings {
            let shape = &settings.shape;
            top.text("role", settings.role.name());
            top.text("level", settings.level.name());
            top.text("level_by", self.level_source.name());
            top.flag("promise", self.state_since.state == State::Shaping);
            top.text("off", if settings.off == OffPolicy::Block { "block" } else { "tunnel" });
            top.text("law", shape.law.name());
            top.decimal("upload_kbit", shape.upload.0 as f64 / 1e3);
            top.decimal("download_kbit", shape.download.0 as f64 / 1e3);
        }
        if let Some((inner_bytes, wire_bytes)) = self.cell_bytes {
            top.object("cell", |cell| {
                cell.number("wire_bytes", wire_bytes as u64);
                cell.number("inner_bytes", inner_bytes as u64);
            });
        }
        top.flag("clock_set", self.is_clock_set);
        if let (Some(settings), Some(usage)) = (self.settings, self.usage) {
            top.object("data", |object| usage.put(object, settings));
        }
        let (last, running) = (self.audits.last(), self.audits.is_running());
        if last.is_some() || running {
            top.object("audit", |object| {
                object.flag("running", running);
                if let Some((report, at)) = last {
                    object.decimal("age_s", self.now.saturating_since(*at).as_secs_f64());
                    report.put(object, self.settings.is_none_or(|settings| settings.role == Role::Router));
                }
            });
        }
        let totals = self.history.totals();
        top.number("home_upload_bytes", totals.home_upload);
        top.number("home_download_bytes", totals.home_download);
        top.number("wire_upload_bytes", totals.wire_upload);
        top.number("wire_download_bytes", totals.wire_download);
        if let Some(delay) = self.history.delay() {
            top.decimal("delay_now_ms", delay.as_millis_f64());
        }
        top.array("peers", self.sessions, |peer, session| put_session(peer, session, self.now));
        top.array("problems", self.problems, |object, problem| {
            object.text("code", problem.code.name());
            object.text("severity", problem.code.severity());
            object.text("text", &problem.text);
            object.text("fix", problem.code.fix());
        });
    }

    /// The report as a text.
    pub fn text(&self) -> String {
        let mut out = format!("{} {}", self.state_since.state.name(), self.age(self.state_since));
        if let (Some(settings), Some((_, wire_bytes))) = (self.settings, self.cell_bytes) {
            let shape = &settings.shape;
            let (role, up, down) = (settings.role.name(), shape.upload.0 / 1000, shape.download.0 / 1000);
            _ = write!(out, ": {role}, {} {up} kbit/s up, {down} kbit/s down, cells of {wire_bytes} bytes", shape.law);
        }
        out.push('\n');
        if let (State::Paused, Some(settings)) = (self.state_since.state, self.settings) {
            out.push_str(match settings.off {
                OffPolicy::Tunnel => {
                    "no promise: a schedule has switched cover off, so the tunnel reveals the devices' activity\n"
                }
                OffPolicy::Block => "no promise needed: a schedule blocks shaped devices from the Internet\n",
            });
        }
        if let Some(usage) = self.usage {
            let gb = |bytes: u64| bytes as f64 / 1e9;
            _ = write!(
                out,
                "data: {:.1} GB used, {:.0} GB forecast for the billing period",
                gb(usage.used),
                gb(usage.forecast())
            );
            if let Some(cap) = self.settings.and_then(|settings| settings.data_cap_gb) {
                _ = write!(out, ", cap {cap} GB");
            }
            out.push('\n');
        }
        for session in self.sessions {
            let stats = session.engine().stats();
            let drops: u64 = stats.drops.by_cause().iter().map(|(_, count)| count).sum();
            _ = writeln!(
                out,
                "{} ({}): {} {}; {} data and {} cover cells sent, {} received, {} lost; delay {:.1} ms mean, \
                 {:.1} ms p99; {drops} dropped",
                session.name(),
                session.peer(),
                session.state_since().state.name(),
                self.age(session.state_since()),
                stats.cells_data,
                stats.cells_cover,
                stats.cells_received,
                stats.cells_lost,
                stats.delay.mean().as_millis_f64(),
                stats.delay.percentile(99.0).as_millis_f64(),
            );
        }
        for problem in self.problems {
            let code = problem.code;
            _ = writeln!(out, "{}: {} ({})\n  {}", code.severity(), problem.text, code.name(), code.fix());
        }
        out
    }

    /// `for 75 s`, `for 12 min`, `for 30 h`.
    fn age(&self, state_since: StateSince) -> String {
        let seconds = self.now.saturating_since(state_since.since).0 / 1_000_000_000;
        match seconds {
            0..600 => format!("for {seconds} s"),
            600..36_000 => format!("for {} min", seconds / 60),
            _ => format!("for {} h", seconds / 3600),
        }
    }
}

fn put_session(peer: &mut Object<'_>, session: &Session, now: Nanos) {
    let stats = session.engine().stats();
    peer.text("name", session.name());
    peer.text("address", &session.peer().to_string());
    peer.text("state", session.state_since().state.name());
    peer.decimal("state_age_s", now.saturating_since(session.state_since().since).as_secs_f64());
    if let Some(granted) = session.granted() {
        peer.text("law", granted.law.name());
        peer.decimal("download_kbit", granted.rate.0 as f64 / 1e3);
        peer.number("cell_wire_bytes", granted.cell_bytes.into());
    }
    put_counters(peer, stats);
    peer.object("drops", |drops| stats.drops.by_cause().iter().for_each(|(cause, count)| drops.number(cause, *count)));
    peer.object("delay_ms", |delay| put_histogram(delay, &stats.delay, Nanos::as_millis_f64));
    peer.object("lateness_us", |lateness| put_histogram(lateness, &stats.lateness, |n| n.as_millis_f64() * 1e3));
    let active = stats.devices.iter().enumerate().filter(|(_, device)| device.packets > 0);
    peer.array("devices", active, |object, (number, device)| {
        object.number("number", number as u64);
        object.number("packets", device.packets);
        object.number("bytes", device.bytes);
        object.decimal("delay_mean_ms", Nanos(device.delay_sum.0 / device.packets).as_millis_f64());
        object.decimal("delay_max_ms", device.delay_max.as_millis_f64());
    });
}

fn put_counters(peer: &mut Object<'_>, stats: &Stats) {
    peer.number("cells_data", stats.cells_data);
    peer.number("cells_cover", stats.cells_cover);
    peer.number("cells_received", stats.cells_received);
    peer.number("cells_lost", stats.cells_lost);
    peer.number("missed_slots", stats.slots_missed);
    peer.number("packets_in", stats.packets_in);
    peer.number("packets_out", stats.packets_out);
    peer.number("bytes_in", stats.bytes_in);
    peer.number("bytes_out", stats.bytes_out);
}

fn put_histogram(object: &mut Object<'_>, histogram: &Histogram, unit: impl Fn(Nanos) -> f64) {
    object.decimal("mean", unit(histogram.mean()));
    object.decimal("p50", unit(histogram.percentile(50.0)));
    object.decimal("p99", unit(histogram.percentile(99.0)));
    object.decimal("max", unit(histogram.max()));
}
