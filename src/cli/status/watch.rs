//! `millpond status --watch`: the status as a page that renews itself, with what the provider sees and what the devices
//! send.

use std::io::{IsTerminal, Write, stdout};
use std::thread::sleep;
use std::time::Duration;

use crate::cli::client::{DaemonAddress, ask_for};
use crate::cli::exit::Failure;
use crate::daemon::request::{Format, Request};

/// How often the page is renewed.
const INTERVAL: Duration = Duration::from_secs(1);
/// The time that the lines show.
const SECONDS: u32 = 60;
/// From nothing to the largest rate of the line on the wire.
const STEPS: [char; 9] = [' ', '▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];

/// Prints the page every second, until the reader or the user ends it.
pub fn run(address: &DaemonAddress) -> Result<(), Failure> {
    loop {
        let status = ask_for(address, Request::Status(Format::Text))?;
        let history = ask_for(address, Request::History { seconds: SECONDS })?;
        let mut page = String::new();
        if stdout().is_terminal() {
            // The home position, and the rest of the screen empty.
            page.push_str("\x1b[H\x1b[J");
        }
        page.push_str(&status);
        page.push('\n');
        page.push_str(&lines(&history));
        if stdout().write_all(page.as_bytes()).and_then(|()| stdout().flush()).is_err() {
            return Ok(());
        }
        sleep(INTERVAL);
    }
}

/// Both directions of both lines, drawn as text: one character for each second.
fn lines(history: &str) -> String {
    let mut text = format!("the last {SECONDS} s              kbit/s now\n");
    for (direction, name) in [("upload", "up"), ("download", "down")] {
        let [wire, home] = ["wire", "home"].map(|line| rates(history, &format!("{line}_{direction}_bytes_per_s")));
        // The home's line has the scale of the wire's: what does not fit waits.
        let top = wire.iter().copied().max().unwrap_or(0).max(1);
        for (what, rates) in [("on the wire", wire), ("of the devices", home)] {
            let drawn: String = rates.iter().map(|rate| step(*rate, top)).collect();
            let now = rates.last().copied().unwrap_or(0) * 8 / 1000;
            text.push_str(&format!("{name:4} {what:14} {now:6} |{drawn:>60}|\n"));
        }
    }
    text
}

fn step(rate: u64, top: u64) -> char {
    // Anything at all is visible.
    STEPS[(rate.min(top) * 8).div_ceil(top) as usize]
}

/// The numbers of one array of the answer in JSON.
fn rates(history: &str, key: &str) -> Vec<u64> {
    let array = history.split_once(&format!("\"{key}\"")).and_then(|(_, rest)| rest.split_once('['));
    let array = array.and_then(|(_, rest)| rest.split_once(']')).map(|(array, _)| array).unwrap_or_default();
    let rates: Vec<u64> = array.split(',').filter_map(|number| number.trim().parse().ok()).collect();
    rates[rates.len().saturating_sub(SECONDS as usize)..].to_vec()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_lines_are_drawn_on_one_scale() {
        let history = "{\"seconds\":60,\"resolution_s\":1,\"home_upload_bytes_per_s\":[0,1,5000],\
                       \"home_download_bytes_per_s\":[],\"wire_upload_bytes_per_s\":[10000,10000,10000],\
                       \"wire_download_bytes_per_s\":[4294967295, 0]}";
        let text = lines(history);
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines[1], format!("up   on the wire        80 |{:>60}|", "███"));
        assert_eq!(lines[2], format!("up   of the devices     40 |{:>60}|", " ▁▄"));
        assert_eq!(lines[3], format!("down on the wire         0 |{:>60}|", "█ "));
        assert_eq!(lines[4], format!("down of the devices      0 |{:>60}|", ""));
    }

    #[test]
    fn any_text_is_drawn() {
        for text in ["", "{}", "\"wire_upload_bytes_per_s\"", "\"wire_upload_bytes_per_s\":[x,"] {
            assert_eq!(lines(text).lines().count(), 5, "{text}");
        }
    }
}
