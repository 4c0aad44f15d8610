//! Answers as JSON (RFC 8259) without white space.

use std::fmt::Write;

use super::error::EncodeError;
use super::serializer::{Part, Sink};
use crate::units::decimals::with_decimals;

/// The text under construction.
#[derive(Default)]
pub struct JsonSink {
    text: String,
    /// The ends of the open arrays and structs, the innermost last.
    ends: Vec<char>,
}

impl JsonSink {
    /// The answer's text.
    pub fn into_text(self) -> String {
        self.text
    }

    fn push_text(&mut self, text: &str) {
        self.text.push('"');
        for c in text.chars() {
            match c {
                '"' | '\\' => self.text.extend(['\\', c]),
                '\n' => self.text.push_str("\\n"),
                '\r' => self.text.push_str("\\r"),
                '\t' => self.text.push_str("\\t"),
                '\0'..' ' => _ = write!(self.text, "\\u{:04x}", u32::from(c)),
                _ => self.text.push(c),
            }
        }
        self.text.push('"');
    }
}

impl Sink for JsonSink {
    fn write(&mut self, name: Option<&str>, part: Part<'_>) -> Result<(), EncodeError> {
        if !self.text.is_empty() && !self.text.ends_with(['{', '[']) {
            self.text.push(',');
        }
        if let Some(name) = name {
            self.push_text(name);
            self.text.push(':');
        }
        match part {
            Part::Null => self.text.push_str("null"),
            Part::Flag(value) => _ = write!(self.text, "{value}"),
            Part::Integer(value) => _ = write!(self.text, "{value}"),
            Part::Unsigned(value) => _ = write!(self.text, "{value}"),
            Part::Fraction(value) => self.text.push_str(&with_decimals(value, 3)),
            Part::Text(text) => self.push_text(text),
            Part::Array => {
                self.text.push('[');
                self.ends.push(']');
            }
            Part::Struct => {
                self.text.push('{');
                self.ends.push('}');
            }
        }
        Ok(())
    }

    fn close(&mut self) {
        self.text.extend(self.ends.pop());
    }
}
