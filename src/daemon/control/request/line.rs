//! Requests as lines of the control socket: the name, `json` for an answer in JSON, and the other arguments in order.

use super::{ArgumentSpec, ArgumentValue, Format, REQUESTS, Request, RequestSpec, advised_level, spec};
use crate::daemon::control::request_error::RequestError;

/// The form of a line: `audit [json] PACKETS`. Words in brackets may be left out.
pub fn usage(spec: &RequestSpec) -> String {
    let (forms, others): (Vec<_>, Vec<_>) = spec.arguments.iter().partition(|argument| is_format(argument));
    let words = forms.iter().chain(&others).map(|argument| argument.word).filter(|word| !word.is_empty());
    words.fold(spec.name.to_owned(), |usage, word| usage + " " + word)
}

/// Parses a line.
pub fn parse(line: &str) -> Result<Request, RequestError> {
    let mut words = line.split_ascii_whitespace().peekable();
    let name = words.next().unwrap_or_default();
    let Some(spec) = spec(name) else { return Err(RequestError::unknown(unknown())) };
    let has_format = spec.arguments.iter().any(is_format);
    let json = words.next_if(|word| has_format && *word == "json");
    let mut values = Vec::new();
    for argument in spec.arguments {
        let word = match argument.default {
            ArgumentValue::Format(_) => json,
            ArgumentValue::Flag(_) => words.next_if(|word| !argument.word.is_empty() && *word == argument.name),
            _ => words.next(),
        };
        let value = match word {
            Some(word) => value(argument, word),
            None => argument.line_default.ok_or_else(|| format!("missing: want {}", usage(spec))),
        };
        values.push(value.map_err(|why| RequestError::invalid(format!("{name}.{}: {why}", argument.name)))?);
    }
    if let Some(word) = words.next() {
        return Err(RequestError::invalid(format!("{name}: unexpected word '{word}': want {}", usage(spec))));
    }
    Request::from_parts(name, &values).ok_or_else(|| RequestError::unknown(unknown()))
}

/// The line of a request. A line cannot ask for `values`, or for an audit without waiting: they become JSON, and an
/// audit with waiting.
pub fn write(request: Request) -> String {
    let (name, values) = request.parts();
    let mut line = name.to_owned();
    if values.iter().any(|value| matches!(value, ArgumentValue::Format(Format::Json | Format::Values))) {
        line.push_str(" json");
    }
    let arguments = spec(name).map_or(&[][..], |spec| spec.arguments);
    for (argument, value) in arguments.iter().zip(values) {
        match value {
            ArgumentValue::Flag(true) if !argument.word.is_empty() => line += &format!(" {}", argument.name),
            ArgumentValue::Number(number) => line += &format!(" {number}"),
            ArgumentValue::Level(level) => line += &format!(" {}", level.name()),
            ArgumentValue::Home(Some(address)) => line += &format!(" {address}"),
            _ => {}
        }
    }
    line
}

fn is_format(argument: &ArgumentSpec) -> bool {
    matches!(argument.default, ArgumentValue::Format(_))
}

fn value(argument: &ArgumentSpec, word: &str) -> Result<ArgumentValue, String> {
    let (value, wanted) = match argument.default {
        ArgumentValue::Format(_) => (Some(ArgumentValue::Format(Format::Json)), "json"),
        ArgumentValue::Flag(_) => (Some(ArgumentValue::Flag(true)), argument.name),
        ArgumentValue::Number(_) => (word.parse().ok().map(ArgumentValue::Number), "a whole number"),
        ArgumentValue::Level(_) => (advised_level(word).map(ArgumentValue::Level), "saver, balanced or strict"),
        ArgumentValue::Home(_) => (word.parse().ok().map(|home| ArgumentValue::Home(Some(home))), "an IPv4 address"),
    };
    value.ok_or_else(|| format!("want {wanted}, got '{word}'"))
}

fn unknown() -> String {
    let known: Vec<String> = REQUESTS.iter().map(usage).collect();
    format!("unknown request (known: {})", known.join(", "))
}
