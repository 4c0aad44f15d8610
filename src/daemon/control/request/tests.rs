use rand::{RngExt, SeedableRng};
use ubus::BlobMsgTable;
use ubus::blobmsg::BlobBuilder;
use ubus::wire::{UBUS_STATUS_INVALID_ARGUMENT, UBUS_STATUS_METHOD_NOT_FOUND};

use super::*;

/// Requests of every kind, with every format.
fn samples() -> Vec<Request> {
    let mut samples = vec![Request::State, Request::Audited, Request::Reload, Request::Renew];
    samples.extend(ADVISED.map(|level| Request::Advised { level }));
    for format in [Format::Text, Format::Json, Format::Values] {
        samples.extend([Request::Status(format), Request::Devices(format), Request::Advise(format)]);
        for (packets, waiting) in [(0, true), (500, false), (u32::MAX, true)] {
            let options = AuditOptions { packets, deep: packets == 500 };
            samples.push(Request::Audit { options, format, waiting });
        }
    }
    samples.extend([0, 300, u32::MAX].map(|seconds| Request::History { seconds }));
    #[cfg(feature = "endpoint")]
    for home in [None, Some(Ipv4Addr::new(10, 77, 0, 2))] {
        samples.extend([Request::Metrics { home }, Request::Lateness { from: 7, home }]);
    }
    samples
}

fn call(method: &str, build: impl FnOnce(&mut BlobBuilder)) -> Result<Request, String> {
    call::parse(method, BlobMsgTable::build(build).contents()).map_err(|error| error.text)
}

fn line(line: &str) -> Result<Request, String> {
    line::parse(line).map_err(|error| error.text)
}

#[test]
fn every_request_of_the_table_can_be_made() {
    let sampled: Vec<&str> = samples().iter().map(|request| request.parts().0).collect();
    for spec in REQUESTS {
        let defaults: Vec<ArgumentValue> = spec.arguments.iter().map(|argument| argument.default).collect();
        let request = Request::from_parts(spec.name, &defaults).unwrap_or_else(|| panic!("{}", spec.name));
        assert_eq!(request.parts(), (spec.name, defaults));
        assert!(sampled.contains(&spec.name), "{} has no sample", spec.name);
    }
}

#[test]
fn a_request_survives_its_line() {
    for request in samples() {
        let line = line::write(request);
        let expected = match request {
            Request::Status(Format::Values) => Request::Status(Format::Json),
            Request::Devices(Format::Values) => Request::Devices(Format::Json),
            Request::Advise(Format::Values) => Request::Advise(Format::Json),
            Request::Audit { options, format, .. } => {
                let format = if format == Format::Text { Format::Text } else { Format::Json };
                Request::Audit { options, format, waiting: true }
            }
            other => other,
        };
        assert_eq!(line::parse(&line), Ok(expected), "{line}");
    }
}

#[test]
fn a_request_survives_its_call() {
    for request in samples() {
        match call::write(request) {
            Some((method, arguments)) => assert_eq!(call::parse(method, arguments.contents()), Ok(request)),
            None => assert!(["metrics", "lateness"].contains(&request.parts().0)),
        }
    }
}

#[test]
fn lines_have_a_stable_syntax() {
    let audit =
        |packets, deep, format| Request::Audit { options: AuditOptions { packets, deep }, format, waiting: true };
    for (text, request) in [
        ("status", Request::Status(Format::Text)),
        ("status json", Request::Status(Format::Json)),
        ("state", Request::State),
        ("audit 500", audit(500, false, Format::Text)),
        ("audit 500 deep", audit(500, true, Format::Text)),
        ("audit json 500 deep", audit(500, true, Format::Json)),
        ("audit json  500", audit(500, false, Format::Json)),
        ("history 300", Request::History { seconds: 300 }),
        ("advised strict", Request::Advised { level: Level::Strict }),
        ("audited", Request::Audited),
        ("renew", Request::Renew),
    ] {
        assert_eq!(line(text), Ok(request));
        assert_eq!(line::write(request), text.replace("  ", " "));
    }
    #[cfg(feature = "endpoint")]
    {
        let home = Some(Ipv4Addr::new(10, 77, 0, 2));
        assert_eq!(line("metrics 10.77.0.2"), Ok(Request::Metrics { home }));
        assert_eq!(line("metrics"), Ok(Request::Metrics { home: None }));
        assert_eq!(line("lateness 0"), Ok(Request::Lateness { from: 0, home: None }));
        assert_eq!(line("lateness 4097 10.77.0.2"), Ok(Request::Lateness { from: 4097, home }));
        assert_eq!(line("lateness"), Err("lateness.from: missing: want lateness FROM [ADDRESS]".into()));
    }
    assert_eq!(line("metrics").is_ok(), cfg!(feature = "endpoint"));
}

#[test]
fn errors_of_lines_name_the_argument() {
    assert_eq!(line("history soon"), Err("history.seconds: want a whole number, got 'soon'".into()));
    assert_eq!(line("history"), Err("history.seconds: missing: want history SECONDS".into()));
    assert!(line("history 4294967296").is_err());
    assert_eq!(line("audit json"), Err("audit.packets: missing: want audit [json] PACKETS [deep]".into()));
    let deeper = "audit: unexpected word 'deeper': want audit [json] PACKETS [deep]";
    assert_eq!(line("audit 500 deeper"), Err(deeper.into()));
    assert_eq!(line("status xml"), Err("status: unexpected word 'xml': want status [json]".into()));
    assert_eq!(line("reload json"), Err("reload: unexpected word 'json': want reload".into()));
    let wanted = "advised.level: want saver, balanced or strict";
    for level in ["off", "custom", "Saver", "1"] {
        assert_eq!(line(&format!("advised {level}")), Err(format!("{wanted}, got '{level}'")));
    }
    assert_eq!(line("advised"), Err("advised.level: missing: want advised LEVEL".into()));
    #[cfg(feature = "endpoint")]
    assert_eq!(line("metrics maple"), Err("metrics.home: want an IPv4 address, got 'maple'".into()));
    for unknown in ["", "bogus", "Status", "json status"] {
        let error = line::parse(unknown).unwrap_err();
        assert_eq!(error.status, UBUS_STATUS_METHOD_NOT_FOUND);
        for spec in REQUESTS {
            assert!(error.text.contains(&line::usage(spec)), "{} in {}", spec.name, error.text);
        }
    }
}

#[test]
fn unknown_arguments_of_calls_are_ignored() {
    let session = |blob: &mut BlobBuilder| {
        blob.put_str(Some("ubus_rpc_session"), "0123456789abcdef");
        blob.put_i32(Some("seconds"), 60);
    };
    assert_eq!(call("history", session), Ok(Request::History { seconds: 60 }));
    assert_eq!(call("reload", session), Ok(Request::Reload));
    assert_eq!(call("status", |_| ()), Ok(Request::Status(Format::Values)));
    assert_eq!(call("devices", |blob| blob.put_str(Some("form"), "text")), Ok(Request::Devices(Format::Text)));
}

#[test]
fn integers_of_any_width_are_accepted() {
    let seconds = |build: fn(&mut BlobBuilder)| call("history", build);
    assert_eq!(seconds(|_| ()), Ok(Request::History { seconds: 300 }));
    assert_eq!(seconds(|blob| blob.put_i64(Some("seconds"), i64::MAX)), Ok(Request::History { seconds: u32::MAX }));
    assert_eq!(seconds(|blob| blob.put_i32(Some("seconds"), -5)), Ok(Request::History { seconds: 0 }));
    assert_eq!(seconds(|blob| blob.put_double(Some("seconds"), 90.0)), Ok(Request::History { seconds: 90 }));
    assert!(seconds(|blob| blob.put_double(Some("seconds"), f64::INFINITY)).is_err());
}

#[test]
fn an_audit_waits_only_on_request() {
    let audit = |packets, format, waiting| {
        Ok(Request::Audit { options: AuditOptions { packets, deep: false }, format, waiting })
    };
    assert_eq!(call("audit", |_| ()), audit(DEFAULT_AUDIT_PACKETS, Format::Values, false));
    let wait = |blob: &mut BlobBuilder| {
        blob.put_i32(Some("packets"), 500);
        blob.put_bool(Some("wait"), true);
        blob.put_str(Some("form"), "json");
    };
    assert_eq!(call("audit", wait), audit(500, Format::Json, true));
    assert_eq!(call("audit", |blob| blob.put_str(Some("wait"), "yes")), Err("audit.wait: want true or false".into()));
}

#[test]
fn errors_of_calls_name_the_argument() {
    let invalid = call("history", |blob| blob.put_str(Some("seconds"), "60"));
    assert_eq!(invalid, Err("history.seconds: want a whole number, got a string".into()));
    let invalid = call("status", |blob| blob.put_i32(Some("form"), 1));
    assert_eq!(invalid, Err("status.form: want text, json or values".into()));
    let invalid = Err("advised.level: want saver, balanced or strict".into());
    assert_eq!(call("advised", |blob| blob.put_str(Some("level"), "off")), invalid);
    assert_eq!(call("advised", |blob| blob.put_i32(Some("level"), 1)), invalid);
    let malformed = call::parse("status", &[0x83, 0, 0, 99, 1]).unwrap_err();
    assert!(malformed.status == UBUS_STATUS_INVALID_ARGUMENT && malformed.text.contains("malformed"));
    for unknown in ["advice", "metrics", ""] {
        let error = call::parse(unknown, &[]).unwrap_err();
        assert_eq!(error.status, UBUS_STATUS_METHOD_NOT_FOUND);
        for spec in REQUESTS {
            assert_eq!(error.text.contains(spec.name), spec.is_method, "{} in {}", spec.name, error.text);
        }
    }
}

#[test]
fn noise_never_panics() {
    let seed = 20_261_126;
    println!("seed {seed}");
    let mut rng = rand::rngs::ChaCha8Rng::seed_from_u64(seed);
    for request in samples().into_iter().cycle().take(4000) {
        let mut text = line::write(request).into_bytes();
        let (method, arguments) = call::write(request).unwrap_or(("status", BlobMsgTable::empty()));
        let mut arguments = arguments.contents().to_vec();
        for bytes in [&mut text, &mut arguments] {
            for _ in 0..rng.random_range(1..4) {
                match rng.random_range(0..=bytes.len()) {
                    at if at < bytes.len() => bytes[at] = rng.random(),
                    _ => bytes.push(b' '),
                }
            }
        }
        _ = line::parse(&String::from_utf8_lossy(&text));
        _ = call::parse(method, &arguments);
    }
}
