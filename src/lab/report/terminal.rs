//! The comparison as text for the terminal.

use std::fmt::Write as _;

use super::{RunView, VpnComparison};
use crate::lab::trace::Direction;

/// Two tables: the devices and the provider's view.
pub fn table(comparison: &VpnComparison) -> String {
    let mut text = String::new();
    let VpnComparison { plain, shaped } = comparison;
    let _ = writeln!(text, "What the home did ({} s)", comparison.seconds());
    let _ = writeln!(
        text,
        "{:<18} {:>8} {:>8} {:>10} {:>10}   {:>10} {:>10}   {:>10} {:>10} {:>6}",
        "", "packets", "packets", "bytes", "bytes", "plain VPN", "delay ms", "millpond", "delay ms", ""
    );
    let _ = writeln!(
        text,
        "{:<18} {:>8} {:>8} {:>10} {:>10}   {:>10} {:>10}   {:>10} {:>10} {:>6}",
        "device", "up", "down", "up", "down", "mean", "p99", "mean", "p99", "lost"
    );
    for device in &shaped.devices {
        let before = plain.devices.iter().find(|other| other.name == device.name);
        let delay = |value: Option<f64>| value.map_or("-".to_owned(), |value| format!("{value:.1}"));
        let _ = writeln!(
            text,
            "{:<18} {:>8} {:>8} {:>10} {:>10}   {:>10} {:>10}   {:>10.1} {:>10.1} {:>6}",
            device.name,
            device.packets[0],
            device.packets[1],
            device.bytes[0],
            device.bytes[1],
            delay(before.map(|before| before.delay_ms.mean)),
            delay(before.map(|before| before.delay_ms.p99)),
            device.delay_ms.mean,
            device.delay_ms.p99,
            device.lost
        );
    }
    let _ = writeln!(text, "\nWhat the provider saw");
    let _ = writeln!(
        text,
        "{:<28} {:>14} {:>14} {:>14} {:>14}",
        "", "plain VPN up", "plain VPN down", "millpond up", "millpond down"
    );
    for (name, cells) in provider_rows(plain, shaped) {
        let cells = cells.map(|cell| format!(" {cell:>14}")).concat();
        let _ = writeln!(text, "{name:<28}{cells}");
    }
    let _ = writeln!(
        text,
        "{:<28} {:>14.2} {:>14} {:>14.2}",
        "correlation with the home", plain.correlation, "", shaped.correlation
    );
    let _ = writeln!(
        text,
        "(correlation of the rates per second, -1 to 1; \
         chance alone causes values within ±{:.2} in a run of this length)",
        shaped.chance()
    );
    text
}

/// Names and values of the provider's table: plain up, plain down, shaped up, shaped down.
pub(super) fn provider_rows(plain: &RunView, shaped: &RunView) -> Vec<(&'static str, [String; 4])> {
    let lines = [plain, shaped].map(|view| Direction::ALL.map(|direction| &view.lines[direction as usize]));
    let [[a, b], [c, d]] = lines;
    let row = |value: &dyn Fn(&super::DirectionStats) -> String| [a, b, c, d].map(value);
    vec![
        ("packets", row(&|line| line.packets.to_string())),
        ("different sizes", row(&|line| line.sizes.to_string())),
        ("outside the tunnel", row(&|line| line.strays.to_string())),
        ("handshakes", row(&|line| line.handshakes.to_string())),
        ("kbit/s, mean", row(&|line| format!("{:.1}", line.bits.mean / 1e3))),
        ("kbit/s, sd between seconds", row(&|line| format!("{:.1}", line.bits.sd / 1e3))),
        ("interval ms, median", row(&|line| format!("{:.2}", line.interval_ms.p50))),
        ("interval ms, 1st percentile", row(&|line| format!("{:.2}", line.interval_ms.p01))),
        ("interval ms, 99th percentile", row(&|line| format!("{:.2}", line.interval_ms.p99))),
    ]
}
