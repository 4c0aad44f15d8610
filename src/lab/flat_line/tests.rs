//! A flat line passes, and the matching check finds each planted fault.

use std::fs;
use std::path::{Path, PathBuf};

use super::*;
use crate::lab::capture::{LinkType, PcapWriter};
use crate::lab::simulate::{SentCell, SimulationConfig, simulate, wire};
use crate::lab::trace::HomeTrace;
use crate::units::{BitsPerSec, Nanos};

const SECONDS: u64 = 120;
const ROUTER_JSON: &str = r#"{"interface":1,"state":"shaping","peers":[{"name":"endpoint","cells_data":1,
    "cells_received":9000,"cells_lost":0,"drops":{"overflow":2},"lateness_us":{"p50":3,"p99":40,"max":90}}]}"#;
const ENDPOINT_JSON: &str = r#"{"interface":1,"peers":[{"cells_received":4000,"cells_lost":3,"drops":{},
    "lateness_us":{"p50":4,"p99":50,"max":95}}]}"#;
const PROC_JSON: &str = r#"{"router":{"rss_kb":1800,"anon_kb":700,"cpu_percent":1.5},
    "endpoint":{"rss_kb":1900,"anon_kb":800,"cpu_percent":2.5}}"#;
const PACKETS: &str = "device,direction,seq,bytes,sent_ns,received_ns
camera,up,1,1400,1000,9001000
camera,up,2,1400,2000,
plug,down,1,100,1000,21001000
";

/// A busy and an idle run as the laboratory writes them, in a folder that is removed after the test.
struct TestRuns(PathBuf);

impl TestRuns {
    fn new(name: &str, law: Law) -> TestRuns {
        let root = std::env::temp_dir().join(format!("millpond-flat-{}-{name}", std::process::id()));
        let runs = TestRuns(root);
        for (load, seed) in [(Workload::Busy, 21), (Workload::Idle, 22)] {
            let folder = runs.folder(law, load);
            fs::create_dir_all(&folder).unwrap();
            let run = format!(
                r#"{{"law":"{law}","load":"{}","upload_bps":160000,"download_bps":320000,"wire_bytes":508,
                "router_wan":"198.51.100.10","endpoint":"203.0.113.7","tunnel_port":51820,
                "start_ns":0,"stop_ns":{SECONDS}000000000,"seed":{seed}}}"#,
                load.name()
            );
            fs::write(folder.join("run.json"), run).unwrap();
            fs::write(folder.join("router.json"), ROUTER_JSON).unwrap();
            fs::write(folder.join("endpoint.json"), ENDPOINT_JSON).unwrap();
            fs::write(folder.join("proc.json"), PROC_JSON).unwrap();
            fs::write(folder.join("faults.txt"), "").unwrap();
            fs::write(folder.join("packets.csv"), PACKETS).unwrap();
            capture(
                &folder,
                &SimulationConfig { law, spread_percent: spread(law), seed, ..SimulationConfig::default() },
            );
        }
        runs
    }

    fn folder(&self, law: Law, load: Workload) -> PathBuf {
        self.0.join(format!("{law}-{}", load.name()))
    }

    fn write(&self, law: Law, load: Workload, file: &str, text: &str) {
        fs::write(self.folder(law, load).join(file), text).unwrap();
    }

    /// Replaces the captures by ones with trains of so many cells, where four are promised.
    fn replace_by_trains(&self, train: u8) {
        for (load, seed) in [(Workload::Busy, 21), (Workload::Idle, 22)] {
            let folder = self.folder(Law::Gamma, load);
            let text = fs::read_to_string(folder.join("run.json")).unwrap();
            fs::write(folder.join("run.json"), text.replace("\"seed\"", "\"trains\":[4,4],\"seed\"")).unwrap();
            capture(&folder, &SimulationConfig { seed, train: Some(train), ..SimulationConfig::default() });
        }
    }

    /// The failed checks, one line each.
    fn failures(&self) -> Vec<String> {
        let (_, checks) = judge(&analyse_runs(&self.0).unwrap(), &Law::ALL, None);
        let failed = checks.iter().filter(|check| check.verdict == Verdict::Failed);
        failed.map(|check| check.to_string()).collect()
    }
}

impl Drop for TestRuns {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn spread(law: Law) -> u8 {
    if law == Law::Normal { 15 } else { 33 }
}

/// Writes a simulated capture, plus the packets that `more` adds.
fn capture_with(folder: &Path, setup: &SimulationConfig, more: impl FnOnce(&mut PcapWriter)) {
    let mut writer = PcapWriter::create(&folder.join("wan.pcap"), LinkType::Ethernet).unwrap();
    let silent = HomeTrace { devices: Vec::new(), length: Nanos::from_secs(SECONDS) };
    simulate(&silent, setup, |cell: SentCell<'_>| wire::record(&mut writer, &cell).unwrap()).unwrap();
    more(&mut writer);
    writer.finish().unwrap();
}

fn capture(folder: &Path, setup: &SimulationConfig) {
    capture_with(folder, setup, |_| {});
}

/// An Ethernet frame with UDP from the router to `destination`, whose payload starts with `first`.
fn frame(destination: [u8; 4], port: u16, first: u8) -> Vec<u8> {
    let [high, low] = port.to_be_bytes();
    let mut frame = vec![2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2, 0x08, 0x00];
    frame.extend([0x45, 0, 0, 60, 0, 0, 0, 0, 64, 17, 0, 0, 198, 51, 100, 10]);
    frame.extend(destination);
    frame.extend([0xca, 0x6c, high, low, 0, 40, 0, 0, first, 0, 0, 0]);
    frame
}

/// A firewall that admits only one kind of cells has this effect.
#[test]
fn detects_cells_that_do_not_reach_the_receiver() {
    let runs = TestRuns::new("missing", Law::Gamma);
    let missing = ROUTER_JSON.replace("\"cells_lost\":0", "\"cells_lost\":7000");
    runs.write(Law::Gamma, Workload::Busy, "router.json", &missing);
    let failures = runs.failures();
    assert!(failures.len() == 1 && failures[0].contains("7000 missing"), "{failures:?}");
}

const ENDPOINT: [u8; 4] = [203, 0, 113, 7];
const MIDDLE_NS: u64 = SECONDS / 2 * 1_000_000_000;

#[test]
fn a_flat_line_passes() {
    for law in [Law::Gamma, Law::Normal, Law::Constant] {
        let runs = TestRuns::new(&format!("passes-{law}"), law);
        assert_eq!(runs.failures(), Vec::<String>::new());
        let (report, checks) = judge(&analyse_runs(&runs.0).unwrap(), &Law::ALL, None);
        assert_eq!((report.runs.len(), report.comparisons.len()), (4, 2));
        assert_eq!(checks.iter().filter(|check| check.verdict == Verdict::Skipped).count(), 3);
        let up = &report.runs[0];
        assert_eq!((up.wire.sizes.len(), up.wire.sizes[&508]), (1, up.wire.packets));
        let camera = &up.devices[0];
        assert_eq!((camera.name.as_str(), camera.sent, camera.received, camera.lost), ("camera", 2, 1, 1));
        assert_eq!(camera.delay_ms.mean, 9.0);
        assert_eq!(up.daemon.rss_kb, 1800.0);
    }
}

/// The same with trains: of cells that leave together, only the first ends an interval, and each train must be whole.
#[test]
fn a_flat_line_of_trains_passes() {
    let runs = TestRuns::new("trains", Law::Gamma);
    runs.replace_by_trains(4);
    assert_eq!(runs.failures(), Vec::<String>::new());
    let (report, _) = judge(&analyse_runs(&runs.0).unwrap(), &[Law::Gamma], None);
    let interval_ms = &report.runs[0].wire.interval_ms;
    assert!((interval_ms.mean / 101.6 - 1.0).abs() < 0.05, "{interval_ms:?}");
    assert!((interval_ms.sd / interval_ms.mean - 0.33).abs() < 0.03, "{interval_ms:?}");
}

/// Half a train on the wire is a fault.
#[test]
fn detects_trains_that_are_not_whole() {
    let runs = TestRuns::new("half-trains", Law::Gamma);
    runs.replace_by_trains(2);
    let failures = runs.failures();
    assert!(failures.iter().filter(|line| line.contains("every train has 4 cells")).count() == 4, "{failures:?}");
}

#[test]
fn an_emulated_router_must_keep_within_its_budgets() {
    let runs = TestRuns::new("resources", Law::Gamma);
    let machine = || RouterResources::read(&runs.0, &analyse_runs(&runs.0).unwrap()).unwrap();
    assert!(machine().is_none(), "a router in a namespace has no package");
    fs::write(runs.0.join("package.json"), r#"{"package_bytes": 400000, "installed_bytes": 1000000}"#).unwrap();
    let counts = r#"{"cells": 100, "program": 1500000, "machine": 9000000}"#;
    runs.write(Law::Gamma, Workload::Busy, "instructions.json", counts);
    let machine = machine().unwrap();
    let failures = |machine: &RouterResources| {
        let (_, checks) = judge(&[], &[], Some(machine.clone()));
        checks.iter().filter(|check| check.verdict == Verdict::Failed).count()
    };
    assert_eq!((machine.rss_kb, machine.anon_kb, machine.cpu_percent), (1800.0, 700.0, 1.5));
    assert_eq!(machine.instructions_per_cell, Some(15_000.0));
    assert_eq!(machine.machine_instructions_per_cell, Some(90_000.0));
    assert_eq!(failures(&machine), 0);
    assert_eq!(failures(&RouterResources { package_bytes: 600_001, rss_kb: 2561.0, anon_kb: 1025.0, ..machine }), 3);
}

#[test]
fn counts_handshakes_and_link_layer_frames_separately() {
    let runs = TestRuns::new("handshakes", Law::Gamma);
    let setup = SimulationConfig { seed: 21, ..SimulationConfig::default() };
    capture_with(&runs.folder(Law::Gamma, Workload::Busy), &setup, |writer| {
        writer.packet(MIDDLE_NS, 190, &frame(ENDPOINT, 51_820, 1)).unwrap();
        let arp = [&[0xff; 6][..], &[2; 6], &[0x08, 0x06], &[0; 28]].concat();
        writer.packet(MIDDLE_NS, 42, &arp).unwrap();
    });
    assert_eq!(runs.failures(), Vec::<String>::new());
    let (report, _) = judge(&analyse_runs(&runs.0).unwrap(), &Law::ALL, None);
    assert_eq!((report.runs[0].wire.handshakes, report.runs[0].wire.link_layer), (1, 1));
}

/// An OpenVPN data packet of key 0 starts with 0x48, a control packet with 0x20; 0x78 is no valid opcode.
#[test]
fn recognises_openvpn_packets_by_opcode() {
    for (first, expected) in [(0x20, None), (0x28, None), (0x48, Some("one size")), (0x78, Some("no packet outside"))] {
        let runs = TestRuns::new(&format!("openvpn-{first}"), Law::Gamma);
        let folder = runs.folder(Law::Gamma, Workload::Idle);
        let run = fs::read_to_string(folder.join("run.json")).unwrap();
        fs::write(folder.join("run.json"), run.replace("{\"law\"", "{\"tunnel\":\"openvpn\",\"law\"")).unwrap();
        let mut writer = PcapWriter::create(&folder.join("wan.pcap"), LinkType::Ethernet).unwrap();
        writer.packet(MIDDLE_NS, 74, &frame(ENDPOINT, 51_820, first)).unwrap();
        writer.finish().unwrap();
        let failures = runs.failures();
        let found = |what: &str| failures.iter().any(|line| line.contains("gamma idle up") && line.contains(what));
        let of_a_cell = expected == Some("one size") && failures.iter().any(|line| line.contains("(60 x 1; 0 hand"));
        match expected {
            Some("one size") => assert!(of_a_cell, "{failures:?}"),
            Some(what) => assert!(found(what), "{failures:?}"),
            None => assert!(!found("no packet outside") && found("(; 1 handshakes)"), "{failures:?}"),
        }
    }
}

#[test]
fn detects_planted_packets() {
    let cases: [(&str, Vec<u8>, &str); 5] = [
        ("keep-alive of 32 bytes", frame(ENDPOINT, 51_820, 4), "one size of 508"),
        ("DNS", frame([9, 9, 9, 9], 53, 0), "no packet outside the tunnel"),
        ("another port of the endpoint", frame(ENDPOINT, 443, 4), "no packet outside the tunnel"),
        ("unknown message", frame(ENDPOINT, 51_820, 9), "no packet outside the tunnel"),
        ("foreign ethertype", [&[1; 12][..], &[0x88, 0xcc], &[0; 40]].concat(), "no packet outside the tunnel"),
    ];
    for (index, (name, bytes, expected)) in cases.into_iter().enumerate() {
        let runs = TestRuns::new(&format!("planted-{index}"), Law::Gamma);
        let setup = SimulationConfig { seed: 21, ..SimulationConfig::default() };
        capture_with(&runs.folder(Law::Gamma, Workload::Busy), &setup, |writer| {
            writer.packet(MIDDLE_NS, 74, &bytes).unwrap();
        });
        let failures = runs.failures();
        assert!(failures.iter().any(|line| line.contains(expected) && line.contains("up")), "{name}: {failures:?}");
    }
}

#[test]
fn detects_rates_and_intervals_that_depend_on_load() {
    let runs = TestRuns::new("rate", Law::Gamma);
    let faster =
        SimulationConfig { upload: crate::units::BitsPerSec::from_kbit(168), seed: 21, ..SimulationConfig::default() };
    capture(&runs.folder(Law::Gamma, Workload::Busy), &faster);
    let failures = runs.failures();
    assert!(failures.iter().any(|line| line.contains("gamma busy up rate within")), "{failures:?}");
    assert!(failures.iter().any(|line| line.contains("gamma up busy and idle have the same rate")), "{failures:?}");
    assert!(!failures.iter().any(|line| line.contains("down")), "{failures:?}");

    let narrower = SimulationConfig { spread_percent: 25, seed: 21, ..SimulationConfig::default() };
    capture(&runs.folder(Law::Gamma, Workload::Busy), &narrower);
    let failures = runs.failures();
    assert!(
        failures.iter().any(|line| line.contains("gamma up busy and idle have the same intervals")),
        "{failures:?}"
    );
}

#[test]
fn detects_losses_and_faults() {
    let law = Law::Constant;
    let runs = TestRuns::new("losses", law);
    runs.write(law, Workload::Busy, "packets.csv", &PACKETS.replace("21001000", ""));
    runs.write(law, Workload::Idle, "faults.txt", "plug up 7 reordered\n");
    let failures = runs.failures();
    assert_eq!(failures.len(), 2, "{failures:?}");
    assert!(
        failures[0]
            .contains("constant busy down packets that the queue accepted arrive (1 sent, 0 received, 0 dropped")
    );
    assert!(failures[1].contains("constant idle packets arrive intact and in order (1 faults"), "{failures:?}");
    let broken = ENDPOINT_JSON.replace("\"drops\":{}", "\"drops\":{\"malformed_block\":1}");
    runs.write(law, Workload::Idle, "endpoint.json", &broken);
    assert!(runs.failures().iter().any(|line| line.contains("idle up the receiver drops nothing (malformed_block 1)")));
}

#[test]
fn errors_name_the_unusable_file() {
    let runs = TestRuns::new("unusable", Law::Gamma);
    let message = |runs: &TestRuns| analyse_runs(&runs.0).err().map(|error| error.to_string()).unwrap_or_default();
    runs.write(Law::Gamma, Workload::Busy, "packets.csv", "nonsense");
    assert!(message(&runs).contains("packets.csv line 1"), "{}", message(&runs));
    runs.write(Law::Gamma, Workload::Busy, "packets.csv", &format!("{PACKETS}camera,sideways,3,100,1,2\n"));
    assert!(message(&runs).contains("packets.csv line 5"), "{}", message(&runs));
    runs.write(Law::Gamma, Workload::Busy, "run.json", "{\"law\":\"gamma\"}");
    assert!(message(&runs).contains("run.json"), "{}", message(&runs));
    assert!(analyse_runs(Path::new("/nonexistent")).err().unwrap().to_string().contains("it contains no run"));
}

#[test]
fn excuses_only_slots_that_the_daemon_reports_as_missed() {
    let runs = TestRuns::new("missed", Law::Constant);
    let law = Law::Constant;
    let slower = SimulationConfig { law, seed: 21, upload: BitsPerSec(150_000), ..SimulationConfig::default() };
    capture(&runs.folder(law, Workload::Busy), &slower);
    let off = |runs: &TestRuns| runs.failures().iter().filter(|line| line.contains("busy up rate within")).count();
    assert_eq!(off(&runs), 1);
    // 160 kbit/s for 120 s are 4724 cells, 150 kbit/s are 4429.
    runs.write(
        law,
        Workload::Busy,
        "proc.json",
        &PROC_JSON.replacen("\"rss_kb\"", "\"missed_slots\":295,\"rss_kb\"", 1),
    );
    assert_eq!(off(&runs), 0);
}

/// The daemon is asked shortly before and after the window, so a missed slot may lie outside it.
#[test]
fn accepts_full_rates_beside_slots_missed_outside_the_window() {
    let law = Law::Constant;
    let runs = TestRuns::new("outside", law);
    let missed = PROC_JSON.replacen("\"rss_kb\"", "\"missed_slots\":8,\"rss_kb\"", 1);
    runs.write(law, Workload::Busy, "proc.json", &missed);
    assert_eq!(runs.failures(), Vec::<String>::new());
}
