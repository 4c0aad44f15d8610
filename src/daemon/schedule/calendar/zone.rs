//! The home's time zone: OpenWrt's setting, or the host's.

use std::fmt;
use std::fs;
use std::path::Path;

use tz::TimeZone;

use crate::config::uci;

/// The time zone setting on OpenWrt and on other systems.
const UCI_SYSTEM: &str = "/etc/config/system";
const LOCALTIME: &str = "/etc/localtime";

/// A time zone: converts universal to local time.
#[derive(Clone, Debug)]
pub struct LocalZone(TimeZone);

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
        LocalZone(TimeZone::utc())
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
            Ok(data) => match TimeZone::from_tz_data(&data) {
                Ok(zone) => Ok(LocalZone(zone)),
                Err(error) => Err(UnknownZone(format!("reading {}: no time zone in it: {error}", localtime.display()))),
            },
            Err(_) => {
                Err(UnknownZone(format!("neither {} nor {} has a time zone", system.display(), localtime.display())))
            }
        }
    }

    /// Parses a POSIX rule such as "CET-1CEST,M3.5.0,M10.5.0/3" (POSIX.1, section 8.3).
    pub fn from_posix(rule: &str) -> Result<LocalZone, UnknownZone> {
        // The crate would also accept a file name.
        let invalid =
            || UnknownZone(format!("'{rule}' is not a time zone (want a rule such as 'CET-1CEST,M3.5.0,M10.5.0/3')"));
        if rule.starts_with([':', '/']) {
            return Err(invalid());
        }
        tz::TimeZoneSettings::new(&[], |_| Err(std::io::Error::from(std::io::ErrorKind::NotFound).into()))
            .parse_posix_tz(rule)
            .map(LocalZone)
            .map_err(|_| invalid())
    }

    /// Seconds by which local time is ahead of universal time.
    pub fn offset(&self, unix_s: i64) -> i64 {
        self.0.find_local_time_type(unix_s).map_or(0, |of| of.ut_offset().into())
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

#[cfg(test)]
mod tests {
    use super::*;

    /// 2026-03-29 01:00 UTC, when Berlin's clocks go from 02:00 to 03:00.
    const SPRING: i64 = 1_774_746_000;
    /// 2026-10-25 01:00 UTC, when they go from 03:00 back to 02:00.
    const AUTUMN: i64 = 1_792_890_000;

    fn berlin() -> LocalZone {
        LocalZone::from_posix("CET-1CEST,M3.5.0,M10.5.0/3").unwrap()
    }

    #[test]
    fn daylight_saving_skips_an_hour_and_repeats_one() {
        let minute = |at| berlin().local(at).minute;
        assert_eq!((minute(SPRING - 60), minute(SPRING)), (119, 180));
        assert_eq!((minute(AUTUMN - 60), minute(AUTUMN)), (179, 120));
        assert_eq!(berlin().local(SPRING), LocalTime { month_day: 29, weekday: 6, minute: 180 });
    }

    #[test]
    fn days_of_the_month_follow_the_calendar() {
        let zone = LocalZone::utc();
        let of = |unix_s| zone.local(unix_s).month_day;
        assert_eq!((of(0), of(-1), of(951_782_400), of(951_868_800)), (1, 31, 29, 1), "29 February 2000");
        assert_eq!(zone.local(0).weekday, 3);
    }

    #[test]
    fn openwrts_setting_takes_precedence_over_the_hosts() {
        let dir = std::env::temp_dir().join(format!("millpond-zone-{}", std::process::id()));
        fs::create_dir_all(&dir).unwrap();
        let (system, localtime) = (dir.join("system"), dir.join("localtime"));
        let of = || LocalZone::from_files(&system, &localtime).map(|zone| zone.local(0).minute);
        assert!(of().unwrap_err().to_string().contains("has a time zone"));
        fs::write(&localtime, b"not a zone").unwrap();
        assert!(of().unwrap_err().to_string().contains("no time zone in it"));
        fs::write(&system, "config system\n\toption hostname 'home'\n\toption timezone 'EST5EDT,M3.2.0,M11.1.0'\n")
            .unwrap();
        assert_eq!(of(), Ok(19 * 60));
        fs::write(&system, "config system\n\toption timezone '/etc/passwd'\n").unwrap();
        assert!(of().unwrap_err().to_string().contains("is not a time zone"));
        fs::remove_dir_all(&dir).unwrap();
    }
}
