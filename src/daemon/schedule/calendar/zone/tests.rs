//! Rules of time zones, compared with the C library's conversion.

use std::io::Write;
use std::process::{Command, Stdio};

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
    fs::write(&system, "config system\n\toption timezone 'UTC'\n").unwrap();
    assert_eq!(of(), Ok(0));
    fs::remove_dir_all(&dir).unwrap();
}

/// The different rules of the zone table of LuCI and of tzdata 2025b, and OpenWrt's old default.
const RULES: &str = "\
    <+00>0<+02>-2,M3.5.0/1,M10.5.0/3 <+01>-1 <+02>-2 <+0330>-3:30 <+03>-3 <+0430>-4:30 <+04>-4 <+0530>-5:30 \
    <+0545>-5:45 <+05>-5 <+0630>-6:30 <+06>-6 <+07>-7 <+0845>-8:45 <+08>-8 <+09>-9 \
    <+1030>-10:30<+11>-11,M10.1.0,M4.1.0 <+10>-10 <+11>-11 <+11>-11<+12>,M10.1.0,M4.1.0/3 \
    <+1245>-12:45<+1345>,M9.5.0/2:45,M4.1.0/3:45 <+12>-12 <+13>-13 <+14>-14 <-00>0 <-01>1 \
    <-01>1<+00>,M3.5.0/0,M10.5.0/1 <-02>2 <-02>2<-01>,M3.5.0/-1,M10.5.0/0 <-03>3 <-03>3<-02>,M3.2.0,M11.1.0 <-04>4 \
    <-04>4<-03>,M10.1.0/0,M3.4.0/0 <-04>4<-03>,M9.1.6/24,M4.1.6/24 <-05>5 <-06>6 <-06>6<-05>,M9.1.6/22,M4.1.6/22 \
    <-07>7 <-08>8 <-0930>9:30 <-09>9 <-10>10 <-11>11 <-12>12 ACST-9:30 ACST-9:30ACDT,M10.1.0,M4.1.0/3 AEST-10 \
    AEST-10AEDT,M10.1.0,M4.1.0/3 AKST9AKDT,M3.2.0,M11.1.0 AST4 AST4ADT,M3.2.0,M11.1.0 AWST-8 CAT-2 CET-1 \
    CET-1CEST,M3.5.0,M10.5.0/3 CST-8 CST5CDT,M3.2.0/0,M11.1.0/1 CST6 CST6CDT,M3.2.0,M11.1.0 ChST-10 EAT-3 EET-2 \
    EET-2EEST,M3.4.4/50,M10.4.4/50 EET-2EEST,M3.5.0,M10.5.0/3 EET-2EEST,M3.5.0/0,M10.5.0/0 \
    EET-2EEST,M3.5.0/3,M10.5.0/4 EET-2EEST,M4.5.5/0,M10.5.4/24 EST5 EST5EDT,M3.2.0,M11.1.0 GMT0 \
    GMT0BST,M3.5.0/1,M10.5.0 HKT-8 HST10 HST10HDT,M3.2.0,M11.1.0 IST-1GMT0,M10.5.0,M3.5.0/1 \
    IST-2IDT,M3.4.4/26,M10.5.0 IST-5:30 JST-9 KST-9 MET-1MEST,M3.5.0,M10.5.0/3 MSK-3 MST7 MST7MDT,M3.2.0,M11.1.0 \
    NST3:30NDT,M3.2.0,M11.1.0 NZST-12NZDT,M9.5.0,M4.1.0/3 PKT-5 PST-8 PST8PDT,M3.2.0,M11.1.0 SAST-2 SST11 UTC UTC0 \
    WAT-1 WET0WEST,M3.5.0/1,M10.5.0 WIB-7 WIT-9 WITA-8";

/// Seconds by which local time is ahead at each moment, by the `date` of this system.
fn offsets_by_date(rule: &str, moments: &[i64]) -> Vec<i64> {
    let mut date = Command::new("date")
        .args(["-f", "-", "+%z"])
        .env("TZ", rule)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("date of coreutils");
    let mut input = date.stdin.take().unwrap();
    let lines: String = moments.iter().map(|at| format!("@{at}\n")).collect();
    let writer = std::thread::spawn(move || input.write_all(lines.as_bytes()));
    let output = String::from_utf8(date.wait_with_output().unwrap().stdout).unwrap();
    writer.join().unwrap().unwrap();
    let seconds = |line: &str| {
        let (hours, minutes) = line.split_at(3);
        let minutes: i64 = hours.parse::<i64>().unwrap().abs() * 60 + minutes.parse::<i64>().unwrap();
        if line.starts_with('-') { -60 * minutes } else { 60 * minutes }
    };
    output.lines().map(seconds).collect()
}

#[test]
fn every_rule_of_openwrts_zone_table_is_read_as_the_c_library_reads_it() {
    const STEP: i64 = 6 * 3_600;
    // 2024-01-01 to 2034-01-01.
    let coarse: Vec<i64> = (1_704_067_200..2_019_686_400).step_by(STEP as usize).collect();
    let mut unread = Vec::new();
    for rule in RULES.split_whitespace() {
        let Ok(zone) = LocalZone::from_posix(rule) else {
            unread.push(rule);
            continue;
        };
        let mut moments = coarse.clone();
        for start in coarse.iter().filter(|at| zone.offset(**at) != zone.offset(**at + STEP)) {
            let (mut before, mut after) = (*start, start + STEP);
            while after - before > 1 {
                let middle = (before + after) / 2;
                *(if zone.offset(middle) == zone.offset(*start) { &mut before } else { &mut after }) = middle;
            }
            moments.extend([before, after]);
        }
        let expected = offsets_by_date(rule, &moments);
        assert_eq!(expected.len(), moments.len(), "{rule}");
        assert_eq!(moments.len() > coarse.len(), rule.contains(','), "{rule} has changes of the clock");
        for (at, expected) in moments.iter().zip(expected) {
            assert_eq!(zone.offset(*at), expected, "{rule} at {at}");
        }
    }
    assert!(unread.is_empty(), "not read: {unread:?}");
}

#[test]
fn a_rule_may_have_any_hour_of_rfc_8536() {
    let (early, late) = ("EST5EDT,M3.2.0/-167,M11.1.0", "EST5EDT,M3.2.0/167,M11.1.0");
    for (rule, change) in [(early, 1_772_953_200 - 169 * 3_600), (late, 1_772_953_200 + 165 * 3_600)] {
        let zone = LocalZone::from_posix(rule).unwrap();
        assert_eq!([change - 1, change].map(|at| zone.offset(at) / 3_600), [-5, -4], "{rule}");
    }
    for rule in ["EST5EDT,M3.2.0/168,M11.1.0", "EST5EDT,M3.2.0/-168,M11.1.0", "EST5EDT,M13.2.0,M11.1.0"] {
        assert!(LocalZone::from_posix(rule).is_err(), "{rule}");
    }
}

/// The block of a zone file with times of `time_bytes` bytes: London's time, but Tokyo's in the day before moment 0.
fn zone_block(version: u8, time_bytes: usize) -> Vec<u8> {
    let mut block = [b"TZif", &[version][..], &[0; 15]].concat();
    // Indicators of universal and of standard time, leap seconds, changes, kinds of local time, and bytes of names.
    [2, 2, 1, 2, 2, 8u32].iter().for_each(|count| block.extend(count.to_be_bytes()));
    [-86_400i64, 0].iter().for_each(|at| block.extend(&at.to_be_bytes()[8 - time_bytes..]));
    block.extend([1, 0]);
    [0u32, 9 * 3_600].iter().zip([0, 4]).for_each(|(offset, name)| {
        block.extend(offset.to_be_bytes());
        block.extend([0, name]);
    });
    block.extend(b"GMT\0JST\0");
    block.extend(vec![0; time_bytes + 4 + 2 + 2]);
    block
}

#[test]
fn a_zone_file_has_changes_and_a_rule_after_them() {
    let moments = [i64::from(i32::MIN), -86_401, -86_400, -1, 0, SPRING - 1, SPRING];
    let hours = |file: &[u8]| {
        let zone = LocalZone(ZoneFile::parse(file)?);
        Some(moments.map(|at| zone.offset(at) / 3_600))
    };
    assert_eq!(hours(&zone_block(0, 4)), Some([0, 0, 9, 9, 0, 0, 0]));
    let blocks = [zone_block(b'2', 4), zone_block(b'2', 8)].concat();
    let with_rule = |rule: &str| [&blocks, rule.as_bytes()].concat();
    assert_eq!(hours(&with_rule("\n\n")), Some([0, 0, 9, 9, 0, 0, 0]));
    assert_eq!(hours(&with_rule("\nGMT0BST,M3.5.0/1,M10.5.0\n")), Some([0, 0, 9, 9, 0, 0, 1]));
    assert_eq!(hours(&with_rule("\nLondon\n")), None);
    for length in 0..blocks.len() {
        assert_eq!(hours(&blocks[..length]), None, "cut off after {length} bytes");
    }
}

#[test]
fn days_of_a_year_are_counted_with_and_without_29_february() {
    // The starts of 2027-03-01, 2028-03-01 and 2028-02-29.
    let [common, leap, leap_day] = [1_803_859_200, 1_835_481_600, 1_835_395_200];
    for (rule, starts) in [("GMT0BST,J60/0,J300", [common, leap]), ("GMT0BST,59/0,J300", [common, leap_day])] {
        let zone = LocalZone::from_posix(rule).unwrap();
        for start in starts {
            assert_eq!([start - 1, start].map(|at| zone.offset(at) / 3_600), [0, 1], "{rule} at {start}");
        }
    }
    let always = LocalZone::from_posix("EST5EDT,0/0,J365/25").unwrap();
    assert!((common..leap).step_by(1_800).all(|at| always.offset(at) == -4 * 3_600));
}

#[test]
fn a_name_in_place_of_a_rule_is_called_a_name() {
    let why = |rule| LocalZone::from_posix(rule).unwrap_err().to_string();
    for name in ["Europe/Berlin", "America/Argentina/Buenos Aires", "Etc/GMT+5"] {
        assert!(why(name).starts_with(&format!("'{name}' is the name of a time zone, not its rule")), "{name}");
    }
    for text in ["", " ", ":Europe/Berlin", "/etc/passwd", "CET", "CET-1CEST", "CET-1CEST,", "x\ny", "\0"] {
        assert!(why(text).contains("is not a time zone (want a rule such as"), "{text:?}");
        assert!(!why(text).contains(char::is_control), "{text:?}");
    }
}
