//! Writes answers for programs. One description becomes JSON (RFC 8259) for the control socket and scripts, or blobmsg,
//! libubox's binary equivalent, for ubus.

use std::fmt::Write;

use ubus::{BlobBuilder, BlobMsgTable};

/// Returns the JSON object whose members `members` writes.
pub fn json(members: impl FnOnce(&mut Object<'_>)) -> String {
    let mut text = String::from("{");
    members(&mut Object { writer: Output::Json(&mut text), first: true });
    text.push('}');
    text
}

/// Returns the blobmsg table whose members `members` writes.
pub fn table(members: impl FnOnce(&mut Object<'_>)) -> BlobMsgTable {
    BlobMsgTable::build(|blob| members(&mut Object { writer: Output::Blob(blob), first: true }))
}

/// Writes the members of an object, in order.
pub struct Object<'a> {
    writer: Output<'a>,
    first: bool,
}

enum Output<'a> {
    Json(&'a mut String),
    Blob(&'a mut BlobBuilder),
}

impl Object<'_> {
    /// Writes a text.
    pub fn text(&mut self, key: &str, value: &str) {
        self.separate();
        self.writer.text(Some(key), value);
    }

    /// Writes an integer.
    pub fn number(&mut self, key: &str, value: u64) {
        self.separate();
        self.writer.number(Some(key), value);
    }

    /// Writes a finite number with three decimals.
    pub fn decimal(&mut self, key: &str, value: f64) {
        self.separate();
        match &mut self.writer {
            Output::Json(text) => {
                put_key(text, key);
                _ = write!(text, "{value:.3}");
            }
            Output::Blob(blob) => blob.put_double(Some(key), (value * 1e3).round() / 1e3),
        }
    }

    /// Writes a boolean.
    pub fn flag(&mut self, key: &str, value: bool) {
        self.separate();
        match &mut self.writer {
            Output::Json(text) => {
                put_key(text, key);
                text.push_str(if value { "true" } else { "false" });
            }
            Output::Blob(blob) => blob.put_bool(Some(key), value),
        }
    }

    /// Writes an object.
    pub fn object(&mut self, key: &str, members: impl FnOnce(&mut Object<'_>)) {
        self.separate();
        self.writer.object(Some(key), members);
    }

    /// Writes an array of objects, one per item.
    pub fn array<T>(&mut self, key: &str, items: impl IntoIterator<Item = T>, each: impl Fn(&mut Object<'_>, T)) {
        self.list(key, items, |writer, item| writer.object(None, |object| each(object, item)));
    }

    /// Writes an array of integers.
    pub fn numbers(&mut self, key: &str, items: impl IntoIterator<Item = u64>) {
        self.list(key, items, |writer, item| writer.number(None, item));
    }

    /// Writes an array of texts.
    pub fn texts<T: AsRef<str>>(&mut self, key: &str, items: impl IntoIterator<Item = T>) {
        self.list(key, items, |writer, item| writer.text(None, item.as_ref()));
    }

    fn list<T>(&mut self, key: &str, items: impl IntoIterator<Item = T>, each: impl Fn(&mut Output<'_>, T)) {
        self.separate();
        self.writer.open(key);
        for (at, item) in items.into_iter().enumerate() {
            if at > 0 {
                self.writer.separate();
            }
            each(&mut self.writer, item);
        }
        self.writer.close();
    }

    fn separate(&mut self) {
        if !std::mem::replace(&mut self.first, false) {
            self.writer.separate();
        }
    }
}

impl Output<'_> {
    fn text(&mut self, key: Option<&str>, value: &str) {
        match self {
            Output::Json(text) => {
                key.into_iter().for_each(|key| put_key(text, key));
                put_text(text, value);
            }
            Output::Blob(blob) => blob.put_str(key, value),
        }
    }

    fn number(&mut self, key: Option<&str>, value: u64) {
        match self {
            Output::Json(text) => {
                key.into_iter().for_each(|key| put_key(text, key));
                _ = write!(text, "{value}");
            }
            Output::Blob(blob) => match (i32::try_from(value), i64::try_from(value)) {
                (Ok(value), _) => blob.put_i32(key, value),
                (_, value) => blob.put_i64(key, value.unwrap_or(i64::MAX)),
            },
        }
    }

    fn object(&mut self, key: Option<&str>, members: impl FnOnce(&mut Object<'_>)) {
        match self {
            Output::Json(text) => {
                key.into_iter().for_each(|key| put_key(text, key));
                text.push('{');
                members(&mut Object { writer: Output::Json(text), first: true });
                text.push('}');
            }
            Output::Blob(blob) => {
                blob.open_table(key);
                members(&mut Object { writer: Output::Blob(blob), first: true });
                blob.close_table();
            }
        }
    }

    fn open(&mut self, key: &str) {
        match self {
            Output::Json(text) => {
                put_key(text, key);
                text.push('[');
            }
            Output::Blob(blob) => blob.open_array(Some(key)),
        }
    }

    fn close(&mut self) {
        match self {
            Output::Json(text) => text.push(']'),
            Output::Blob(blob) => blob.close_array(),
        }
    }

    fn separate(&mut self) {
        if let Output::Json(text) = self {
            text.push(',');
        }
    }
}

fn put_key(text: &mut String, key: &str) {
    put_text(text, key);
    text.push(':');
}

fn put_text(text: &mut String, value: &str) {
    text.push('"');
    for c in value.chars() {
        match c {
            '"' | '\\' => text.extend(['\\', c]),
            c if (c as u32) < 0x20 => _ = write!(text, "\\u{:04x}", c as u32),
            c => text.push(c),
        }
    }
    text.push('"');
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample(top: &mut Object<'_>) {
        top.text("a", "quote \" slash \\ line\n");
        top.object("b", |b| b.number("n", 1));
        top.array("c", [1u64, 2], |object, n| object.decimal("x", n as f64 / 4.0));
        top.array("d", [0u64; 0], |object, n| object.number("x", n));
        top.numbers("e", [7, 5_000_000_000]);
        top.texts("f", ["g", "h"]);
        top.flag("i", true);
    }

    #[test]
    fn values_nest_and_texts_are_escaped() {
        assert_eq!(
            json(sample),
            "{\"a\":\"quote \\\" slash \\\\ line\\u000a\",\"b\":{\"n\":1},\"c\":[{\"x\":0.250},{\"x\":0.500}],\"d\":[],\
             \"e\":[7,5000000000],\"f\":[\"g\",\"h\"],\"i\":true}"
        );
    }

    #[test]
    fn json_and_blobmsg_have_the_same_contents() {
        assert_eq!(
            ubus::blobmsg::to_json(table(sample).contents(), true),
            "{\"a\":\"quote \\\" slash \\\\ line\\n\",\"b\":{\"n\":1},\"c\":[{\"x\":0.25},{\"x\":0.5}],\"d\":[],\
             \"e\":[7,5000000000],\"f\":[\"g\",\"h\"],\"i\":true}"
        );
    }
}
