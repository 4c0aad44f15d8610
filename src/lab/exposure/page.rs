//! The analysis as one self-contained HTML page.

use std::fmt::Write as _;

use super::shared::LinkExposure;
use super::{Exposure, HostExposure};
use crate::lab::plot::{Chart, Series, SeriesStyle};
use crate::lab::report::{STYLE, escape};
use crate::lab::trace::{Direction, Trace};

/// The rates of this many hosts are charted.
const MAX_CHARTED_HOSTS: usize = 6;
/// Values along the time axis of a chart.
const CHART_COLUMNS: f64 = 500.0;

/// Renders the page.
pub fn page(exposure: &Exposure) -> String {
    let body = [opening(exposure), before(exposure), vpn(exposure), shaped(exposure), blocked(exposure)].concat();
    format!(
        "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\
         <title>millpond: what this home reveals</title><style>{STYLE} svg {{ max-width: 100%; height: auto }}</style>\
         </head><body><main>{body}</main></body></html>\n"
    )
}

fn opening(exposure: &Exposure) -> String {
    let names: Vec<String> = exposure.captures.iter().map(|path| escape(&path.display().to_string())).collect();
    let (uses, seen, chance) = exposure.vpn.total();
    let (_, shaped, shaped_chance) = exposure.shaped.line.total();
    format!(
        "<h1>What this home gives away</h1><p class=\"lead\">In {:.0} minutes, the {} devices became active {uses} times, by use or by themselves, as \
         the traffic of each shows. Through a VPN alone {seen} of these still show ({chance:.0} would by chance); behind millpond \
         {shaped} ({shaped_chance:.0} by chance).</p><p class=\"soft\">From {}.</p>",
        exposure.length.as_secs_f64() / 60.0,
        exposure.hosts.len(),
        names.join(", ")
    )
}

fn before(exposure: &Exposure) -> String {
    let mut rows = String::new();
    for host in &exposure.hosts {
        let identity = &host.identity;
        let vendor =
            if identity.made_up_address { "drawn by the host" } else { identity.vendor.as_deref().unwrap_or("?") };
        let guess = |guesses: &[crate::lab::identify::Candidate]| {
            guesses
                .first()
                .map_or("-".to_owned(), |guess| format!("{} {:.0} %", escape(&guess.device), 100.0 * guess.fit))
        };
        let _ = write!(
            rows,
            "<tr><td>{}</td><td>{}</td><td>{}</td><td>{}</td><td>{:.1}</td><td>{}</td></tr>",
            identity.mac,
            escape(vendor),
            guess(&identity.by_names),
            guess(&identity.by_shape),
            host.bytes as f64 / 1e3,
            host.onsets.len()
        );
    }
    let charts: Vec<Chart> = exposure
        .home
        .devices
        .iter()
        .zip(&exposure.hosts)
        .take(MAX_CHARTED_HOSTS)
        .map(|(trace, host)| rate(host.name(), trace, exposure, Some(host)))
        .collect();
    format!(
        "<h2>As it is</h2><p>Your provider sees each device's names and, behind encryption, the shape of its traffic. By names \
         and shape, devices are compared with {} labelled ones; a device that is none of them is still given to the \
         nearest.</p><table><tr><th>address</th><th>vendor</th><th>by names</th><th>by traffic</th><th>kB</th>\
         <th>times active</th></tr>{rows}</table><figure>{}</figure>",
        exposure.known,
        Chart::stack(&charts)
    )
}

fn vpn(exposure: &Exposure) -> String {
    let line = &exposure.vpn;
    let largest = exposure.hosts.get(line.largest.0).map_or_else(String::new, HostExposure::name);
    let weak = if exposure.hosts.len() == 1 {
        "There is only one device: a VPN hides nothing of its habits.".to_owned()
    } else if line.is_dominated() {
        format!(
            "One device, {}, makes up {:.0} % of the traffic: the VPN's shape is that device's.",
            escape(&largest),
            100.0 * line.largest.1
        )
    } else {
        format!("No device dominates; the largest, {}, makes up {:.0} %.", escape(&largest), 100.0 * line.largest.1)
    };
    format!(
        "<h2>Through a VPN alone</h2><p>Names and addresses are hidden, sizes and times are not. {weak} In {:.0} % of the \
         seconds with any traffic only one device is active, and what the tunnel carries then is that device's \
         alone.</p>{}<figure>{}</figure>",
        100.0 * line.alone,
        uses(exposure, line),
        rate("through a VPN".to_owned(), &line.trace, exposure, None).svg()
    )
}

fn shaped(exposure: &Exposure) -> String {
    let shaped = &exposure.shaped;
    let mut rows = String::new();
    for (host, device) in exposure.hosts.iter().zip(&shaped.outcome.devices) {
        let _ = write!(
            rows,
            "<tr><td>{}</td><td>{}</td><td>{}</td><td>{:.0}</td><td>{:.0}</td><td>{:.0}</td></tr>",
            escape(&host.name()),
            device.sent,
            device.sent - device.delivered.min(device.sent),
            device.delay_ms.mean,
            device.delay_ms.p99,
            device.delay_ms.max
        );
    }
    let cover: Vec<String> =
        shaped.outcome.directions.iter().map(|way| format!("{:.0} % {}", way.cover_percent, way.direction)).collect();
    format!(
        "<h2>Behind millpond</h2><p>Simulated with the real engine: law {}, {} up and {} down. Every packet has {} bytes, and \
         leaves at a moment drawn in advance; {} of them are cover. That is {:.0} GB a month, whatever the home does and \
         however many devices it has.</p>{}<figure>{}</figure><h2>What it costs in delay</h2><table><tr><th>device</th><th>packets</th>\
         <th>dropped</th><th>mean ms</th><th>99 % below</th><th>most</th></tr>{rows}</table>",
        shaped.setup.law,
        shaped.setup.upload,
        shaped.setup.download,
        shaped.wire_bytes,
        cover.join(" and "),
        shaped.month_bytes / 1e9,
        uses(exposure, &shaped.line),
        rate("behind millpond".to_owned(), &shaped.line.trace, exposure, None).svg()
    )
}

fn blocked(exposure: &Exposure) -> String {
    let mut rows = String::new();
    for host in &exposure.hosts {
        let names: Vec<String> = host.identity.names.iter().take(6).map(|name| escape(name)).collect();
        let more = if host.identity.names.len() > 6 { ", ..." } else { "" };
        let _ = write!(rows, "<tr><td>{}</td><td>{}{more}</td></tr>", escape(&host.name()), names.join(", "));
    }
    format!(
        "<h2>Blocked</h2><p>A device that may not reach the Internet gives nothing away, and can no longer do what it needs the \
         Internet for. This is what each asked for; whether it works without, only trying tells.</p>\
         <table><tr><th>device</th><th>names looked up</th></tr>{rows}</table>"
    )
}

/// Of each device's uses, how many show on a line.
fn uses(exposure: &Exposure, line: &LinkExposure) -> String {
    let mut rows = String::new();
    for (host, (uses, seen, chance)) in exposure.hosts.iter().zip(&line.uses) {
        let _ = write!(
            rows,
            "<tr><td>{}</td><td>{uses}</td><td>{seen}</td><td>{chance:.1}</td></tr>",
            escape(&host.name())
        );
    }
    format!(
        "<table><tr><th>device</th><th>times active</th><th>show on the line</th><th>would by chance</th></tr>{rows}</table>"
    )
}

fn rate(title: String, trace: &Trace, exposure: &Exposure, host: Option<&HostExposure>) -> Chart {
    let length = exposure.length.as_secs_f64();
    let sample_s = (length / CHART_COLUMNS).max(1.0);
    let mut series = Vec::new();
    for direction in Direction::ALL {
        let mut bytes = vec![0.0; (length / sample_s) as usize + 1];
        for packet in trace.packets.iter().filter(|packet| packet.direction == direction) {
            // The shaped line goes on after the home's last packet, until the queues are empty.
            if let Some(slot) = bytes.get_mut((packet.time.as_secs_f64() / sample_s) as usize) {
                *slot += f64::from(packet.bytes) / sample_s;
            }
        }
        // The last column is only partly filled.
        bytes.pop();
        let values = bytes.iter().enumerate().map(|(at, bytes)| (at as f64 * sample_s, *bytes)).collect();
        series.push(Series { name: direction.name().to_owned(), style: SeriesStyle::Line, values });
    }
    if let Some(host) = host {
        let values = host.onsets.iter().map(|onset| (onset.start_s, 0.0)).collect();
        series.push(Series { name: "active".to_owned(), style: SeriesStyle::VerticalLines, values });
    }
    Chart { title, x: "s".to_owned(), y: "bytes per second".to_owned(), logarithmic: false, series }
}
