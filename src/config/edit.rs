//! A settings file with other rates for a level, everything else in it as it was.

use super::model::Level;
use super::parse::parse;
use crate::units::BitsPerSec;

/// `text` with that level chosen, at these rates in kbit/s up and down. `None` where the file is written in a way that
/// this cannot follow: edit it by hand then.
pub fn confirm(text: &str, level: Level, rates: [u64; 2]) -> Option<String> {
    let [upload, download] = rates;
    let name = level.name();
    let mut out = String::with_capacity(text.len() + 128);
    let mut section = Section::Other;
    for line in text.lines() {
        let words: Vec<&str> = line.split_whitespace().take(3).map(|word| word.trim_matches(['\'', '"'])).collect();
        match words[..] {
            ["config" | "c", "level", of] if of == name => section = Section::Level,
            ["config" | "c", "millpond", ..] => {
                section = Section::Main;
                out.push_str(line);
                out.push_str(&format!("\n\toption level '{name}'\n"));
                if level == Level::Strict {
                    out.push_str("\toption law 'gamma'\n\toption spread '33'\n");
                }
                continue;
            }
            ["config" | "c", ..] => section = Section::Other,
            _ => {}
        }
        let replaced = match (&section, &words[..]) {
            (Section::Level, words) => words.first().is_none_or(|word| !word.starts_with('#')),
            (Section::Main, ["option" | "o", "level", ..]) => true,
            (Section::Main, ["option" | "o", "law" | "spread", ..]) => level == Level::Strict,
            _ => false,
        };
        if !replaced {
            out.push_str(line);
            out.push('\n');
        }
    }
    let end = out.trim_end().len();
    out.truncate(end);
    out.push_str(&format!("\n\nconfig level '{name}'\n\toption upload '{upload}'\n\toption download '{download}'\n"));
    let settings = parse(out.as_bytes()).settings?;
    let wanted = rates.map(BitsPerSec::from_kbit);
    let is_done = settings.levels.iter().any(|(of, shape)| *of == level && [shape.upload, shape.download] == wanted);
    (is_done && settings.level == level).then_some(out)
}

enum Section {
    Main,
    Level,
    Other,
}

#[cfg(test)]
mod tests {
    use super::*;

    const FILE: &str = "# mine\nconfig millpond 'main'\n\toption enabled '0'\n\toption level 'balanced'  # so far\n\
        \toption law 'normal'\n\nconfig level saver\n\toption upload '8'\n\toption download '9'\n\nconfig device\n\
        \toption mac '18:b4:30:26:34:40'\n";

    #[test]
    fn a_level_is_chosen_and_all_else_stays() {
        let out = confirm(FILE, Level::Saver, [40, 80]).unwrap();
        assert_eq!(
            out,
            "# mine\nconfig millpond 'main'\n\toption level 'saver'\n\toption enabled '0'\n\toption law 'normal'\n\n\
             config device\n\toption mac '18:b4:30:26:34:40'\n\nconfig level 'saver'\n\toption upload '40'\n\
             \toption download '80'\n"
        );
        assert_eq!(confirm(&out, Level::Saver, [40, 80]).as_ref(), Some(&out), "once more changes nothing");
        let strict = confirm(&out, Level::Strict, [640, 1000]).unwrap();
        assert!(strict.contains("law 'gamma'") && !strict.contains("normal") && strict.contains("'saver'\n\toption"));
    }

    #[test]
    fn what_cannot_be_followed_stays_as_it_is() {
        assert_eq!(confirm("", Level::Saver, [40, 80]), None);
        let parts = "config millpond main\nconfig 'le''vel' saver\n\toption upload 80\n\toption download 90\n";
        assert_eq!(confirm(parts, Level::Saver, [40, 80]), None);
        assert_eq!(confirm(FILE, Level::Saver, [1, 80]), None, "rates that no file may have");
    }
}
