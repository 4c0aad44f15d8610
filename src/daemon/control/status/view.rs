//! Collects the status from the daemon's components.

use super::{CellBytes, DeviceDelay, DropCounts, PeerAnswer, Percentiles, ProblemAnswer, PromiseAnswer, StatusAnswer};
use crate::config::model::{OffPolicy, Role, Settings};
use crate::core::{Drops, Histogram};
use crate::daemon::advice::bursts::BurstAnswer;
use crate::daemon::audit::AuditReport;
use crate::daemon::audit::answer::StatusAudit;
use crate::daemon::dataplane::session_report::SessionReport;
use crate::daemon::history::History;
use crate::daemon::problem::Problem;
use crate::daemon::rounded::Rounded;
use crate::daemon::schedule::calendar::LevelSource;
use crate::daemon::schedule::data_usage::Usage;
use crate::daemon::state::{State, StateSince};
use crate::units::{BitsPerSec, Nanos};

/// Version of the keys, raised when a key changes its meaning or disappears.
const INTERFACE: u32 = 1;

/// Maximum devices in the answer, those with the lowest numbers.
const MAX_DEVICES: usize = 128;

/// The sources of a status report.
pub struct StatusView<'a> {
    /// The settings in force, if any.
    pub settings: Option<&'a Settings>,
    /// The sessions.
    pub sessions: &'a [SessionReport],
    /// The current problems.
    pub problems: &'a [Problem],
    /// Bytes of a cell inside the tunnel and on the wire, once known.
    pub cell_bytes: Option<(usize, usize)>,
    /// Past rates and totals.
    pub history: &'a History,
    /// The source of the level in force.
    pub level_source: LevelSource,
    /// The network of the line whose level is in force.
    pub wan: Option<&'a str>,
    /// Whether the wall clock has been set.
    pub clock_is_set: bool,
    /// The data usage of the billing period, if known.
    pub usage: Option<Usage>,
    /// What bursts show, if there are any.
    pub burst: Option<BurstAnswer>,
    /// The last audit's report and when it ended.
    pub last_audit: Option<&'a (AuditReport, Nanos)>,
    /// Whether an audit is running.
    pub audit_is_running: bool,
    /// The daemon's state and when it began.
    pub state_since: StateSince,
    /// How long the daemon has run.
    pub uptime: Nanos,
    /// The current time.
    pub now: Nanos,
}

impl StatusView<'_> {
    /// The status.
    pub fn answer(&self) -> StatusAnswer {
        let settings = self.settings;
        let totals = self.history.totals();
        StatusAnswer {
            interface: INTERFACE,
            version: env!("CARGO_PKG_VERSION").into(),
            state: self.state_since.state.name().into(),
            state_age_s: self.seconds_since(self.state_since.since),
            uptime_s: Rounded(self.uptime.as_secs_f64()),
            role: settings.map(|settings| settings.role.name().into()),
            level: settings.map(|settings| settings.level.name().into()),
            level_by: settings.map(|_| self.level_source.name().into()),
            wan: self.wan.map(Into::into),
            promise: settings.map(|_| match self.state_since.state {
                State::Shaping if self.burst.is_some() => PromiseAnswer::Weaker("bounded".into()),
                state => PromiseAnswer::Holds(state == State::Shaping),
            }),
            burst: self.burst,
            off: settings
                .map(|settings| if settings.off == OffPolicy::Block { "block" } else { "tunnel" })
                .map(Into::into),
            law: settings.map(|settings| settings.shape.law.name().into()),
            upload_kbit: settings.map(|settings| kbit(settings.shape.upload)),
            download_kbit: settings.map(|settings| kbit(settings.shape.download)),
            cell: self.cell_bytes.map(|(inner_bytes, wire_bytes)| CellBytes {
                wire_bytes: wire_bytes as u64,
                inner_bytes: inner_bytes as u64,
            }),
            clock_set: self.clock_is_set,
            data: settings.zip(self.usage).map(|(settings, usage)| usage.answer(settings)),
            audit: self.audit(),
            home_upload_bytes: totals.home_upload,
            home_download_bytes: totals.home_download,
            wire_upload_bytes: totals.wire_upload,
            wire_download_bytes: totals.wire_download,
            delay_now_ms: self.history.delay().map(|delay| Rounded(delay.as_millis_f64())),
            peers: self.sessions.iter().map(|session| self.peer(session)).collect(),
            problems: self.problems.iter().map(problem).collect(),
        }
    }

    fn audit(&self) -> Option<StatusAudit> {
        let is_router = self.settings.is_none_or(|settings| settings.role == Role::Router);
        let running = self.audit_is_running;
        match self.last_audit {
            Some((report, at)) => {
                let age_s = self.seconds_since(*at);
                Some(StatusAudit::Last(Box::new(report.answer(is_router).in_status(running, age_s))))
            }
            None => running.then_some(StatusAudit::First { running }),
        }
    }

    fn peer(&self, session: &SessionReport) -> PeerAnswer {
        let (stats, granted) = (&session.stats, session.granted);
        let mut devices: Vec<_> = stats.devices.iter().filter(|(_, device)| device.packets > 0).collect();
        devices.sort_unstable_by_key(|(number, _)| *number);
        PeerAnswer {
            name: session.name.clone(),
            address: session.peer.to_string(),
            state: session.state_since.state.name().into(),
            state_age_s: self.seconds_since(session.state_since.since),
            law: granted.map(|granted| granted.law.name().into()),
            download_kbit: granted.map(|granted| kbit(granted.rate)),
            cell_wire_bytes: granted.map(|granted| granted.cell_bytes),
            train_cells: Some(session.trains[0]).filter(|cells| *cells > 1),
            cells_data: stats.cells_data,
            cells_cover: stats.cells_cover,
            cells_received: stats.cells_received,
            cells_lost: stats.cells_lost,
            missed_slots: stats.slots_missed,
            packets_in: stats.packets_in,
            packets_out: stats.packets_out,
            bytes_in: stats.bytes_in,
            bytes_out: stats.bytes_out,
            drops: drop_counts(&stats.drops),
            delay_ms: percentiles(&stats.delay, Nanos::as_millis_f64),
            lateness_us: percentiles(&stats.lateness, |late| late.as_millis_f64() * 1e3),
            min_watch_days: session.min_watch_days.map(Rounded),
            devices: devices
                .into_iter()
                .take(MAX_DEVICES)
                .map(|(number, device)| DeviceDelay {
                    number: number.0.into(),
                    packets: device.packets,
                    bytes: device.bytes,
                    delay_mean_ms: Rounded(Nanos(device.delay_sum.0 / device.packets).as_millis_f64()),
                    delay_max_ms: Rounded(device.delay_max.as_millis_f64()),
                })
                .collect(),
        }
    }

    fn seconds_since(&self, since: Nanos) -> Rounded {
        Rounded(self.now.saturating_since(since).as_secs_f64())
    }
}

fn kbit(rate: BitsPerSec) -> Rounded {
    Rounded(rate.0 as f64 / 1e3)
}

fn problem(problem: &Problem) -> ProblemAnswer {
    ProblemAnswer {
        code: problem.code.name().into(),
        severity: problem.code.severity().into(),
        text: problem.text.clone(),
        fix: problem.code.fix().into(),
    }
}

fn drop_counts(drops: &Drops) -> DropCounts {
    DropCounts {
        malformed_packet: drops.malformed_packet,
        overflow: drops.overflow,
        aged: drops.aged,
        malformed_cell: drops.malformed_cell,
        late_cell: drops.late_cell,
        ancient_cell: drops.ancient_cell,
        malformed_block: drops.malformed_block,
        lost_fragment: drops.lost_fragment,
        newer_control: drops.newer_control,
        malformed_control: drops.malformed_control,
        not_fetched: drops.not_fetched,
    }
}

fn percentiles(histogram: &Histogram, unit: impl Fn(Nanos) -> f64) -> Percentiles {
    Percentiles {
        mean: Rounded(unit(histogram.mean())),
        p50: Rounded(unit(histogram.percentile(50.0))),
        p99: Rounded(unit(histogram.percentile(99.0))),
        max: Rounded(unit(histogram.max())),
    }
}
