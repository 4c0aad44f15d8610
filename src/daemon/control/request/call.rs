//! Requests as calls on ubus: the methods of the object, and their arguments by name.

use ubus::BlobMsgTable;
use ubus::blobmsg::{BlobBuilder, BlobIter, BlobType, BlobValue};

use super::{ArgumentValue, Format, REQUESTS, Request, RequestSpec, advised_level, spec};
use crate::daemon::control::request_error::RequestError;

/// The methods with their arguments, as the broker expects them when the object is added.
pub fn signature() -> Vec<u8> {
    let mut blob = BlobBuilder::new();
    for spec in methods() {
        blob.open_table(Some(spec.name));
        for argument in spec.arguments {
            blob.put_i32(Some(argument.name), blob_type(argument.default) as i32);
        }
        blob.close_table();
    }
    blob.finish()
}

/// Parses a call. Unknown arguments are ignored, because uhttpd adds one to every call.
pub fn parse(method: &str, arguments: &[u8]) -> Result<Request, RequestError> {
    let Some(spec) = spec(method).filter(|spec| spec.is_method) else { return Err(unknown()) };
    let mut values: Vec<ArgumentValue> = spec.arguments.iter().map(|argument| argument.default).collect();
    let mut rest = BlobIter::new(arguments);
    let malformed = |error| RequestError::invalid(format!("{method}: {error}"));
    while let Some(argument) = rest.try_next().map_err(malformed)? {
        let Some(name) = argument.name else { continue };
        let Some(index) = spec.arguments.iter().position(|known| known.name == name) else { continue };
        let invalid = |why: String| RequestError::invalid(format!("{method}.{name}: {why}"));
        let given = argument.value().map_err(|error| invalid(error.to_string()))?;
        values[index] = value(values[index], &given).map_err(invalid)?;
    }
    Request::from_parts(method, &values).ok_or_else(unknown)
}

/// The method and the arguments of a request; `None` if it has no method.
pub fn write(request: Request) -> Option<(&'static str, BlobMsgTable)> {
    let (name, values) = request.parts();
    let spec = spec(name).filter(|spec| spec.is_method)?;
    let arguments = BlobMsgTable::build(|blob| {
        for (argument, value) in spec.arguments.iter().zip(values) {
            match value {
                ArgumentValue::Format(format) => blob.put_str(Some(argument.name), format_name(format)),
                ArgumentValue::Number(number) => blob.put_i64(Some(argument.name), number.into()),
                ArgumentValue::Flag(flag) => blob.put_bool(Some(argument.name), flag),
                ArgumentValue::Level(level) => blob.put_str(Some(argument.name), level.name()),
                ArgumentValue::Home(home) => {
                    home.iter().for_each(|home| blob.put_str(Some(argument.name), &home.to_string()));
                }
            }
        }
    });
    Some((name, arguments))
}

fn methods() -> impl Iterator<Item = &'static RequestSpec> {
    REQUESTS.iter().filter(|spec| spec.is_method)
}

fn unknown() -> RequestError {
    let names: Vec<&str> = methods().map(|spec| spec.name).collect();
    RequestError::unknown(format!("no such method (available: {})", names.join(", ")))
}

fn blob_type(kind: ArgumentValue) -> BlobType {
    match kind {
        ArgumentValue::Format(_) | ArgumentValue::Level(_) | ArgumentValue::Home(_) => BlobType::String,
        ArgumentValue::Number(_) => BlobType::Int32,
        ArgumentValue::Flag(_) => BlobType::Int8,
    }
}

fn format_name(format: Format) -> &'static str {
    match format {
        Format::Text => "text",
        Format::Json => "json",
        Format::Values => "values",
    }
}

/// A value of the same kind as `kind`; the error says what is wanted.
fn value(kind: ArgumentValue, given: &BlobValue<'_>) -> Result<ArgumentValue, String> {
    match (kind, given) {
        (ArgumentValue::Format(_), BlobValue::String(text)) => {
            let formats = [Format::Text, Format::Json, Format::Values];
            formats.into_iter().find(|format| format_name(*format) == *text).map(ArgumentValue::Format)
        }
        (ArgumentValue::Number(_), given) => integer(given).map(ArgumentValue::Number),
        (ArgumentValue::Flag(_), given) => integer(given).map(|number| ArgumentValue::Flag(number > 0)),
        (ArgumentValue::Level(_), BlobValue::String(text)) => advised_level(text).map(ArgumentValue::Level),
        (ArgumentValue::Home(_), BlobValue::String(text)) => {
            text.parse().ok().map(|home| ArgumentValue::Home(Some(home)))
        }
        _ => None,
    }
    .ok_or_else(|| match kind {
        ArgumentValue::Format(_) => "want text, json or values".to_owned(),
        ArgumentValue::Number(_) => format!("want a whole number, got {}", type_name(given)),
        ArgumentValue::Flag(_) => "want true or false".to_owned(),
        ArgumentValue::Level(_) => "want saver, balanced or strict".to_owned(),
        ArgumentValue::Home(_) => "want an IPv4 address".to_owned(),
    })
}

/// An integer of any width, clamped to the range of `u32`.
fn integer(value: &BlobValue<'_>) -> Option<u32> {
    let wide = match value {
        BlobValue::Int8(value) => i64::from(*value),
        BlobValue::Int16(value) => i64::from(*value),
        BlobValue::Int32(value) => i64::from(*value),
        BlobValue::Int64(value) => *value,
        BlobValue::Double(value) if value.fract() == 0.0 => *value as i64,
        _ => return None,
    };
    Some(wide.clamp(0, i64::from(u32::MAX)) as u32)
}

fn type_name(value: &BlobValue<'_>) -> &'static str {
    match value {
        BlobValue::String(_) => "a string",
        BlobValue::Int8(_) => "a boolean",
        BlobValue::Int16(_) | BlobValue::Int32(_) | BlobValue::Int64(_) => "a whole number",
        BlobValue::Double(_) => "a fraction",
        BlobValue::Table(_) => "an object",
        BlobValue::Array(_) => "an array",
        BlobValue::Raw(_) => "null",
    }
}
