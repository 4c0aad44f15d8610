//! The analysis as one self-contained HTML page.

use std::fmt::Write as _;

use super::shared::LinkExposure;
use super::{Exposure, HostExposure};
use crate::lab::activity::{Detector, SampledTraffic};
use crate::lab::plot::{Chart, Series, SeriesStyle};
use crate::lab::report::{STYLE, escape};
use crate::lab::trace::Direction;

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
    let (_, shaped, shaped_chance) = exposure.shaped.link.total();
    format!(
        "<h1>What this home reveals</h1><p class=\"lead\">In {:.0} minutes, the traffic of the {} devices became \
        active {uses} times, whether they were used or not. Behind a plain VPN {seen} of these times are still visible \
        ({chance:.0} by chance), behind millpond {shaped} ({shaped_chance:.0} by chance).</p>\
        <p class=\"soft\">Captures: {}.</p>",
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
            if identity.made_up_address { "random address" } else { identity.vendor.as_deref().unwrap_or("?") };
        let best = |candidates: &[crate::lab::identify::Candidate]| {
            candidates
                .first()
                .map_or("-".to_owned(), |best| format!("{} {:.0} %", escape(&best.device), 100.0 * best.fit))
        };
        let _ = write!(
            rows,
            "<tr><td>{}</td><td>{}</td><td>{}</td><td>{}</td><td>{:.1}</td><td>{}</td></tr>",
            identity.mac,
            escape(vendor),
            best(&identity.by_names),
            best(&identity.by_shape),
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
        .map(|(trace, host)| {
            let traffic = SampledTraffic::of(trace, Detector::default().sample);
            rate(host.name(), &traffic, exposure, Some(host))
        })
        .collect();
    format!(
        "<h2>Without protection</h2><p>Your provider sees the DNS names that each device looks up and, despite \
        encryption, the sizes and times of its packets. The table compares each device with {} labelled devices. By \
        traffic it always names the most similar one, even if the device is none of them.</p>\
        <table><tr><th>address</th><th>vendor</th>\
        <th>by DNS names</th><th>by traffic</th><th>kB</th>\
         <th>times active</th></tr>{rows}</table><figure>{}</figure>",
        exposure.known,
        Chart::stack(&charts)
    )
}

fn vpn(exposure: &Exposure) -> String {
    let link = &exposure.vpn;
    let largest = exposure.hosts.get(link.largest.0).map_or_else(String::new, HostExposure::name);
    let weak = if exposure.hosts.len() == 1 {
        "This home has only one device, so a VPN does not hide when it is active.".to_owned()
    } else if link.is_dominated() {
        format!(
            "One device, {}, causes {:.0} % of the traffic, so the tunnel's pattern is the pattern of that device.",
            escape(&largest),
            100.0 * link.largest.1
        )
    } else {
        format!(
            "No device dominates. The largest, {}, causes {:.0} % of the traffic.",
            escape(&largest),
            100.0 * link.largest.1
        )
    };
    format!(
        "<h2>Behind a plain VPN</h2><p>A VPN hides names and addresses, but not sizes and times. {weak} In {:.0} % of \
        the seconds with traffic only one device is active, so the tunnel carries only its packets.</p>\
        {}<figure>{}</figure>",
        100.0 * link.alone,
        uses(exposure, link),
        rate("behind a plain VPN".to_owned(), &link.traffic, exposure, None).svg()
    )
}

fn shaped(exposure: &Exposure) -> String {
    let shaped = &exposure.shaped;
    let mut rows = String::new();
    for (host, device) in exposure.hosts.iter().zip(&shaped.result.devices) {
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
    let cover: Vec<String> = shaped
        .result
        .directions
        .iter()
        .map(|direction| format!("{:.0} % {}", direction.cover_percent, direction.direction))
        .collect();
    format!(
        "<h2>Behind millpond</h2><p>A simulation with the real engine: law {}, {} up and {} down. Every packet has {} \
        bytes and leaves at a time drawn in advance; {} of the packets are cover. The tunnel transfers {:.0} GB a \
        month, whatever the home does and however many devices it has.</p>{}<figure>{}</figure>\
        <h2>Delay per device</h2><table><tr><th>device</th><th>packets</th><th>dropped</th>\
        <th>mean ms</th><th>p99 ms</th><th>max ms</th></tr>{rows}</table>",
        shaped.config.law,
        shaped.config.upload,
        shaped.config.download,
        shaped.wire_bytes,
        cover.join(" and "),
        shaped.month_bytes / 1e9,
        uses(exposure, &shaped.link),
        rate("behind millpond".to_owned(), &shaped.link.traffic, exposure, None).svg()
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
        "<h2>Blocked devices</h2><p>A device that cannot reach the Internet reveals nothing, but loses every function \
        that needs the Internet. The table lists the names that each device looks up. Only a trial shows whether the \
        device works without them.</p>\
         <table><tr><th>device</th><th>names looked up</th></tr>{rows}</table>"
    )
}

/// A table of how often each device became active and how many of these times are visible on the link.
fn uses(exposure: &Exposure, link: &LinkExposure) -> String {
    let mut rows = String::new();
    for (host, (uses, seen, chance)) in exposure.hosts.iter().zip(&link.uses) {
        let _ = write!(
            rows,
            "<tr><td>{}</td><td>{uses}</td><td>{seen}</td><td>{chance:.1}</td></tr>",
            escape(&host.name())
        );
    }
    format!(
        "<table><tr><th>device</th><th>times active</th><th>visible on the link</th><th>visible by chance</th></tr>\
        {rows}</table>"
    )
}

fn rate(title: String, traffic: &SampledTraffic, exposure: &Exposure, host: Option<&HostExposure>) -> Chart {
    let length = exposure.length.as_secs_f64();
    let sample_s = (length / CHART_COLUMNS).max(1.0);
    let mut series = Vec::new();
    for direction in Direction::ALL {
        let mut bytes = vec![0.0; (length / sample_s) as usize + 1];
        for sample in &traffic.samples {
            // The shaped link continues after the home's last packet, until the queues are empty.
            if let Some(slot) = bytes.get_mut((sample.first.as_secs_f64() / sample_s) as usize) {
                *slot += sample.bytes[direction as usize] / sample_s;
            }
        }
        // The last column covers only a part of its time.
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
