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
    assert!(warning.contains("99.0 GB of main.data_cap 100 GB used"), "{warning}");
    assert_eq!(schedule.usage(&configured, MONDAY).map(|usage| usage.used), Some(99_000_000_000));
    assert!(matches!(schedule.check_usage(&configured, None, MONDAY)[1], Action::SetProblem(Code::DataCap, None)));
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
