//! The levels: their names, their built-in rates, and `config level`, the rates that `millpond advise` computed and the
//! owner confirmed for a level.

use std::ops::RangeInclusive;

use super::reader::SectionReader;
use super::value::number;
use crate::config::model::Level;
use crate::config::problem::SettingsProblem;
use crate::config::uci::Section;
use crate::units::BitsPerSec;

const OPTIONS: [&str; 2] = ["upload", "download"];
/// The lowest rate still sends the largest cell at least once a minute.
pub(super) const KBIT: RangeInclusive<u32> = 8..=1_000_000;
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

/// Upload and download by level.
#[derive(Clone, Debug, Default)]
pub(super) struct Confirmed(Vec<(Level, BitsPerSec, BitsPerSec)>);

impl Confirmed {
    /// Upload and download of a level, if the owner confirmed rates for it.
    pub fn of(&self, level: Level) -> Option<(BitsPerSec, BitsPerSec)> {
        let found = self.0.iter().find(|(of, ..)| *of == level);
        found.map(|(_, upload, download)| (*upload, *download))
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
        if let (Some(level), Some(upload), Some(download)) = (level, upload, download) {
            confirmed.push((level, BitsPerSec::from_kbit(upload.into()), BitsPerSec::from_kbit(download.into())));
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
            config level 'saver'\n\toption upload '40'\n\toption download '60'\n\
            config device\n\toption mac '18:b4:30:26:34:40'\n\toption kind 'camera'\n\toption policy 'direct'\n\
            \toption watch '1'\n\
            config device\n\toption mac '18:b4:30:26:34:41'\n\toption kind 'plug'\n\toption tolerance '900'\n";
        assert_eq!(problems(more), "");
        let settings = parse(format!("{MAIN}{more}").as_bytes()).settings.unwrap();
        let kbit = BitsPerSec::from_kbit;
        assert_eq!((settings.shape.upload, settings.shape.download), (kbit(40), kbit(60)));
        let strict = settings.levels.iter().find(|(level, _)| *level == Level::Strict).unwrap().1;
        assert_eq!((strict.upload, strict.download), (kbit(160), kbit(320)));
        assert_eq!((settings.price_cents, settings.data_cap_gb, settings.audit_days), (Some(250), None, None));
        assert_eq!((settings.off, settings.step_down.unwrap().shape), (OffPolicy::Block, strict));
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
            ("\toption off 'open'\n", "main.off: unknown value (got 'open', want tunnel | block)"),
            ("\toption audit '366'\n", "main.audit: out of range"),
            ("config level 'turbo'\n\toption upload '40'\n\toption download '60'\n", "turbo: no such level"),
            ("config level 'saver'\n\toption upload '40'\n", "saver.download: missing"),
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
