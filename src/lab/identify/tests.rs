//! Identification on synthetic homes, and on real captures if available.

use super::*;
use crate::lab::capture::{LinkType, PcapWriter};
use crate::lab::trace::DataFolder;

fn quick(window_s: u64) -> EvaluationConfig {
    EvaluationConfig { window_s: vec![window_s], trees: 12 }
}

#[test]
fn distinguishes_synthetic_devices_but_not_shuffled_labels() {
    let seed = 2;
    println!("seed {seed}");
    let corpus = Corpus::synthetic(seed).only(&["camera", "plug-desk", "hub"].map(str::to_owned)).unwrap();
    let evaluation = evaluate(&corpus, &quick(60), seed, |_, _| {});
    assert_eq!(evaluation.results.len(), 8);
    for method in [Method::Neighbours, Method::Forest] {
        let best = evaluation.best(|result| result.split == Split::Capture && result.method == method).unwrap();
        assert!(best.scores.balanced_accuracy > 0.9, "{method}: {}", best.scores.balanced_accuracy);
        let chance: Vec<f64> =
            evaluation.results.iter().filter(|c| c.method == method).map(|c| c.shuffled.balanced_accuracy).collect();
        let mean = chance.iter().sum::<f64>() / chance.len() as f64;
        assert!((mean - 1.0 / 3.0).abs() < 0.12, "{method}: {mean} with shuffled labels");
    }
}

#[test]
fn windows_are_complete_and_not_empty() {
    let corpus = Corpus::synthetic(1);
    let width = crate::units::Nanos::from_secs(60);
    for capture in &corpus.captures {
        for (start, events) in shape::windows(&capture.trace, width) {
            assert!(!events.is_empty() && events.iter().all(|e| e.time >= start && e.time < start + width));
            let row = shape::features(events, start, width);
            assert!(row.iter().all(|value| value.is_finite()));
        }
    }
}

#[test]
fn the_error_for_an_unknown_device_lists_the_known_ones() {
    let message = Corpus::synthetic(1).only(&["toaster".to_owned()]).unwrap_err().to_string();
    assert!(message.contains("toaster") && message.contains("camera"), "{message}");
}

/// A host of the home, its router and a server on the Internet.
#[test]
fn finds_the_hosts_of_a_capture() {
    let path = std::env::temp_dir().join(format!("millpond-{}-hosts.pcap", std::process::id()));
    let mut writer = PcapWriter::create(&path, LinkType::Ethernet).unwrap();
    let (device, router) = ([0x18, 0xb4, 0x30, 1, 2, 3], [0x02, 0, 0, 0, 0, 1]);
    let (inside, outside) = ([192, 168, 1, 5], [93, 184, 216, 34]);
    let frame = |from: [u8; 6], to: [u8; 6], source: [u8; 4], destination: [u8; 4], udp: &[u8]| {
        let length = (20 + udp.len()) as u8;
        let ip = [&[0x45, 0, 0, length, 0, 0, 0, 0, 64, 17, 0, 0][..], &source, &destination].concat();
        [&to[..], &from, &[8, 0], &ip, udp].concat()
    };
    let question = [
        &[0xd0, 0, 0, 53, 0, 31, 0, 0][..],
        &[0, 1, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0],
        b"\x01a\x04test\x00\x00\x01\x00\x01",
    ]
    .concat();
    let packets = [
        frame(device, router, inside, [192, 168, 1, 1], &question),
        frame(device, router, inside, outside, &[0, 9, 0, 9, 0, 12, 0, 0, 1, 2, 3, 4]),
        frame(router, device, outside, inside, &[0, 9, 0, 9, 0, 12, 0, 0, 1, 2, 3, 4]),
    ];
    for (index, packet) in packets.iter().enumerate() {
        writer.packet(1_000_000 * index as u64, packet.len(), packet).unwrap();
    }
    writer.finish().unwrap();
    let summary = observe(&path);
    std::fs::remove_file(&path).unwrap();
    let summary = summary.unwrap();
    assert_eq!(summary.hosts.len(), 1, "the router does not count as a host");
    let host = &summary.hosts[0];
    assert_eq!((host.mac.0, host.trace.packets.len()), (device, 2));
    assert_eq!(host.names.iter().collect::<Vec<_>>(), ["a.test"]);
    let identities = identify(&Corpus::default(), &oui::Vendors::built_in(), &summary.hosts, 1);
    assert_eq!(identities[0].vendor.as_deref(), Some("Nest Labs"));
}

/// The paper's classifier on dissimilar devices: a balanced accuracy of about 92 % with windows of minutes.
#[test]
fn the_papers_attack_works_on_real_captures() {
    let Some(folder) = DataFolder::find() else {
        println!("skipped: the_papers_attack_works_on_real_captures: no captures");
        return;
    };
    let corpus = Corpus::read(&folder, |_, _| {}).unwrap();
    let names = by_names(&corpus);
    assert!(names.right as f64 > 0.6 * names.captures as f64, "{names:?}");
    assert_eq!(by_address(&corpus, &oui::Vendors::built_in()).vendor_known, corpus.devices.len());
    let unlike = ["echo", "xiaomi-cam", "philips-hue", "blink-hub", "tuya-plug"].map(str::to_owned);
    let evaluation = evaluate(&corpus.only(&unlike).unwrap(), &quick(120), 1, |_, _| {});
    let paper = evaluation.best(|result| result.method == Method::Neighbours && result.split == Split::Window).unwrap();
    assert!(paper.scores.balanced_accuracy > 0.85, "{}", paper.scores.balanced_accuracy);
    let forest = evaluation.best(|result| result.method == Method::Forest && result.split == Split::Capture).unwrap();
    assert!(forest.scores.balanced_accuracy > 0.85, "{}", forest.scores.balanced_accuracy);
    assert!(forest.shuffled.balanced_accuracy < 0.4, "{}", forest.shuffled.balanced_accuracy);
}
