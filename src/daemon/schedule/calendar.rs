//! The level by the clock: schedules, and the step down before a data cap (invariant I5: never by traffic).

mod period;
mod zone;

pub use period::BillingPeriod;
pub use zone::{LocalTime, LocalZone, UnknownZone};

use crate::config::model::{Level, Schedule, Settings, Shape, StepDown};
use crate::daemon::wall_clock::is_set;

/// A change happens at most this many seconds before or after its time, at random, so that its time reveals no more
/// than the schedule does.
const MAX_OFFSET_S: i64 = 300;

/// The level that the clock selects.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ScheduledLevel {
    /// The level.
    pub level: Level,
    /// Its rates and law; `None` for `off`.
    pub shape: Option<Shape>,
    /// What selected it.
    pub by: LevelSource,
}

/// What selected the level in force.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LevelSource {
    /// `main.level`.
    Settings,
    /// A schedule.
    Schedule,
    /// The day of the month.
    CapDay,
    /// The line in use.
    Wan,
}

impl LevelSource {
    /// The name in reports.
    pub fn name(self) -> &'static str {
        match self {
            LevelSource::Settings => "settings",
            LevelSource::Schedule => "schedule",
            LevelSource::CapDay => "cap-day",
            LevelSource::Wan => "wan",
        }
    }
}

/// Evaluates the schedules, with random offsets.
#[derive(Clone, Debug)]
pub struct Calendar {
    zone: LocalZone,
    /// Offset in seconds, positive or negative, at which the schedules are evaluated.
    offset_s: i64,
    /// When the offset was drawn, or a change happened with it.
    drawn_s: i64,
    last: Option<ScheduledLevel>,
}

impl Calendar {
    /// A calendar for a zone. `random` decides the first offset; draw a new value for each calendar.
    pub fn new(zone: LocalZone, random: u32) -> Calendar {
        Calendar { zone, offset_s: draw_offset(random), drawn_s: i64::MIN, last: None }
    }

    /// The home's time zone.
    pub fn zone(&self) -> &LocalZone {
        &self.zone
    }

    /// Changes the zone. The offset stays; a new one could revert a change that has just happened.
    pub fn set_zone(&mut self, zone: LocalZone) {
        self.zone = zone;
    }

    /// The level at `unix_s`; `None` while the clock has not been set, when the settings' own level applies. `random`
    /// decides the next offset when one is due.
    pub fn in_force(&mut self, settings: &Settings, unix_s: i64, random: u32) -> Option<ScheduledLevel> {
        if !is_set(unix_s) {
            return None;
        }
        // Keep the offset until the whole range of offsets is past the change: a new one could revert the change.
        let now = scheduled_level(settings, self.zone.local(unix_s + self.offset_s));
        if self.last.is_some_and(|last| last != now) {
            self.drawn_s = unix_s;
        }
        if self.last == Some(now)
            && unix_s.saturating_sub(self.drawn_s) > 2 * MAX_OFFSET_S
            && self.is_stable(settings, unix_s)
        {
            self.offset_s = draw_offset(random);
            self.drawn_s = unix_s;
        }
        self.last = Some(now);
        Some(now)
    }

    /// Whether every possible offset selects the same level, so that a new offset changes nothing now.
    fn is_stable(&self, settings: &Settings, unix_s: i64) -> bool {
        let at = |offset: i64| scheduled_level(settings, self.zone.local(unix_s + offset));
        (-MAX_OFFSET_S..=MAX_OFFSET_S).step_by(60).all(|offset| Some(at(offset)) == self.last)
    }
}

/// Whether any setting depends on the clock.
pub fn depends_on_clock(settings: &Settings) -> bool {
    !settings.schedules.is_empty() || settings.billing.step_down.is_some()
}

fn draw_offset(random: u32) -> i64 {
    i64::from(random) % (2 * MAX_OFFSET_S + 1) - MAX_OFFSET_S
}

/// The scheduled level without a random offset.
fn scheduled_level(settings: &Settings, time: LocalTime) -> ScheduledLevel {
    if let Some(schedule) = settings.schedules.iter().find(|schedule| is_active(schedule, time)) {
        return ScheduledLevel { level: schedule.level, shape: schedule.shape, by: LevelSource::Schedule };
    }
    match &settings.billing.step_down {
        Some(StepDown { day, level, shape }) if is_between(time.month_day, *day, settings.billing.day) => {
            ScheduledLevel { level: *level, shape: Some(*shape), by: LevelSource::CapDay }
        }
        _ => ScheduledLevel { level: settings.level, shape: Some(settings.shape), by: LevelSource::Settings },
    }
}

/// Whether a schedule is active. One that stops at or before its start runs into the next day.
fn is_active(schedule: &Schedule, time: LocalTime) -> bool {
    let LocalTime { weekday, minute, .. } = time;
    let today = schedule.days[usize::from(weekday)];
    let yesterday = schedule.days[usize::from((weekday + 6) % 7)];
    let (start, stop) = (schedule.start_minute, schedule.stop_minute);
    if start < stop {
        today && (start..stop).contains(&minute)
    } else {
        today && minute >= start || yesterday && minute < stop
    }
}

/// Whether a day of the month is in `from..until`, which may cross the end of the month.
fn is_between(day: u8, from: u8, until: u8) -> bool {
    if from < until { (from..until).contains(&day) } else { day >= from || day < until }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Monday 2026-06-01 00:00 in Berlin.
    const MONDAY: i64 = 1_780_264_800;
    /// Sunday 2026-03-29 00:00 in Berlin: at 02:00 it is 03:00.
    const SPRING: i64 = 1_774_738_800;
    /// Sunday 2026-10-25 00:00 in Berlin: at 03:00 it is 02:00.
    const AUTUMN: i64 = 1_792_879_200;
    const HOUR: i64 = 3_600;

    fn calendar(random: u32) -> Calendar {
        Calendar::new(LocalZone::from_posix("CET-1CEST,M3.5.0,M10.5.0/3").unwrap(), random)
    }

    fn settings(text: &str) -> Settings {
        let main = "config millpond 'main'\n\toption level 'balanced'\n";
        let parsed = crate::config::parse(format!("{main}{text}").as_bytes());
        parsed.settings.unwrap_or_else(|| panic!("{:?}", parsed.problems))
    }

    fn night() -> Settings {
        settings("config schedule\n\toption start '23:30'\n\toption stop '06:00'\n\toption level 'saver'\n")
    }

    /// The changes between two moments, checked every second, each with its seconds after `from`.
    fn changes(calendar: &mut Calendar, settings: &Settings, from: i64, until: i64) -> Vec<(i64, Level)> {
        let mut random = 1u32;
        let mut changes = Vec::new();
        let mut last = None;
        for at in from..until {
            random = random.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            let level = calendar.in_force(settings, at, random >> 8).unwrap().level;
            if last.is_some_and(|last| last != level) {
                changes.push((at - from, level));
            }
            last = Some(level);
        }
        changes
    }

    #[test]
    fn each_change_happens_once_and_near_its_time() {
        let settings = night();
        let mut offsets = Vec::new();
        for random in [0, 77, 300, 599] {
            let mut calendar = calendar(random);
            let changes = changes(&mut calendar, &settings, MONDAY + 12 * HOUR, MONDAY + 7 * 24 * HOUR + 12 * HOUR);
            assert_eq!(changes.len(), 14, "{changes:?}");
            for (index, (at, level)) in changes.iter().enumerate() {
                let (day, start) = (index as i64 / 2 * 24 * HOUR, index % 2 == 0);
                let nominal = day + if start { 11 * HOUR + HOUR / 2 } else { 18 * HOUR };
                assert_eq!(*level, if start { Level::Saver } else { Level::Balanced });
                assert!((at - nominal).abs() <= MAX_OFFSET_S, "{at} is far from {nominal}");
                offsets.push(at - nominal);
            }
        }
        offsets.sort_unstable();
        offsets.dedup();
        assert!(offsets.len() > 10, "most changes get a new offset: {offsets:?}");
    }

    #[test]
    fn a_reload_reverts_no_change() {
        let settings = night();
        for random in 0..600 {
            let mut calendar = calendar(random);
            let start = MONDAY + 23 * HOUR + HOUR / 2;
            let changed = (start - MAX_OFFSET_S..=start + MAX_OFFSET_S)
                .find(|at| calendar.in_force(&settings, *at, 0).unwrap().level == Level::Saver)
                .unwrap();
            calendar.set_zone(calendar.zone().clone());
            assert_eq!(calendar.in_force(&settings, changed + 1, 599).unwrap().level, Level::Saver, "random {random}");
        }
    }

    #[test]
    fn schedules_follow_local_time_across_both_clock_changes() {
        let settings =
            settings("config schedule\n\toption start '01:00'\n\toption stop '04:00'\n\toption level 'strict'\n");
        for (midnight, hours) in [(SPRING, 2), (AUTUMN, 4), (MONDAY, 3)] {
            let changes = changes(&mut calendar(300), &settings, midnight, midnight + 8 * HOUR);
            assert_eq!(changes.len(), 2, "{changes:?}");
            let duration = changes[1].0 - changes[0].0;
            assert!((duration - hours * HOUR).abs() <= 2 * MAX_OFFSET_S, "{duration} s instead of {hours} h");
        }
    }

    #[test]
    fn a_schedule_belongs_to_the_day_of_its_start() {
        let settings = settings(
            "config schedule\n\tlist day 'sun'\n\toption start '22:00'\n\toption stop '06:00'\n\toption level 'off'\n",
        );
        let level = |at| calendar(300).in_force(&settings, at, 0).unwrap();
        assert_eq!(
            level(MONDAY + HOUR),
            ScheduledLevel { level: Level::Off, shape: None, by: LevelSource::Schedule },
            "Sunday's runs into Monday"
        );
        assert_eq!(level(MONDAY + 23 * HOUR).level, Level::Balanced);
        assert_eq!(level(MONDAY + (6 * 24 + 23) * HOUR).level, Level::Off);
    }

    #[test]
    fn the_step_down_follows_the_date() {
        let main = "\toption billing_day '10'\n\toption cap_day '25'\n\toption cap_level 'saver'\n";
        let settings = settings(main);
        let level =
            |day: i64| calendar(300).in_force(&settings, MONDAY + (day - 1) * 24 * HOUR + HOUR, 0).unwrap().level;
        for (day, expected) in [(1, Level::Saver), (9, Level::Saver), (10, Level::Balanced), (24, Level::Balanced)] {
            assert_eq!(level(day), expected, "day {day}");
        }
        assert_eq!(level(25), Level::Saver);
    }

    #[test]
    fn an_unset_clock_selects_no_level() {
        assert_eq!(calendar(0).in_force(&night(), 86_400, 0), None);
    }

    #[test]
    fn a_jump_of_the_clock_is_followed() {
        let (settings, mut calendar) = (night(), calendar(300));
        let mut level = |at| calendar.in_force(&settings, at, 300).unwrap().level;
        assert_eq!(level(MONDAY + 12 * HOUR), Level::Balanced);
        assert_eq!(level(MONDAY - 400 * 24 * HOUR + 3 * HOUR), Level::Saver);
        assert_eq!(level(MONDAY + 12 * HOUR), Level::Balanced);
    }
}
