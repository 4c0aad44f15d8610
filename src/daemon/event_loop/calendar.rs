//! The loop's part of what goes by the clock: the level in force, and the data of the billing period.

use log::info;

use super::super::calendar::{BillingPeriod, Calendar, LevelSource, LocalZone, is_planned, is_set};
use super::super::data_usage::{DataUsage, Usage};
use super::super::problem::{Code, Problem};
use super::EventLoop;
use super::requests::Reload;
use crate::config::model::{Role, Settings};
use crate::sys::worker::{Worker, WorkerOutput};
use crate::sys::{random, timer};
use crate::units::Nanos;

/// A change that could not be brought into force is tried again.
const CHANGE_RETRY: Nanos = Nanos::from_secs(60);
/// From one look at the data cap to the next.
const USAGE_CHECK_PERIOD: Nanos = Nanos::from_secs(60);

/// What goes by the wall clock.
pub struct LevelClock {
    calendar: Calendar,
    /// Why the zone is not known.
    zone_trouble: Option<String>,
    /// The settings as written; those in force have the level that holds by the clock.
    written: Option<Settings>,
    /// Why the level in force is.
    by: LevelSource,
    next_try: Nanos,
    data_usage: DataUsage,
    writing: Option<Worker>,
    next_look: Nanos,
}

impl LevelClock {
    /// A clock for this machine's zone, with what was used before.
    pub fn new(data_usage: DataUsage, now: Nanos) -> LevelClock {
        let (zone, zone_trouble) = zone();
        LevelClock {
            calendar: Calendar::new(zone, draw()),
            zone_trouble,
            written: None,
            by: LevelSource::Settings,
            next_try: now,
            data_usage,
            writing: None,
            next_look: now,
        }
    }

    /// The settings that are in force now if these are written, for [`LevelClock::adopt`] to take once they are.
    pub fn in_force(&mut self, written: &Settings) -> Settings {
        let mut settings = written.clone();
        let found = match is_planned(written) {
            true => self.calendar.in_force(written, wall(), draw()),
            false => None,
        };
        if let Some(found) = found {
            settings.level = found.level;
            settings.shape = found.shape.unwrap_or(written.shape);
        }
        self.by = found.map_or(LevelSource::Settings, |found| found.by);
        settings
    }

    /// Takes settings as written, and looks again for the zone.
    pub fn adopt(&mut self, written: Settings) {
        let (zone, trouble) = zone();
        self.calendar.set_zone(zone);
        self.zone_trouble = trouble;
        self.written = Some(written);
    }

    /// The settings as written, but for the order of the servers.
    pub fn written(&self) -> Option<&Settings> {
        self.written.as_ref()
    }

    /// Why the level in force is.
    pub fn by(&self) -> LevelSource {
        self.by
    }

    /// Whether the wall clock has been set.
    pub fn is_set(&self) -> bool {
        is_set(wall())
    }

    /// The data of the billing period; `None` while the clock is not set.
    pub fn usage(&self) -> Option<Usage> {
        let written = self.written.as_ref()?;
        let now = wall();
        if !is_set(now) {
            return None;
        }
        let zone = self.calendar.zone();
        let period = BillingPeriod::at(zone, now, written.billing_day);
        let to_come = match written.role {
            Role::Router => period.planned_bytes(written, zone, now),
            // Homes come and go as they like: as until now.
            Role::Endpoint => self.data_usage.as_until_now(period, now),
        };
        Some(Usage {
            used: self.data_usage.bytes(),
            to_come,
            since: self.data_usage.since().unwrap_or(period.start),
            period,
        })
    }

    /// Has what was used on the disk, at the end.
    pub fn close(&mut self) -> std::io::Result<()> {
        self.writing = None;
        self.data_usage.write()
    }
}

impl EventLoop {
    /// Once a second: follows the plan, and counts.
    pub(super) fn follow_clock(&mut self, now: Nanos) {
        self.follow_plan(now);
        let totals = self.history.totals();
        self.clock.data_usage.count(totals.wire_upload + totals.wire_download);
        let writing = self.clock.writing.as_mut().map(Worker::report);
        if !matches!(writing, Some(Ok(None))) {
            self.clock.writing = None;
        }
        if now < self.clock.next_look || !self.has_gap(now) {
            return;
        }
        self.clock.next_look = now + USAGE_CHECK_PERIOD;
        self.look_at_usage();
        if self.clock.writing.is_none() && self.clock.data_usage.poll_due(now) {
            let data_usage = &self.clock.data_usage;
            self.clock.writing = Worker::start(|| {
                // The next one, in an hour, may do better.
                _ = data_usage.write();
                WorkerOutput::default()
            })
            .ok();
        }
    }

    fn follow_plan(&mut self, now: Nanos) {
        let Some(written) = self.clock.written.take() else { return };
        let planned = self.clock.in_force(&written);
        self.clock.written = Some(written);
        let Some(settings) = &self.settings else { return };
        let is_same = (planned.level, planned.shape) == (settings.level, settings.shape);
        if is_same {
            // The last change is in force: the next one need not wait.
            self.clock.next_try = now;
        }
        if is_same || self.reload.is_some() || now < self.clock.next_try {
            return;
        }
        self.clock.next_try = now + CHANGE_RETRY;
        info!("level {} from now on, by the {}", planned.level.name(), self.clock.by.name());
        if self.tunnel.is_complete() {
            self.reload = Some(Reload::by_clock(planned));
        } else {
            self.settings = Some(planned);
        }
        self.reconciler.trigger_now(now);
    }

    fn look_at_usage(&mut self) {
        let Some(written) = &self.clock.written else { return };
        let matters = is_planned(written) || written.data_cap_gb.is_some();
        let trouble = self.clock.zone_trouble.as_ref().filter(|_| matters);
        let trouble = trouble.map(|why| format!("{why}: schedules and the billing day go by universal time"));
        if self.clock.is_set() {
            let period = BillingPeriod::at(self.clock.calendar.zone(), wall(), written.billing_day);
            self.clock.data_usage.settle(period, wall());
        }
        let cap = self.settings.as_ref().and_then(|settings| settings.data_cap_gb);
        let warning = self.clock.usage().zip(cap).and_then(|(usage, gb)| usage.warning(gb));
        self.set_problem(Code::Zone, trouble);
        self.set_problem(Code::DataCap, warning);
    }

    /// Has one problem of that kind, or none. One that only changes its words is not worth another line in the log.
    pub(super) fn set_problem(&mut self, code: Code, text: Option<String>) {
        match (self.problems.iter_mut().find(|problem| problem.code == code), text) {
            (Some(problem), Some(text)) => problem.text = text,
            (Some(_), None) => self.problems.retain(|problem| problem.code != code),
            (None, Some(text)) => self.note(Problem::new(code, text)),
            (None, None) => {}
        }
    }
}

/// Seconds after 1970.
fn wall() -> i64 {
    timer::wall_clock().as_secs() as i64
}

fn zone() -> (LocalZone, Option<String>) {
    LocalZone::of_machine().map_or_else(|why| (LocalZone::utc(), Some(why.to_string())), |zone| (zone, None))
}

/// A moment is drawn with it; where the kernel has no randomness, changes come at their very time.
fn draw() -> u32 {
    random::seed().map_or(300, |seed| u32::from_ne_bytes([seed[0], seed[1], seed[2], 0]))
}
