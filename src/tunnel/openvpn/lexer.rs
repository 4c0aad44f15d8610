//! Splits the lines of a profile as openvpn does (src/openvpn/options_parse.c, `parse_line`).

/// One option of a profile.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Directive {
    /// Line of the option, from 1.
    pub line: usize,
    /// The name without dashes, then the arguments without quotes; never empty.
    pub words: Vec<String>,
    /// Whether the content of the option's file follows in the profile, as in `<ca>`.
    pub is_inline: bool,
}

impl Directive {
    /// The option's name.
    pub fn name(&self) -> &str {
        &self.words[0]
    }

    /// The argument at `index`, or an empty string if there is none.
    pub fn argument(&self, index: usize) -> &str {
        self.words.get(index + 1).map_or("", String::as_str)
    }
}

/// The options of a profile in order, and the line and text of each syntax error. The content of an inline file such as
/// `<ca>` is skipped; lines inside `<connection>` are options.
pub(super) fn directives(text: &str) -> Vec<Result<Directive, (usize, &'static str)>> {
    let mut found = Vec::new();
    let mut lines = text.trim_start_matches('\u{feff}').lines().enumerate().map(|(index, line)| (index + 1, line));
    while let Some((line, content)) = lines.next() {
        let words = match words(content) {
            Some(words) => words,
            None => {
                found.push(Err((line, "unterminated quote or backslash")));
                continue;
            }
        };
        let Some(first) = words.first() else { continue };
        let tag = first.strip_prefix('<').and_then(|rest| rest.strip_suffix('>')).filter(|_| words.len() == 1);
        match tag {
            Some("connection" | "/connection") => {}
            Some(tag) => {
                found.push(Ok(Directive { line, words: vec![tag.to_owned()], is_inline: true }));
                let end = format!("</{tag}>");
                if !lines.any(|(_, content)| content.trim_start().starts_with(&end)) {
                    found.push(Err((line, "section in angle brackets without its end tag")));
                }
            }
            None => found.push(Ok(directive(line, words))),
        }
    }
    found
}

/// `setenv opt NAME …` is the option NAME in versions that know it.
fn directive(line: usize, mut words: Vec<String>) -> Directive {
    if words.len() > 2 && words[0] == "setenv" && words[1] == "opt" {
        words.drain(..2);
    }
    if let Some(name) = words[0].strip_prefix("--").filter(|name| !name.is_empty()) {
        words[0] = name.to_owned();
    }
    Directive { line, words, is_inline: false }
}

/// Splits at white space; quotes keep it, a backslash keeps the next character, `#` or `;` before a word ends the line.
fn words(line: &str) -> Option<Vec<String>> {
    let mut words = Vec::new();
    let mut chars = line.chars().peekable();
    loop {
        while chars.next_if(|c| c.is_whitespace()).is_some() {}
        match chars.peek() {
            None | Some('#' | ';') => return Some(words),
            Some(_) => words.push(word(&mut chars)?),
        }
    }
}

fn word(chars: &mut std::iter::Peekable<std::str::Chars<'_>>) -> Option<String> {
    let mut word = String::new();
    let quote = chars.next_if(|c| matches!(c, '"' | '\''));
    loop {
        match chars.next() {
            None => return quote.is_none().then_some(word),
            Some(c) if quote == Some(c) => return Some(word),
            Some(c) if quote.is_none() && c.is_whitespace() => return Some(word),
            Some('\\') if quote != Some('\'') => word.push(chars.next()?),
            Some(c) => word.push(c),
        }
    }
}
