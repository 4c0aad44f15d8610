//! Parses OpenWrt's UCI text format like libuci (`file.c`: `uci_parse_line`, `parse_str`).
//!
//! Statements are `package`, `config TYPE ['NAME']`, `option NAME VALUE` and `list NAME VALUE`, or their first letters;
//! they end at the end of the line or at `;`. A word is bare, in single quotes (literal, possibly over several lines)
//! or in double quotes (with backslash escapes); adjacent parts form one word. `#` starts a comment. Unlike libuci, two
//! sections with one name are an error here instead of a merge, and parsing continues after an error.

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

/// Maximum size of a file in bytes. A home's settings are a few kilobytes.
pub const MAX_FILE_BYTES: usize = 1 << 20;

/// Maximum length of a word in bytes. Limits how much an unclosed quote can swallow.
pub const MAX_WORD_BYTES: usize = 4096;

/// Maximum number of words read of a statement. A valid one has at most three.
const MAX_WORDS: usize = 8;

/// Maximum number of different options in one section.
const MAX_OPTIONS: usize = 64;

/// Maximum length of a section type in bytes. Shorter than a key, so that no message shows a key as a section type.
const MAX_KIND_BYTES: usize = 32;

/// U+FEFF in UTF-8 and in both kinds of UTF-16.
const BYTE_ORDER_MARKS: [&[u8]; 3] = [b"\xef\xbb\xbf", b"\xff\xfe", b"\xfe\xff"];

/// One `config` section.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Section {
    /// The type, the first word after `config`.
    pub kind: String,
    /// The name; `None` for an anonymous section.
    pub name: Option<String>,
    /// Number of earlier sections of the same type.
    pub index: usize,
    /// Line of the `config` statement, from 1.
    pub line: usize,
    /// The options, each name once, in the order of their first appearance.
    pub options: Vec<Opt>,
}

impl Section {
    /// The section in UCI notation: its name, or `@TYPE[INDEX]`.
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
    /// The name.
    pub name: String,
    /// Whether a `list` statement made it.
    pub is_list: bool,
    /// The values in order; exactly one unless it is a list.
    pub values: Vec<Value>,
}

/// A value and its line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Value {
    /// The value without its quotes.
    pub text: String,
    /// Line on which its statement starts, from 1.
    pub line: usize,
}

/// A statement with a syntax error.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SyntaxError {
    /// Line on which the statement starts, from 1.
    pub line: usize,
    /// The section, if the error concerns one.
    pub section: Option<String>,
    /// The error. Never contains a value, which might be a key.
    pub text: String,
}

/// Parses a file. Returns all readable sections and all errors.
pub fn parse(text: &[u8]) -> (Vec<Section>, Vec<SyntaxError>) {
    let mut builder = Builder::default();
    if text.len() > MAX_FILE_BYTES {
        let text = format!("the file is too large (got {} bytes, want at most {MAX_FILE_BYTES})", text.len());
        builder.errors.push(SyntaxError { line: 0, section: None, text });
        return (builder.sections, builder.errors);
    }
    let mut lexer = Lexer { text, pos: 0, line: 1, span: (0, 0) };
    // Editors on Windows write one. libuci refuses such a file, so LuCI would not read it either.
    if let Some(mark) = BYTE_ORDER_MARKS.iter().find(|mark| text.starts_with(mark)) {
        let problem = "the file begins with a byte order mark (want UTF-8 without it: save the file again that way)";
        builder.errors.push(SyntaxError { line: 1, section: None, text: problem.to_owned() });
        // Nothing can be read of UTF-16.
        lexer.pos = if mark.len() == 3 { 3 } else { text.len() };
    }
    while lexer.pos < text.len() {
        let (start, line) = (lexer.pos, lexer.line);
        let result = lexer.statement().and_then(|words| builder.statement(&words, line));
        if let Err(text) = result {
            builder.errors.push(SyntaxError { line, section: None, text });
            // An unclosed quote on this line has swallowed later lines: continue right after this line.
            lexer.pos = start;
            lexer.line = line;
            lexer.skip_line();
        }
    }
    (builder.sections, builder.errors)
}

/// A statement and its position.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Statement {
    /// The words, at least one.
    pub words: Vec<String>,
    /// Byte offset of its start in the file.
    pub start: usize,
    /// Byte offset after its last word; a comment or `;` may follow.
    pub end: usize,
}

/// The statements of a file in which [`parse`] finds no error.
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

/// Builds sections from statements.
#[derive(Default)]
struct Builder {
    sections: Vec<Section>,
    errors: Vec<SyntaxError>,
    names: BTreeMap<String, usize>,
    counts: BTreeMap<String, usize>,
    /// Whether options belong to the last section. False before the first `config` and after an invalid one.
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
            // Only a short word is shown: a longer one may be a key that was wrapped onto its own line.
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

/// Splits the text into statements and words.
struct Lexer<'a> {
    text: &'a [u8],
    pos: usize,
    line: usize,
    /// Start and end of the last statement's words.
    span: (usize, usize),
}

impl Lexer<'_> {
    /// Reads the words of the next statement; no words for an empty line or a comment.
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

    /// Reads the next word; `None` if it was only a backslash that joins two lines.
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
                Some(b) => self.push(b, &mut word)?,
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
                Some(b) => self.push(b, word)?,
            }
        }
    }

    /// A backslash makes the next character literal; at the end of a line it joins the lines.
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
            Some(b) => self.push(b, word),
        }
    }

    fn push(&mut self, b: u8, word: &mut Vec<u8>) -> Result<(), String> {
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
