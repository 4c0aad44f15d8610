//! Writes answers for programs: as JSON (RFC 8259) for the control socket and scripts, or as blobmsg, libubox's binary
//! equivalent, for ubus. An answer is a struct that serde describes once for both.

mod blob;
mod error;
mod json;
mod serializer;

use serde::Serialize;
use ubus::BlobMsgTable;

use self::blob::BlobSink;
pub use self::error::EncodeError;
use self::json::JsonSink;
use self::serializer::ValueSerializer;

/// Returns the answer as JSON without white space. Fractions have three decimals.
///
/// # Errors
/// An answer that has a part for which blobmsg has no form, such as a map.
pub fn to_json(answer: &impl Serialize) -> Result<String, EncodeError> {
    let mut sink = JsonSink::default();
    answer.serialize(ValueSerializer { sink: &mut sink, name: None })?;
    Ok(sink.into_text())
}

/// Returns the answer as a blobmsg table.
///
/// # Errors
/// An answer that is not a struct, that has a part for which blobmsg has no form, or that is too long for ubus.
pub fn to_table(answer: &impl Serialize) -> Result<BlobMsgTable, EncodeError> {
    let mut result = Ok(());
    let table = BlobMsgTable::build(|builder| {
        result = answer.serialize(ValueSerializer { sink: &mut BlobSink::new(builder), name: None });
    });
    result.map(|()| table)
}

#[cfg(test)]
mod tests;
