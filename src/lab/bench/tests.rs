//! Tests what the benchmarks read and compute.

use super::*;
use crate::lab::trace::HomeTrace;
use crate::units::Nanos;

#[test]
fn instructions_are_read_from_callgrind_output() {
    let path = std::env::temp_dir().join(format!("millpond-callgrind-{}", std::process::id()));
    std::fs::write(&path, "version: 1\nevents: Ir\nfl=x\n1 20\nsummary: 123456789\ntotals: 1\n").unwrap();
    assert_eq!(instructions(&path).unwrap(), 123_456_789);
    std::fs::write(&path, "events: Ir\n1 20\ntotals: 77\n").unwrap();
    assert_eq!(instructions(&path).unwrap(), 77);
    std::fs::write(&path, "nonsense").unwrap();
    assert!(instructions(&path).unwrap_err().to_string().contains("callgrind"));
    std::fs::remove_file(&path).unwrap();
}

/// The rows account for every packet, and an overloading camera delays the other devices only in the paper's single
/// queue.
#[test]
fn delay_rows_cover_a_synthetic_home() {
    let seed = 4;
    println!("seed {seed}");
    let (home, _) = HomeTrace::synthetic(Nanos::from_secs(300), seed);
    let sent: usize = home.devices.iter().map(|trace| trace.packets.len()).sum();
    for arrangement in [Arrangement::Millpond, Arrangement::MillpondBounded, Arrangement::Paper] {
        let rows = delays(&home, 160, arrangement).unwrap();
        assert_eq!(rows.len(), home.devices.len() + 2);
        let total = rows.iter().find(|row| row.device == HOME).unwrap();
        assert_eq!(total.sent, sent as u64);
        assert!(arrangement == Arrangement::MillpondBounded || total.dropped == 0, "{total:?}");
    }
    let small = |arrangement| {
        let rows = delays(&home, 160, arrangement).unwrap();
        rows.into_iter().find(|row| row.device == SMALL_DEVICES).unwrap().mean_ms
    };
    assert!(small(Arrangement::Millpond) < small(Arrangement::Paper) / 5.0);
}

#[test]
fn absent_runs_are_skipped() {
    let nowhere = std::path::Path::new("no/such/folder");
    assert!(sparse(nowhere).unwrap().is_empty());
    assert!(Footprint::of_router(&[nowhere]).unwrap().is_none());
}
