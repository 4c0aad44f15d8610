//! The analysis of a synthetic home.

use std::collections::BTreeSet;

use super::*;
use crate::lab::capture::Extent;
use crate::lab::trace::DeviceKind;

fn capture(first_s: u64, hosts: &[(&str, DeviceKind)]) -> (PathBuf, CaptureSummary) {
    let length = Nanos::from_secs(600);
    let host = |(index, (name, kind)): (usize, &(&str, DeviceKind))| ObservedHost {
        mac: Mac([0x18, 0xb4, 0x30, 0, 0, index as u8]),
        names: BTreeSet::from([format!("{name}.example")]),
        trace: kind.trace(name, length, 1),
    };
    let first_ns = first_s * 1_000_000_000;
    let extent = Extent { packets: 1, first_ns, last_ns: first_ns + length.0 };
    let hosts = hosts.iter().enumerate().map(host).collect();
    (PathBuf::from("synthetic.pcap"), CaptureSummary { hosts, extent, damage: None })
}

fn analyse_captures(captures: Vec<(PathBuf, CaptureSummary)>) -> Result<Exposure, Error> {
    super::analyse(captures, &Corpus::synthetic(1), &Vendors::built_in(), &SimulationConfig::default())
}

#[test]
fn a_plain_vpn_reveals_what_millpond_hides() {
    let exposure =
        analyse_captures(vec![capture(5, &[("assistant", DeviceKind::VoiceAssistant), ("plug", DeviceKind::Plug)])])
            .unwrap();
    let (uses, through_vpn, _) = exposure.vpn.total();
    assert!(uses >= 5, "{uses} uses");
    assert!(through_vpn * 2 > uses, "{through_vpn} of {uses} are visible behind a VPN");
    assert!(exposure.vpn.is_dominated() && exposure.vpn.largest.0 == 0);
    let (_, shaped, chance) = exposure.shaped.link.total();
    assert!(shaped as f64 <= 2.0 * chance + 3.0, "{shaped} of {uses} are visible behind millpond, {chance} by chance");
    assert_eq!(exposure.shaped.wire_bytes, 508);
    let samples = &exposure.shaped.link.traffic.samples;
    assert!(samples.iter().flat_map(|sample| sample.bytes).all(|bytes| bytes % 508.0 == 0.0));
    let page = page(&exposure);
    for part in [
        "Without protection",
        "Behind a plain VPN",
        "Behind millpond",
        "Blocked devices",
        "assistant.example",
        "Nest Labs",
    ] {
        assert!(page.contains(part), "{part}");
    }
    assert!(
        !page.contains("http://")
            || page.matches("http://").count() == page.matches("http://www.w3.org/2000/svg").count()
    );
}

#[test]
fn captures_of_one_recording_are_merged_and_captures_weeks_apart_are_refused() {
    let kinds = [("plug", DeviceKind::Plug)];
    let joined = analyse_captures(vec![capture(0, &kinds), capture(60, &kinds)]).unwrap();
    assert_eq!(joined.hosts.len(), 1);
    let far = analyse_captures(vec![capture(0, &kinds), capture(30 * 86_400, &kinds)]);
    let message = far.err().unwrap().to_string();
    assert!(message.contains("30 days"), "{message}");
    assert!(analyse_captures(vec![capture(0, &[])]).is_err());
}
