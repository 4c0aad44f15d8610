//! Billing periods, from one billing day to the next, and the bytes that the settings will send until then.

use super::is_between;
use super::zone::{LocalZone, month_day};
use crate::config::model::{Billing, CapPeriod, Settings, Shape, StepDown};

const DAY_S: i64 = 86_400;
const WEEK_MINUTES: f64 = 7.0 * 24.0 * 60.0;

/// A billing period, in seconds of Unix time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BillingPeriod {
    /// Local midnight of its first day.
    pub start: i64,
    /// Local midnight of the day after its last.
    pub end: i64,
}

impl BillingPeriod {
    /// The period that contains `unix_s`. A week begins on its day, 1 for Monday; a month on that day of it.
    pub fn at(zone: &LocalZone, unix_s: i64, billing: &Billing) -> BillingPeriod {
        let billing_day = i64::from(billing.day);
        let today = (unix_s + zone.offset(unix_s)).div_euclid(DAY_S);
        let days = |first, next| BillingPeriod { start: zone.midnight(first), end: zone.midnight(next) };
        match billing.period {
            CapPeriod::Day => return days(today, today + 1),
            CapPeriod::Week => {
                // 1970-01-01 was a Thursday.
                let first = today - (today + 4 - billing_day).rem_euclid(7);
                return days(first, first + 7);
            }
            CapPeriod::Month => {}
        }
        let of_month = |day| i64::from(month_day(day));
        let mut first = today + billing_day - of_month(today);
        if first > today {
            // The billing day of last month, counted from that month's last day.
            let last = today - of_month(today);
            first = last + billing_day - of_month(last);
        }
        // No month has fewer than 28 days or more than 31.
        let next = (first + 28..).find(|day| of_month(*day) == billing_day).unwrap_or(first + 28);
        days(first, next)
    }

    /// Bytes on the wire, both ways together, from `unix_s` to the end of the period, computed from rates and dates,
    /// never from traffic. Schedules count by their share of a week.
    pub fn planned_bytes(&self, settings: &Settings, zone: &LocalZone, unix_s: i64) -> u64 {
        let rate = |shape: &Shape| (shape.upload.0 + shape.download.0) as f64 / 8.0;
        let (mut share, mut scheduled) = (0.0, 0.0);
        for schedule in &settings.schedules {
            let (start, stop) = (f64::from(schedule.start_minute), f64::from(schedule.stop_minute));
            let minutes = if stop > start { stop - start } else { stop + 1_440.0 - start };
            let days = schedule.days.iter().filter(|day| **day).count() as f64;
            share += days * minutes / WEEK_MINUTES;
            scheduled += days * minutes / WEEK_MINUTES * schedule.shape.as_ref().map_or(0.0, rate);
        }
        let (mut at, mut bytes) = (unix_s, 0.0);
        while at < self.end {
            let today = (at + zone.offset(at)).div_euclid(DAY_S);
            let until = zone.midnight(today + 1).clamp(at + 1, self.end);
            let shape = match &settings.billing.step_down {
                Some(StepDown { day, shape, .. }) if is_between(month_day(today), *day, settings.billing.day) => shape,
                _ => &settings.shape,
            };
            bytes += (until - at) as f64 * ((1.0 - share).max(0.0) * rate(shape) + scheduled);
            at = until;
        }
        bytes as u64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn period(zone: &LocalZone, unix_s: i64, period: CapPeriod, day: u8) -> BillingPeriod {
        BillingPeriod::at(zone, unix_s, &Billing { period, day, step_down: None })
    }

    fn berlin() -> LocalZone {
        LocalZone::from_posix("CET-1CEST,M3.5.0,M10.5.0/3").unwrap()
    }

    #[test]
    fn a_period_runs_from_billing_day_to_billing_day_in_local_time() {
        // 2026-03-15 12:00 UTC; the clocks change on 29 March.
        let at = 1_773_576_000;
        let month = |day| period(&berlin(), at, CapPeriod::Month, day);
        assert_eq!(month(1), BillingPeriod { start: 1_772_319_600, end: 1_774_994_400 });
        assert_eq!(month(15), BillingPeriod { start: 1_773_529_200, end: 1_776_204_000 });
        assert_eq!(month(16), BillingPeriod { start: 1_771_196_400, end: 1_773_615_600 });
        for zone in [berlin(), LocalZone::utc()] {
            for hour in (0..24 * 800).step_by(5) {
                let at = at + hour * 3_600;
                for day in [1, 15, 28] {
                    let found = period(&zone, at, CapPeriod::Month, day);
                    assert!(found.start <= at && at < found.end, "{at} is not in {found:?}");
                    assert_eq!(period(&zone, found.end, CapPeriod::Month, day).start, found.end);
                }
            }
        }
    }

    #[test]
    fn days_and_weeks_end_at_local_midnight_across_a_change_of_the_clocks() {
        // Sunday 2026-03-29 12:00 in Berlin: at 02:00 it was 03:00, so the day has 23 hours.
        let (at, midnight) = (1_774_778_400, 1_774_738_800);
        let of = |length, day| period(&berlin(), at, length, day);
        assert_eq!(of(CapPeriod::Day, 1), BillingPeriod { start: midnight, end: midnight + 23 * 3_600 });
        let week = of(CapPeriod::Week, 1);
        assert_eq!(week, BillingPeriod { start: midnight - 6 * DAY_S, end: midnight + 23 * 3_600 }, "from Monday");
        assert_eq!(of(CapPeriod::Week, 7).start, midnight, "from Sunday");
        assert_eq!(of(CapPeriod::Week, 6).start, midnight - DAY_S, "from Saturday");
        for hour in 0..24 * 40 {
            for (length, day) in [(CapPeriod::Day, 1), (CapPeriod::Week, 1), (CapPeriod::Week, 4), (CapPeriod::Week, 7)]
            {
                let at = at + hour * 3_600;
                let found = period(&berlin(), at, length, day);
                assert!(found.start <= at && at < found.end, "{at} is not in {found:?}");
                assert_eq!(period(&berlin(), found.end, length, day).start, found.end);
            }
        }
    }

    #[test]
    fn planned_bytes_follow_schedules_and_the_step_down() {
        let of = |more: &str| {
            let text = format!("config millpond 'main'\n\toption level 'balanced'\n{more}");
            let settings = crate::config::parse(text.as_bytes()).settings.unwrap();
            let zone = LocalZone::utc();
            // 2026-06-01 00:00: 30 days.
            let period = BillingPeriod::at(&zone, 1_780_272_000, &settings.billing);
            period.planned_bytes(&settings, &zone, 1_780_272_000) as f64 / 1e9
        };
        let near = |gb: f64, expected: f64| assert!((gb - expected).abs() < 0.01, "{gb} GB, not {expected}");
        near(of(""), 77.76);
        near(of("config schedule\n\toption start '22:00'\n\toption stop '04:00'\n\toption level 'off'\n"), 58.32);
        let nights =
            "config schedule\n\tlist day mon\n\toption start '00:00'\n\toption stop '00:00'\n\toption level 'strict'\n";
        near(of(nights), 77.76 * 8.0 / 7.0);
        near(of("\toption cap_period 'week'\n"), 77.76 * 7.0 / 30.0);
        near(of("\toption cap_period 'day'\n"), 77.76 / 30.0);
        near(of("\toption cap_day '16'\n\toption cap_level 'saver'\n"), 77.76 * 0.625);
    }
}
