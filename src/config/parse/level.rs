//! `config level`: the rates that the owner confirmed for a level, as `millpond advise` computed them.

use super::general::KBIT;
use super::reader::Reader;
use super::value::number;
use crate::config::model::Level;
use crate::config::problem::Problem;
use crate::config::uci::Section;
use crate::units::BitsPerSec;

const OPTIONS: [&str; 2] = ["upload", "download"];
/// Custom has its numbers in `main`.
const NAMES: [(&str, Level); 3] = [("saver", Level::Saver), ("balanced", Level::Balanced), ("strict", Level::Strict)];

/// Upload and download by level.
#[derive(Clone, Debug, Default)]
pub(super) struct Confirmed(Vec<(Level, BitsPerSec, BitsPerSec)>);

impl Confirmed {
    /// Upload and download of a level, if the owner confirmed any.
    pub fn of(&self, level: Level) -> Option<(BitsPerSec, BitsPerSec)> {
        let found = self.0.iter().find(|(of, ..)| *of == level);
        found.map(|(_, upload, download)| (*upload, *download))
    }
}

/// Reads all `level` sections.
pub(super) fn read<'a>(sections: impl Iterator<Item = &'a Section>, problems: &mut Vec<Problem>) -> Confirmed {
    let mut confirmed = Vec::new();
    for section in sections {
        let mut reader = Reader::new(section, &OPTIONS, problems);
        let level = NAMES.iter().find(|(name, _)| section.name.as_deref() == Some(name)).map(|(_, level)| *level);
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
