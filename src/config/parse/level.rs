//! The levels: their names, their built-in rates, and `config level`, the rates that `millpond advise` computed and the
//! owner confirmed for a level.

use std::ops::RangeInclusive;

use super::reader::SectionReader;
use super::value::number;
use crate::config::model::Level;
use crate::config::problem::SettingsProblem;
use crate::config::uci::Section;
use crate::units::{BitsPerSec, Nanos};

const OPTIONS: [&str; 3] = ["upload", "download", "cell"];
/// The lowest rate still sends the largest cell at least once a minute.
pub(super) const KBIT: RangeInclusive<u32> = 8..=1_000_000;
/// The smallest cell in which all control messages fit over WireGuard and IPv6, and the largest.
pub(super) const CELL_BYTES: RangeInclusive<u32> = 160..=1400;
const _: () = assert!(BitsPerSec::from_kbit(8).interval(1400).0 <= Nanos::from_secs(60).0);
/// The paper's size.
pub(super) const DEFAULT_CELL_BYTES: u16 = 512;

/// The value of each level in the settings, in the order of [`Level`].
pub(super) const LEVELS: &[(&str, Level)] = &[
    ("off", Level::Off),
    ("saver", Level::Saver),
    ("balanced", Level::Balanced),
    ("strict", Level::Strict),
    ("custom", Level::Custom),
];
/// The levels that have rates.
pub(super) const WITH_RATES: &[(&str, Level)] = LEVELS.split_at(1).1;
/// The levels that have built-in rates. Level `custom` has its rates in section `main`.
const BUILT_IN: &[(&str, Level)] = WITH_RATES.split_at(3).0;

impl Level {
    /// The value in the settings.
    pub const fn name(self) -> &'static str {
        LEVELS[self as usize].0
    }

    /// Upload and download in kbit/s, unless the settings say otherwise. The captured plug, motion sensor, lamp and
    /// hub wait 5.7 s at most at `saver`, with a mean of 0.36 s.
    pub(super) const fn built_in_kbit(self) -> (u64, u64) {
        match self {
            Level::Saver => (30, 30),
            Level::Strict => (160, 320),
            _ => (80, 160),
        }
    }
}

/// What the owner confirmed, by level.
#[derive(Clone, Debug, Default)]
pub(super) struct Confirmed(Vec<(Level, Rates)>);

/// Upload, download, and the maximum bytes of a cell on the wire.
pub(super) type Rates = (BitsPerSec, BitsPerSec, u16);

impl Confirmed {
    /// Rates and cell size of a level, if the owner confirmed some for it.
    pub fn of(&self, level: Level) -> Option<Rates> {
        self.0.iter().find(|(of, _)| *of == level).map(|(_, rates)| *rates)
    }
}

/// Reads all `level` sections.
pub(super) fn read<'a>(sections: impl Iterator<Item = &'a Section>, problems: &mut Vec<SettingsProblem>) -> Confirmed {
    let mut confirmed = Vec::new();
    for section in sections {
        let mut reader = SectionReader::new(section, &OPTIONS, problems);
        let level = BUILT_IN.iter().find(|(name, _)| section.name.as_deref() == Some(name)).map(|(_, level)| *level);
        if level.is_none() {
            reader.error_section("no such level (want config level 'saver', 'balanced' or 'strict')".to_owned());
        }
        let mut rate = |option| reader.needed(true, option, "kbit/s", number(KBIT, "kbit/s"));
        let (upload, download) = (rate("upload"), rate("download"));
        let cell_bytes = reader.value("cell", number(CELL_BYTES, "bytes")).map_or(DEFAULT_CELL_BYTES, |n| n as u16);
        if let (Some(level), Some(upload), Some(download)) = (level, upload, download) {
            let [upload, download] = [upload, download].map(|kbit| BitsPerSec::from_kbit(kbit.into()));
            confirmed.push((level, (upload, download, cell_bytes)));
        }
    }
    Confirmed(confirmed)
}

#[cfg(test)]
mod tests {
    use crate::config::model::{Level, OffPolicy};
    use crate::config::parse;
    use crate::units::{BitsPerSec, Nanos};

    const MAIN: &str = "config millpond 'main'\n\toption level 'saver'\n";

    fn problems(more: &str) -> String {
        let parsed = parse(format!("{MAIN}{more}").as_bytes());
        parsed.problems.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")
    }

    #[test]
    fn confirmed_rates_replace_the_built_in_ones() {
        let more = "\toption price '2.5'\n\toption data_cap '0'\n\toption off 'block'\n\toption audit '0'\n\
            \toption cap_day '20'\n\toption cap_level 'strict'\n\
            config level 'saver'\n\toption upload '40'\n\toption download '60'\n\toption cell '1024'\n\
            config device\n\toption mac '18:b4:30:26:34:40'\n\toption kind 'camera'\n\toption policy 'direct'\n\
            \toption watch '1'\n\
            config device\n\toption mac '18:b4:30:26:34:41'\n\toption kind 'plug'\n\toption tolerance '900'\n";
        assert_eq!(problems(more), "");
        let settings = parse(format!("{MAIN}{more}").as_bytes()).settings.unwrap();
        let kbit = BitsPerSec::from_kbit;
        let shape = &settings.shape;
        assert_eq!((shape.upload, shape.download, shape.cell_bytes), (kbit(40), kbit(60), 1_024));
        let strict = settings.levels.iter().find(|(level, _)| *level == Level::Strict).unwrap().1;
        assert_eq!((strict.upload, strict.download, strict.cell_bytes), (kbit(160), kbit(320), 512));
        assert_eq!((settings.price_cents, settings.data_cap_gb, settings.audit_days), (Some(250), None, None));
        assert_eq!((settings.off, settings.billing.step_down.unwrap().shape), (OffPolicy::Block, strict));
        let [camera, plug] = &settings.devices[..] else { panic!("two devices") };
        assert_eq!((camera.tolerance, plug.tolerance), (Nanos::from_millis(17_600), Nanos::from_millis(900)));
        assert!(camera.watch && !plug.watch);
    }

    #[test]
    fn errors_in_level_options_are_reported() {
        for (more, want) in [
            ("\toption price 'cheap'\n", "main.price: not a price (got 'cheap'"),
            ("\toption price '1.234'\n", "main.price: not a price"),
            ("\toption cap_day '20'\n", "main.cap_day: no effect without cap_level"),
            ("\toption cap_level 'saver'\n", "main.cap_level: no effect without cap_day"),
            (
                "\toption cap_day '1'\n\toption cap_level 'saver'\n",
                "main.cap_day: same day as billing_day, so cap_level would always apply (got 1",
            ),
            ("\toption cap_day '29'\n\toption cap_level 'saver'\n", "main.cap_day: out of range"),
            (
                "\toption cap_period 'week'\n\toption cap_day '20'\n\toption cap_level 'saver'\n",
                "main.cap_day: no effect with this cap_period",
            ),
            (
                "\toption cap_period 'week'\n\toption billing_day '8'\n",
                "main.billing_day: out of range (got '8', want 1..=7",
            ),
            ("\toption cap_period 'year'\n", "main.cap_period: unknown value (got 'year', want day | week | month)"),
            ("\toption off 'open'\n", "main.off: unknown value (got 'open', want tunnel | block)"),
            ("\toption audit '366'\n", "main.audit: out of range"),
            ("config level 'turbo'\n\toption upload '40'\n\toption download '60'\n", "turbo: no such level"),
            ("config level 'saver'\n\toption upload '40'\n", "saver.download: missing"),
            (
                "config level 'saver'\n\toption upload '40'\n\toption download '60'\n\toption cell '90'\n",
                "saver.cell: out of range (got '90', want 160..=1400 bytes)",
            ),
            // Such a rate would send less than one cell a minute.
            ("config level 'saver'\n\toption upload '0'\n\toption download '60'\n", "saver.upload: out of range"),
            ("config device 'd'\n\toption mac '18:b4:30:26:34:40'\n\toption kind 'cat'\n", "d.kind: unknown value"),
            (
                "config device 'd'\n\toption mac '18:b4:30:26:34:40'\n\toption tolerance '0'\n",
                "d.tolerance: out of range",
            ),
        ] {
            let problems = problems(more);
            assert!(problems.starts_with(want) && !problems.contains('\n'), "{more}: {problems}");
        }
    }
}
