//! The study on a made-up home.

use std::collections::BTreeSet;

use super::*;
use crate::lab::capture::Extent;
use crate::lab::trace::DeviceKind;

fn sighting(first_s: u64, hosts: &[(&str, DeviceKind)]) -> (PathBuf, CaptureSummary) {
    let length = Nanos::from_secs(600);
    let host = |(index, (name, kind)): (usize, &(&str, DeviceKind))| ObservedHost {
        mac: Mac([0x18, 0xb4, 0x30, 0, 0, index as u8]),
        names: BTreeSet::from([format!("{name}.example")]),
        trace: kind.trace(name, length, 1),
    };
    let first_ns = first_s * 1_000_000_000;
    let extent = Extent { packets: 1, first_ns, last_ns: first_ns + length.0 };
    let hosts = hosts.iter().enumerate().map(host).collect();
    (PathBuf::from("made-up.pcap"), CaptureSummary { hosts, extent, damage: None })
}

fn study_of(sightings: Vec<(PathBuf, CaptureSummary)>) -> Result<Exposure, Error> {
    study(sightings, &Corpus::synthetic(1), &Vendors::built_in(), &SimulationConfig::default())
}

#[test]
fn a_vpn_shows_what_millpond_hides() {
    let exposure = study_of(vec![sighting(5, &[("assistant", DeviceKind::VoiceAssistant), ("plug", DeviceKind::Plug)])]).unwrap();
    let (uses, through_vpn, _) = exposure.vpn.total();
    assert!(uses >= 5, "{uses} uses");
    assert!(through_vpn * 2 > uses, "{through_vpn} of {uses} show through a VPN");
    assert!(exposure.vpn.is_dominated() && exposure.vpn.largest.0 == 0);
    let (_, shaped, chance) = exposure.shaped.line.total();
    assert!(shaped as f64 <= 2.0 * chance + 3.0, "{shaped} of {uses} show behind millpond, {chance} by chance");
    assert!(exposure.shaped.line.trace.packets.iter().all(|event| event.bytes == 508));
    let page = page(&exposure);
    for part in ["As it is", "Through a VPN alone", "Behind millpond", "Blocked", "assistant.example", "Nest Labs"] {
        assert!(page.contains(part), "{part}");
    }
    assert!(
        !page.contains("http://")
            || page.matches("http://").count() == page.matches("http://www.w3.org/2000/svg").count()
    );
}

#[test]
fn captures_of_different_times_are_refused_and_of_one_home_joined() {
    let kinds = [("plug", DeviceKind::Plug)];
    let joined = study_of(vec![sighting(0, &kinds), sighting(60, &kinds)]).unwrap();
    assert_eq!(joined.hosts.len(), 1);
    let far = study_of(vec![sighting(0, &kinds), sighting(30 * 86_400, &kinds)]);
    let message = far.err().unwrap().to_string();
    assert!(message.contains("30 days"), "{message}");
    assert!(study_of(vec![sighting(0, &[])]).is_err());
}
