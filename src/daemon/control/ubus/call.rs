//! The methods of the object, and parsing of calls.

use ubus::blobmsg::{BlobBuilder, BlobIter, BlobType, BlobValue};
use ubus::wire::{UBUS_STATUS_INVALID_ARGUMENT, UBUS_STATUS_METHOD_NOT_FOUND};

use crate::daemon::audit::DEFAULT_AUDIT_PACKETS;
use crate::daemon::control::request::{Format, Request};

/// Why a call failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RequestError {
    /// A status code of ubus.
    pub status: i32,
    /// The reason, for people.
    pub text: String,
}

/// The default span of `history`.
const DEFAULT_SECONDS: u32 = 300;

/// Each method with its arguments, as shown by `ubus -v list`.
const METHODS: [(&str, &[(&str, BlobType)]); 7] = [
    ("status", &[("form", BlobType::String)]),
    ("devices", &[("form", BlobType::String)]),
    ("history", &[("seconds", BlobType::Int32)]),
    ("advise", &[("form", BlobType::String)]),
    ("audit", &[("packets", BlobType::Int32), ("wait", BlobType::Int8), ("form", BlobType::String)]),
    ("reload", &[]),
    ("renew", &[]),
];

/// The methods as the broker expects them when the object is added.
pub(super) fn signature() -> Vec<u8> {
    let mut blob = BlobBuilder::new();
    for (method, arguments) in METHODS {
        blob.open_table(Some(method));
        arguments.iter().for_each(|(name, kind)| blob.put_i32(Some(name), *kind as i32));
        blob.close_table();
    }
    blob.finish()
}

/// Parses a call. Unknown arguments are ignored, because uhttpd adds one to every call.
pub(super) fn parse(method: &str, arguments: &[u8]) -> Result<Request, RequestError> {
    let mut format = Format::Values;
    let (mut seconds, mut packets, mut waiting) = (DEFAULT_SECONDS, DEFAULT_AUDIT_PACKETS, false);
    let Some((method, accepted)) = METHODS.into_iter().find(|(name, _)| *name == method) else {
        let names = METHODS.map(|(name, _)| name).join(", ");
        return Err(RequestError {
            status: UBUS_STATUS_METHOD_NOT_FOUND,
            text: format!("no such method (available: {names})"),
        });
    };
    let mut rest = BlobIter::new(arguments);
    while let Some(argument) = rest.try_next().map_err(|error| invalid(format!("{method}: {error}")))? {
        let Some(name) = argument.name.filter(|name| accepted.iter().any(|(accepted, _)| accepted == name)) else {
            continue;
        };
        let value = argument.value().map_err(|error| invalid(format!("{method}.{name}: {error}")))?;
        match (name, &value) {
            ("form", BlobValue::String("text")) => format = Format::Text,
            ("form", BlobValue::String("json")) => format = Format::Json,
            ("form", BlobValue::String("values")) => format = Format::Values,
            ("form", _) => return Err(invalid(format!("{method}.form: want text, json or values"))),
            ("wait", value) => {
                waiting = integer(value).ok_or_else(|| invalid(format!("{method}.wait: want true or false")))? > 0;
            }
            _ => {
                let number = integer(&value).ok_or_else(|| {
                    invalid(format!("{method}.{name}: want a whole number, got {}", type_name(&value)))
                })?;
                *(if name == "packets" { &mut packets } else { &mut seconds }) = number;
            }
        }
    }
    Ok(match method {
        "status" => Request::Status(format),
        "devices" => Request::Devices(format),
        "history" => Request::History { seconds },
        "advise" => Request::Advise(format),
        "audit" => Request::Audit { packets, format, waiting },
        "reload" => Request::Reload,
        _ => Request::Renew,
    })
}

fn invalid(text: String) -> RequestError {
    RequestError { status: UBUS_STATUS_INVALID_ARGUMENT, text }
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

#[cfg(test)]
mod tests {
    use super::*;
    use ubus::BlobMsgTable;

    fn parse(method: &str, build: impl FnOnce(&mut BlobBuilder)) -> Result<Request, String> {
        super::parse(method, BlobMsgTable::build(build).contents()).map_err(|error| error.text)
    }

    #[test]
    fn unknown_arguments_are_ignored() {
        let session = |blob: &mut BlobBuilder| {
            blob.put_str(Some("ubus_rpc_session"), "0123456789abcdef");
            blob.put_i32(Some("seconds"), 60);
        };
        assert_eq!(parse("history", session), Ok(Request::History { seconds: 60 }));
        assert_eq!(parse("reload", session), Ok(Request::Reload));
        assert_eq!(parse("status", |_| ()), Ok(Request::Status(Format::Values)));
        assert_eq!(parse("devices", |blob| blob.put_str(Some("form"), "text")), Ok(Request::Devices(Format::Text)));
    }

    #[test]
    fn integers_of_any_width_are_accepted() {
        let seconds = |build: fn(&mut BlobBuilder)| parse("history", build);
        assert_eq!(seconds(|_| ()), Ok(Request::History { seconds: DEFAULT_SECONDS }));
        assert_eq!(seconds(|blob| blob.put_i64(Some("seconds"), i64::MAX)), Ok(Request::History { seconds: u32::MAX }));
        assert_eq!(seconds(|blob| blob.put_i32(Some("seconds"), -5)), Ok(Request::History { seconds: 0 }));
        assert_eq!(seconds(|blob| blob.put_double(Some("seconds"), 90.0)), Ok(Request::History { seconds: 90 }));
        assert!(seconds(|blob| blob.put_double(Some("seconds"), f64::INFINITY)).is_err());
    }

    #[test]
    fn an_audit_waits_only_on_request() {
        let audit = |packets, format, waiting| Ok(Request::Audit { packets, format, waiting });
        assert_eq!(parse("audit", |_| ()), audit(DEFAULT_AUDIT_PACKETS, Format::Values, false));
        let wait = |blob: &mut BlobBuilder| {
            blob.put_i32(Some("packets"), 500);
            blob.put_bool(Some("wait"), true);
            blob.put_str(Some("form"), "json");
        };
        assert_eq!(parse("audit", wait), audit(500, Format::Json, true));
        assert!(parse("audit", |blob| blob.put_str(Some("wait"), "yes")).is_err());
    }

    #[test]
    fn errors_name_the_argument() {
        let invalid = parse("history", |blob| blob.put_str(Some("seconds"), "60"));
        assert_eq!(invalid, Err("history.seconds: want a whole number, got a string".into()));
        let invalid = parse("status", |blob| blob.put_i32(Some("form"), 1));
        assert_eq!(invalid, Err("status.form: want text, json or values".into()));
        assert!(parse("advice", |_| ()).unwrap_err().contains("history"));
        assert!(super::parse("status", &[0x83, 0, 0, 99, 1]).unwrap_err().text.contains("malformed"));
    }
}
