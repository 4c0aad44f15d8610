//! The schedule by a virtual clock: both clocks are numbers.

use std::path::Path;

use super::*;
use crate::config::example;
use crate::config::model::Level;

/// Monday 2026-06-01 00:00 in Berlin.
const MONDAY: i64 = 1_780_264_800;
const HOUR: u64 = 3_600;

/// `seconds` after the start, which is Monday midnight. The random number shifts no change.
fn moment(seconds: u64) -> Moment {
    Moment { now: Nanos::from_secs(seconds), unix_s: MONDAY + seconds as i64, draw: || 300 }
}

fn schedule(zone: Result<LocalZone, UnknownZone>) -> LevelClock {
    let usage = DataUsage::open(Path::new("/nonexistent/data-usage"), Nanos::ZERO);
    LevelClock::new(zone, usage, moment(0))
}

fn berlin() -> Result<LocalZone, UnknownZone> {
    LocalZone::from_posix("CET-1CEST,M3.5.0,M10.5.0/3")
}

fn configured(main: &str, sections: &str) -> Settings {
    example::settings(&format!(
        "config millpond 'main'
	option level 'balanced'
{main}{sections}"
    ))
}

const NIGHT: &str = "config schedule\n\toption start '06:00'\n\toption stop '07:00'\n\toption level 'saver'\n";

#[test]
fn a_change_of_level_is_asked_for_once_a_minute_until_it_is_in_force() {
    let (configured, mut schedule) = (configured("", NIGHT), schedule(berlin()));
    let mut in_force = schedule.in_force(&configured, moment(0));
    let mut asked = Vec::new();
    for second in 6 * HOUR - 10..6 * HOUR + 130 {
        match schedule.handle_tick(&configured, &in_force, false, moment(second)) {
            None => {}
            Some(Action::ChangeLevel(settings)) => {
                asked.push((second - 6 * HOUR, settings.level));
                // The first two changes fail.
                if asked.len() == 3 {
                    in_force = *settings;
                }
            }
            Some(action) => panic!("unexpected: {action:?}"),
        }
    }
    assert_eq!(asked, [(0, Level::Saver), (60, Level::Saver), (120, Level::Saver)]);
    assert_eq!(schedule.level_source(), LevelSource::Schedule);
}

/// The route decides, at once and whatever the clock says, except that `off` stays off.
#[test]
fn the_line_in_use_has_a_level_of_its_own() {
    let sections = "config wan\n\toption network 'wwan'\n\toption level 'strict'\n\
        config schedule\n\toption start '08:00'\n\toption stop '09:00'\n\toption level 'off'\n";
    let (configured, mut schedule) = (configured("", &format!("{NIGHT}{sections}")), schedule(berlin()));
    let mut level = |line: Option<&str>, seconds| {
        schedule.set_wan(line);
        let level = schedule.in_force(&configured, moment(seconds)).level;
        (level, schedule.level_source().name(), schedule.wan().map(str::to_owned))
    };
    assert_eq!(level(None, HOUR), (Level::Balanced, "settings", None));
    assert_eq!(level(Some("wwan"), HOUR), (Level::Strict, "wan", Some("wwan".into())));
    assert_eq!(level(Some("wan"), HOUR), (Level::Balanced, "settings", None), "a line without a section");
    assert_eq!(level(None, 6 * HOUR + 600), (Level::Saver, "schedule", None));
    assert_eq!(level(Some("wwan"), 6 * HOUR + 600), (Level::Strict, "wan", Some("wwan".into())));
    assert_eq!(level(Some("wwan"), 8 * HOUR + 600), (Level::Off, "schedule", None));
    let in_force = schedule.in_force(&configured, moment(HOUR));
    assert_eq!(
        (in_force.level, schedule.handle_tick(&configured, &in_force, false, moment(HOUR))),
        (Level::Strict, None)
    );
    schedule.set_wan(None);
    let change = schedule.handle_tick(&configured, &in_force, false, moment(HOUR + 1));
    assert!(matches!(change, Some(Action::ChangeLevel(settings)) if settings.level == Level::Balanced));
}

#[test]
fn a_change_waits_for_the_one_before() {
    let (configured, mut schedule) = (configured("", NIGHT), schedule(berlin()));
    let in_force = schedule.in_force(&configured, moment(0));
    let at = |second| moment(6 * HOUR + second);
    assert_eq!(schedule.handle_tick(&configured, &in_force, true, at(1)), None);
    assert!(schedule.handle_tick(&configured, &in_force, false, at(2)).is_some());
}

#[test]
fn an_unset_clock_changes_no_level_and_counts_no_period() {
    let (configured, mut schedule) = (configured("", NIGHT), schedule(berlin()));
    let boot = Moment { unix_s: 6 * HOUR as i64, ..moment(0) };
    assert_eq!(schedule.in_force(&configured, boot).level, Level::Balanced);
    assert_eq!(schedule.usage(&configured, boot.unix_s), None);
}

#[test]
fn usage_is_counted_and_the_cap_is_a_problem() {
    let configured = configured("\toption data_cap '100'\n", "");
    let mut schedule = schedule(berlin());
    schedule.count(99_000_000_000);
    let problems = schedule.check_usage(&configured, Some(100), MONDAY);
    let [Action::SetProblem(Code::Zone, None), Action::SetProblem(Code::DataCap, Some(warning))] = &problems else {
        panic!("{problems:?}")
    };
    assert!(warning.contains("99.0 GB of main.data_cap 100 GB a month used"), "{warning}");
    assert_eq!(schedule.usage(&configured, MONDAY).map(|usage| usage.used), Some(99_000_000_000));
    assert!(matches!(schedule.check_usage(&configured, None, MONDAY)[1], Action::SetProblem(Code::DataCap, None)));
}

/// At 80 and 160 kbit/s a day takes 2.6 GB, and a week 18 GB.
#[test]
fn a_cap_of_a_day_or_a_week_is_forecast_and_counted_from_its_start() {
    let warning = |main: &str, seconds: u64, counted: u64| {
        let configured = configured(main, "");
        let mut schedule = schedule(berlin());
        schedule.count(counted);
        let [_, Action::SetProblem(_, text)] =
            schedule.check_usage(&configured, configured.data_cap_gb, moment(seconds).unix_s)
        else {
            panic!()
        };
        text
    };
    let [day, week] =
        ["day", "week"].map(|period| move |gb| format!("\toption data_cap '{gb}'\n\toption cap_period '{period}'\n"));
    assert_eq!(warning(&day(3), 60, 1_000), None);
    assert!(
        warning(&day(2), 60, 1_000)
            .unwrap()
            .contains("main.data_cap 2 GB a day used; forecast for the billing period: 3 GB")
    );
    assert_eq!(warning(&week(19), 60, 1_000), None);
    assert!(warning(&week(18), 60, 1_000).is_some());
    assert_eq!(warning(&week(18), 6 * 24 * HOUR, 1_000), None, "one day is left");
    let configured = configured(&day(3), "");
    let mut schedule = schedule(berlin());
    schedule.count(2_900_000_000);
    assert!(matches!(schedule.check_usage(&configured, Some(3), MONDAY)[1], Action::SetProblem(_, Some(_))));
    let tomorrow = MONDAY + 24 * HOUR as i64;
    assert!(matches!(schedule.check_usage(&configured, Some(3), tomorrow)[1], Action::SetProblem(_, None)));
    assert_eq!(schedule.usage(&configured, tomorrow).map(|usage| usage.used), Some(0));
}

#[test]
fn an_unknown_zone_is_a_problem_only_if_a_setting_needs_it() {
    let mut schedule = schedule(LocalZone::from_posix("Mars"));
    let zone_problem = |schedule: &mut LevelClock, settings: &Settings| {
        let [Action::SetProblem(Code::Zone, text), _] = schedule.check_usage(settings, None, MONDAY) else { panic!() };
        text
    };
    assert_eq!(zone_problem(&mut schedule, &configured("", "")), None);
    let text = zone_problem(&mut schedule, &configured("", NIGHT)).expect("a problem");
    assert!(
        text.contains("'Mars' is not a time zone") && text.ends_with(": schedules and the billing day use UTC"),
        "{text}"
    );
    schedule.set_zone(berlin());
    assert_eq!(zone_problem(&mut schedule, &configured("", NIGHT)), None);
}

#[test]
fn usage_is_checked_once_a_minute_in_a_gap() {
    let mut schedule = schedule(berlin());
    let checks = (0..300).filter(|second| schedule.poll_check(Nanos::from_secs(*second), || true)).count();
    assert_eq!(checks, 5);
    assert!(!schedule.poll_check(Nanos::from_secs(400), || false), "no gap between cells");
    assert!(schedule.poll_check(Nanos::from_secs(401), || true));
}
