//! `config schedule`: parts of the week with their own level.

use super::context::Context;
use super::general::General;
use super::level::LEVELS;
use super::reader::SectionReader;
use super::value::{choice, time_of_day, weekday};
use crate::config::model::{Level, Role, Schedule};
use crate::config::problem::{SettingsProblem, Severity};
use crate::config::uci::Section;

const OPTIONS: [&str; 4] = ["day", "start", "stop", "level"];
const DAY_MINUTES: u32 = 24 * 60;
const WEEK_MINUTES: u32 = 7 * DAY_MINUTES;

/// Whether any schedule or line has level `custom`.
pub(super) fn uses_custom(sections: &[Section]) -> bool {
    let custom = |section: &Section| {
        section.options.iter().any(|o| o.name == "level" && o.values.last().is_some_and(|v| v.text.trim() == "custom"))
    };
    sections.iter().any(|section| ["schedule", "wan"].contains(&section.kind.as_str()) && custom(section))
}

/// Reads all `schedule` sections.
pub(super) fn read<'a>(
    sections: impl Iterator<Item = &'a Section>,
    general: &General,
    context: &Context,
    problems: &mut Vec<SettingsProblem>,
) -> Vec<Schedule> {
    let mut schedules = Vec::new();
    let mut labels = Vec::new();
    for section in sections {
        let mut reader = SectionReader::new(section, &OPTIONS, problems);
        context.expect(Role::Router, &mut reader);
        let days = days(&mut reader);
        let start = reader.needed(true, "start", "HH:MM", time_of_day);
        let stop = reader.needed(true, "stop", "HH:MM", time_of_day);
        let level = reader.needed(true, "level", "off | saver | balanced | strict | custom", choice(LEVELS));
        let (Some(start_minute), Some(stop_minute)) = (start, stop) else { continue };
        let level = level.unwrap_or(Level::Balanced);
        schedules.push(Schedule { days, start_minute, stop_minute, level, shape: general.shape(level) });
        labels.push((reader.label().to_owned(), reader.line()));
    }
    report_overlaps(&schedules, &labels, problems);
    schedules
}

fn days(reader: &mut SectionReader) -> [bool; 7] {
    if !reader.given("day") {
        return [true; 7];
    }
    let mut days = [false; 7];
    for (day, _) in reader.words("day", weekday) {
        days[day] = true;
    }
    days
}

/// Reports two schedules that overlap as an error of the later section. `labels` holds each section's name and line.
fn report_overlaps(schedules: &[Schedule], labels: &[(String, usize)], problems: &mut Vec<SettingsProblem>) {
    // Spans of the week, split at the end of the week: (start, end, schedule).
    let mut spans = Vec::new();
    for (i, schedule) in schedules.iter().enumerate() {
        let (from, to) = (u32::from(schedule.start_minute), u32::from(schedule.stop_minute));
        let minutes = if to > from { to - from } else { to + DAY_MINUTES - from };
        for day in (0..7).filter(|&day| schedule.days[day as usize]) {
            let start = day * DAY_MINUTES + from;
            let end = start + minutes;
            spans.push((start, end.min(WEEK_MINUTES), i));
            if end > WEEK_MINUTES {
                spans.push((0, end - WEEK_MINUTES, i));
            }
        }
    }
    spans.sort_unstable();
    let mut pairs = Vec::new();
    // Comparing each span with the one that ends last so far finds an overlap for every schedule that has one.
    let mut last_ending: Option<(u32, usize)> = None;
    for &(start, end, i) in &spans {
        if let Some((_, other)) = last_ending.filter(|&(last_end, other)| start < last_end && other != i) {
            pairs.push((i.max(other), i.min(other)));
        }
        if last_ending.is_none_or(|(last_end, _)| end > last_end) {
            last_ending = Some((end, i));
        }
    }
    pairs.sort_unstable();
    pairs.dedup();
    for (later, earlier) in pairs {
        let ((section, line), (other, other_line)) = (labels[later].clone(), &labels[earlier]);
        let text = format!("overlaps '{other}' on line {other_line} (want at most one schedule at any time)");
        problems.push(SettingsProblem { severity: Severity::Error, section, option: None, line, text });
    }
}
