//! The settings of the year, and which level each should have when. Berlin's clock is computed here from the two dates
//! of its changes, not by the daemon's code.

use millpond::config::example::{ENDPOINT, ROUTER, settings};
use millpond::config::model::{Level, Settings};

/// The start of the year: 2027-01-01 00:00 UTC, a Friday.
pub const START_S: i64 = 1_798_761_600;
/// Berlin's rule, and when the clocks change: on 28 March and 31 October 2027, at 01:00 UTC.
pub const ZONE: &str = "CET-1CEST,M3.5.0,M10.5.0/3";
pub const CLOCK_CHANGES: [i64; 2] = [1_806_195_600, 1_824_944_400];
pub const DAY_S: i64 = 86_400;
/// A change of level is at most this far from its time (`MAX_OFFSET_S`), and is noticed within a second.
pub const MAX_OFFSET_S: i64 = 301;

/// Number of different settings.
pub const VARIANTS: usize = 4;
/// The variant whose schedule lies in the hour that the change of the clocks skips or repeats, and that changes level
/// with the day of the month.
pub const NIGHT_HOUR: usize = 3;

/// The rates of the levels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rates {
    /// Three to eight cells a second in all.
    Low,
    /// Twenty to sixty cells a second in all.
    Medium,
}

/// A router's settings.
pub fn router(variant: usize, rates: Rates) -> Settings {
    let (main, sections) = match variant {
        0 => ("", "config schedule\n\toption start '23:30'\n\toption stop '06:00'\n\toption level 'saver'\n"),
        1 => (
            "\toption law 'normal'\n\toption spread '15'\n",
            "config schedule\n\tlist day 'sat'\n\tlist day 'sun'\n\toption start '12:00'\n\toption stop '12:30'\n\
             \toption level 'off'\n",
        ),
        2 => (
            "\toption law 'constant'\n\toption upload '8'\n\toption download '10'\n\toption cell '900'\n",
            "config schedule\n\tlist day 'mon'\n\tlist day 'tue'\n\tlist day 'wed'\n\tlist day 'thu'\n\tlist day 'fri'\n\
             \toption start '08:00'\n\toption stop '17:00'\n\toption level 'custom'\n",
        ),
        NIGHT_HOUR => (
            "\toption spread '20'\n\toption cap_day '25'\n\toption cap_level 'saver'\n",
            "config schedule\n\toption start '02:30'\n\toption stop '03:30'\n\toption level 'strict'\n",
        ),
        _ => panic!("no variant {variant}"),
    };
    let kbit = match rates {
        Rates::Low => [(8, 8), (10, 12), (16, 18)],
        Rates::Medium => [(30, 60), (40, 80), (80, 160)],
    };
    let levels = ["saver", "balanced", "strict"].iter().zip(kbit);
    let levels: String = levels
        .map(|(name, (up, down))| {
            format!("config level '{name}'\n\toption upload '{up}'\n\toption download '{down}'\n")
        })
        .collect();
    let devices: String = (0..8 + variant)
        .map(|index| {
            let name = "x".repeat(1 + (7 * index + variant) % 40);
            format!("config device\n\toption name '{index}{name}'\n\toption mac '18:b4:30:26:34:{index:02x}'\n")
        })
        .collect();
    let text = ROUTER.replacen(
        "\toption enabled '1'\n",
        &format!("\toption enabled '1'\n\toption level 'balanced'\n{main}"),
        1,
    );
    settings(&format!("{text}\n{levels}{sections}{devices}"))
}

/// The endpoint's settings; they change only a limit that no home reaches.
pub fn endpoint(variant: usize) -> Settings {
    settings(&format!(
        "{ENDPOINT}
config home
	option name 'home'
	option public_key 'ISIjJCUmJygpKissLS4vMDEyMzQ1Njc4OTo7PD0+P0A='
	option address '10.77.0.2'
	option max_download '{}'
",
        4_000 + variant
    ))
}

/// The level at that time, without the random offset.
pub fn level(variant: usize, unix_s: i64) -> Level {
    let local = local(unix_s);
    let (weekday, minute) = ((local.div_euclid(DAY_S) + 3).rem_euclid(7), local.rem_euclid(DAY_S) / 60);
    match variant {
        0 if !(6 * 60..23 * 60 + 30).contains(&minute) => Level::Saver,
        1 if weekday >= 5 && (12 * 60..12 * 60 + 30).contains(&minute) => Level::Off,
        2 if weekday < 5 && (8 * 60..17 * 60).contains(&minute) => Level::Custom,
        NIGHT_HOUR if (2 * 60 + 30..3 * 60 + 30).contains(&minute) => Level::Strict,
        NIGHT_HOUR if day_of_month(local) >= 25 => Level::Saver,
        _ => Level::Balanced,
    }
}

/// The start and end of the billing period from the first to the first, in seconds of Unix time.
pub fn billing_period(unix_s: i64) -> [i64; 2] {
    let midnight = |month: usize| {
        let local = START_S + DAY_S * MONTHS[..month].iter().sum::<i64>();
        local - offset(local - 3_600)
    };
    let month = (1..=13).find(|month| unix_s < midnight(*month)).unwrap_or(13);
    [if month == 0 { START_S } else { midnight(month - 1) }, midnight(month)]
}

const MONTHS: [i64; 13] = [31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31, 31];

fn day_of_month(local: i64) -> i64 {
    let mut day = (local - START_S).div_euclid(DAY_S);
    for length in MONTHS {
        if day < length {
            break;
        }
        day -= length;
    }
    day + 1
}

fn local(unix_s: i64) -> i64 {
    unix_s + offset(unix_s)
}

fn offset(unix_s: i64) -> i64 {
    if (CLOCK_CHANGES[0]..CLOCK_CHANGES[1]).contains(&unix_s) { 7_200 } else { 3_600 }
}
