//! Writes answers for programs: as JSON (RFC 8259) for the control socket and scripts, or as blobmsg, libubox's binary
//! equivalent, for ubus. An answer is a struct that serde describes once for both.

mod blob;
mod error;

use std::io;

use serde::Serialize;
use ubus::BlobMsgTable;

use self::blob::{Blob, Place, Sink};
pub use self::error::EncodeError;

/// Returns the answer as JSON without white space.
///
/// # Errors
/// An answer that JSON cannot express, such as a map whose keys are not texts.
pub fn to_json(answer: &impl Serialize) -> Result<String, EncodeError> {
    let mut bytes = Vec::new();
    answer
        .serialize(&mut serde_json::Serializer::with_formatter(&mut bytes, ThreeDecimals))
        .map_err(EncodeError::new)?;
    String::from_utf8(bytes).map_err(EncodeError::new)
}

/// Returns the answer as a blobmsg table.
///
/// # Errors
/// An answer that is not a struct, that has a part for which blobmsg has no form, or that is too long for ubus.
pub fn to_table(answer: &impl Serialize) -> Result<BlobMsgTable, EncodeError> {
    let mut result = Ok(());
    let table = BlobMsgTable::build(|builder| {
        result = answer.serialize(Blob { sink: &mut Sink::new(builder), place: Place::Top });
    });
    result.map(|()| table)
}

/// Writes fractions by `core::fmt`, which the program contains anyway; serde_json's own way adds tables of 10 KB.
struct ThreeDecimals;

impl serde_json::ser::Formatter for ThreeDecimals {
    fn write_f64<W: io::Write + ?Sized>(&mut self, writer: &mut W, value: f64) -> io::Result<()> {
        write!(writer, "{value:.3}")
    }
}

#[cfg(test)]
mod tests;
