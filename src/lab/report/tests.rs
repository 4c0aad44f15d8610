//! The page matches the runs and is self-contained.

use std::fs;
use std::path::{Path, PathBuf};

use super::*;
use crate::lab::capture::{LinkType, PcapWriter};
use crate::lab::simulate::{SentCell, SimulationConfig, simulate, wire};
use crate::lab::trace::HomeTrace;
use crate::units::Nanos;

const SECONDS: u64 = 30;

struct TempFolder(PathBuf);

impl Drop for TempFolder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// Creates a run directory with a camera that sends in every third second; `write` adds the packets of the capture.
fn run(folder: &Path, law: &str, write: impl FnOnce(&mut PcapWriter)) {
    fs::create_dir_all(folder).unwrap();
    let run = format!(
        r#"{{"law":"{law}","load":"busy","upload_bps":160000,"download_bps":320000,"wire_bytes":508,
        "router_wan":"198.51.100.10","endpoint":"203.0.113.7","tunnel_port":51820,
        "start_ns":0,"stop_ns":{SECONDS}000000000,"seed":1}}"#
    );
    fs::write(folder.join("run.json"), run).unwrap();
    let lines: Vec<_> = bursts().map(|at| format!("<camera>,up,1,1000,{at},{}\n", at + 4_000_000)).collect();
    let header = "device,direction,seq,bytes,sent_ns,received_ns\n";
    fs::write(folder.join("packets.csv"), format!("{header}{}", lines.concat())).unwrap();
    let mut writer = PcapWriter::create(&folder.join("wan.pcap"), LinkType::Ethernet).unwrap();
    write(&mut writer);
    writer.finish().unwrap();
}

fn bursts() -> impl Iterator<Item = u64> {
    (0..SECONDS).step_by(3).flat_map(|second| (0..20).map(move |index| second * 1_000_000_000 + index * 40_000_000))
}

fn comparison(name: &str) -> (TempFolder, VpnComparison) {
    let root = std::env::temp_dir().join(format!("millpond-report-{}-{name}", std::process::id()));
    let (plain, shaped) = (root.join("plain"), root.join("shaped"));
    let mut wireguard = vec![2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2, 0x08, 0x00, 0x45, 0, 4, 36, 0, 0, 0, 0, 64, 17, 0, 0];
    wireguard.extend([198, 51, 100, 10, 203, 0, 113, 7, 0xca, 0x6c, 0xca, 0x6c, 4, 16, 0, 0, 4, 0, 0, 0]);
    run(&plain, "plain", |writer| bursts().for_each(|at| writer.packet(at, 1_074, &wireguard).unwrap()));
    let silent = HomeTrace { devices: Vec::new(), length: Nanos::from_secs(SECONDS) };
    run(&shaped, "gamma", |writer| {
        let cell = |cell: SentCell<'_>| wire::record(writer, &cell).unwrap();
        simulate(&silent, &SimulationConfig::default(), cell).unwrap();
    });
    (TempFolder(root), VpnComparison::read(&plain, &shaped).unwrap())
}

#[test]
fn a_plain_vpn_correlates_with_the_home_and_millpond_does_not() {
    let (_scratch, VpnComparison { plain, shaped }) = comparison("views");
    assert!(plain.correlation > 0.99, "{}", plain.correlation);
    assert!(shaped.correlation.abs() < 2.0 * shaped.chance(), "{}", shaped.correlation);
    assert_eq!((plain.sizes.len(), shaped.sizes.keys().copied().collect::<Vec<_>>()), (1, vec![508]));
    assert!(plain.lines[0].bits.sd > 5.0 * shaped.lines[0].bits.sd);
    let camera = &shaped.devices[0];
    assert_eq!((camera.packets, camera.bytes, camera.lost), ([200, 0], [200_000, 0], 0));
    assert!((camera.delay_ms.mean - 4.0).abs() < 1e-9);
}

#[test]
fn the_page_is_self_contained_and_escapes_names() {
    let (_scratch, comparison) = comparison("page");
    let page = page(&comparison);
    for outside in ["http://", "https://", "<script", "@import", "url(", "src="] {
        assert!(!page.contains(outside), "{outside}");
    }
    assert!(page.contains("&lt;camera&gt;") && !page.contains("<camera>"));
    assert!(page.contains("packets of one size, 508 bytes"));
    assert_eq!(page.matches("<svg").count(), 8);
    assert_eq!(page.matches("<svg").count(), page.matches("</svg>").count());
    assert!(!page.contains("NaN") && !page.contains("inf"));
}

#[test]
fn the_table_contains_devices_and_numbers() {
    let (_scratch, comparison) = comparison("table");
    let table = table(&comparison);
    assert!(table.contains("<camera>") && table.contains("different sizes"), "{table}");
}
