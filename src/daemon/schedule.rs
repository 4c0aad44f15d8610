//! What depends on the wall clock and on the route in use: the level in force (invariant I5: never by traffic), and the
//! data usage of the billing period.

pub mod calendar;
pub mod data_usage;

use log::info;

use self::calendar::{BillingPeriod, Calendar, LevelSource, LocalZone, ScheduledLevel, UnknownZone, depends_on_clock};
use self::data_usage::{DataUsage, Usage};
use crate::config::model::{Level, Role, Settings};
use crate::daemon::action::Action;
use crate::daemon::problem::Code;
use crate::daemon::wall_clock::is_set;
use crate::sys::worker::{Worker, WorkerOutput};
use crate::units::Nanos;

/// Delay before a failed change of level is tried again.
const LEVEL_RETRY_PERIOD: Nanos = Nanos::from_secs(60);
/// Period of the checks of data usage and data cap.
const USAGE_CHECK_PERIOD: Nanos = Nanos::from_secs(60);

/// The scheduled level, and the data usage.
pub struct LevelClock {
    calendar: Calendar,
    /// Why the time zone is unknown.
    zone_error: Option<String>,
    level_source: LevelSource,
    /// The network of the `wan` section whose line is in use.
    wan: Option<String>,
    next_level_change: Nanos,
    data_usage: DataUsage,
    /// The process that writes the data usage.
    writer: Option<Worker>,
    next_usage_check: Nanos,
}

/// The moment, by both clocks, with a source of random numbers.
#[derive(Clone, Copy, Debug)]
pub struct Moment {
    /// The monotonic clock.
    pub now: Nanos,
    /// The wall clock, in seconds of Unix time.
    pub unix_s: i64,
    /// Draws a number that decides by how much the next change of level is shifted.
    pub draw: fn() -> u32,
}

impl LevelClock {
    /// A schedule in this host's time zone, with the data usage counted so far.
    pub fn new(zone: Result<LocalZone, UnknownZone>, data_usage: DataUsage, moment: Moment) -> LevelClock {
        let (zone, zone_error) = or_utc(zone);
        LevelClock {
            calendar: Calendar::new(zone, (moment.draw)()),
            zone_error,
            level_source: LevelSource::Settings,
            wan: None,
            next_level_change: moment.now,
            data_usage,
            writer: None,
            next_usage_check: moment.now,
        }
    }

    /// Notes the network of the `wan` section by whose interface the default route leaves.
    pub fn set_wan(&mut self, network: Option<&str>) {
        if self.wan.as_deref() != network {
            self.wan = network.map(str::to_owned);
        }
    }

    /// The network of the `wan` section whose level is in force.
    pub fn wan(&self) -> Option<&str> {
        self.wan.as_deref().filter(|_| self.level_source == LevelSource::Wan)
    }

    /// The settings in force now for these configured settings: they may have another level by the clock, or by the
    /// line in use. That outranks the clock, unless a schedule says `off`.
    pub fn in_force(&mut self, configured: &Settings, moment: Moment) -> Settings {
        let mut settings = configured.clone();
        let scheduled = match depends_on_clock(configured) {
            true => self.calendar.in_force(configured, moment.unix_s, (moment.draw)()),
            false => None,
        };
        let line = configured.line.wans.iter().find(|wan| Some(&wan.network) == self.wan.as_ref());
        let line = line.filter(|_| scheduled.is_none_or(|scheduled| scheduled.level != Level::Off));
        let by_line = line.map(|wan| ScheduledLevel { level: wan.level, shape: Some(wan.shape), by: LevelSource::Wan });
        let scheduled = by_line.or(scheduled);
        if let Some(scheduled) = scheduled {
            settings.level = scheduled.level;
            settings.shape = scheduled.shape.unwrap_or(configured.shape);
        }
        self.level_source = scheduled.map_or(LevelSource::Settings, |scheduled| scheduled.by);
        settings
    }

    /// Changes the time zone, which may have changed with the settings.
    pub fn set_zone(&mut self, zone: Result<LocalZone, UnknownZone>) {
        let (zone, zone_error) = or_utc(zone);
        self.calendar.set_zone(zone);
        self.zone_error = zone_error;
    }

    /// The source of the level in force.
    pub fn level_source(&self) -> LevelSource {
        self.level_source
    }

    /// The data usage of the billing period of these configured settings; `None` while the clock is not set.
    pub fn usage(&self, configured: &Settings, unix_s: i64) -> Option<Usage> {
        if !is_set(unix_s) {
            return None;
        }
        let zone = self.calendar.zone();
        let period = BillingPeriod::at(zone, unix_s, &configured.billing);
        let expected = match configured.role {
            Role::Router => period.planned_bytes(configured, zone, unix_s),
            // An endpoint cannot know which homes will be connected, so it extrapolates.
            Role::Endpoint => self.data_usage.extrapolate(period, unix_s),
        };
        Some(Usage {
            used: self.data_usage.bytes(),
            expected,
            since: self.data_usage.since().unwrap_or(period.start),
            period,
        })
    }

    /// Follows the schedule. Returns the change of level that is due, if any; `is_changing` says that another change is
    /// not in force yet. To be called about once a second.
    pub fn handle_tick(
        &mut self,
        configured: &Settings,
        in_force: &Settings,
        is_changing: bool,
        moment: Moment,
    ) -> Option<Action> {
        let scheduled = self.in_force(configured, moment);
        let is_in_force = (scheduled.level, scheduled.shape) == (in_force.level, in_force.shape);
        if is_in_force {
            // After a successful change the next one need not wait.
            self.next_level_change = moment.now;
        }
        if is_in_force || is_changing || moment.now < self.next_level_change {
            return None;
        }
        self.next_level_change = moment.now + LEVEL_RETRY_PERIOD;
        info!("level {} -> {} (by {})", in_force.level.name(), scheduled.level.name(), self.level_source.name());
        Some(Action::ChangeLevel(Box::new(scheduled)))
    }

    /// Counts the data usage. `wire_bytes` are all bytes on the wire since the daemon started.
    pub fn count(&mut self, wire_bytes: u64) {
        self.data_usage.count(wire_bytes);
    }

    /// Whether the data usage is to be checked and written now. To be asked about once a second.
    pub fn poll_check(&mut self, now: Nanos, has_gap: impl FnOnce() -> bool) -> bool {
        let report = self.writer.as_mut().map(Worker::report);
        if !matches!(report, Some(Ok(None))) {
            self.writer = None;
        }
        let is_due = now >= self.next_usage_check && has_gap();
        if is_due {
            self.next_usage_check = now + USAGE_CHECK_PERIOD;
        }
        is_due
    }

    /// Checks the data usage against the cap in GB. Returns the problems to set or remove.
    pub fn check_usage(&mut self, configured: &Settings, cap_gb: Option<u32>, unix_s: i64) -> [Action; 2] {
        let needs_zone = depends_on_clock(configured) || configured.data_cap_gb.is_some();
        let zone_error = self.zone_error.as_ref().filter(|_| needs_zone);
        let zone_error = zone_error.map(|why| format!("{why}: schedules and the billing day use UTC"));
        if is_set(unix_s) {
            let period = BillingPeriod::at(self.calendar.zone(), unix_s, &configured.billing);
            self.data_usage.update_period(period, unix_s);
        }
        let usage = self.usage(configured, unix_s);
        let warning = usage.zip(cap_gb).and_then(|(usage, gb)| usage.warning(gb, configured.billing.period));
        [Action::SetProblem(Code::Zone, zone_error), Action::SetProblem(Code::DataCap, warning)]
    }

    /// Starts a process that writes the data usage, if that is due.
    pub fn write_usage(&mut self, now: Nanos) {
        if self.writer.is_none() && self.data_usage.poll_due(now) {
            let data_usage = &self.data_usage;
            self.writer = Worker::start(|| {
                // A failed write is repeated in an hour.
                _ = data_usage.write();
                WorkerOutput::default()
            })
            .ok();
        }
    }

    /// Writes the data usage at exit.
    pub fn close(&mut self) -> std::io::Result<()> {
        self.writer = None;
        self.data_usage.write()
    }
}

/// The host's time zone, or UTC and why the zone is unknown.
fn or_utc(zone: Result<LocalZone, UnknownZone>) -> (LocalZone, Option<String>) {
    zone.map_or_else(|why| (LocalZone::utc(), Some(why.to_string())), |zone| (zone, None))
}

#[cfg(test)]
mod tests;
