//! Reads the options of one section, and notes everything that is wrong with them.

use std::collections::BTreeMap;

use super::value::Wrong;
use crate::config::problem::{SettingsProblem, Severity};
use crate::config::uci::{Opt, Section};

/// One section being read.
pub(super) struct SectionReader<'a> {
    section: &'a Section,
    label: String,
    problems: &'a mut Vec<SettingsProblem>,
}

impl<'a> SectionReader<'a> {
    /// Starts on a section whose type has the options `known`, and warns of all others.
    pub fn new(section: &'a Section, known: &[&str], problems: &'a mut Vec<SettingsProblem>) -> SectionReader<'a> {
        let mut reader = SectionReader::again(section, problems);
        for option in &section.options {
            if !known.contains(&option.name.as_str()) {
                let text = match nearest(&option.name, known) {
                    Some(near) => format!("unknown option, ignored (did you mean '{near}'?)"),
                    None => "unknown option, ignored".to_owned(),
                };
                reader.warn(&option.name, text);
            }
        }
        reader
    }

    /// Reads on in a section whose unknown options have been noted.
    pub fn again(section: &'a Section, problems: &'a mut Vec<SettingsProblem>) -> SectionReader<'a> {
        SectionReader { section, label: section.label(), problems }
    }

    /// The section's name as messages give it.
    pub fn label(&self) -> &str {
        &self.label
    }

    /// The line of the section.
    pub fn line(&self) -> usize {
        self.section.line
    }

    /// Whether the option is there and not empty, be it right or wrong.
    pub fn given(&self, option: &str) -> bool {
        self.find(option).is_some()
    }

    /// The option's value; `None` if it is absent, and, noted, if it is wrong.
    pub fn value<T>(&mut self, option: &str, parse: impl Fn(&str) -> Result<T, Wrong>) -> Option<T> {
        let found = self.find(option)?;
        if found.is_list && found.values.len() > 1 {
            let text = format!("a list (got {} values, want one: option {option} '...')", found.values.len());
            self.error(option, text);
            return None;
        }
        let value = found.values.last()?;
        match parse(&value.text) {
            Ok(value) => Some(value),
            Err(wrong) => {
                self.wrong(option, value.line, &wrong);
                None
            }
        }
    }

    /// As [`SectionReader::value`], and where it is `needed` an absent option is an error.
    pub fn needed<T>(
        &mut self,
        needed: bool,
        option: &str,
        want: &str,
        parse: impl Fn(&str) -> Result<T, Wrong>,
    ) -> Option<T> {
        if needed && !self.given(option) {
            self.error(option, format!("missing (want {want})"));
        }
        self.value(option, parse)
    }

    /// The right values of a list, each with its line; the wrong ones are noted.
    pub fn list<T>(&mut self, option: &str, parse: impl Fn(&str) -> Result<T, Wrong>) -> Vec<(T, usize)> {
        let Some(found) = self.find(option) else { return Vec::new() };
        let mut right = Vec::with_capacity(found.values.len());
        for value in &found.values {
            match parse(&value.text) {
                Ok(parsed) => right.push((parsed, value.line)),
                Err(wrong) => self.wrong(option, value.line, &wrong),
            }
        }
        right
    }

    /// Notes an error with an option that may be absent.
    pub fn error(&mut self, option: &str, text: String) {
        let line = self.line_of(option);
        self.note(Severity::Error, Some(option), line, text);
    }

    /// Notes a warning about an option.
    pub fn warn(&mut self, option: &str, text: String) {
        let line = self.line_of(option);
        self.note(Severity::Warning, Some(option), line, text);
    }

    /// Notes an error with the section.
    pub fn error_section(&mut self, text: String) {
        self.note(Severity::Error, None, self.section.line, text);
    }

    /// Notes a warning about the section.
    pub fn warn_section(&mut self, text: String) {
        self.note(Severity::Warning, None, self.section.line, text);
    }

    /// Remembers that this section has `key` as its `option`, and notes an error if another section has it already.
    pub fn unique<K: Ord>(&mut self, seen: &mut OptionUse<K>, key: K, option: &str, shown: &str) {
        let here = (self.label.clone(), self.line_of(option));
        match seen.get(&key) {
            Some((other, line)) => {
                let text = format!("duplicate (got {shown}, which '{other}' has on line {line}; want each once)");
                self.error(option, text);
            }
            None => {
                seen.insert(key, here);
            }
        }
    }

    fn wrong(&mut self, option: &str, line: usize, Wrong { problem, got, want }: &Wrong) {
        self.note(Severity::Error, Some(option), line, format!("{problem} (got {got}, want {want})"));
    }

    fn note(&mut self, severity: Severity, option: Option<&str>, line: usize, text: String) {
        let (section, option) = (self.label.clone(), option.map(str::to_owned));
        self.problems.push(SettingsProblem { severity, section, option, line, text });
    }

    /// An option without a value is the same to UCI as no option.
    fn find(&self, option: &str) -> Option<&'a Opt> {
        let found = self.section.options.iter().find(|o| o.name == option)?;
        (found.is_list || found.values.iter().any(|v| !v.text.is_empty())).then_some(found)
    }

    fn line_of(&self, option: &str) -> usize {
        let found = self.section.options.iter().find(|o| o.name == option);
        found.and_then(|o| o.values.last()).map_or(self.section.line, |v| v.line)
    }
}

/// Which section has a key already, and on which line.
pub(super) type OptionUse<K> = BTreeMap<K, (String, usize)>;

/// The known name that somebody who wrote `name` may have meant: at most two letters added, left out or changed.
pub(super) fn nearest<'k>(name: &str, known: &[&'k str]) -> Option<&'k str> {
    if name.len() > 32 {
        return None;
    }
    let most = (name.len() / 3).clamp(1, 2);
    let near = known.iter().map(|k| (distance(name.as_bytes(), k.as_bytes()), *k)).min()?;
    (near.0 <= most).then_some(near.1)
}

/// Levenshtein distance.
fn distance(a: &[u8], b: &[u8]) -> usize {
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.iter().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, y) in b.iter().enumerate() {
            let changed = diagonal + usize::from(x != y);
            diagonal = row[j + 1];
            row[j + 1] = changed.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn suggests_what_is_near() {
        let known = ["upload", "download", "law", "spread"];
        for (name, near) in [("uplaod", "upload"), ("donwload", "download"), ("spred", "spread"), ("lax", "law")] {
            assert_eq!(nearest(name, &known), Some(near), "{name}");
        }
        for name in ["colour", "x", "uploading_it", ""] {
            assert_eq!(nearest(name, &known), None, "{name}");
        }
    }
}
