//! Changes a settings file in place: what the user wrote besides, comments and order, stays as it is.

#[cfg(test)]
mod tests;

use super::uci::{self, Statement, SyntaxError};

/// What an option is to be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Setting {
    /// `option NAME 'TEXT'`; an empty text means no such option.
    Text(String),
    /// `list NAME 'TEXT'` for each; none means no such list.
    List(Vec<String>),
}

/// A settings file whose every statement can be read.
pub struct Document {
    text: String,
}

impl Document {
    /// The document of a file's text, or what in it cannot be read.
    pub fn new(text: &[u8]) -> Result<Document, SyntaxError> {
        let (_, errors) = uci::parse(text);
        match (errors.into_iter().next(), String::from_utf8(text.to_vec())) {
            (Some(error), _) => Err(error),
            (None, Ok(text)) => Ok(Document { text }),
            (None, Err(_)) => Err(SyntaxError { line: 0, section: None, text: "text is not UTF-8".into() }),
        }
    }

    /// The file's text now.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// Makes an option of the first section of a type what `setting` says. Where there is no such section, one named
    /// `name` is made.
    pub fn set(&mut self, kind: &str, name: &str, option: &str, setting: &Setting) {
        if self.sections(kind).is_empty() {
            self.add(kind, Some(name), &[]);
        }
        self.set_at(kind, 0, option, setting);
    }

    /// The same for the section that is at `index` among those of its type. There has to be one.
    pub fn set_at(&mut self, kind: &str, index: usize, option: &str, setting: &Setting) {
        let Some(section) = self.sections(kind).into_iter().nth(index) else { return };
        let lines = statements_of(option, setting);
        let olds = section.options.iter().filter(|old| old.words.get(1).is_some_and(|name| name == option));
        let olds: Vec<&Statement> = olds.collect();
        // From the last one, so that the places of those before stay right.
        for old in olds.iter().skip(1).rev() {
            self.cut(old);
        }
        match (olds.first(), lines.is_empty()) {
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

    /// Removes the section that is at `index` among those of its type, and the comments between its options.
    pub fn remove(&mut self, kind: &str, index: usize) {
        let Some(section) = self.sections(kind).into_iter().nth(index) else { return };
        let last = section.options.last().unwrap_or(&section.config);
        let (start, end) = (self.cut_from(section.config.start), self.cut_to(last.end));
        self.text.replace_range(start..end, "");
        // The empty line that stood between it and its neighbours.
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

    /// Behind the line that shows the option as a comment, if the section has one, or else as its last.
    fn insert(&mut self, section: &SectionSpan, option: &str, lines: &[String]) {
        let last = section.options.last().unwrap_or(&section.config);
        let indent = section.options.last().map_or("\t".to_owned(), |last| self.indent(last.start));
        let place = self.shown(section, option).unwrap_or_else(|| self.line_end(last.end));
        if place > 0 && !self.text[..place].ends_with('\n') {
            // Nothing but a missing end of the file's last line, or another statement on the same one.
            let lines: String = lines.iter().map(|line| format!("\n{indent}{line}")).collect();
            self.text.insert_str(last.end, &lines);
            return;
        }
        let lines: String = lines.iter().map(|line| format!("{indent}{line}\n")).collect();
        self.text.insert_str(place, &lines);
    }

    /// The place behind a line such as `#option NAME ''`.
    fn shown(&self, section: &SectionSpan, option: &str) -> Option<usize> {
        let mut place = self.line_end(section.config.end);
        for line in self.text[place..section.end.max(place)].split_inclusive('\n') {
            place += line.len();
            let words = line.trim_start().strip_prefix('#').unwrap_or_default();
            let mut words = words.split_whitespace();
            let is_shown = matches!(words.next(), Some("option" | "list")) && words.next() == Some(option);
            if is_shown && line.ends_with('\n') {
                return Some(place);
            }
        }
        None
    }

    /// Takes a statement out, and its line where nothing else is on that.
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

    /// The start of the line, where nothing but space stands before `place`.
    fn cut_from(&self, place: usize) -> usize {
        let start = self.line_start(place);
        if self.text[start..place].trim().is_empty() { start } else { place }
    }

    /// The end of the line, where nothing but space or a comment stands behind `place`.
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

    /// Behind the line's end.
    fn line_end(&self, place: usize) -> usize {
        self.text[place..].find('\n').map_or(self.text.len(), |at| place + at + 1)
    }
}

/// A section's statements, and where the next section's begin.
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

/// In single quotes, within which all but themselves is literal.
fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', r"'\''"))
}
