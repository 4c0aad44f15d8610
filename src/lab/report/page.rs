//! The comparison as one self-contained HTML page without scripts and external fonts or images.

use super::svg::escape;
use super::terminal::provider_rows;
use super::{RunView, VpnComparison, figures};

/// The style sheet of the pages.
pub(in crate::lab) const STYLE: &str = include_str!("page.css");

/// Renders the page.
pub fn page(comparison: &VpnComparison) -> String {
    let VpnComparison { plain, shaped } = comparison;
    let seconds = comparison.seconds();
    let body = [
        opening(comparison),
        cards(plain, shaped),
        time_lines(comparison, seconds),
        pairs(
            "Sizes",
            "Packet sizes identify devices and actions. With millpond every data packet has the same size.",
            figures::sizes(comparison),
        ),
        pairs(
            "Intervals",
            "Bursts and pauses reveal when something happens. With millpond all departure times are drawn in advance.",
            figures::intervals(comparison),
        ),
        delays(comparison),
        devices(comparison),
        provider(plain, shaped),
    ]
    .concat();
    format!(
        "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\
         <title>millpond: what the home did and what the provider saw</title><style>{STYLE}</style></head>\
         <body><main>{body}</main></body></html>\n"
    )
}

fn opening(comparison: &VpnComparison) -> String {
    let VpnComparison { plain, shaped } = comparison;
    let [up, down] = &shaped.lines;
    let sizes = plain.sizes.len();
    let flat = if shaped.sizes.len() == 1 && up.strays + down.strays == 0 {
        format!(
            "Behind millpond it saw packets of one size, {} bytes, at {:.0} kbit/s up and {:.0} kbit/s down, \
            regardless of the home's activity.",
            shaped.sizes.keys().next().copied().unwrap_or(0),
            up.bits.mean / 1e3,
            down.bits.mean / 1e3
        )
    } else {
        format!(
            "Behind millpond it still saw {} packet sizes and {} packets outside the tunnel: the line is not flat.",
            shaped.sizes.len(),
            up.strays + down.strays
        )
    };
    format!(
        "<h1>What the home did and what the provider saw</h1>\
        <p class=\"lead\">{} devices replayed the same {} seconds twice. Behind a plain VPN the provider could not \
        read the packets, but it saw {sizes} different sizes and every burst of activity. {flat}</p>",
        shaped.devices.len(),
        comparison.seconds()
    )
}

fn cards(plain: &RunView, shaped: &RunView) -> String {
    let sd = |view: &RunView| {
        let variance: f64 = view.lines.iter().map(|line| line.bits.sd.powi(2)).sum();
        format!("{:.1}", variance.sqrt() / 1e3)
    };
    let strays = |view: &RunView| view.lines.iter().map(|line| line.strays).sum::<usize>().to_string();
    let rows = [
        ("packet sizes", plain.sizes.len().to_string(), shaped.sizes.len().to_string()),
        ("rate variation, kbit/s (sd)", sd(plain), sd(shaped)),
        (
            "correlation with the home, −1 to 1",
            format!("{:.2}", plain.correlation),
            format!("{:.2}", shaped.correlation),
        ),
        ("packets outside the tunnel", strays(plain), strays(shaped)),
    ];
    let cards = rows.map(|(name, before, after)| {
        format!(
            "<div class=\"card\"><div class=\"name\">{name}</div><div class=\"pair\">\
             <span><b class=\"plain\">{before}</b>plain VPN</span>\
             <span><b class=\"shaped\">{after}</b>millpond</span></div></div>"
        )
    });
    format!(
        "<div class=\"cards\">{}</div><p class=\"soft\">The correlation compares the rates of home and line in each \
        second. In a run of this length, chance alone causes values within ±{:.2}.</p>",
        cards.concat(),
        shaped.chance()
    )
}

fn time_lines(comparison: &VpnComparison, seconds: usize) -> String {
    let VpnComparison { plain, shaped } = comparison;
    let max = figures::max_bits(comparison);
    let rows = [
        ("The home", "IP packets of all devices", &shaped.home),
        ("The provider, plain VPN", "packets on the WAN line", &plain.provider),
        ("The provider, millpond", "packets on the WAN line", &shaped.provider),
    ];
    let figures = rows.map(|(title, what, series)| {
        let svg = figures::over_time(series, seconds, max, title);
        format!("<figure><h3>{title} <span class=\"soft\">{what}</span></h3>{svg}</figure>")
    });
    format!(
        "<h2>Rates over time</h2><p class=\"key soft\">{}{}one value per second, the same scale in all figures</p>{}",
        key("up", "from the home"),
        key("down", "to the home"),
        figures.concat()
    )
}

fn pairs(title: &str, text: &str, [plain, shaped]: [String; 2]) -> String {
    format!(
        "<h2>{title}</h2><p class=\"soft\">{text}</p><div class=\"two\"><figure><h3>Plain VPN</h3>{plain}</figure>\
         <figure><h3>millpond</h3>{shaped}</figure></div>"
    )
}

fn delays(comparison: &VpnComparison) -> String {
    format!(
        "<h2>The cost: delay per device</h2><p class=\"key soft\">{}{}arrived packets, both directions together</p>\
         <figure>{}</figure>",
        key("plain", "plain VPN"),
        key("shaped", "millpond"),
        figures::delays(comparison)
    )
}

fn key(variable: &str, text: &str) -> String {
    format!("<span><i style=\"background:var(--{variable})\"></i>{text}</span>")
}

fn devices(comparison: &VpnComparison) -> String {
    let rows: Vec<String> = comparison
        .shaped
        .devices
        .iter()
        .map(|device| {
            let before = comparison.plain.devices.iter().find(|other| other.name == device.name);
            let plain = before.map_or(["-".to_owned(), "-".to_owned()], |before| {
                [before.delay_ms.mean, before.delay_ms.p99].map(|value| format!("{value:.1}"))
            });
            let cells = [
                escape(&device.name),
                device.packets[0].to_string(),
                device.packets[1].to_string(),
                device.bytes[0].to_string(),
                device.bytes[1].to_string(),
                plain[0].clone(),
                plain[1].clone(),
                format!("{:.1}", device.delay_ms.mean),
                format!("{:.1}", device.delay_ms.p99),
                device.lost.to_string(),
            ];
            row("td", &cells)
        })
        .collect();
    let head = [
        "device",
        "packets up",
        "down",
        "bytes up",
        "down",
        "plain: mean ms",
        "p99 ms",
        "millpond: mean ms",
        "p99 ms",
        "lost",
    ];
    format!("<h2>Devices</h2>{}", table(&row("th", &head.map(str::to_owned)), &rows.concat()))
}

fn provider(plain: &RunView, shaped: &RunView) -> String {
    let rows: Vec<String> = provider_rows(plain, shaped)
        .into_iter()
        .map(|(name, [a, b, c, d])| row("td", &[name.to_owned(), a, b, c, d]))
        .collect();
    let head = ["", "plain VPN up", "plain VPN down", "millpond up", "millpond down"].map(str::to_owned);
    format!(
        "<h2>What the provider saw</h2>{}<p class=\"soft\">Law: {}. WireGuard's handshakes (148 and 92 bytes, about \
        every two minutes regardless of the devices) are counted separately. Delays were measured in a laboratory on \
        one machine, so both ends use the same clock.</p>",
        table(&row("th", &head), &rows.concat()),
        escape(&shaped.law)
    )
}

fn table(head: &str, rows: &str) -> String {
    format!("<div class=\"scroll\"><table><thead>{head}</thead><tbody>{rows}</tbody></table></div>")
}

fn row(tag: &str, cells: &[String]) -> String {
    let cells: Vec<String> = cells.iter().map(|cell| format!("<{tag}>{cell}</{tag}>")).collect();
    format!("<tr>{}</tr>", cells.concat())
}
