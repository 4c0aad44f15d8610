//! The daemon's answers keep their keys: each is compared with a golden file, as JSON and as blobmsg.

use std::collections::BTreeSet;
use std::path::PathBuf;

use millpond::daemon::answers::*;
use serde_json::Value;

/// The units that end a number's key. A rate in bytes ends in `_bytes_per_s`, a price is in the owner's currency, and
/// `p` is a probability.
const UNITS: [&str; 13] =
    ["bytes", "ms", "us", "s", "kbit", "percent", "gb", "unix", "price", "days", "packets", "seconds", "p"];

/// Keys of numbers without a unit: counts, numbers that name something, and a version.
const COUNTS: [&str; 23] = [
    "bursts_a_day",
    "decoys_a_day",
    "train_cells",
    "interface",
    "number",
    "cells_data",
    "cells_cover",
    "cells_received",
    "cells_lost",
    "missed_slots",
    "strays",
    "handshakes",
    "malformed_packet",
    "overflow",
    "aged",
    "malformed_cell",
    "late_cell",
    "ancient_cell",
    "malformed_block",
    "lost_fragment",
    "newer_control",
    "malformed_control",
    "not_fetched",
];

const ADVISED_SHAPE: AdvisedShape = AdvisedShape { upload_kbit: 240, download_kbit: 480, cell_bytes: 1_280 };

/// Keys whose unit stands at their beginning.
const UNIT_FIRST: [&str; 4] = ["bytes_in", "bytes_out", "packets_in", "packets_out"];

/// An answer with every optional key, in both forms.
struct Sample {
    name: &'static str,
    json: String,
    blobmsg: String,
    /// The JSON of the answer that was read back from `json`.
    #[cfg(feature = "lab")]
    read_back: String,
}

#[cfg(feature = "lab")]
fn sample<T: serde::Serialize + serde::de::DeserializeOwned>(name: &'static str, answer: &T) -> Sample {
    let json = to_json(answer).unwrap();
    let read: T = serde_json::from_str(&json).unwrap_or_else(|error| panic!("{name}: {error}"));
    Sample { name, blobmsg: blobmsg(answer), read_back: to_json(&read).unwrap(), json }
}

#[cfg(not(feature = "lab"))]
fn sample<T: serde::Serialize>(name: &'static str, answer: &T) -> Sample {
    Sample { name, blobmsg: blobmsg(answer), json: to_json(answer).unwrap() }
}

fn blobmsg(answer: &impl serde::Serialize) -> String {
    ubus::blobmsg::to_json(to_table(answer).unwrap().contents(), true)
}

fn some(number: f64) -> Option<Rounded> {
    Some(Rounded(number))
}

fn samples() -> Vec<Sample> {
    vec![
        sample("status", &status()),
        sample("state", &StateAnswer { state: "shaping".into() }),
        sample("state-event", &state_event()),
        sample("devices", &devices()),
        sample("history", &history()),
        sample("advise", &advice()),
        sample("advised", &AdvisedAnswer::new(Some(ADVISED_SHAPE))),
        sample("audit", &audit()),
        sample("audited", &AuditedAnswer::new(Some(false))),
        sample("audit-started", &AuditStarted { running: true, packets: 2000, expected_s: Rounded(16.6667) }),
        sample(
            "status-first-audit",
            &StatusAnswer { audit: Some(StatusAudit::First { running: true }), ..bare_status() },
        ),
    ]
}

fn state_event() -> StateEvent {
    StateEvent { state: "degraded".into(), before: "shaping".into(), problems: vec!["name".into(), "clock".into()] }
}

/// The status without settings, sessions and problems.
fn bare_status() -> StatusAnswer {
    StatusAnswer {
        interface: 1,
        version: "0.1.0".into(),
        state: "blocked".into(),
        state_age_s: Rounded(0.5),
        uptime_s: Rounded(1.25),
        role: None,
        level: None,
        level_by: None,
        wan: None,
        promise: None,
        burst: None,
        off: None,
        law: None,
        upload_kbit: None,
        download_kbit: None,
        cell: None,
        clock_set: false,
        data: None,
        audit: None,
        home_upload_bytes: 0,
        home_download_bytes: 0,
        wire_upload_bytes: 0,
        wire_download_bytes: 0,
        delay_now_ms: None,
        peers: Vec::new(),
        problems: Vec::new(),
    }
}

fn status() -> StatusAnswer {
    StatusAnswer {
        state: "shaping".into(),
        role: Some("endpoint".into()),
        level: Some("balanced".into()),
        level_by: Some("cap-day".into()),
        wan: Some("wwan".into()),
        promise: Some(PromiseAnswer::Weaker("bounded".into())),
        burst: Some(BurstAnswer {
            bursting: true,
            upload_kbit: Rounded(600.0),
            download_kbit: Rounded(60.5),
            slot_s: Rounded(10.0),
            linger_p: Rounded(0.65),
            watched_days: Rounded(6.5),
            bursts_a_day: Some(260),
            decoys_a_day: Some(239),
            burst_percent: some(7.71),
            event_percent: some(16.125),
            event_s: some(31.5),
            quiet_percent: some(99.978),
        }),
        off: Some("tunnel".into()),
        law: Some("gamma".into()),
        upload_kbit: some(160.0),
        download_kbit: some(320.5),
        cell: Some(CellBytes { wire_bytes: 508, inner_bytes: 448 }),
        clock_set: true,
        data: Some(UsageAnswer {
            used_bytes: 123_456_789_012,
            forecast_bytes: 222_222_222_222,
            since_unix: 1_780_272_000,
            until_unix: 1_782_864_000,
            cap_period: "month".into(),
            cap_bytes: Some(300_000_000_000),
            share_percent: some(41.152),
            forecast_percent: some(74.074),
            price_per_gb: some(2.5),
            forecast_price: some(0.0),
        }),
        audit: Some(StatusAudit::Last(Box::new(audit().in_status(false, Rounded(3600.125))))),
        home_upload_bytes: 1_000,
        home_download_bytes: 2_000,
        wire_upload_bytes: 3_000_000_000,
        wire_download_bytes: 4_000_000_000,
        delay_now_ms: some(17.5),
        peers: vec![PeerAnswer {
            name: "maple \"street\"".into(),
            address: "10.77.0.2".into(),
            state: "shaping".into(),
            state_age_s: Rounded(19.875),
            law: Some("gamma".into()),
            download_kbit: some(320.0),
            cell_wire_bytes: Some(508),
            train_cells: Some(8),
            cells_data: 20,
            cells_cover: 753,
            cells_received: 1567,
            cells_lost: 1,
            missed_slots: 2,
            packets_in: 40,
            packets_out: 41,
            bytes_in: 6000,
            bytes_out: 6100,
            drops: DropCounts { overflow: 3, not_fetched: 4, ..DropCounts::default() },
            delay_ms: Percentiles { mean: Rounded(9.25), p50: Rounded(7.0), p99: Rounded(42.75), max: Rounded(50.125) },
            lateness_us: Percentiles {
                mean: Rounded(12.0),
                p50: Rounded(11.0),
                p99: Rounded(40.5),
                max: Rounded(99.0),
            },
            min_watch_days: some(64.5),
            devices: vec![DeviceDelay {
                number: 1,
                packets: 40,
                bytes: 6000,
                delay_mean_ms: Rounded(9.25),
                delay_max_ms: Rounded(50.125),
            }],
        }],
        problems: vec![ProblemAnswer {
            code: "clock".into(),
            severity: "warning".into(),
            text: "the clock is not set".into(),
            fix: "set the clock".into(),
        }],
        ..bare_status()
    }
}

fn audit() -> AuditAnswer {
    let received = AuditFinding {
        packets: 1_300,
        wrong_size_packets: 1,
        sizes: vec![SizeCount { bytes: 508, packets: 1_299 }, SizeCount { bytes: 60, packets: 1 }],
        rate_kbit: Rounded(319.5),
        promised_kbit: some(320.0),
        interval_mean_ms: Rounded(12.75),
        interval_max_ms: Rounded(40.125),
        fit_p: some(0.625),
        lateness_p99_us: None,
        lateness_max_us: None,
        min_watch_days: None,
    };
    AuditAnswer {
        running: None,
        age_s: None,
        at_unix: Some(1_800_000_000),
        seconds: 17,
        packets: 2_000,
        wire_bytes: 508,
        strays: 1,
        handshakes: 2,
        faults: vec!["download: 1 of 1300 packets do not have the promised size".into()],
        quotes: Some(vec![QuoteAnswer {
            device: "camera".into(),
            kind: "answer".into(),
            service: "ICMP".into(),
            packets: 3,
        }]),
        upload: Some(AuditFinding {
            packets: 700,
            lateness_p99_us: some(40.5),
            lateness_max_us: some(99.0),
            min_watch_days: some(64.5),
            ..received.clone()
        }),
        download: Some(received),
        sends_upload: true,
    }
}

#[test]
fn an_audit_says_what_the_lateness_means() {
    let text = audit().to_string();
    let lines = "lateness of departures: 40 us p99, 99 us max\nat this lateness it takes at least 64 days of watching";
    assert!(text.contains(lines), "{text}");
}

fn devices() -> DevicesAnswer {
    let camera = DeviceAnswer {
        mac: Some("18:b4:30:26:34:40".into()),
        other_macs: Vec::new(),
        random_mac: Some(false),
        addresses: vec!["192.168.1.11".into(), "fd00::11".into()],
        hostname: Some("cam\"01".into()),
        name: Some("Door camera".into()),
        network: Some("lan".into()),
        interface: Some("br-lan".into()),
        policy: Some("shape".into()),
        chosen_by: "device".into(),
        last_seen_s: Some(2),
        upload_packets: Some(2),
        upload_bytes: Some(300),
        download_packets: Some(0),
        download_bytes: Some(0),
        delay_mean_ms: some(15.0),
        delay_max_ms: some(20.0),
    };
    DevicesAnswer { devices: vec![camera], cut: false }
}

fn history() -> HistoryAnswer {
    HistoryAnswer {
        seconds: 300,
        resolution_s: 1,
        home_upload_bytes_per_s: vec![0, 1_000],
        home_download_bytes_per_s: vec![20, 30],
        wire_upload_bytes_per_s: vec![20_000, 20_000],
        wire_download_bytes_per_s: vec![40_000, u32::MAX],
    }
}

fn advice() -> AdviceAnswer {
    let delays = StepDelays {
        delay_mean_ms: Rounded(100.5),
        delay_median_ms: Rounded(90.0),
        delay_p99_ms: Rounded(400.25),
        delay_max_ms: Rounded(900.125),
        lost_percent: Rounded(0.5),
        has_delays: true,
    };
    AdviceAnswer {
        watched_s: Rounded(86_400.5),
        packets: 12_345,
        missed_packets: 6,
        confidence: "fair".into(),
        confidence_text: "observed for 24 h".into(),
        cap_gb: Some(300),
        price_per_gb: some(2.5),
        month_days: 30,
        steps: vec![StepAdvice {
            kbit: 60,
            month_gb: Rounded(19.44),
            cap_percent: some(6.48),
            month_price: some(0.0),
            upload: delays,
            download: delays,
        }],
        devices: vec![DeviceAdvice {
            name: "camera".into(),
            number: 2,
            tolerance_ms: 17_600,
            watched_only: false,
            upload_packets: 700,
            upload_mean_ms: vec![100, 50],
            upload_median_ms: vec![90, 40],
            upload_p99_ms: vec![400, 200],
            upload_max_ms: vec![900, 500],
            saver_upload_kbit: Some(60),
            balanced_upload_kbit: Some(80),
            strict_upload_kbit: Some(120),
            download_packets: 800,
            download_mean_ms: vec![101, 51],
            download_median_ms: vec![91, 41],
            download_p99_ms: vec![401, 201],
            download_max_ms: vec![901, 501],
            saver_download_kbit: Some(16),
            balanced_download_kbit: Some(24),
            strict_download_kbit: Some(40),
        }],
        levels: vec![LevelAdvice {
            level: "strict".into(),
            in_force: true,
            upload_kbit: Rounded(320.0),
            download_kbit: Rounded(640.0),
            month_gb: Rounded(311.04),
            cap_percent: some(103.68),
            month_price: some(27.6),
            delay_mean_ms: some(20.0),
            delay_median_ms: some(19.0),
            delay_p99_ms: some(60.5),
            delay_max_ms: some(80.25),
            guarantee: "every observed packet waits less than its device's tolerance".into(),
            advised_upload_kbit: Some(240),
            advised_download_kbit: Some(480),
            advised_month_gb: some(233.28),
            advised_cap_percent: some(77.76),
            advised_month_price: some(0.0),
            advised_cell_bytes: Some(1_280),
            advised_saves_gb: some(77.76),
        }],
        bursts: vec![BurstPrice {
            decoy_p: Rounded(0.03),
            month_gb: Rounded(30.25),
            flat_month_gb: some(207.36),
            burst_percent: Rounded(7.71),
            event_percent: Rounded(16.125),
        }],
    }
}

fn value(json: &str) -> Value {
    serde_json::from_str(json).unwrap_or_else(|error| panic!("{error} in {json}"))
}

/// Every value with its path. Numbers are floats: JSON does not tell 2 from 2.0.
fn leaves(path: &str, value: &Value, found: &mut Vec<(String, String)>) {
    match value {
        Value::Object(members) => {
            members.iter().for_each(|(key, value)| leaves(&format!("{path}.{key}"), value, found));
        }
        Value::Array(items) => {
            found.push((path.to_owned(), format!("{} items", items.len())));
            items.iter().enumerate().for_each(|(at, value)| leaves(&format!("{path}[{at}]"), value, found));
        }
        Value::Number(number) => found.push((path.to_owned(), format!("{:?}", number.as_f64()))),
        other => found.push((path.to_owned(), other.to_string())),
    }
}

fn all_leaves(json: &str) -> Vec<(String, String)> {
    let mut found = Vec::new();
    leaves("", &value(json), &mut found);
    found
}

#[test]
fn answers_keep_their_keys_and_values() {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/golden/answers");
    let mut names = BTreeSet::new();
    for Sample { name, json, blobmsg, .. } in samples() {
        let golden = std::fs::read_to_string(folder.join(format!("{name}.json")));
        let golden = golden.unwrap_or_else(|error| panic!("{name}.json: {error}; the answer is {json}"));
        assert_eq!(all_leaves(&json), all_leaves(&golden), "{name} as JSON");
        assert_eq!(all_leaves(&blobmsg), all_leaves(&golden), "{name} as blobmsg");
        names.insert(format!("{name}.json"));
    }
    let files = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
    assert_eq!(files.collect::<BTreeSet<_>>(), names, "one file for each answer");
}

/// On the control socket.
#[test]
fn an_answer_of_one_fact_is_a_line() {
    assert_eq!(StateAnswer { state: "shaping".into() }.to_string(), "shaping\n");
    assert_eq!(AdvisedAnswer::new(Some(ADVISED_SHAPE)).to_string(), "240 480 1280\n");
    assert_eq!(AdvisedAnswer::new(None).to_string(), "none\n");
    let audited = |passed| AuditedAnswer::new(passed).to_string();
    assert_eq!([Some(true), Some(false), None].map(audited), ["passed\n", "faults\n", "none\n"]);
}

#[test]
fn every_number_names_its_unit() {
    fn check(path: &str, unit_of_object: bool, key: &str, value: &Value) {
        let key = key.strip_suffix("_per_s").unwrap_or(key);
        let has_unit = UNITS.contains(&key.rsplit('_').next().unwrap_or_default())
            || COUNTS.contains(&key)
            || UNIT_FIRST.contains(&key)
            || key.ends_with("price_per_gb");
        match value {
            Value::Number(_) => assert!(has_unit || unit_of_object, "{path}: which unit?"),
            // The keys of `delay_ms` and `lateness_us` are statistics in the unit of the object.
            Value::Object(members) => {
                for (member, value) in members {
                    check(&format!("{path}.{member}"), ["delay_ms", "lateness_us"].contains(&key), member, value);
                }
            }
            Value::Array(items) => items.iter().for_each(|item| check(path, unit_of_object, key, item)),
            _ => {}
        }
    }
    for Sample { name, json, .. } in samples() {
        check(name, false, "", &value(&json));
    }
}

/// The laboratory reads the same structs.
#[cfg(feature = "lab")]
#[test]
fn answers_are_read_back() {
    for Sample { name, json, read_back, .. } in samples() {
        assert_eq!(read_back, json, "{name}");
    }
}
