//! `config millpond 'main'`: role, level, rates and law.

use std::net::IpAddr;

use super::exit;
use super::level::{CELL_BYTES, Confirmed, DEFAULT_CELL_BYTES, KBIT, Rates, WITH_RATES};
use super::reader::SectionReader;
use super::value::{self, ValueError, bit, boolean, choice, interface_name, network, number, price, router_service};
use crate::config::model::{Billing, CapPeriod, Level, OffPolicy, Role, RouterService, RoutingIds, Shape, StepDown};
use crate::config::problem::SettingsProblem;
use crate::config::uci::Section;
use crate::law::{Law, MAX_INTERVAL, MAX_TRAIN, MIN_INTERVAL};
use crate::units::BitsPerSec;

const OPTIONS: [&str; 25] = [
    "home_port",
    "enabled",
    "role",
    "level",
    "upload",
    "download",
    "cell",
    "law",
    "spread",
    "train",
    "data_cap",
    "cap_period",
    "billing_day",
    "price",
    "cap_day",
    "cap_level",
    "off",
    "audit",
    "mark",
    "table",
    "priority",
    "router_service",
    "allow",
    "threads",
    "exit",
];
const ROLES: &[(&str, Role)] = &[("router", Role::Router), ("endpoint", Role::Endpoint)];
const CAP_PERIODS: &[(&str, CapPeriod)] =
    &[("day", CapPeriod::Day), ("week", CapPeriod::Week), ("month", CapPeriod::Month)];
const OFF_MODES: &[(&str, OffPolicy)] = &[("tunnel", OffPolicy::Tunnel), ("block", OffPolicy::Block)];

/// Default days between two checks of the wire.
const AUDIT_DAYS: u16 = 7;

/// The section's values, with defaults in place of invalid ones.
pub(super) struct General {
    pub enabled: bool,
    pub role: Option<Role>,
    pub level: Level,
    pub data_cap_gb: Option<u32>,
    pub cap_period: CapPeriod,
    pub billing_day: u8,
    pub price_cents: Option<u32>,
    pub off: OffPolicy,
    pub audit_days: Option<u16>,
    /// `cap_day` and `cap_level`.
    step_down: Option<(u8, Level)>,
    /// Rates that the owner confirmed for a level; they replace the built-in ones.
    confirmed: Confirmed,
    pub routing_ids: RoutingIds,
    pub router_services: Vec<RouterService>,
    /// Networks behind an endpoint that homes may reach.
    pub allow: Vec<(IpAddr, u8)>,
    pub home_ports: Vec<String>,
    /// Threads of an endpoint; `None` for all processors.
    pub threads: Option<u16>,
    /// The interface by which homes' packets leave an endpoint.
    pub exit: Option<String>,
    /// The shape of level `custom`; its law and spread apply to every level.
    custom: Shape,
}

impl General {
    /// The shape of a level; `None` for `off`.
    pub fn shape(&self, level: Level) -> Option<Shape> {
        match level {
            Level::Off => return None,
            Level::Custom => return Some(self.custom),
            _ => {}
        }
        let (upload, download, cell_bytes) = self.confirmed.of(level).unwrap_or_else(|| built_in(level));
        Some(Shape { upload, download, cell_bytes, ..self.custom })
    }

    /// Every level that has rates, with its shape.
    pub fn levels(&self) -> Vec<(Level, Shape)> {
        WITH_RATES.iter().filter_map(|(_, level)| Some((*level, self.shape(*level)?))).collect()
    }

    /// The billing period, with the level for its last days.
    pub fn billing(&self) -> Billing {
        let step_down = self.step_down.and_then(|(day, level)| {
            let shape = self.shape(level)?;
            Some(StepDown { day, level, shape })
        });
        Billing { period: self.cap_period, day: self.billing_day, step_down }
    }
}

impl CapPeriod {
    /// The value in the settings.
    pub const fn name(self) -> &'static str {
        CAP_PERIODS[self as usize].0
    }
}

impl Role {
    /// The value in the settings.
    pub const fn name(self) -> &'static str {
        match self {
            Role::Router => "router",
            Role::Endpoint => "endpoint",
        }
    }
}

/// Reads the section. `uses_custom`: whether a schedule has level `custom`.
pub(super) fn read(
    section: Option<&Section>,
    confirmed: Confirmed,
    uses_custom: bool,
    problems: &mut Vec<SettingsProblem>,
) -> General {
    let (upload, download, cell_bytes) = built_in(Level::Balanced);
    let spread_percent = Law::default().default_spread();
    let balanced = Shape { upload, download, cell_bytes, law: Law::default(), spread_percent, train: None };
    let Some(section) = section else {
        let (level, billing_day) = (Level::Balanced, 1);
        return General {
            enabled: false,
            role: Some(Role::Router),
            level,
            data_cap_gb: None,
            cap_period: CapPeriod::default(),
            billing_day,
            price_cents: None,
            off: OffPolicy::default(),
            audit_days: Some(AUDIT_DAYS),
            step_down: None,
            confirmed,
            routing_ids: RoutingIds::DEFAULT,
            router_services: Vec::new(),
            allow: Vec::new(),
            home_ports: Vec::new(),
            threads: None,
            exit: None,
            custom: balanced,
        };
    };
    let mut reader = SectionReader::new(section, &OPTIONS, problems);
    // An unreadable switch probably meant "on", so the other options are checked as if it were on.
    let enabled = if reader.given("enabled") { reader.value("enabled", boolean).unwrap_or(true) } else { false };
    let role = if reader.given("role") { reader.value("role", choice(ROLES)) } else { Some(Role::Router) };
    let (law, spread_percent) = law_and_spread(&mut reader);
    let train = train(&mut reader, law);
    let (upload, download, cell_bytes) = rates_and_cell(&mut reader, Shape { law, train, ..balanced });
    let level = main_level(&mut reader, uses_custom);
    let data_cap_gb = reader.value("data_cap", number(0..=1_000_000, "GB")).filter(|gb| *gb > 0);
    let cap_period = reader.value("cap_period", choice(CAP_PERIODS)).unwrap_or_default();
    let days = if cap_period == CapPeriod::Week { number(1..=7, "(1 is Monday)") } else { number(1..=28, "") };
    let billing_day = reader.value("billing_day", days).map_or(1, |day| day as u8);
    let routing_ids = routing_ids(&mut reader);
    let home_ports = reader.list("home_port", interface_name).into_iter().map(|(name, _)| name).collect();
    let custom = Shape { upload, download, cell_bytes, law, spread_percent, train };
    let price_cents = reader.value("price", price);
    let off = reader.value("off", choice(OFF_MODES)).unwrap_or_default();
    let audit_days = reader.value("audit", number(0..=365, "days")).map_or(AUDIT_DAYS, |days| days as u16);
    let audit_days = Some(audit_days).filter(|days| *days > 0);
    let step_down = step_down(&mut reader, cap_period, billing_day);
    if role == Some(Role::Endpoint) && reader.given("router_service") {
        reader.warn("router_service", "no effect with role 'endpoint' (want role 'router')".to_owned());
    }
    let router_services =
        reader.list("router_service", router_service).into_iter().map(|(service, _)| service).collect();
    let allow = allow(&mut reader, role);
    let threads = threads(&mut reader, role);
    let exit = exit::read(&mut reader);
    if exit.is_some() && role == Some(Role::Router) {
        reader.warn("exit", "no effect with role 'router' (want role 'endpoint')".to_owned());
    }
    General {
        enabled,
        role,
        level,
        data_cap_gb,
        cap_period,
        billing_day,
        price_cents,
        off,
        audit_days,
        step_down,
        confirmed,
        routing_ids,
        router_services,
        allow,
        home_ports,
        threads,
        exit,
        custom,
    }
}

fn built_in(level: Level) -> Rates {
    let (upload, download) = level.built_in_kbit();
    (BitsPerSec::from_kbit(upload), BitsPerSec::from_kbit(download), DEFAULT_CELL_BYTES)
}

fn allow(reader: &mut SectionReader, role: Option<Role>) -> Vec<(IpAddr, u8)> {
    if role == Some(Role::Router) && reader.given("allow") {
        reader.warn("allow", "no effect with role 'router' (want role 'endpoint')".to_owned());
    }
    reader.list("allow", network).into_iter().map(|(network, _)| network).collect()
}

fn threads(reader: &mut SectionReader, role: Option<Role>) -> Option<u16> {
    if role == Some(Role::Router) && reader.given("threads") {
        reader.warn("threads", "no effect with role 'router' (want role 'endpoint')".to_owned());
    }
    reader.value("threads", number(1..=256, "threads")).map(|threads| threads as u16)
}

fn step_down(reader: &mut SectionReader, cap_period: CapPeriod, billing_day: u8) -> Option<(u8, Level)> {
    let (day_given, level_given) = (reader.given("cap_day"), reader.given("cap_level"));
    let day = reader.value("cap_day", number(1..=28, "")).map(|day| day as u8);
    let level = reader.value("cap_level", choice(WITH_RATES));
    match (day_given, level_given) {
        (true, false) => reader.error("cap_day", "no effect without cap_level (want both options)".to_owned()),
        (false, true) => reader.error("cap_level", "no effect without cap_day (want both options)".to_owned()),
        _ => {}
    }
    if day.is_some() && cap_period != CapPeriod::Month {
        reader.error("cap_day", "no effect with this cap_period (want cap_period 'month')".to_owned());
    } else if day == Some(billing_day) {
        let text =
            format!("same day as billing_day, so cap_level would always apply (got {billing_day}, want another day)");
        reader.error("cap_day", text);
    }
    day.zip(level)
}

/// Tables start above the kernel's own; priorities end before the kernel's rule for table `main`.
fn routing_ids(reader: &mut SectionReader) -> RoutingIds {
    const MAX_PRIORITY: u32 = 32_764;
    let default = RoutingIds::DEFAULT;
    RoutingIds {
        mark: reader.value("mark", bit).unwrap_or(default.mark),
        table: reader.value("table", number(256..=u32::MAX, "")).unwrap_or(default.table),
        priority: reader.value("priority", number(1..=MAX_PRIORITY, "")).unwrap_or(default.priority),
    }
}

fn law_and_spread(reader: &mut SectionReader) -> (Law, u8) {
    let law = reader.value("law", value::law).unwrap_or_default();
    let (min, max) = law.spread_range().into_inner();
    let given = reader.value("spread", number(min.into()..=max.into(), "percent")).map(|percent| percent as u8);
    (law, given.filter(|_| law.has_spread()).unwrap_or(law.default_spread()))
}

fn train(reader: &mut SectionReader, law: Law) -> Option<u8> {
    let train = reader.value("train", number(1..=MAX_TRAIN.into(), "cells")).map(|cells| cells as u8);
    if train.is_some() && law.paced_by_kernel() {
        reader.warn("train", format!("no effect with law '{law}', which paces single cells (want another law)"));
        return None;
    }
    train
}

fn rates_and_cell(reader: &mut SectionReader, default: Shape) -> (BitsPerSec, BitsPerSec, u16) {
    let Shape { law, train, .. } = default;
    let cell_bytes = reader.value("cell", number(CELL_BYTES, "bytes")).map_or(default.cell_bytes, |n| n as u16);
    let mut rate = |option, default: BitsPerSec| {
        let parsed = reader.value(option, number(KBIT, "kbit/s"));
        let Some(kbit) = parsed else { return default };
        let rate = BitsPerSec::from_kbit(kbit.into());
        let cells = train.unwrap_or(if law.paced_by_kernel() { 1 } else { MAX_TRAIN });
        let train_bytes = usize::from(cells) * usize::from(cell_bytes);
        let (shortest, longest) = (MIN_INTERVAL.0 / 1_000, MAX_INTERVAL.0 / 1_000_000_000);
        let what = if cells > 1 { format!("trains of {cells} cells") } else { "cells".to_owned() };
        let max_kbit = train_bytes as u64 * 8 * 1_000_000 / MIN_INTERVAL.0;
        if rate.interval(train_bytes) < MIN_INTERVAL {
            let text = format!(
                "{what} would be less than {shortest} us apart (got '{kbit}', want at most {max_kbit} kbit/s \
                 for cells of {cell_bytes} bytes{})",
                if train.is_some_and(|train| train < MAX_TRAIN) { ", or a larger train" } else { "" }
            );
            reader.error(option, text);
        }
        let min_kbit = (train_bytes as u64 * 8 * 1_000_000).div_ceil(MAX_INTERVAL.0);
        if train.is_some() && rate.interval(train_bytes) > MAX_INTERVAL {
            let text = format!(
                "{what} would be more than {longest} s apart (got '{kbit}', want at least {min_kbit} kbit/s \
                 for cells of {cell_bytes} bytes, or a smaller train)"
            );
            reader.error(option, text);
        }
        rate
    };
    let upload = rate("upload", default.upload);
    let download = rate("download", default.download);
    (upload, download, cell_bytes)
}

fn main_level(reader: &mut SectionReader, uses_custom: bool) -> Level {
    let given = reader.given("level");
    let level = reader.value("level", |text| match text {
        "off" => Err(ValueError {
            problem: "only a schedule may have this level",
            got: "'off'".to_owned(),
            want: "saver | balanced | strict | custom, or option enabled '0'".to_owned(),
        }),
        _ => choice(WITH_RATES)(text),
    });
    let Some(level) = level.or((!given).then_some(Level::Balanced)) else { return Level::Balanced };
    if level != Level::Custom && !uses_custom {
        for option in ["upload", "download", "cell"] {
            if reader.given(option) {
                reader.warn(option, "no effect at this level (want level 'custom')".to_owned());
            }
        }
    }
    level
}

#[cfg(test)]
mod tests {
    use crate::config::parse;

    #[test]
    fn threads_are_a_number_and_for_endpoints_only() {
        let parsed = |text: &str| parse(format!("config millpond main\n{text}").as_bytes());
        let endpoint = |threads: &str| parsed(&format!(" option role endpoint\n option threads '{threads}'\n"));
        assert_eq!(endpoint("4").settings.and_then(|settings| settings.threads), Some(4));
        assert_eq!(parsed(" option role endpoint\n").settings.and_then(|settings| settings.threads), None);
        for wrong in ["0", "257", "-1", "all", "1.5"] {
            let problems = endpoint(wrong).problems;
            let of_threads = problems.iter().find(|problem| problem.option.as_deref() == Some("threads"));
            assert!(of_threads.is_some_and(|problem| problem.text.contains("256")), "{wrong}: {problems:?}");
        }
        let problems = parsed(" option threads '2'\n").problems;
        assert!(problems.iter().any(|problem| problem.text.contains("no effect with role 'router'")), "{problems:?}");
    }
}
