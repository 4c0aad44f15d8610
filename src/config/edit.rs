//! Edits a settings file in place. Comments, order and other options stay as the user wrote them.

#[cfg(test)]
mod tests;

use super::uci::{self, Statement, SyntaxError};

/// The new value of an option.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Setting {
    /// `option NAME 'TEXT'`; an empty text removes the option.
    Text(String),
    /// `list NAME 'TEXT'` for each text; an empty list removes the option.
    List(Vec<String>),
}

/// A settings file without syntax errors.
pub struct Document {
    text: String,
}

impl Document {
    /// Parses the text of a file. Fails with its first syntax error.
    pub fn new(text: &[u8]) -> Result<Document, SyntaxError> {
        let (_, errors) = uci::parse(text);
        match (errors.into_iter().next(), String::from_utf8(text.to_vec())) {
            (Some(error), _) => Err(error),
            (None, Ok(text)) => Ok(Document { text }),
            (None, Err(_)) => Err(SyntaxError { line: 0, section: None, text: "text is not UTF-8".into() }),
        }
    }

    /// The text with all changes so far.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// Sets an option of the first section of type `kind`. Adds a section named `name` if there is none of that type.
    pub fn set(&mut self, kind: &str, name: &str, option: &str, setting: &Setting) {
        if self.sections(kind).is_empty() {
            self.add(kind, Some(name), &[]);
        }
        self.set_at(kind, 0, option, setting);
    }

    /// Sets an option of the section at `index` among those of its type; does nothing if there is none.
    pub fn set_at(&mut self, kind: &str, index: usize, option: &str, setting: &Setting) {
        let Some(section) = self.sections(kind).into_iter().nth(index) else { return };
        let lines = statements_of(option, setting);
        let existing = section.options.iter().filter(|old| old.words.get(1).is_some_and(|name| name == option));
        let existing: Vec<&Statement> = existing.collect();
        // Backwards, so that the positions of earlier statements stay valid.
        for old in existing.iter().skip(1).rev() {
            self.cut(old);
        }
        match (existing.first(), lines.is_empty()) {
            (Some(first), true) => self.cut(first),
            (Some(first), false) => {
                let indent = self.indent(first.start);
                self.text.replace_range(first.start..first.end, &lines.join(&format!("\n{indent}")));
            }
            (None, true) => {}
            (None, false) => self.insert(&section, option, &lines),
        }
    }

    /// Adds a section at the end.
    pub fn add(&mut self, kind: &str, name: Option<&str>, options: &[(&str, Setting)]) {
        if !self.text.is_empty() && !self.text.ends_with('\n') {
            self.text.push('\n');
        }
        if !self.text.is_empty() && !self.text.ends_with("\n\n") {
            self.text.push('\n');
        }
        self.text.push_str(&format!("config {kind}"));
        name.into_iter().for_each(|name| self.text.push_str(&format!(" {}", quoted(name))));
        self.text.push('\n');
        for line in options.iter().flat_map(|(option, setting)| statements_of(option, setting)) {
            self.text.push_str(&format!("\t{line}\n"));
        }
    }

    /// Removes the section at `index` among those of its type, with the comments between its options.
    pub fn remove(&mut self, kind: &str, index: usize) {
        let Some(section) = self.sections(kind).into_iter().nth(index) else { return };
        let last = section.options.last().unwrap_or(&section.config);
        let (start, end) = (self.cut_from(section.config.start), self.cut_to(last.end));
        self.text.replace_range(start..end, "");
        // Remove the empty line that separated the section from its neighbours.
        if self.text[..start].ends_with("\n\n") && (self.text.len() == start || self.text[start..].starts_with('\n')) {
            self.text.remove(start - 1);
        }
    }

    fn sections(&self, kind: &str) -> Vec<SectionSpan> {
        let mut sections: Vec<SectionSpan> = Vec::new();
        for statement in uci::statements(self.text.as_bytes()) {
            match statement.words[0].as_str() {
                "config" | "c" => {
                    if let Some(last) = sections.last_mut() {
                        last.end = self.line_start(statement.start);
                    }
                    sections.push(SectionSpan { config: statement, options: Vec::new(), end: self.text.len() });
                }
                "option" | "o" | "list" | "l" => {
                    sections.last_mut().into_iter().for_each(|section| section.options.push(statement.clone()));
                }
                _ => {}
            }
        }
        sections.retain(|section| section.config.words.get(1).is_some_and(|word| word == kind));
        sections
    }

    /// Inserts lines after the line that shows the option as a comment, or else as the last of the section.
    fn insert(&mut self, section: &SectionSpan, option: &str, lines: &[String]) {
        let last = section.options.last().unwrap_or(&section.config);
        let indent = section.options.last().map_or("\t".to_owned(), |last| self.indent(last.start));
        let place = self.after_comment(section, option).unwrap_or_else(|| self.line_end(last.end));
        if place > 0 && !self.text[..place].ends_with('\n') {
            // Only if the file's last line has no line end, or another statement follows on the same line.
            let lines: String = lines.iter().map(|line| format!("\n{indent}{line}")).collect();
            self.text.insert_str(last.end, &lines);
            return;
        }
        let lines: String = lines.iter().map(|line| format!("{indent}{line}\n")).collect();
        self.text.insert_str(place, &lines);
    }

    /// The position after a line such as `#option NAME ''`.
    fn after_comment(&self, section: &SectionSpan, option: &str) -> Option<usize> {
        let mut place = self.line_end(section.config.end);
        for line in self.text[place..section.end.max(place)].split_inclusive('\n') {
            place += line.len();
            let words = line.trim_start().strip_prefix('#').unwrap_or_default();
            let mut words = words.split_whitespace();
            let shows_option = matches!(words.next(), Some("option" | "list")) && words.next() == Some(option);
            if shows_option && line.ends_with('\n') {
                return Some(place);
            }
        }
        None
    }

    /// Removes a statement, and its whole line if nothing else is on it.
    fn cut(&mut self, statement: &Statement) {
        let (start, end) = (self.cut_from(statement.start), self.line_end(statement.end));
        let rest = self.text[statement.end..end].trim();
        if start < statement.start && rest.is_empty() {
            self.text.replace_range(start..end, "");
        } else if rest.starts_with(';') {
            let semicolon = self.text[statement.end..end].find(';').map_or(0, |at| at + 1);
            self.text.replace_range(statement.start..statement.end + semicolon, "");
        } else {
            self.text.replace_range(statement.start..statement.end, "");
        }
    }

    /// The start of the line if only white space precedes `place`; otherwise `place`.
    fn cut_from(&self, place: usize) -> usize {
        let start = self.line_start(place);
        if self.text[start..place].trim().is_empty() { start } else { place }
    }

    /// The end of the line if only white space or a comment follows `place`; otherwise `place`.
    fn cut_to(&self, place: usize) -> usize {
        let end = self.line_end(place);
        let rest = self.text[place..end].trim();
        if rest.is_empty() || rest.starts_with('#') { end } else { place }
    }

    fn indent(&self, place: usize) -> String {
        let start = self.line_start(place);
        let indent = &self.text[start..place];
        if indent.trim().is_empty() { indent.to_owned() } else { "\t".to_owned() }
    }

    fn line_start(&self, place: usize) -> usize {
        self.text[..place].rfind('\n').map_or(0, |at| at + 1)
    }

    /// The position after the line end.
    fn line_end(&self, place: usize) -> usize {
        self.text[place..].find('\n').map_or(self.text.len(), |at| place + at + 1)
    }
}

/// The statements of a section, and the position where the next section starts.
struct SectionSpan {
    config: Statement,
    options: Vec<Statement>,
    end: usize,
}

fn statements_of(option: &str, setting: &Setting) -> Vec<String> {
    match setting {
        Setting::Text(text) if text.is_empty() => Vec::new(),
        Setting::Text(text) => vec![format!("option {option} {}", quoted(text))],
        Setting::List(texts) => texts.iter().map(|text| format!("list {option} {}", quoted(text))).collect(),
    }
}

/// The text in single quotes, inside which every character except the quote is literal.
fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', r"'\''"))
}
