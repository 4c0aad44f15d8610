//! The laboratory on captures as people's tools write them: link types, formats, copies, clocks and addresses.

#[path = "common/captures.rs"]
mod made;

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use made::{CAMERA, CapturedFlow, Encapsulation, Flow, TempFolder, text};

/// Address space of a command in KiB: far above what these captures need, far below what their span would.
const MEMORY_KIB: u64 = 512 * 1024;

fn lab(memory_kib: u64, arguments: &[&str]) -> Output {
    Command::new("sh")
        .args(["-c", "ulimit -v \"$0\" && exec \"$@\"", &memory_kib.to_string(), env!("CARGO_BIN_EXE_millpond-lab")])
        .args(arguments)
        .env("MILLPOND_DATA", "/nonexistent")
        .output()
        .unwrap()
}

/// Standard output and standard error.
fn texts(output: &Output) -> (String, String) {
    (String::from_utf8_lossy(&output.stdout).into_owned(), String::from_utf8_lossy(&output.stderr).into_owned())
}

/// Runs a command and returns its texts and its exit code. Its last line must account for the packets.
fn run(arguments: &[&str], accounted: &str) -> (String, String, Option<i32>) {
    let output = lab(MEMORY_KIB, arguments);
    let (stdout, stderr) = texts(&output);
    let last = stderr.lines().last().unwrap_or_default();
    assert!(last.contains(accounted), "{arguments:?}: expected `{accounted}` at the end of:\n{stderr}");
    (stdout, stderr, output.status.code())
}

/// Extracts the camera's trace from a capture: its lines, and what the command wrote to stderr.
fn trace(folder: &TempFolder, capture: &Path, accounted: &str) -> (Vec<String>, String) {
    let (out, path) = (folder.path("traces"), text(capture));
    let (_, stderr, code) = run(&["trace", "--mac", CAMERA, "--out", text(&out), path], accounted);
    assert_eq!(code, Some(0), "{path}: {stderr}");
    let text = std::fs::read_to_string(out.join("device.csv")).unwrap();
    (text.lines().skip(1).map(str::to_owned).collect(), stderr)
}

/// The same packets give the same trace, whatever carries them.
#[test]
fn a_device_is_followed_through_every_encapsulation() {
    let folder = TempFolder::new("encapsulations");
    let flow = Flow::of_camera(120);
    let expected = flow.trace_lines();
    // Raw packets name no device, and the outer headers of DS-Lite belong to a line, not to a LAN.
    let of_lan = |own: &Encapsulation| *own != Encapsulation::RawIp && own.outer_ip_bytes() == 0;
    for encapsulation in Encapsulation::ALL.into_iter().filter(of_lan) {
        let capture = folder.write(&flow.captured(encapsulation));
        let (lines, _) = trace(&folder, &capture, "used 120 of 120 packets in 1 capture");
        assert_eq!(lines, expected, "{encapsulation:?}");
    }
}

#[test]
fn packets_without_a_mac_address_are_named_and_counted() {
    let folder = TempFolder::new("raw");
    let capture = folder.write(&Flow::of_camera(90).captured(Encapsulation::RawIp));
    let path = text(&capture);
    let out = folder.path("out");
    for arguments in [
        &["activity", path][..],
        &["activity", "--json", path],
        &["identify", path],
        &["trace", "--mac", CAMERA, "--out", text(&out), path],
    ] {
        let (stdout, stderr, code) = run(arguments, "used 0 of 90 packets in 1 capture; skipped 90 without a MAC");
        assert!(stdout.is_empty() && stderr.contains("br-lan") && code == Some(65), "{arguments:?}: {stderr}");
    }
}

/// A second link type in the file hid all packets after the first.
#[test]
fn every_packet_has_the_link_type_of_its_own_interface() {
    let folder = TempFolder::new("mixed");
    let flow = Flow::of_camera(100);
    let parts = [Encapsulation::Ethernet, Encapsulation::RawIp, Encapsulation::LinuxCooked];
    let capture = folder.write(&CapturedFlow::interleaved(&parts.map(|encapsulation| flow.captured(encapsulation))));
    let (lines, _) = trace(&folder, &capture, "used 100 of 100 packets");
    assert_eq!(lines, flow.trace_lines());
    let capture = folder.write(&flow.captured(Encapsulation::Ethernet).with_monitor_mode(7));
    let (lines, _) = trace(&folder, &capture, "used 100 of 107 packets in 1 capture; skipped 7 of an unsupported link");
    assert_eq!(lines, flow.trace_lines());
}

#[test]
fn packets_seen_on_a_port_and_on_its_bridge_count_once() {
    let folder = TempFolder::new("copies");
    let flow = Flow::of_camera(80);
    let capture = folder.write(&flow.captured(Encapsulation::Ethernet).copied(3_000));
    let (lines, _) = trace(&folder, &capture, "used 80 of 160 packets in 1 capture; skipped 80 seen twice");
    assert_eq!(lines, flow.trace_lines());
    // A few equal packets are no copies: a device may repeat itself.
    let repeated = flow.captured(Encapsulation::Ethernet).repeating(8, 3_000);
    trace(&folder, &folder.write(&repeated), "used 90 of 90 packets");
}

#[test]
fn a_clock_that_is_set_leaves_one_recording() {
    let folder = TempFolder::new("clock");
    let flow = Flow::of_camera(120);
    let expected = flow.trace_lines();
    for (name, step_s) in [("from 1970", 1_700_000_000), ("back an hour", -3_600)] {
        let start_s = if step_s < 0 { 1_700_000_000 } else { 100 };
        let capture = folder.write(&flow.captured(Encapsulation::Ethernet).starting_at(start_s).stepping(40, step_s));
        let (lines, stderr) = trace(&folder, &capture, "used 120 of 120 packets");
        assert!(stderr.contains("after packet 40 the clock jumps"), "{name}: {stderr}");
        assert_eq!(lines[..40], expected[..40], "{name}");
        let last_s =
            |lines: &[String]| lines.last().unwrap().split(',').next().unwrap().parse::<u64>().unwrap() / 1_000_000_000;
        assert!(last_s(&expected) - last_s(&lines) <= 1, "{name}: the time goes on where it was");
    }
}

/// Of 27 GB for a jump from 1970 to 2023, nothing is left; nor for any other gap.
#[test]
fn no_command_needs_memory_for_the_span_of_a_recording() {
    let folder = TempFolder::new("span");
    let flow = Flow::of_camera(120);
    let out = folder.path("out");
    let (out, page) = (text(&out).to_owned(), folder.path("page.html"));
    let decade_s = 10 * 365 * 86_400;
    for (start_s, step_s) in [(100, 1_700_000_000), (1_400_000_000, decade_s)] {
        let capture = folder.write(&flow.captured(Encapsulation::Ethernet).starting_at(start_s).stepping(40, step_s));
        let path = text(&capture);
        let gap = if step_s == decade_s { "no packet for 3650.0 days" } else { "the clock jumps from 1970-01-01" };
        let commands: [&[&str]; 6] = [
            &["activity", path],
            &["activity", "--svg", &out, path],
            &["identify", path],
            &["trace", "--seconds", "1", "--mac", CAMERA, "--out", &out, path],
            &["report", "--out", text(&page), path],
            &["simulate", path],
        ];
        for arguments in commands {
            let (_, stderr, code) = run(arguments, "used 120 of 120 packets");
            // What needs one recording refuses a gap of years, and names it.
            let refused = stderr.contains("the captures span 3650 days") && step_s == decade_s;
            let whole = ["report", "simulate"].contains(&arguments[0]);
            assert_eq!(code, Some(if whole && step_s == decade_s { 64 } else { 0 }), "{arguments:?}: {stderr}");
            assert!(stderr.contains(gap) && refused == (whole && step_s == decade_s), "{arguments:?}: {stderr}");
        }
        let line = folder
            .write(&Flow::of_line(800).captured(Encapsulation::Ethernet).starting_at(start_s).stepping(300, step_s));
        let line = text(&line);
        let (_, stderr, code) =
            run(&["distinguish", "--no-forest", line, line], "used 1600 of 1600 packets in 2 captures");
        assert_eq!(code, Some(0), "{stderr}");
        assert!(stderr.contains("clock jumps") || stderr.contains("no tunnel packet for 315360000 s"), "{stderr}");
    }
    // Half a day behind millpond is five million cells, of which none is kept.
    let capture = folder.write(&flow.captured(Encapsulation::Ethernet).stepping(60, 12 * 3_600));
    let output = lab(160 * 1024, &["report", "--out", text(&page), text(&capture)]);
    assert!(output.status.success(), "{}", texts(&output).1);
}

/// PPPoE and DS-Lite are looked through; the outer bytes of DS-Lite count, those of the link do not.
#[test]
fn the_tunnel_is_found_in_every_encapsulation_of_the_line() {
    let folder = TempFolder::new("line");
    let flow = Flow::of_line(600);
    for encapsulation in Encapsulation::ALL {
        let capture = folder.write(&flow.captured(encapsulation));
        let path = text(&capture);
        let (stdout, stderr, code) = run(&["distinguish", "--no-forest", path, path], "used 1200 of 1200 packets");
        assert_eq!(code, Some(0), "{encapsulation:?}: {stderr}");
        let bytes = 508 + encapsulation.outer_ip_bytes();
        let size = format!("sizes {bytes} B x 600;");
        assert_eq!(stdout.matches(&size).count(), 2, "{encapsulation:?}: {size}\n{stdout}");
    }
}

#[test]
fn a_line_is_followed_when_its_public_address_changes() {
    let folder = TempFolder::new("roam");
    let (still, moved) = (Flow::of_line(800), Flow::of_line(800).moving(300));
    let paths = [still, moved].map(|flow| folder.write(&flow.captured(Encapsulation::Ethernet)));
    let [still, moved] = paths.each_ref().map(|path| text(path));
    let (stdout, stderr, code) = run(&["distinguish", "--no-forest", still, moved], "used 1600 of 1600 packets");
    assert_eq!(code, Some(0), "{stderr}");
    assert!(stderr.contains("the router's address changes from 203.0.113.9 to 203.0.113.77"), "{stderr}");
    assert!(stdout.contains("packets outside the tunnel 0"), "{stdout}");
}

#[test]
fn what_is_no_capture_is_named() {
    let folder = TempFolder::new("named");
    let cases: [(&str, &[u8], &str); 7] = [
        ("gzip", &[0x1f, 0x8b, 8, 0, 0, 0, 0, 0], "compressed with gzip"),
        ("xz", &[0xfd, b'7', b'z', b'X', b'Z', 0], "compressed with xz"),
        ("zip", b"PK\x03\x04....", "a zip archive"),
        ("kuznetzov", &[0x34, 0xcd, 0xb2, 0xa1, 2, 0, 4, 0], "a1b2cd34"),
        ("snoop", b"snoop\0\0\0", "snoop"),
        ("zero", b"", "the file is empty"),
        ("text", b"t_ns,direction,bytes", "neither pcap nor pcapng"),
    ];
    for (name, bytes, expected) in cases {
        let path = folder.path(name);
        std::fs::write(&path, bytes).unwrap();
        for command in ["activity", "identify", "distinguish"] {
            let path = text(&path);
            let paths: &[&str] = if command == "distinguish" { &[path, path] } else { &[path] };
            let output = lab(MEMORY_KIB, &[&[command], paths].concat());
            let (_, stderr) = texts(&output);
            assert_eq!(output.status.code(), Some(65), "{command} {name}: {stderr}");
            assert!(stderr.contains(expected) && stderr.lines().count() == 1, "{command} {name}: {stderr}");
        }
    }
}

/// The captures of the data folder's table.
#[test]
fn odd_captures_of_the_data_folder_are_read_as_its_table_says() {
    let data = std::env::var_os("MILLPOND_DATA").map_or_else(|| PathBuf::from("../shared/data"), PathBuf::from);
    let odd = data.join("odd-captures");
    if !odd.is_dir() {
        println!("skipped odd_captures_of_the_data_folder_are_read_as_its_table_says: no {}", odd.display());
        return;
    }
    let folder = TempFolder::new("odd");
    let read = |name: &str, accounted: &str| trace(&folder, &odd.join(name), accounted);
    let (expected, _) = read("02-ns-be.pcap", "used 300 of 300 packets");
    // Microseconds instead of nanoseconds, so only what follows the time is equal.
    let fields =
        |lines: &[String]| lines.iter().map(|line| line.split_once(',').unwrap().1.to_owned()).collect::<Vec<_>>();
    for name in [
        "03-fcs-bits.pcap",
        "04-sll.pcap",
        "08-pppoe.pcap",
        "09-qinq.pcap",
        "12-outoforder.pcap",
        "13-snap64.pcap",
        "15-clockjump-fwd.pcap",
        "22-ng-2if-tsres.pcapng",
    ] {
        let (lines, stderr) = read(name, "used 300 of 300 packets in 1 capture");
        assert_eq!(fields(&lines), fields(&expected), "{name}");
        assert_eq!(stderr.contains("1970-01-01"), name.starts_with("15"), "{name}: {stderr}");
    }
    read("14-orig-lt-cap.pcap", "used 300 of 300 packets");
    read("23-ng-mixed-link.pcapng", "used 306 of 306 packets");
    let (lines, stderr) = read("11-trunc.pcap", "used 299 of 299 packets");
    assert!(lines.len() == 299 && stderr.contains("truncated"), "{stderr}");
    let (lines, _) = read("20-dup.pcap", "used 300 of 600 packets in 1 capture; skipped 300 seen twice");
    assert_eq!(fields(&lines), fields(&expected));
    for (name, expected) in [
        ("06-raw.pcap", "no MAC addresses"),
        ("17-empty.pcap", "contains no packets"),
        ("18-zero.pcap", "the file is empty"),
        ("19-gz.pcap.gz", "gzip"),
        ("26-radiotap.pcap", "radiotap"),
        ("27-kuznetzov.pcap", "a1b2cd34"),
    ] {
        let output = lab(MEMORY_KIB, &["activity", text(&odd.join(name))]);
        let (_, stderr) = texts(&output);
        assert!(output.status.code() == Some(65) && stderr.contains(expected), "{name}: {stderr}");
    }
    let compare = |first: &str, second: &str| {
        let paths = [first, second].map(|name| odd.join(format!("wan-{name}.pcap")));
        let [first, second] = paths.each_ref().map(|path| text(path));
        let (stdout, stderr, code) = run(&["distinguish", first, second], "used 1600 of 1600 packets in 2 captures");
        assert_eq!(code, Some(0), "{stdout}\n{stderr}");
        (stdout, stderr)
    };
    for (form, bytes) in [("eth", 508), ("sll", 508), ("pppoe", 508), ("dslite", 548)] {
        let (stdout, _) = compare(&format!("a-{form}"), &format!("b-{form}"));
        assert_eq!(stdout.matches(&format!("sizes {bytes} B x 800")).count(), 2, "{form}: {stdout}");
    }
    let (_, stderr) = compare("step", "roam");
    assert!(stderr.contains("no tunnel packet for 3600 s") && stderr.contains("address changes from"), "{stderr}");
}
