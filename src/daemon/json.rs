//! Writes JSON (RFC 8259), as much of it as reports need.

use std::fmt::Write;

/// A value under construction. Keys come out in the order in which they went in.
#[derive(Default)]
pub struct Json {
    text: String,
}

impl Json {
    /// An object, its members written by `members`.
    pub fn object(members: impl FnOnce(&mut Object<'_>)) -> String {
        let mut json = Json::default();
        json.put_object(members);
        json.text
    }

    fn put_object(&mut self, members: impl FnOnce(&mut Object<'_>)) {
        self.text.push('{');
        members(&mut Object { json: self, first: true });
        self.text.push('}');
    }

    fn put_text(&mut self, text: &str) {
        self.text.push('"');
        for c in text.chars() {
            match c {
                '"' | '\\' => self.text.extend(['\\', c]),
                c if (c as u32) < 0x20 => _ = write!(self.text, "\\u{:04x}", c as u32),
                c => self.text.push(c),
            }
        }
        self.text.push('"');
    }
}

/// The members of an object.
pub struct Object<'a> {
    json: &'a mut Json,
    first: bool,
}

impl Object<'_> {
    /// A text.
    pub fn text(&mut self, key: &str, value: &str) {
        self.key(key);
        self.json.put_text(value);
    }

    /// A whole number.
    pub fn number(&mut self, key: &str, value: u64) {
        self.key(key);
        _ = write!(self.json.text, "{value}");
    }

    /// A number with three decimals.
    pub fn decimal(&mut self, key: &str, value: f64) {
        self.key(key);
        _ = write!(self.json.text, "{value:.3}");
    }

    /// An object.
    pub fn object(&mut self, key: &str, members: impl FnOnce(&mut Object<'_>)) {
        self.key(key);
        self.json.put_object(members);
    }

    /// An array of objects, one for every item.
    pub fn array<T>(&mut self, key: &str, items: impl IntoIterator<Item = T>, each: impl Fn(&mut Object<'_>, T)) {
        self.key(key);
        self.json.text.push('[');
        for (at, item) in items.into_iter().enumerate() {
            if at > 0 {
                self.json.text.push(',');
            }
            self.json.put_object(|object| each(object, item));
        }
        self.json.text.push(']');
    }

    fn key(&mut self, key: &str) {
        if !std::mem::replace(&mut self.first, false) {
            self.json.text.push(',');
        }
        self.json.put_text(key);
        self.json.text.push(':');
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_nest_and_texts_are_escaped() {
        let text = Json::object(|top| {
            top.text("a", "quote \" slash \\ line\n");
            top.object("b", |b| b.number("n", 1));
            top.array("c", [1u64, 2], |object, n| object.decimal("x", n as f64 / 3.0));
            top.array("d", [0u64; 0], |object, n| object.number("x", n));
        });
        assert_eq!(
            text,
            "{\"a\":\"quote \\\" slash \\\\ line\\u000a\",\"b\":{\"n\":1},\"c\":[{\"x\":0.333},{\"x\":0.667}],\"d\":[]}"
        );
    }
}
