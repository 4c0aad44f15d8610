//! The advice as a text for people, and the advised rates as a line.

use std::fmt;

use super::{AdviceAnswer, AdvisedAnswer, DeviceAdvice, LevelAdvice, StepAdvice, StepDelays};
use crate::daemon::rounded::Rounded;
use crate::units::decimals::with_decimals;

impl fmt::Display for AdviceAnswer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}\n", self.confidence_text)?;
        let [up, down] = ["up: delay in ms, lost", "down: delay in ms, lost"];
        writeln!(f, "{:>8} {:>9} {:>7}   {up:^32}   {down:^32}", "", "GB a", "of the")?;
        writeln!(
            f,
            "{:>8} {:>9} {:>7}   {:>8} {:>8} {:>8} {:>5}   {:>8} {:>8} {:>8} {:>5}",
            "kbit/s", "month", "cap", "mean", "p99", "max", "%", "mean", "p99", "max", "%"
        )?;
        self.steps.iter().try_for_each(|step| writeln!(f, "{step}"))?;
        writeln!(
            f,
            "\nlowest rates that keep each device within its tolerance, up/down in kbit/s, in cells of 512 bytes:"
        )?;
        self.devices.iter().try_for_each(|device| writeln!(f, "{device}"))?;
        writeln!(f, "\nlevels:")?;
        self.levels.iter().try_for_each(|level| writeln!(f, "{level}"))?;
        if !self.bursts.is_empty() {
            writeln!(f, "\nbursts, a weaker promise, by the share of quiet slots that become one for show:")?;
            self.bursts.iter().try_for_each(|price| writeln!(f, "{price}"))?;
        }
        writeln!(f, "Rates change only on your command: millpond advise --set LEVEL")
    }
}

impl fmt::Display for AdvisedAnswer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.upload_kbit, self.download_kbit, self.cell_bytes) {
            (Some(up), Some(down), Some(cell)) => writeln!(f, "{up} {down} {cell}"),
            _ => writeln!(f, "none"),
        }
    }
}

impl fmt::Display for StepAdvice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let share = self.cap_percent.map_or("-".to_owned(), |share| format!("{}%", with_decimals(share.0, 1)));
        write!(f, "{:>8} {:>9} {share:>7}", self.kbit, with_decimals(self.month_gb.0, 1))?;
        write!(f, "   {}   {}", self.upload, self.download)
    }
}

impl fmt::Display for StepDelays {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for delay in [self.delay_mean_ms, self.delay_p99_ms, self.delay_max_ms] {
            write!(f, "{:>8} ", or_dash(self.has_delays, with_decimals(delay.0, 0)))?;
        }
        let has_packets = self.has_delays || self.lost_percent.0 > 0.0;
        write!(f, "{:>5}", or_dash(has_packets, with_decimals(self.lost_percent.0, 1)))
    }
}

impl fmt::Display for DeviceAdvice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "  {}, {} s", self.name, with_decimals(self.tolerance_ms as f64 / 1e3, 1))?;
        let has_packets = self.upload_packets > 0 || self.download_packets > 0;
        for (level, up, down) in [
            ("saver", self.saver_upload_kbit, self.saver_download_kbit),
            ("balanced", self.balanced_upload_kbit, self.balanced_download_kbit),
            ("strict", self.strict_upload_kbit, self.strict_download_kbit),
        ] {
            let [up, down] = [up, down].map(|rate| rate.map_or("none".to_owned(), |kbit| kbit.to_string()));
            write!(f, "; {level} {}", or_dash(has_packets, format!("{up}/{down}")))?;
        }
        Ok(())
    }
}

impl fmt::Display for LevelAdvice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mark = if self.in_force { '*' } else { ' ' };
        // Whole kbit/s.
        let [up, down] = [self.upload_kbit, self.download_kbit].map(|kbit| kbit.0 as u64);
        write!(f, "{mark} {:9} {up}/{down} kbit/s, ", self.level)?;
        put_cost(f, self.month_gb, self.cap_percent, self.month_price)?;
        if let (Some(up), Some(down), Some(cell), Some(gb)) =
            (self.advised_upload_kbit, self.advised_download_kbit, self.advised_cell_bytes, self.advised_month_gb)
        {
            write!(f, "; advised {up}/{down} in cells of {cell} bytes, ")?;
            put_cost(f, gb, self.advised_cap_percent, self.advised_month_price)?;
            if let Some(saved) = self.advised_saves_gb.filter(|saved| saved.0 >= 0.5) {
                write!(f, ", saves {} GB", with_decimals(saved.0, 0))?;
            }
        }
        write!(f, "\n            {}", self.guarantee)
    }
}

fn put_cost(
    f: &mut fmt::Formatter<'_>,
    gb: Rounded,
    cap_percent: Option<Rounded>,
    price: Option<Rounded>,
) -> fmt::Result {
    write!(f, "{} GB a month", with_decimals(gb.0, 0))?;
    cap_percent.map_or(Ok(()), |share| write!(f, ", {} % of the cap", with_decimals(share.0, 0)))?;
    price.map_or(Ok(()), |price| write!(f, ", costs {}", with_decimals(price.0, 2)))
}

fn or_dash(is_known: bool, text: String) -> String {
    if is_known { text } else { "-".to_owned() }
}
