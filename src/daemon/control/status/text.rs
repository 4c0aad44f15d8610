//! The status as a text for people.

use std::fmt;

use super::{DropCounts, PeerAnswer, StatusAnswer};
use crate::daemon::audit::answer::WatchDays;
use crate::daemon::rounded::Rounded;
use crate::units::decimals::with_decimals;

/// A tunnel that has been silent for this long needs the owner: a start, or another server, takes less.
const HINT_AFTER_S: u64 = 30;

impl fmt::Display for StatusAnswer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.state, Age(self.state_age_s))?;
        if let (Some(role), Some(law), Some(up), Some(down), Some(cell)) =
            (&self.role, &self.law, self.upload_kbit, self.download_kbit, &self.cell)
        {
            // Whole kbit/s.
            let [up, down] = [up, down].map(|kbit| kbit.0 as u64);
            write!(f, ": {role}, {law} {up} kbit/s up, {down} kbit/s down, cells of {} bytes", cell.wire_bytes)?;
        }
        writeln!(f)?;
        if let (Some(level), Some(wan)) = (&self.level, &self.wan) {
            writeln!(f, "level {level}: the default route leaves by {wan}")?;
        }
        f.write_str(match (&*self.state, self.off.as_deref()) {
            ("paused", Some("block")) => "no promise needed: a schedule blocks shaped devices from the Internet\n",
            ("paused", Some(_)) => {
                "no promise: a schedule has switched cover off, so the tunnel reveals the devices' activity\n"
            }
            _ => "",
        })?;
        if let Some(burst) = &self.burst {
            burst.fmt(f)?;
        }
        if let Some(usage) = &self.data {
            let used = with_decimals(usage.used_bytes as f64 / 1e9, 1);
            let forecast = with_decimals(usage.forecast_bytes as f64 / 1e9, 0);
            write!(f, "data: {used} GB used, {forecast} GB forecast for the billing period")?;
            if let Some(cap) = usage.cap_bytes {
                write!(f, ", cap {} GB", cap / 1_000_000_000)?;
            }
            writeln!(f)?;
        }
        self.peers.iter().try_for_each(|peer| peer.fmt(f))?;
        // That of the home that can be told apart first.
        let days = self.peers.iter().filter_map(|peer| peer.min_watch_days);
        WatchDays(days.reduce(|least, days| if days < least { days } else { least })).fmt(f)?;
        if self.role.as_deref() == Some("router")
            && matches!(&*self.state, "starting" | "degraded")
            && self.state_age_s.0 as u64 >= HINT_AFTER_S
        {
            f.write_str(
                "no cells come from the endpoint: is it up? If the Internet here asks for a login first, log in with a \
                 device that is left alone\n",
            )?;
        }
        for problem in &self.problems {
            writeln!(f, "{}: {} ({})\n  {}", problem.severity, problem.text, problem.code, problem.fix)?;
        }
        Ok(())
    }
}

impl fmt::Display for PeerAnswer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let PeerAnswer { name, address, state, cells_data, cells_cover, cells_received, cells_lost, .. } = self;
        let [mean, p99] = [self.delay_ms.mean, self.delay_ms.p99].map(|delay| with_decimals(delay.0, 1));
        writeln!(
            f,
            "{name} ({address}): {state} {}; {cells_data} data and {cells_cover} cover cells sent, {cells_received} \
             received, {cells_lost} lost; delay {mean} ms mean, {p99} ms p99; {} dropped",
            Age(self.state_age_s),
            self.drops.total(),
        )
    }
}

impl DropCounts {
    /// The number of all drops.
    fn total(&self) -> u64 {
        let packets = self.malformed_packet + self.overflow + self.aged + self.lost_fragment + self.not_fetched;
        let cells = self.malformed_cell + self.late_cell + self.ancient_cell + self.malformed_block;
        packets + cells + self.newer_control + self.malformed_control
    }
}

/// `for 75 s`, `for 12 min`, `for 30 h`.
struct Age(Rounded);

impl fmt::Display for Age {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0.0 as u64 {
            seconds @ 0..600 => write!(f, "for {seconds} s"),
            seconds @ 600..36_000 => write!(f, "for {} min", seconds / 60),
            seconds => write!(f, "for {} h", seconds / 3600),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_lateness_is_explained_by_a_time_that_is_not_rounded_up() {
        let text = |days: [Option<f64>; 2]| {
            let golden = include_str!("../../../../tests/golden/answers/status.json");
            let mut answer: StatusAnswer = serde_json::from_str(golden).unwrap();
            answer.peers.push(answer.peers[0].clone());
            for (peer, days) in answer.peers.iter_mut().zip(days) {
                peer.min_watch_days = days.map(Rounded);
            }
            answer.to_string()
        };
        for (days, words) in [
            ([Some(64.9), None], "64 days"),
            ([Some(3_650.0), Some(1.999)], "47 hours"),
            ([Some(2.0), Some(2.5)], "2 days"),
            ([Some(1e-9); 2], "0 hours"),
        ] {
            let line = format!("at least {words} of watching to tell a busy home from an idle one\n");
            assert!(text(days).contains(&line), "{}", text(days));
        }
        assert!(!text([None, None]).contains("watching"));
    }

    #[test]
    fn a_router_whose_endpoint_is_silent_says_what_to_look_for() {
        let text = |role: &str, state: &str, age_s: u32| {
            let golden = include_str!("../../../../tests/golden/answers/status.json");
            let mut answer: StatusAnswer = serde_json::from_str(golden).unwrap();
            (answer.role, answer.state) = (Some(role.to_owned().into()), state.to_owned().into());
            answer.state_age_s = Rounded(f64::from(age_s));
            answer.to_string()
        };
        let has_hint = |role, state, age_s| text(role, state, age_s).contains("asks for a login");
        assert!(has_hint("router", "starting", 30) && has_hint("router", "degraded", 4000));
        assert!(!has_hint("router", "starting", 29) && !has_hint("router", "shaping", 4000));
        assert!(!has_hint("endpoint", "starting", 4000), "an endpoint waits for homes");
    }
}
