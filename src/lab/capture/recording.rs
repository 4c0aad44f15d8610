//! Reads a capture as one recording: each packet once, on a clock that is never set.

use std::path::Path;

use super::read::{CapturedPacket, Extent, Reading, read};
use super::survey::{ClockStep, survey};
use super::tally::{PacketUse, remark};
use crate::lab::error::Error;

const COPY: &str = "seen twice, as on a port and on its bridge";
const DAY_NS: u64 = 86_400_000_000_000;

/// A capture that was read as one recording.
#[derive(Debug)]
pub struct ContinuousReading {
    /// What was read. The extent is that without copies, on the continued clock.
    pub reading: Reading,
    /// The first times after each moment at which the clock was set, ascending.
    pub steps_ns: Vec<u64>,
}

/// Calls `each` for every packet of the capture at `path`, in file order, but leaves out copies of packets that were
/// captured on several interfaces, and continues the time where the clock was set back, or from 1970. Remarks on such
/// steps and on gaps of more than a day are part of [`super::account_lines`]. A capture without packets is an error.
pub fn read_recording(
    path: &Path,
    mut each: impl FnMut(CapturedPacket<'_>) -> PacketUse,
) -> Result<ContinuousReading, Error> {
    let survey = survey(path)?;
    let (mut copies, mut steps) = (survey.copies.into_iter().peekable(), survey.steps.into_iter().peekable());
    let (mut index, mut offset_ns, mut previous_ns) = (0, 0i128, 0);
    let mut extent = Extent { packets: 0, first_ns: u64::MAX, last_ns: 0 };
    let mut steps_ns = Vec::new();
    let mut reading = read(path, |packet| {
        let step = steps.next_if(|step| step.index == index);
        if let Some(ClockStep { from_to_ns: (from_ns, to_ns), .. }) = step {
            offset_ns += i128::from(from_ns) - i128::from(to_ns) + 1;
            remark(format!(
                "{}: after packet {index} the clock jumps from {} to {}; read as one recording without the jump",
                path.display(),
                date(from_ns),
                date(to_ns)
            ));
        }
        let time_ns = u64::try_from(i128::from(packet.time_ns) + offset_ns).unwrap_or(0);
        if step.is_some() {
            steps_ns.push(time_ns);
        } else if index > 0 && time_ns.saturating_sub(previous_ns) > DAY_NS {
            remark(format!(
                "{}: no packet for {:.1} days after packet {index}",
                path.display(),
                (time_ns - previous_ns) as f64 / DAY_NS as f64
            ));
        }
        previous_ns = time_ns;
        index += 1;
        if copies.next_if_eq(&(index - 1)).is_some() {
            return Err(COPY);
        }
        extent.packets += 1;
        extent.first_ns = extent.first_ns.min(time_ns);
        extent.last_ns = extent.last_ns.max(time_ns);
        each(CapturedPacket { time_ns, ..packet })
    })?;
    if reading.extent.packets == 0 {
        return Err(Error::content(path, 0, "the capture contains no packets; capture again for longer"));
    }
    reading.extent = extent;
    Ok(ContinuousReading { reading, steps_ns })
}

/// Formats a time as date and time in UTC.
fn date(time_ns: u64) -> String {
    let seconds = time_ns / 1_000_000_000;
    let (hour, minute, second) = (seconds / 3_600 % 24, seconds / 60 % 60, seconds % 60);
    // Days since March of the year 0, in periods of 400 years, so that the day of a leap year comes last
    // (H. Hinnant, "chrono-compatible low-level date algorithms").
    let days = seconds / 86_400 + 719_468;
    let (era, day_of_era) = (days / 146_097, days % 146_097);
    let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted_month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted_month + 2) / 5 + 1;
    let month = if shifted_month < 10 { shifted_month + 3 } else { shifted_month - 9 };
    let year = 400 * era + year_of_era + u64::from(month <= 2);
    format!("{year}-{month:02}-{day:02} {hour:02}:{minute:02}:{second:02} UTC")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_named_by_date() {
        for (seconds, expected) in [
            (107, "1970-01-01 00:01:47 UTC"),
            (951_782_400, "2000-02-29 00:00:00 UTC"),
            (1_700_000_000, "2023-11-14 22:13:20 UTC"),
            (4_107_542_399, "2100-02-28 23:59:59 UTC"),
            (4_107_542_400, "2100-03-01 00:00:00 UTC"),
        ] {
            assert_eq!(date(seconds * 1_000_000_000), expected);
        }
    }
}
