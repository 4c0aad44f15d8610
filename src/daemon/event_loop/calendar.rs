//! The event loop's wall-clock tasks: the level in force, and the data usage of the billing period.

use log::info;

use crate::config::model::{Role, Settings};
use crate::daemon::event_loop::EventLoop;
use crate::daemon::event_loop::requests::Reload;
use crate::daemon::problem::{Code, Problem};
use crate::daemon::schedule::calendar::{BillingPeriod, Calendar, LevelSource, LocalZone, depends_on_clock, is_set};
use crate::daemon::schedule::data_usage::{DataUsage, Usage};
use crate::sys::worker::{Worker, WorkerOutput};
use crate::sys::{random, timer};
use crate::units::Nanos;

/// Delay before a failed change of level is tried again.
const LEVEL_RETRY_PERIOD: Nanos = Nanos::from_secs(60);
/// Period of the checks of data usage and data cap.
const USAGE_CHECK_PERIOD: Nanos = Nanos::from_secs(60);

/// The wall-clock state: scheduled level and data usage.
pub struct LevelClock {
    calendar: Calendar,
    /// Why the time zone is unknown.
    zone_error: Option<String>,
    /// The settings as configured. Those in force have the scheduled level instead.
    configured: Option<Settings>,
    level_source: LevelSource,
    next_level_change: Nanos,
    data_usage: DataUsage,
    /// The process that writes the data usage.
    writer: Option<Worker>,
    next_usage_check: Nanos,
}

impl LevelClock {
    /// A clock in this host's time zone, with the data usage counted so far.
    pub fn new(data_usage: DataUsage, now: Nanos) -> LevelClock {
        let (zone, zone_error) = local_zone();
        LevelClock {
            calendar: Calendar::new(zone, random_offset()),
            zone_error,
            configured: None,
            level_source: LevelSource::Settings,
            next_level_change: now,
            data_usage,
            writer: None,
            next_usage_check: now,
        }
    }

    /// The settings in force now for these configured settings: they may have another level by the schedule. Once
    /// applied, [`LevelClock::adopt`] takes the configured settings.
    pub fn in_force(&mut self, configured: &Settings) -> Settings {
        let mut settings = configured.clone();
        let scheduled = match depends_on_clock(configured) {
            true => self.calendar.in_force(configured, unix_time_s(), random_offset()),
            false => None,
        };
        if let Some(scheduled) = scheduled {
            settings.level = scheduled.level;
            settings.shape = scheduled.shape.unwrap_or(configured.shape);
        }
        self.level_source = scheduled.map_or(LevelSource::Settings, |scheduled| scheduled.by);
        settings
    }

    /// Stores the configured settings, and reads the time zone again.
    pub fn adopt(&mut self, configured: Settings) {
        let (zone, zone_error) = local_zone();
        self.calendar.set_zone(zone);
        self.zone_error = zone_error;
        self.configured = Some(configured);
    }

    /// The settings as configured, except for the order of the servers.
    pub fn configured(&self) -> Option<&Settings> {
        self.configured.as_ref()
    }

    /// The source of the level in force.
    pub fn level_source(&self) -> LevelSource {
        self.level_source
    }

    /// Whether the wall clock has been set.
    pub fn is_set(&self) -> bool {
        is_set(unix_time_s())
    }

    /// The data usage of the billing period; `None` while the clock is not set.
    pub fn usage(&self) -> Option<Usage> {
        let configured = self.configured.as_ref()?;
        let now = unix_time_s();
        if !is_set(now) {
            return None;
        }
        let zone = self.calendar.zone();
        let period = BillingPeriod::at(zone, now, configured.billing_day);
        let expected = match configured.role {
            Role::Router => period.planned_bytes(configured, zone, now),
            // An endpoint cannot know which homes will be connected, so it extrapolates.
            Role::Endpoint => self.data_usage.extrapolate(period, now),
        };
        Some(Usage {
            used: self.data_usage.bytes(),
            expected,
            since: self.data_usage.since().unwrap_or(period.start),
            period,
        })
    }

    /// Writes the data usage at exit.
    pub fn close(&mut self) -> std::io::Result<()> {
        self.writer = None;
        self.data_usage.write()
    }
}

impl EventLoop {
    /// Follows the schedule and counts the data usage. Runs once a second.
    pub(super) fn poll_clock(&mut self, now: Nanos) {
        self.poll_schedule(now);
        let totals = self.history.totals();
        self.clock.data_usage.count(totals.wire_upload + totals.wire_download);
        let report = self.clock.writer.as_mut().map(Worker::report);
        if !matches!(report, Some(Ok(None))) {
            self.clock.writer = None;
        }
        if now < self.clock.next_usage_check || !self.has_gap(now) {
            return;
        }
        self.clock.next_usage_check = now + USAGE_CHECK_PERIOD;
        self.check_usage();
        if self.clock.writer.is_none() && self.clock.data_usage.poll_due(now) {
            let data_usage = &self.clock.data_usage;
            self.clock.writer = Worker::start(|| {
                // A failed write is repeated in an hour.
                _ = data_usage.write();
                WorkerOutput::default()
            })
            .ok();
        }
    }

    fn poll_schedule(&mut self, now: Nanos) {
        let Some(configured) = self.clock.configured.take() else { return };
        let scheduled = self.clock.in_force(&configured);
        self.clock.configured = Some(configured);
        let Some(settings) = &self.settings else { return };
        let is_in_force = (scheduled.level, scheduled.shape) == (settings.level, settings.shape);
        if is_in_force {
            // After a successful change the next one need not wait.
            self.clock.next_level_change = now;
        }
        if is_in_force || self.reload.is_some() || now < self.clock.next_level_change {
            return;
        }
        self.clock.next_level_change = now + LEVEL_RETRY_PERIOD;
        info!("level {} -> {} (by {})", settings.level.name(), scheduled.level.name(), self.clock.level_source.name());
        if self.tunnel.is_complete() {
            self.reload = Some(Reload::by_clock(scheduled));
        } else {
            self.settings = Some(scheduled);
        }
        self.reconciler.trigger_now(now);
    }

    fn check_usage(&mut self) {
        let Some(configured) = &self.clock.configured else { return };
        let needs_zone = depends_on_clock(configured) || configured.data_cap_gb.is_some();
        let zone_error = self.clock.zone_error.as_ref().filter(|_| needs_zone);
        let zone_error = zone_error.map(|why| format!("{why}: schedules and the billing day use UTC"));
        if self.clock.is_set() {
            let period = BillingPeriod::at(self.clock.calendar.zone(), unix_time_s(), configured.billing_day);
            self.clock.data_usage.update_period(period, unix_time_s());
        }
        let cap = self.settings.as_ref().and_then(|settings| settings.data_cap_gb);
        let warning = self.clock.usage().zip(cap).and_then(|(usage, gb)| usage.warning(gb));
        self.set_problem(Code::Zone, zone_error);
        self.set_problem(Code::DataCap, warning);
    }

    /// Sets, updates or removes the problem of that code. A changed text alone is not logged.
    pub(super) fn set_problem(&mut self, code: Code, text: Option<String>) {
        match (self.problems.iter_mut().find(|problem| problem.code == code), text) {
            (Some(problem), Some(text)) => problem.text = text,
            (Some(_), None) => self.problems.retain(|problem| problem.code != code),
            (None, Some(text)) => self.note(Problem::new(code, text)),
            (None, None) => {}
        }
    }
}

/// The wall clock, in seconds of Unix time.
fn unix_time_s() -> i64 {
    timer::wall_clock().as_secs() as i64
}

/// The host's time zone, or UTC and why the zone is unknown.
fn local_zone() -> (LocalZone, Option<String>) {
    LocalZone::of_host().map_or_else(|why| (LocalZone::utc(), Some(why.to_string())), |zone| (zone, None))
}

/// A random number that shifts the times of level changes. Without randomness from the kernel the times are not
/// shifted.
fn random_offset() -> u32 {
    random::seed().map_or(300, |seed| u32::from_ne_bytes([seed[0], seed[1], seed[2], 0]))
}
