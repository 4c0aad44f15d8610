//! Reads the options of one section and collects all problems with them.

use std::collections::BTreeMap;

use super::value::ValueError;
use crate::config::problem::{SettingsProblem, Severity};
use crate::config::uci::{Opt, Section, Value};

/// One section being read.
pub(super) struct SectionReader<'a> {
    section: &'a Section,
    label: String,
    problems: &'a mut Vec<SettingsProblem>,
}

impl<'a> SectionReader<'a> {
    /// Starts to read a section whose type has the options `known`; adds a warning for every other option.
    pub fn new(section: &'a Section, known: &[&str], problems: &'a mut Vec<SettingsProblem>) -> SectionReader<'a> {
        let mut reader = SectionReader::resume(section, problems);
        for option in &section.options {
            if !known.contains(&option.name.as_str()) {
                let text = match nearest(&option.name, known) {
                    Some(suggestion) => format!("unknown option, ignored (did you mean '{suggestion}'?)"),
                    None => "unknown option, ignored".to_owned(),
                };
                reader.warn(&option.name, text);
            }
        }
        reader
    }

    /// Continues to read a section whose unknown options have been reported already.
    pub fn resume(section: &'a Section, problems: &'a mut Vec<SettingsProblem>) -> SectionReader<'a> {
        SectionReader { section, label: section.label(), problems }
    }

    /// The section's name in messages.
    pub fn label(&self) -> &str {
        &self.label
    }

    /// Line of the `config` statement.
    pub fn line(&self) -> usize {
        self.section.line
    }

    /// Whether the option is present and not empty, valid or not.
    pub fn given(&self, option: &str) -> bool {
        self.find(option).is_some()
    }

    /// The option's value without spaces around it; `None` if it is absent, or invalid, which adds an error.
    pub fn value<T>(&mut self, option: &str, parse: impl Fn(&str) -> Result<T, ValueError>) -> Option<T> {
        let value = self.single(option)?;
        parse(value.text.trim()).map_err(|error| self.value_error(option, value.line, &error)).ok()
    }

    /// The value of an option. This and [`SectionReader::texts`] do not depend on the type of what is read, so that the
    /// program contains them once.
    fn single(&mut self, option: &str) -> Option<&'a Value> {
        let found = self.find(option)?;
        if found.is_list && found.values.len() > 1 {
            let text = format!("a list (got {} values, want one: option {option} '...')", found.values.len());
            self.error(option, text);
            return None;
        }
        found.values.last()
    }

    /// Like [`SectionReader::value`], but an absent option is an error if `needed`.
    pub fn needed<T>(
        &mut self,
        needed: bool,
        option: &str,
        want: &str,
        parse: impl Fn(&str) -> Result<T, ValueError>,
    ) -> Option<T> {
        self.expect(needed, option, want);
        self.value(option, parse)
    }

    /// An absent option is an error if `needed`.
    fn expect(&mut self, needed: bool, option: &str, want: &str) {
        if needed && !self.given(option) {
            self.error(option, format!("missing (want {want})"));
        }
    }

    /// The valid values of a list, each with its line; every invalid one adds an error.
    pub fn list<T>(&mut self, option: &str, parse: impl Fn(&str) -> Result<T, ValueError>) -> Vec<(T, usize)> {
        self.parts(option, false, parse)
    }

    /// Like [`SectionReader::list`], but one value may hold several, separated by spaces, as in OpenWrt's own files.
    pub fn words<T>(&mut self, option: &str, parse: impl Fn(&str) -> Result<T, ValueError>) -> Vec<(T, usize)> {
        self.parts(option, true, parse)
    }

    fn parts<T>(
        &mut self,
        option: &str,
        by_words: bool,
        parse: impl Fn(&str) -> Result<T, ValueError>,
    ) -> Vec<(T, usize)> {
        let mut valid = Vec::new();
        for (text, line) in self.texts(option, by_words) {
            match parse(text) {
                Ok(parsed) => valid.push((parsed, line)),
                Err(error) => self.value_error(option, line, &error),
            }
        }
        valid
    }

    /// The values of a list, or the words in them, each with its line.
    fn texts(&self, option: &str, by_words: bool) -> Vec<(&'a str, usize)> {
        let mut texts = Vec::new();
        for value in self.find(option).map_or(&[][..], |found| &found.values[..]) {
            match by_words {
                true => texts.extend(value.text.split_whitespace().map(|word| (word, value.line))),
                false => texts.push((value.text.trim(), value.line)),
            }
        }
        texts
    }

    /// Adds an error about an option, which may be absent.
    pub fn error(&mut self, option: &str, text: String) {
        let line = self.line_of(option);
        self.push(Severity::Error, Some(option), line, text);
    }

    /// Adds a warning about an option.
    pub fn warn(&mut self, option: &str, text: String) {
        let line = self.line_of(option);
        self.push(Severity::Warning, Some(option), line, text);
    }

    /// Adds an error about the section.
    pub fn error_section(&mut self, text: String) {
        self.push(Severity::Error, None, self.section.line, text);
    }

    /// Adds a warning about the section.
    pub fn warn_section(&mut self, text: String) {
        self.push(Severity::Warning, None, self.section.line, text);
    }

    /// Records `key` as this section's `option`, or adds an error if another section has the same one.
    pub fn unique(&mut self, used: &mut OptionUse, key: &str, option: &str, shown: &str) {
        let here = (self.label.clone(), self.line_of(option));
        match used.get(key) {
            Some((other, line)) => {
                let text = format!(
                    "duplicate (got {shown}, already used by '{other}' on line {line}; want a different value)"
                );
                self.error(option, text);
            }
            None => {
                used.insert(key.to_owned(), here);
            }
        }
    }

    fn value_error(&mut self, option: &str, line: usize, ValueError { problem, got, want }: &ValueError) {
        self.push(Severity::Error, Some(option), line, format!("{problem} (got {got}, want {want})"));
    }

    fn push(&mut self, severity: Severity, option: Option<&str>, line: usize, text: String) {
        let (section, option) = (self.label.clone(), option.map(str::to_owned));
        self.problems.push(SettingsProblem { severity, section, option, line, text });
    }

    /// UCI treats an option with an empty value as absent.
    fn find(&self, option: &str) -> Option<&'a Opt> {
        let found = self.section.options.iter().find(|o| o.name == option)?;
        (found.is_list || found.values.iter().any(|v| !v.text.trim().is_empty())).then_some(found)
    }

    fn line_of(&self, option: &str) -> usize {
        let found = self.section.options.iter().find(|o| o.name == option);
        found.and_then(|o| o.values.last()).map_or(self.section.line, |v| v.line)
    }
}

/// The section and line that use each key, which is a text so that one kind of tree does for all options.
pub(super) type OptionUse = BTreeMap<String, (String, usize)>;

/// The known name that `name` is probably a misspelling of: at most two letters added, missing or changed.
pub(super) fn nearest<'k>(name: &str, known: &[&'k str]) -> Option<&'k str> {
    if name.len() > 32 {
        return None;
    }
    let max_distance = (name.len() / 3).clamp(1, 2);
    let nearest = known.iter().map(|k| (distance(name.as_bytes(), k.as_bytes()), *k)).min()?;
    (nearest.0 <= max_distance).then_some(nearest.1)
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
    fn suggests_the_nearest_known_name() {
        let known = ["upload", "download", "law", "spread"];
        for (name, suggestion) in [("uplaod", "upload"), ("donwload", "download"), ("spred", "spread"), ("lax", "law")]
        {
            assert_eq!(nearest(name, &known), Some(suggestion), "{name}");
        }
        for name in ["colour", "x", "uploading_it", ""] {
            assert_eq!(nearest(name, &known), None, "{name}");
        }
    }
}
