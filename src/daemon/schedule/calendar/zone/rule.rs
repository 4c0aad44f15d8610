//! POSIX rules of time zones such as "CET-1CEST,M3.5.0,M10.5.0/3" (POSIX.1, section 8.3), with the hours from -167 to
//! 167 of RFC 8536, section 3.3.1.

use std::ops::RangeInclusive;

/// A rule for all times.
#[derive(Clone, Debug)]
pub struct ZoneRule {
    /// Seconds by which standard time is ahead of universal time.
    standard: i64,
    daylight: Option<Daylight>,
}

/// Daylight saving time.
#[derive(Clone, Debug)]
struct Daylight {
    /// Seconds by which it is ahead of universal time.
    offset: i64,
    start: ClockChange,
    end: ClockChange,
}

/// A change of the clock in each year: a day, and the seconds from its start by the clock before the change.
#[derive(Clone, Debug)]
struct ClockChange(YearDay, i64);

#[derive(Clone, Debug)]
enum YearDay {
    /// `J60`: 1 to 365; 29 February does not count.
    Julian(i64),
    /// `59`: 0 to 365; 29 February counts.
    Counted(i64),
    /// `M3.5.0`: month, week (5 for the last one), and weekday from Sunday, 0.
    Weekday([i64; 3]),
}

impl ZoneRule {
    /// A rule without daylight saving time.
    pub fn fixed(offset: i64) -> ZoneRule {
        ZoneRule { standard: offset, daylight: None }
    }

    /// Parses a rule; `None` if it is none.
    pub fn parse(text: &str) -> Option<ZoneRule> {
        let mut rest = Rest(text);
        rest.skip_name()?;
        // POSIX counts to the west.
        let standard = -rest.time(24)?;
        if rest.0.is_empty() {
            return Some(ZoneRule::fixed(standard));
        }
        rest.skip_name()?;
        let offset = if rest.0.starts_with(',') { standard + 3_600 } else { -rest.time(24)? };
        let daylight = Daylight { offset, start: rest.change()?, end: rest.change()? };
        rest.0.is_empty().then_some(ZoneRule { standard, daylight: Some(daylight) })
    }

    /// Seconds by which local time is ahead of universal time.
    pub fn offset(&self, unix_s: i64) -> i64 {
        let Some(Daylight { offset, start, end }) = &self.daylight else { return self.standard };
        // At most one too high or too low.
        let year = 1970 + (unix_s.div_euclid(86_400) * 400).div_euclid(146_097);
        let changes = (year - 2..=year + 1).flat_map(|year| {
            [(start.unix_s(year, self.standard), *offset), (end.unix_s(year, *offset), self.standard)]
        });
        let last = changes.filter(|(at, _)| *at <= unix_s).max_by_key(|(at, _)| *at);
        last.map_or(self.standard, |(_, offset)| offset)
    }
}

impl ClockChange {
    /// The change in that year, in seconds of Unix time, from the offset before it.
    fn unix_s(&self, year: i64, offset: i64) -> i64 {
        let ClockChange(day, second) = self;
        let day = match *day {
            YearDay::Julian(day @ ..60) => month_start(year, 1) + day - 1,
            YearDay::Julian(day) => month_start(year, 3) + day - 60,
            YearDay::Counted(day) => month_start(year, 1) + day,
            YearDay::Weekday([month, week, weekday]) => {
                let start = month_start(year, month);
                // 1970-01-01 was a Thursday.
                let first = start + (weekday - start - 4).rem_euclid(7);
                let day = first + 7 * (week - 1);
                if day < month_start(year, month + 1) { day } else { day - 7 }
            }
        };
        day * 86_400 + second - offset
    }
}

/// The first day of a month, 1..=13, in days after 1970-01-01 (H. Hinnant, `days_from_civil`).
fn month_start(year: i64, month: i64) -> i64 {
    // Years start in March here, so that leap days are at their ends.
    let year = if month > 2 { year } else { year - 1 };
    let leap_days = year.div_euclid(4) - year.div_euclid(100) + year.div_euclid(400);
    365 * year + leap_days + (153 * ((month + 9) % 12) + 2) / 5 - 719_468
}

/// The part of a rule that is not parsed yet.
struct Rest<'t>(&'t str);

impl<'t> Rest<'t> {
    fn skip(&mut self, tag: char) -> Option<()> {
        self.0 = self.0.strip_prefix(tag)?;
        Some(())
    }

    fn take_while(&mut self, belongs: impl Fn(char) -> bool) -> &'t str {
        let (taken, rest) = self.0.split_at(self.0.find(|c| !belongs(c)).unwrap_or(self.0.len()));
        self.0 = rest;
        taken
    }

    fn skip_name(&mut self) -> Option<()> {
        let is_quoted = self.skip('<').is_some();
        let name =
            self.take_while(|c| c.is_ascii_alphabetic() || is_quoted && (c.is_ascii_digit() || "+-".contains(c)));
        if is_quoted {
            self.skip('>')?;
        }
        (1..=7).contains(&name.len()).then_some(())
    }

    fn number(&mut self, allowed: RangeInclusive<i64>) -> Option<i64> {
        self.take_while(|c| c.is_ascii_digit()).parse().ok().filter(|number| allowed.contains(number))
    }

    /// Seconds, from hours with or without minutes and seconds.
    fn time(&mut self, max_hours: i64) -> Option<i64> {
        let sign = if self.skip('-').is_some() { -1 } else { 1 };
        if sign > 0 {
            _ = self.skip('+');
        }
        let mut seconds = 3_600 * self.number(0..=max_hours)?;
        for unit in [60, 1] {
            if self.skip(':').is_none() {
                break;
            }
            seconds += unit * self.number(0..=59)?;
        }
        Some(sign * seconds)
    }

    fn change(&mut self) -> Option<ClockChange> {
        self.skip(',')?;
        let day = if self.skip('J').is_some() {
            YearDay::Julian(self.number(1..=365)?)
        } else if self.skip('M').is_some() {
            let month = self.number(1..=12)?;
            self.skip('.')?;
            let week = self.number(1..=5)?;
            self.skip('.')?;
            YearDay::Weekday([month, week, self.number(0..=6)?])
        } else {
            YearDay::Counted(self.number(0..=365)?)
        };
        let second = if self.skip('/').is_some() { self.time(167)? } else { 2 * 3_600 };
        Some(ClockChange(day, second))
    }
}
