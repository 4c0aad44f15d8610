//! A run without leaks passes, and each planted leak is found in the event in which it happens.

mod packets;

use std::fs;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::path::PathBuf;

use packets::{IGMP, TCP, icmp_error, packet, tcp_reset, udp, vxlan};

use super::*;
use crate::lab::capture::{LinkType, PcapWriter};
use crate::lab::flat_line::Verdict;

const ROSTER: &str = r#"{"provider_mac": "02:00:00:00:00:01", "routers": ["203.0.113.2", "203.0.113.9"],
    "endpoints": ["198.51.100.2"], "tunnel_port": 51820, "min_events": 36, "devices": [
    {"name": "camera", "number": 1, "mac": "02:00:00:00:01:01", "policy": "shape",
     "addresses": ["192.168.1.11", "2001:db8:77:1::11", "192.168.9.11"]},
    {"name": "hub", "number": 2, "mac": "02:00:00:00:01:02", "policy": "direct", "addresses": ["192.168.1.12"]},
    {"name": "phone", "number": 13, "mac": "02:00:00:00:01:13", "policy": null, "addresses": ["192.168.1.13"]}]}"#;
const ROUTER: IpAddr = IpAddr::V4(Ipv4Addr::new(203, 0, 113, 2));
const ENDPOINT: IpAddr = IpAddr::V4(Ipv4Addr::new(198, 51, 100, 2));
const CAMERA_SERVER: IpAddr = IpAddr::V4(Ipv4Addr::new(198, 18, 1, 1));
const CAMERA_INTRUDER: IpAddr = IpAddr::V4(Ipv4Addr::new(198, 19, 1, 1));
const RESOLVER: IpAddr = IpAddr::V4(Ipv4Addr::new(198, 18, 0, 54));
const STRANGER: IpAddr = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 99));
const OUT: bool = true;
const IN: bool = false;

/// A recording that a test extends. It starts with two events of two seconds each, `calm` and `storm`; additions count
/// to the second.
struct TestRecording {
    folder: PathBuf,
    frames: Vec<(u64, Vec<u8>)>,
    marks: String,
    journals: [String; 3],
    now_ms: u64,
}

impl TestRecording {
    fn new(name: &str) -> TestRecording {
        let folder = std::env::temp_dir().join(format!("millpond-leaks-{}-{name}", std::process::id()));
        fs::create_dir_all(&folder).unwrap();
        let mut recording =
            TestRecording { folder, frames: Vec::new(), marks: String::new(), journals: Default::default(), now_ms: 0 };
        recording.mark("begin calm");
        recording.cell();
        recording.all_devices_send();
        recording.now_ms = 2000;
        recording.mark("begin storm");
        recording.cell();
        recording.all_devices_send();
        recording
    }

    fn mark(&mut self, text: &str) {
        let line = format!("{} {text}", self.now_ms);
        let group = IpAddr::V4(Ipv4Addr::new(239, 255, 77, 77));
        self.send(IN, IpAddr::V4(Ipv4Addr::new(203, 0, 113, 1)), group, 1, &udp(40_000, 7777, line.as_bytes()));
        self.marks += &format!("{line}\n");
    }

    fn cell(&mut self) {
        self.send(OUT, ROUTER, ENDPOINT, 64, &udp(40_000, 51820, &[4; 64]));
        self.send(IN, ENDPOINT, ROUTER, 63, &udp(51820, 40_000, &[4; 64]));
    }

    fn all_devices_send(&mut self) {
        let ms = self.now_ms;
        for (journal, via) in self.journals.iter_mut().zip(["198.51.100.2", "203.0.113.2", "203.0.113.2"]) {
            *journal += &format!("sent,udp4,{ms},{}\nanswer,udp4,{ms},{},{via}\n", ms + 500, ms + 560);
        }
        for kind in ["tcp4", "udp4", "tcp6", "udp6"] {
            self.journals[2] += &format!("reached,{kind},{ms},198.19.13.1\n");
        }
        self.send(OUT, ROUTER, IpAddr::V4(Ipv4Addr::new(198, 18, 13, 1)), 63, &udp(5, 7001, b"leak-phone udp4 7"));
    }

    /// Adds a frame with this protocol number and payload at the present time.
    fn send(&mut self, outward: bool, from: IpAddr, to: IpAddr, hops: u8, transport: &(u8, Vec<u8>)) {
        self.send_at(self.now_ms * 1_000_000, outward, from, to, hops, transport);
    }

    fn send_at(&mut self, ns: u64, outward: bool, from: IpAddr, to: IpAddr, hops: u8, transport: &(u8, Vec<u8>)) {
        let (provider, router) = ([2, 0, 0, 0, 0, 1], [2, 0, 0, 0, 0, 2]);
        let mut frame = Vec::new();
        for mac in if outward { [provider, router] } else { [router, provider] } {
            frame.extend_from_slice(&mac);
        }
        frame.extend_from_slice(if from.is_ipv4() { &[8, 0] } else { &[0x86, 0xdd] });
        frame.extend_from_slice(&packet(from, to, hops, transport));
        self.frames.push((ns, frame));
    }

    fn record(mut self) -> Result<LeakRun, Error> {
        self.now_ms += 2000;
        self.mark("end");
        self.write();
        LeakRun::read(&self.folder)
    }

    fn write(&self) {
        fs::write(self.folder.join("run.json"), ROSTER).unwrap();
        fs::write(self.folder.join("marks"), &self.marks).unwrap();
        for (name, journal) in ["camera", "hub", "phone"].iter().zip(&self.journals) {
            fs::write(self.folder.join(format!("{name}.csv")), journal).unwrap();
        }
        let mut writer = PcapWriter::create(&self.folder.join("wan.pcap"), LinkType::Ethernet).unwrap();
        for (ns, frame) in &self.frames {
            writer.packet(*ns, frame.len(), frame).unwrap();
        }
        writer.finish().unwrap();
    }

    /// The leaks in the second event, after checking that there are none in the first.
    fn leaks(self) -> usize {
        let (report, _) = judge(&self.record().unwrap(), TestedBuild::Guarded);
        assert_eq!(report.events[0].leaks, 0);
        report.events[1].leaks
    }
}

impl Drop for TestRecording {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.folder);
    }
}

fn failures(run: &LeakRun, build: TestedBuild) -> Vec<String> {
    let checks = judge(run, build).1;
    checks.iter().filter(|check| check.verdict == Verdict::Failed).map(|check| check.to_string()).collect()
}

#[test]
fn a_run_without_leaks_fails_only_for_too_few_events() {
    let mut recording = TestRecording::new("clean");
    recording.mark("cause_ended");
    recording.journals[0] += "sent,udp4,8,2600\nanswer,udp4,8,2750,198.51.100.2\n";
    let run = recording.record().unwrap();
    let (report, _) = judge(&run, TestedBuild::Guarded);
    let storm = &report.events[1];
    assert_eq!((storm.name.as_str(), storm.leaks, storm.unshaped_lost), ("storm", 0, 0));
    assert_eq!(storm.recovery_s, Some(0.56), "the slower of camera and hub");
    assert!(report.events[0].recovery_s.is_none(), "none was due");
    let failures = failures(&run, TestedBuild::Guarded);
    assert_eq!(failures.len(), 1, "{failures:?}");
    assert!(failures[0].contains("at least 36"), "{failures:?}");
}

#[test]
fn a_packet_of_a_shaped_device_outside_the_tunnel_is_a_leak() {
    let mut recording = TestRecording::new("out");
    recording.send(OUT, ROUTER, CAMERA_SERVER, 63, &udp(40_000, 7001, b"leak-camera udp4 1"));
    recording.send(OUT, ROUTER, CAMERA_SERVER, 63, &(TCP, vec![0; 20]));
    assert_eq!(recording.leaks(), 2);
    // To another server with the device's name in the payload; without address translation; to the tunnel's port.
    let mut recording = TestRecording::new("out-otherwise");
    recording.send(OUT, ROUTER, STRANGER, 63, &udp(40_000, 9, b"leak-camera udp4 1"));
    recording.send(OUT, IpAddr::V4(Ipv4Addr::new(192, 168, 1, 11)), STRANGER, 63, &udp(40_000, 9, b""));
    recording.send(OUT, ROUTER, CAMERA_SERVER, 63, &udp(40_000, 51820, &[4; 64]));
    assert_eq!(recording.leaks(), 3);
}

#[test]
fn attributes_ipv6_packets_by_device_and_server_address() {
    let mut recording = TestRecording::new("six");
    let address = |text: &str| IpAddr::V6(text.parse::<Ipv6Addr>().unwrap());
    recording.send(OUT, address("2001:db8:77:1::11"), address("2001:db8:99::1"), 63, &udp(5, 9, b""));
    recording.send(OUT, address("2001:db8:1::2"), address("2001:db8:18:1::6"), 63, &(58, vec![128, 0, 0, 0]));
    recording.send(OUT, address("2001:db8:1::2"), address("2001:db8:18:13::6"), 63, &(58, vec![128, 0, 0, 0]));
    assert_eq!(recording.leaks(), 2, "the third is the phone's");
}

#[test]
fn a_dns_query_of_the_router_for_a_shaped_device_is_a_leak() {
    let mut recording = TestRecording::new("dns");
    let question =
        b"\x4d\x50\x01\x00\x00\x01\x00\x00\x00\x00\x00\x00\x017\x0bleak-camera\x0brouter-udp4\x07example\x00";
    recording.send(OUT, ROUTER, RESOLVER, 64, &udp(40_000, 53, question));
    recording.send(IN, RESOLVER, ROUTER, 62, &udp(53, 40_000, question));
    assert_eq!(recording.leaks(), 2);
}

#[test]
fn a_packet_from_outside_is_no_leak_but_an_answer_is() {
    let mut recording = TestRecording::new("from-outside");
    recording.send(IN, CAMERA_INTRUDER, ROUTER, 62, &udp(5, 40_001, b"anybody at home?"));
    // The router itself refuses the packet.
    recording.send(OUT, ROUTER, CAMERA_INTRUDER, 64, &tcp_reset());
    recording.send(OUT, ROUTER, CAMERA_INTRUDER, 64, &(1, vec![3, 3, 0, 0]));
    recording.send(OUT, ROUTER, CAMERA_INTRUDER, 63, &tcp_reset());
    recording.send(OUT, ROUTER, CAMERA_INTRUDER, 63, &udp(40_001, 5, b"leak-camera is at home"));
    assert_eq!(recording.leaks(), 2);
    let mut recording = TestRecording::new("reached");
    recording.journals[0] += "reached,udp4,2100,198.19.1.1\n";
    recording.journals[1] += "reached,udp4,2100,198.19.2.1\n";
    assert_eq!(recording.leaks(), 1, "the hub is direct");
}

#[test]
fn an_answer_to_a_foreign_source_address_is_a_leak() {
    let stale = IpAddr::V4(Ipv4Addr::new(192, 168, 9, 11));
    let nowhere = IpAddr::V4(Ipv4Addr::new(192, 168, 9, 99));
    let sent = |to| packet(STRANGER, to, 63, &udp(7, 7001, b"no name"));
    let mut recording = TestRecording::new("refusals");
    // The router itself refuses: the address, and what the error quotes, are the device's.
    recording.send(OUT, ROUTER, stale, 64, &tcp_reset());
    recording.send(OUT, ROUTER, stale, 64, &(1, b"\0\0\0\0\0\x01\0\x01echoed".to_vec()));
    recording.send(OUT, ROUTER, nowhere, 64, &icmp_error(3, &sent(CAMERA_SERVER)));
    recording.send(OUT, ROUTER, nowhere, 64, &icmp_error(11, &sent(CAMERA_SERVER)));
    recording.send(
        OUT,
        ROUTER,
        nowhere,
        64,
        &icmp_error(3, &packet(STRANGER, ROUTER, 1, &udp(7, 9, b"leak-camera stale4 1"))),
    );
    // Not the device's: another address, a stranger's packet, and an echo reply, which quotes nothing.
    recording.send(OUT, ROUTER, nowhere, 64, &tcp_reset());
    recording.send(OUT, ROUTER, STRANGER, 64, &icmp_error(3, &sent(ROUTER)));
    recording.send(OUT, ROUTER, STRANGER, 64, &icmp_error(0, &sent(CAMERA_SERVER)));
    // An intruder's packet is refused.
    recording.send(
        OUT,
        ROUTER,
        CAMERA_INTRUDER,
        64,
        &icmp_error(3, &packet(CAMERA_INTRUDER, ROUTER, 9, &udp(1, 2, b""))),
    );
    assert_eq!(recording.leaks(), 5);
}

#[test]
fn a_frame_of_a_shaped_device_in_vxlan_is_a_leak() {
    let (camera, phone, other) = ([2, 0, 0, 0, 1, 1], [2, 0, 0, 0, 1, 0x13], [2, 0, 0, 0, 9, 9]);
    let (arp, ipv4) = ([8, 6], [8, 0]);
    let mut recording = TestRecording::new("vxlan");
    recording.send(OUT, ROUTER, STRANGER, 64, &vxlan([0xff; 6], camera, arp, &[0; 28]));
    recording.send(OUT, ROUTER, STRANGER, 64, &vxlan(camera, other, arp, &[0; 28]));
    let inner = packet(STRANGER, IpAddr::V4(Ipv4Addr::new(192, 168, 1, 11)), 64, &udp(1, 2, b""));
    recording.send(OUT, ROUTER, STRANGER, 64, &vxlan(other, other, ipv4, &inner));
    recording.send(OUT, ROUTER, STRANGER, 64, &vxlan([0xff; 6], phone, arp, &[0; 28]));
    recording.send(OUT, ROUTER, STRANGER, 64, &vxlan(other, other, arp, &[0; 28]));
    assert_eq!(recording.leaks(), 3);
}

#[test]
fn a_report_about_the_group_of_a_shaped_device_is_a_leak() {
    let reports = IpAddr::V4(Ipv4Addr::new(224, 0, 0, 22));
    let version_2 = |number| [0x16, 0, 0, 0, 239, 18, number, 1];
    let version_3 = |number| [0x22, 0, 0, 0, 0, 0, 0, 2, 4, 0, 0, 0, 224, 0, 0, 251, 4, 0, 0, 0, 239, 18, number, 1];
    let mut recording = TestRecording::new("igmp");
    for number in [1, 13, 99] {
        let group = IpAddr::V4(Ipv4Addr::new(239, 18, number, 1));
        recording.send(OUT, ROUTER, group, 1, &(IGMP, version_2(number).to_vec()));
        recording.send(OUT, ROUTER, reports, 1, &(IGMP, version_3(number).to_vec()));
    }
    assert_eq!(recording.leaks(), 2);
}

#[test]
fn servers_may_retransmit_only_to_a_device_that_was_direct_until_just_now() {
    let mut recording = TestRecording::new("retransmissions");
    let server = IpAddr::V4(Ipv4Addr::new(198, 18, 2, 1));
    recording.mark("policy hub block");
    recording.now_ms += 100;
    recording.send(OUT, ROUTER, server, 63, &udp(5, 7001, b"leak-hub udp4 1"));
    recording.send(IN, server, ROUTER, 62, &udp(7001, 5, b"leak-hub udp4 1"));
    recording.send(IN, CAMERA_SERVER, ROUTER, 62, &udp(7001, 5, b"leak-camera udp4 1"));
    recording.now_ms += 200;
    recording.send(OUT, ROUTER, server, 63, &udp(5, 7001, b"leak-hub udp4 2"));
    recording.send(IN, server, ROUTER, 62, &udp(7001, 5, b"leak-hub udp4 2"));
    // The device stays protected, so no new grace period starts.
    recording.mark("policy hub shape");
    recording.send(OUT, ROUTER, server, 63, &udp(5, 7001, b"leak-hub udp4 3"));
    recording.mark("policy hub direct");
    recording.send(OUT, ROUTER, server, 63, &udp(5, 7001, b"leak-hub udp4 4"));
    assert_eq!(recording.leaks(), 3);
}

#[test]
fn setting_the_clock_back_does_not_move_a_leak_to_another_event() {
    let mut recording = TestRecording::new("clock");
    recording.send_at(7, OUT, ROUTER, CAMERA_SERVER, 63, &udp(40_000, 7001, b""));
    assert_eq!(recording.leaks(), 1);
}

#[test]
fn a_leak_before_the_first_event_counts_to_it() {
    let mut recording = TestRecording::new("early");
    recording.send(OUT, ROUTER, CAMERA_SERVER, 63, &udp(40_000, 7001, b""));
    let planted = recording.frames.pop().unwrap();
    recording.frames.insert(0, planted);
    let (report, _) = judge(&recording.record().unwrap(), TestedBuild::Guarded);
    assert_eq!((report.events[0].leaks, report.events.len()), (1, 2));
}

#[test]
fn lost_requests_count_unless_the_event_interrupted_all_service() {
    let mut recording = TestRecording::new("lost");
    recording.journals[2] += "sent,udp4,1,2600\nsent,udp4,2,2700\nanswer,udp4,2,8700,203.0.113.2\nsent,icmp4,3,2800\n";
    recording.journals[2] += "sent,udp4,4,3500\n";
    recording.now_ms = 3400;
    recording.mark("outage 3400 3600");
    let (report, _) = judge(&recording.record().unwrap(), TestedBuild::Guarded);
    assert_eq!(report.events[1].unshaped_lost, 2);
}

#[test]
fn service_recovers_only_over_the_path_that_the_policy_names() {
    let mut recording = TestRecording::new("recovery");
    recording.now_ms = 2700;
    recording.mark("cause_ended");
    recording.journals[0] += "sent,udp4,1,2800\nanswer,udp4,1,2850,203.0.113.2\n";
    recording.journals[1] += "sent,udp4,1,2800\nanswer,udp4,1,2850,203.0.113.2\n";
    let run = recording.record().unwrap();
    assert_eq!(judge(&run, TestedBuild::Guarded).0.events[1].recovery_s, None);
    assert!(failures(&run, TestedBuild::Guarded).iter().any(|failure| failure.contains("did not recover")));
}

#[test]
fn a_testbed_that_could_not_show_a_leak_fails() {
    let mut recording = TestRecording::new("unseen");
    recording.journals[2] += "sent,stream6,1,2100\n";
    recording.journals[0] = "sent,udp4,1,100\n".to_owned();
    let failures = failures(&recording.record().unwrap(), TestedBuild::Guarded);
    assert!(failures.iter().any(|failure| failure.contains("stream6")), "{failures:?}");
    assert!(failures.iter().any(|failure| failure.contains("sent no request") && failure.contains("camera")));
}

#[test]
fn a_build_without_the_guard_fails_unless_it_leaks() {
    let run = TestRecording::new("no-leak").record().unwrap();
    assert!(failures(&run, TestedBuild::Unguarded).iter().any(|failure| failure.contains("0 events leak")));
}

#[test]
fn without_the_guard_what_devices_try_in_one_event_alone_must_leak() {
    let record = |payload: &[u8]| {
        let mut recording = TestRecording::new("own");
        recording.journals[0] += "sent,stale4,1,2100\nsent,udp4,9,2100\n";
        recording.journals[1] += "sent,direct4,1,2100\n";
        recording.send(OUT, ROUTER, STRANGER, 64, &icmp_error(3, &packet(STRANGER, ROUTER, 9, &udp(1, 9, payload))));
        failures(&recording.record().unwrap(), TestedBuild::Unguarded)
    };
    let of_event = |failures: Vec<String>| failures.into_iter().find(|failure| failure.starts_with("FAIL storm"));
    assert_eq!(of_event(record(b"leak-camera stale4 1")), None);
    let failure = of_event(record(b"leak-camera udp4 9")).unwrap();
    assert!(
        failure.contains("nothing leaks") && failure.contains("stale4") && !failure.contains("direct4"),
        "{failure}"
    );
}

#[test]
fn an_incomplete_recording_is_an_error() {
    let mut recording = TestRecording::new("hole");
    recording.marks += "9 begin never\n";
    let problem = recording.record().err().map(|error| error.to_string()).unwrap_or_default();
    assert!(problem.contains("begin never"), "{problem}");
    let recording = TestRecording::new("endless");
    recording.write();
    let problem = LeakRun::read(&recording.folder).err().map(|error| error.to_string()).unwrap_or_default();
    assert!(problem.contains("did not finish"), "{problem}");
}
