//! `config wan`: lines to the Internet with their own level.

use super::context::Context;
use super::general::General;
use super::level::WITH_RATES;
use super::reader::{OptionUse, SectionReader};
use super::value::{choice, interface_name, network_name, shown};
use crate::config::model::{Role, Wan};
use crate::config::problem::SettingsProblem;
use crate::config::uci::Section;

const OPTIONS: [&str; 3] = ["network", "device", "level"];

/// Reads all `wan` sections.
pub(super) fn read<'a>(
    sections: impl Iterator<Item = &'a Section>,
    general: &General,
    context: &Context,
    problems: &mut Vec<SettingsProblem>,
) -> Vec<Wan> {
    let mut networks = OptionUse::new();
    let mut wans = Vec::new();
    for section in sections {
        let mut reader = SectionReader::new(section, &OPTIONS, problems);
        context.expect(Role::Router, &mut reader);
        let network = reader.needed(true, "network", "the name of a network in /etc/config/network", network_name);
        let device = reader.value("device", interface_name);
        let level = reader.needed(true, "level", "saver | balanced | strict | custom", choice(WITH_RATES));
        let shape = level.and_then(|level| general.shape(level));
        let (Some(network), Some(level), Some(shape)) = (network, level, shape) else { continue };
        reader.unique(&mut networks, &network, "network", &shown(&network));
        wans.push(Wan { network, device, level, shape });
    }
    wans
}

#[cfg(test)]
mod tests {
    use crate::config::model::Level;
    use crate::config::parse;

    fn parsed(more: &str) -> crate::config::Parsed {
        parse(format!("config millpond 'main'\n\toption level 'strict'\n{more}").as_bytes())
    }

    #[test]
    fn a_line_has_a_level_of_its_own() {
        let text = "config wan\n\toption network 'wwan'\n\toption level 'saver'\n\
            config wan\n\toption network 'usb'\n\toption device 'usb0'\n\toption level 'balanced'\n";
        let settings = parsed(text).settings.unwrap();
        let [lte, usb] = &settings.line.wans[..] else { panic!("two lines") };
        assert_eq!((lte.network.as_str(), lte.level, lte.device.as_deref()), ("wwan", Level::Saver, None));
        assert_eq!(lte.shape.upload.0, 30_000);
        assert_eq!((usb.device.as_deref(), usb.level), (Some("usb0"), Level::Balanced));
    }

    #[test]
    fn errors_of_lines_are_reported() {
        for (more, want) in [
            ("config wan 'w'\n\toption level 'saver'\n", "w.network: missing"),
            ("config wan 'w'\n\toption network 'wwan'\n", "w.level: missing"),
            ("config wan 'w'\n\toption network 'wwan'\n\toption level 'fast'\n", "w.level: unknown value"),
            ("config wan 'w'\n\toption network 'w w'\n\toption level 'saver'\n", "w.network: "),
            ("config wan 'w'\n\toption network 'wwan'\n\toption level 'off'\n", "w.level: unknown value"),
            ("config wan 'w'\n\toption network 'a'\n\toption level 'saver'\n\toption device 'a/b'\n", "w.device: "),
            (
                "config wan 'a'\n\toption network 'wwan'\n\toption level 'saver'\n\
                 config wan 'b'\n\toption network 'wwan'\n\toption level 'saver'\n",
                "b.network: duplicate",
            ),
        ] {
            let problems = parsed(more).problems;
            assert!(problems.len() == 1 && problems[0].to_string().starts_with(want), "{more}: {problems:?}");
        }
    }
}
