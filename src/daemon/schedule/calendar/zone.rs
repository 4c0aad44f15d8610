//! The home's time zone: OpenWrt's setting, or the host's.

mod rule;
#[cfg(test)]
mod tests;
mod zone_file;

use std::fmt;
use std::fs;
use std::path::Path;

use self::rule::ZoneRule;
use self::zone_file::ZoneFile;
use crate::config::uci;

/// The time zone setting on OpenWrt and on other systems.
const UCI_SYSTEM: &str = "/etc/config/system";
const LOCALTIME: &str = "/etc/localtime";

/// A time zone: converts universal to local time.
#[derive(Clone, Debug)]
pub struct LocalZone(ZoneFile);

/// A local time: day of the month, weekday and minute.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LocalTime {
    /// Day of the month, 1..=31.
    pub month_day: u8,
    /// Monday 0 to Sunday 6.
    pub weekday: u8,
    /// Minutes after midnight.
    pub minute: u16,
}

/// Why the zone is unknown; the caller uses universal time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnknownZone(String);

impl fmt::Display for UnknownZone {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl LocalZone {
    /// Universal time.
    pub fn utc() -> LocalZone {
        LocalZone::from_rule(ZoneRule::fixed(0))
    }

    /// The zone of this host.
    pub fn of_host() -> Result<LocalZone, UnknownZone> {
        LocalZone::from_files(Path::new(UCI_SYSTEM), Path::new(LOCALTIME))
    }

    fn from_files(system: &Path, localtime: &Path) -> Result<LocalZone, UnknownZone> {
        if let Some(rule) = fs::read(system).ok().as_deref().and_then(timezone) {
            return LocalZone::from_posix(&rule)
                .map_err(|why| UnknownZone(format!("system.timezone in {}: {why}", system.display())));
        }
        match fs::read(localtime) {
            Ok(data) => LocalZone::from_file(&data)
                .ok_or_else(|| UnknownZone(format!("reading {}: no time zone in it", localtime.display()))),
            Err(_) => {
                Err(UnknownZone(format!("neither {} nor {} has a time zone", system.display(), localtime.display())))
            }
        }
    }

    /// Reads the content of a file with a time zone (RFC 8536); `None` if it is damaged.
    pub fn from_file(data: &[u8]) -> Option<LocalZone> {
        ZoneFile::parse(data).map(LocalZone)
    }

    /// Parses a POSIX rule such as "CET-1CEST,M3.5.0,M10.5.0/3" (POSIX.1, section 8.3), with the hours from -167 to 167
    /// of RFC 8536, section 3.3.1.
    pub fn from_posix(rule: &str) -> Result<LocalZone, UnknownZone> {
        // OpenWrt's default for a long time, and what the C library reads it as.
        let full = match rule.trim() {
            "UTC" | "GMT" | "UCT" => "UTC0",
            other => other,
        };
        ZoneRule::parse(full).map(LocalZone::from_rule).ok_or_else(|| {
            let is_name = rule.contains('/') && !rule.contains(',') && !rule.starts_with([':', '/']);
            let problem = if is_name { "the name of a time zone, not its rule" } else { "not a time zone" };
            UnknownZone(format!(
                "'{}' is {problem} (want a rule such as 'CET-1CEST,M3.5.0,M10.5.0/3')",
                rule.escape_debug()
            ))
        })
    }

    fn from_rule(rule: ZoneRule) -> LocalZone {
        LocalZone(ZoneFile { changes: Vec::new(), rule })
    }

    /// Seconds by which local time is ahead of universal time.
    pub fn offset(&self, unix_s: i64) -> i64 {
        let ZoneFile { changes, rule } = &self.0;
        let next = changes.partition_point(|(at, _)| *at <= unix_s);
        changes.get(next).map_or_else(|| rule.offset(unix_s), |(_, before)| *before)
    }

    /// The start of a local day, in seconds of Unix time. `day` counts from 1970-01-01, local time.
    pub fn midnight(&self, day: i64) -> i64 {
        let local = day * 86_400;
        let guess = local - self.offset(local);
        local - self.offset(guess)
    }

    /// The local time at `unix_s`, in seconds of Unix time.
    pub fn local(&self, unix_s: i64) -> LocalTime {
        let local = unix_s + self.offset(unix_s);
        let days = local.div_euclid(86_400);
        let minute = local.rem_euclid(86_400) / 60;
        // 1970 began on a Thursday.
        LocalTime { month_day: month_day(days), weekday: (days + 3).rem_euclid(7) as u8, minute: minute as u16 }
    }
}

/// The value of `system.@system[0].timezone`.
fn timezone(text: &[u8]) -> Option<String> {
    let (sections, _) = uci::parse(text);
    let section = sections.into_iter().find(|section| section.kind == "system")?;
    let option = section.options.into_iter().rfind(|option| option.name == "timezone")?;
    option.values.into_iter().next_back().map(|value| value.text)
}

/// The day of the month in the Gregorian calendar, from days after 1970-01-01 (H. Hinnant, *chrono-compatible low-level
/// date algorithms*, `civil_from_days`).
pub(super) fn month_day(days: i64) -> u8 {
    let day_of_era = (days + 719_468).rem_euclid(146_097);
    let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month = (5 * day_of_year + 2) / 153;
    (day_of_year - (153 * month + 2) / 5 + 1) as u8
}
