//! The text format of OpenWrt's UCI, read as libuci reads it (`file.c`: `uci_parse_line`, `parse_str`).
//!
//! Statements are `package`, `config TYPE ['NAME']`, `option NAME VALUE` and `list NAME VALUE`, or their first letters; they
//! end at the line's end or at `;`. Words may be bare, in single quotes (taken literally, over several lines too)
//! or in double quotes (with backslash escapes), and parts that touch make one word. `#` starts a comment.
//! Unlike libuci, a section named twice is an error here, not a merge, and reading goes on after an error.

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

/// The most bytes of a file. A home's settings are a few kilobytes.
pub const MAX_FILE_BYTES: usize = 1 << 20;

/// The most bytes of one word. Bounds how far a forgotten quote can reach.
pub const MAX_WORD_BYTES: usize = 4096;

/// The most words of a statement that are looked at; three are the most that a good one has.
const MAX_WORDS: usize = 8;

/// The most different options of one section.
const MAX_OPTIONS: usize = 64;

/// The most bytes of a section's type. Shorter than a key, which therefore never shows up in a message as a type.
const MAX_KIND_BYTES: usize = 32;

/// One `config` section.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Section {
    /// Its type, the first word after `config`.
    pub kind: String,
    /// Its name; `None` for an anonymous section.
    pub name: Option<String>,
    /// How many sections of the same type stand before it.
    pub index: usize,
    /// Line of the `config` statement, from 1.
    pub line: usize,
    /// Its options, each name once, in the order in which they first appear.
    pub options: Vec<Opt>,
}

impl Section {
    /// The section in UCI's notation: its name, or `@TYPE[INDEX]`.
    pub fn label(&self) -> String {
        match &self.name {
            Some(name) => name.clone(),
            None => format!("@{}[{}]", self.kind, self.index),
        }
    }
}

/// One option of a section.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Opt {
    /// Its name.
    pub name: String,
    /// Whether a `list` statement made it.
    pub is_list: bool,
    /// Its values, in order; exactly one if it is no list.
    pub values: Vec<Value>,
}

/// A value and where it stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Value {
    /// The value without its quotes.
    pub text: String,
    /// Line of its statement, from 1.
    pub line: usize,
}

/// A statement that cannot be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SyntaxError {
    /// Line on which the statement starts, from 1.
    pub line: usize,
    /// The section that is affected, where the error concerns one.
    pub section: Option<String>,
    /// What is wrong. Never holds a value, which might be a key.
    pub text: String,
}

/// Reads a file: every section that could be read, and every error.
pub fn parse(text: &[u8]) -> (Vec<Section>, Vec<SyntaxError>) {
    let mut builder = Builder::default();
    if text.len() > MAX_FILE_BYTES {
        let text = format!("the file is too large (got {} bytes, want at most {MAX_FILE_BYTES})", text.len());
        builder.errors.push(SyntaxError { line: 0, section: None, text });
        return (builder.sections, builder.errors);
    }
    let mut lexer = Lexer { text, pos: 0, line: 1, span: (0, 0) };
    while lexer.pos < text.len() {
        let (start, line) = (lexer.pos, lexer.line);
        let result = lexer.statement().and_then(|words| builder.statement(&words, line));
        if let Err(text) = result {
            builder.errors.push(SyntaxError { line, section: None, text });
            // A quote that was forgotten on this line has swallowed lines after it: give them back.
            lexer.pos = start;
            lexer.line = line;
            lexer.skip_line();
        }
    }
    (builder.sections, builder.errors)
}

/// A statement and where it stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Statement {
    /// Its words, at least one.
    pub words: Vec<String>,
    /// Place of its first byte in the file.
    pub start: usize,
    /// Place behind its last word; a comment or `;` may follow.
    pub end: usize,
}

/// The statements of a file that [`parse`] finds no fault with.
pub fn statements(text: &[u8]) -> Vec<Statement> {
    let mut lexer = Lexer { text, pos: 0, line: 1, span: (0, 0) };
    let mut statements = Vec::new();
    while lexer.pos < text.len() {
        let Ok(words) = lexer.statement() else { break };
        if !words.is_empty() {
            statements.push(Statement { words, start: lexer.span.0, end: lexer.span.1 });
        }
    }
    statements
}

/// Turns statements into sections.
#[derive(Default)]
struct Builder {
    sections: Vec<Section>,
    errors: Vec<SyntaxError>,
    names: BTreeMap<String, usize>,
    counts: BTreeMap<String, usize>,
    /// Whether options belong to the last section, and not to one whose `config` line was broken or is yet to come.
    open: bool,
    broken: bool,
}

impl Builder {
    fn statement(&mut self, words: &[String], line: usize) -> Result<(), String> {
        let Some((command, words)) = words.split_first() else { return Ok(()) };
        match command.as_str() {
            "package" | "p" => match words {
                [name] if is_name(name) => Ok(()),
                _ => Err("cannot read 'package' (want package NAME)".to_owned()),
            },
            "config" | "c" => {
                self.open = false;
                self.broken = true;
                self.config(words, line)
            }
            "option" | "o" => self.option("option", words, line),
            "list" | "l" => self.option("list", words, line),
            // Only a short word is shown: a key that was wrapped onto a line of its own must not be.
            other if other.len() <= 16 && is_name(other) => {
                Err(format!("unknown statement (got '{other}', want package, config, option or list)"))
            }
            _ => Err("unknown statement (want package, config, option or list)".to_owned()),
        }
    }

    fn config(&mut self, words: &[String], line: usize) -> Result<(), String> {
        let (kind, name) = match words {
            [kind] => (kind, None),
            [kind, name] => (kind, Some(name).filter(|name| !name.is_empty())),
            _ => return Err(format!("cannot read 'config' (got {} words after it, want TYPE ['NAME'])", words.len())),
        };
        if kind.is_empty() || kind.len() > MAX_KIND_BYTES || !kind.bytes().all(|b| b.is_ascii_graphic()) {
            return Err(format!("not a section type (want at most {MAX_KIND_BYTES} printable ASCII characters)"));
        }
        if name.is_some_and(|name| !is_name(name)) {
            return Err(format!("name of a '{kind}' section has characters other than letters, digits and _"));
        }
        let count = self.counts.entry(kind.clone()).or_default();
        let section = Section { kind: kind.clone(), name: name.cloned(), index: *count, line, options: Vec::new() };
        *count += 1;
        if let Some(name) = name {
            let first = *self.names.entry(name.clone()).or_insert(line);
            if first != line {
                let text = format!("duplicate section (the first is on line {first}; merge the two)");
                self.errors.push(SyntaxError { line, section: Some(section.label()), text });
            }
        }
        self.sections.push(section);
        self.open = true;
        self.broken = false;
        Ok(())
    }

    fn option(&mut self, statement: &'static str, words: &[String], line: usize) -> Result<(), String> {
        let [name, text] = words else {
            return Err(format!(
                "cannot read '{statement}' (got {} words after it, want NAME 'VALUE'; is a quote missing?)",
                words.len()
            ));
        };
        if !is_name(name) {
            return Err(format!("name of an '{statement}' has characters other than letters, digits and _"));
        }
        if self.broken {
            return Ok(());
        }
        let Some(section) = self.sections.last_mut().filter(|_| self.open) else {
            return Err(format!("'{statement}' before any 'config'"));
        };
        let is_list = statement == "list";
        let value = Value { text: text.clone(), line };
        let full = section.options.len() == MAX_OPTIONS;
        match section.options.iter_mut().find(|option| option.name == *name) {
            Some(option) if is_list => {
                option.is_list = true;
                option.values.push(value);
            }
            Some(option) => {
                option.is_list = false;
                option.values = vec![value];
            }
            None if full => {
                return Err(format!("more than {MAX_OPTIONS} options in one section"));
            }
            None => section.options.push(Opt { name: name.clone(), is_list, values: vec![value] }),
        }
        Ok(())
    }
}

fn is_name(word: &str) -> bool {
    !word.is_empty() && word.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_')
}

/// Cuts the text into statements of words.
struct Lexer<'a> {
    text: &'a [u8],
    pos: usize,
    line: usize,
    /// Of the last statement's words.
    span: (usize, usize),
}

impl Lexer<'_> {
    /// The words of the next statement, and the position behind it; no words for an empty line or a comment.
    fn statement(&mut self) -> Result<Vec<String>, String> {
        let mut words = Vec::new();
        loop {
            match self.peek() {
                None => return Ok(words),
                Some(b'\n' | b';') => {
                    self.bump();
                    return Ok(words);
                }
                Some(b'#') => {
                    self.skip_line();
                    return Ok(words);
                }
                Some(b' ' | b'\t' | b'\r' | 0x0b | 0x0c) => self.bump(),
                Some(_) if words.len() == MAX_WORDS => {
                    return Err("too many words, or a quote in the wrong place".to_owned());
                }
                Some(_) => {
                    let start = self.pos;
                    if let Some(word) = self.word()? {
                        self.span = (if words.is_empty() { start } else { self.span.0 }, self.pos);
                        words.push(word);
                    }
                }
            }
        }
    }

    /// The next word; `None` if it was only a joint between two lines.
    fn word(&mut self) -> Result<Option<String>, String> {
        let mut word = Vec::new();
        let mut quoted = false;
        loop {
            match self.peek() {
                None | Some(b'\n' | b';' | b'#' | b' ' | b'\t' | b'\r' | 0x0b | 0x0c) => break,
                Some(quote @ (b'\'' | b'"')) => {
                    quoted = true;
                    self.bump();
                    self.quoted(quote, &mut word)?;
                }
                Some(b'\\') => self.escape(&mut word)?,
                Some(b) => self.take(b, &mut word)?,
            }
        }
        if word.is_empty() && !quoted {
            return Ok(None);
        }
        String::from_utf8(word).map(Some).map_err(|_| "text is not UTF-8".to_owned())
    }

    fn quoted(&mut self, quote: u8, word: &mut Vec<u8>) -> Result<(), String> {
        loop {
            match self.peek() {
                None => return Err(format!("quote {} is not closed", char::from(quote))),
                Some(b) if b == quote => {
                    self.bump();
                    return Ok(());
                }
                Some(b'\\') if quote == b'"' => self.escape(word)?,
                Some(b'\r') if self.text.get(self.pos + 1) == Some(&b'\n') => self.bump(),
                Some(b) => self.take(b, word)?,
            }
        }
    }

    /// A backslash takes the next character literally; before a line's end it joins the lines.
    fn escape(&mut self, word: &mut Vec<u8>) -> Result<(), String> {
        self.bump();
        if self.peek() == Some(b'\r') && self.text.get(self.pos + 1) == Some(&b'\n') {
            self.bump();
        }
        match self.peek() {
            None => Err("backslash at the end of the file".to_owned()),
            Some(b'\n') => {
                self.bump();
                Ok(())
            }
            Some(b) => self.take(b, word),
        }
    }

    fn take(&mut self, b: u8, word: &mut Vec<u8>) -> Result<(), String> {
        if b == 0 {
            return Err("text has a NUL byte".to_owned());
        }
        if word.len() == MAX_WORD_BYTES {
            return Err(format!("word is too long (want at most {MAX_WORD_BYTES} bytes) or its quote is not closed"));
        }
        word.push(b);
        self.bump();
        Ok(())
    }

    fn skip_line(&mut self) {
        while self.peek().is_some_and(|b| b != b'\n') {
            self.bump();
        }
        if self.peek().is_some() {
            self.bump();
        }
    }

    fn peek(&self) -> Option<u8> {
        self.text.get(self.pos).copied()
    }

    fn bump(&mut self) {
        if self.peek() == Some(b'\n') {
            self.line += 1;
        }
        self.pos += 1;
    }
}
