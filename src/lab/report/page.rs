//! The comparison as one self-contained HTML page: no script, no font, no image from elsewhere.

use super::terminal::provider_rows;
use super::{RunView, VpnComparison, figures};

/// How pages look.
pub(in crate::lab) const STYLE: &str = include_str!("page.css");

/// The whole page.
pub fn page(comparison: &VpnComparison) -> String {
    let VpnComparison { plain, shaped } = comparison;
    let seconds = comparison.seconds();
    let body = [
        opening(comparison),
        cards(plain, shaped),
        time_lines(comparison, seconds),
        pairs(
            "Sizes",
            "Sizes name devices and actions. Under millpond every data packet has the same one.",
            figures::sizes(comparison),
        ),
        pairs(
            "Intervals",
            "Bursts and pauses tell when something happens. Millpond draws the moments in advance.",
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
         <title>millpond: what the home did, what the provider saw</title><style>{STYLE}</style></head>\
         <body><main>{body}</main></body></html>\n"
    )
}

/// Text that may stand between tags and in attributes.
pub(in crate::lab) fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

fn opening(comparison: &VpnComparison) -> String {
    let VpnComparison { plain, shaped } = comparison;
    let [up, down] = &shaped.lines;
    let sizes = plain.sizes.len();
    let flat = if shaped.sizes.len() == 1 && up.strays + down.strays == 0 {
        format!(
            "Behind millpond it saw packets of one size, {} bytes, at {:.0} kbit/s up and {:.0} kbit/s down, whatever the home did.",
            shaped.sizes.keys().next().copied().unwrap_or(0),
            up.bits.mean / 1e3,
            down.bits.mean / 1e3
        )
    } else {
        format!(
            "Behind millpond it still saw {} sizes and {} packets outside the tunnel: this line is not flat.",
            shaped.sizes.len(),
            up.strays + down.strays
        )
    };
    format!(
        "<h1>What the home did, and what the provider saw</h1>\
         <p class=\"lead\">{} devices replayed the same {} seconds twice. Behind a plain VPN the provider could not read \
         a byte, yet it saw {sizes} different sizes and every burst of activity. {flat}</p>",
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
        ("rate swings, kbit/s (sd)", sd(plain), sd(shaped)),
        ("follows the home, −1 to 1", format!("{:.2}", plain.correlation), format!("{:.2}", shaped.correlation)),
        ("packets outside the tunnel", strays(plain), strays(shaped)),
    ];
    let cards = rows.map(|(name, before, after)| {
        format!(
            "<div class=\"card\"><div class=\"name\">{name}</div><div class=\"pair\">\
             <span><b class=\"plain\">{before}</b>plain VPN</span><span><b class=\"shaped\">{after}</b>millpond</span></div></div>"
        )
    });
    format!(
        "<div class=\"cards\">{}</div><p class=\"soft\">How closely the line follows the home is the correlation of their \
         rates second by second; by chance alone it lies within ±{:.2} in a run of this length.</p>",
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
        "<h2>Both lines over time</h2><p class=\"key soft\">{}{}one scale for all three, one point a second</p>{}",
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
        "<h2>The price: delay per device</h2><p class=\"key soft\">{}{}both ways together, packets that arrived</p>\
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
        "<h2>What the provider saw</h2>{}<p class=\"soft\">Law: {}. WireGuard's own handshakes (148 and 92 bytes, about \
         every two minutes whatever the devices do) are counted apart. Delays were measured in a laboratory on one \
         machine, both ends on one clock.</p>",
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
