use rand::rngs::ChaCha12Rng;
use rand::{RngExt, SeedableRng};

use super::capture::{CaptureCounts, limit, passed};
use super::*;
use crate::law::Law;

const SIZE: usize = 508;

fn order(packets: u32) -> AuditJob {
    let pace = |ms| Some(Pace { law: Law::Normal, mean: Nanos::from_millis(ms), spread_percent: 15 });
    AuditJob {
        packets,
        place: CapturePoint::Wire { peer: None, port: 51820 },
        bytes: SIZE as u16,
        paces: [pace(25), pace(12)],
        per_second: 120.0,
        mark: 1,
    }
}

/// An IPv4 packet's start with that WireGuard message type.
fn head(kind: u8) -> [u8; 32] {
    let mut head = [0; 32];
    (head[0], head[28]) = (0x45, kind);
    head
}

/// Cells up at normal intervals around 25 ms (twelve uniform numbers make one normal), and as many down at once.
fn line(seen: &mut CaptureCounts, count: usize, spread: f64) {
    println!("seed 5");
    let mut rng = ChaCha12Rng::seed_from_u64(5);
    let mut at = Nanos::from_secs(1_800_000_000);
    for _ in 0..count {
        let normal = (0..12).map(|_| rng.random_range(0.0..1.0)).sum::<f64>() - 6.0;
        at = at + Nanos((25e6 * (1.0 + spread * normal)) as u64);
        seen.take(&passed(at, true, SIZE, 32), &head(4));
        seen.take(&passed(at, false, SIZE, 32), &head(4));
    }
}

#[test]
fn a_sound_line_is_found_sound_and_comes_back_from_text() {
    let order = order(4_000);
    let mut seen = CaptureCounts::new(&order);
    line(&mut seen, 2_000, 0.15);
    seen.take(&passed(Nanos::from_secs(1), true, 176, 32), &head(1));
    let audited = seen.judge(&order, true);
    assert_eq!(audited.faults, Vec::<String>::new());
    assert_eq!((audited.packets, audited.handshakes), (4_000, 1));
    assert_eq!(AuditReport::from_text(&audited.to_text()), Some(audited.clone()));
    assert!(audited.text(true).starts_with("all well: 4000 packets") && audited.text(false).contains("download: 2000"));
    assert!((60..80).contains(&(limit(&order).0 / 1_000_000_000)), "twice 33 s, and patience");
}

#[test]
fn each_wrong_is_named() {
    let order = order(1_000);
    let faults = |change: &dyn Fn(&mut CaptureCounts)| {
        let mut seen = CaptureCounts::new(&order);
        change(&mut seen);
        seen.judge(&order, true).faults.join("; ")
    };
    let narrow = faults(&|seen| line(seen, 2_000, 0.05));
    assert!(narrow.contains("upload: the intervals do not follow the law") && !narrow.contains("download"), "{narrow}");
    let keepalive = |seen: &mut CaptureCounts| {
        line(seen, 600, 0.15);
        seen.take(&passed(Nanos::from_secs(1_800_000_099), false, 60, 32), &head(4));
    };
    assert_eq!(faults(&keepalive), "download: 1 of 601 packets have another size than promised");
    assert_eq!(faults(&|_| ()), "only 0 packets passed of 1000 awaited");
    let fast = |seen: &mut CaptureCounts| {
        for at in 0..1_000 {
            seen.take(&passed(Nanos::from_millis(20 * at), true, SIZE, 32), &head(4));
        }
    };
    assert!(faults(&fast).contains("upload: 203 kbit/s instead of 163"), "{}", faults(&fast));
}

#[test]
fn an_interface_below_counts_nothing_twice() {
    let order = order(100);
    let mut seen = CaptureCounts::new(&order);
    let below = |at| crate::sys::capture::Passed { interface: 2, ..passed(at, false, SIZE, 32) };
    seen.take(&below(Nanos(1)), &head(4));
    seen.take(&passed(Nanos(2), true, SIZE, 32), &head(4));
    seen.take(&below(Nanos(3)), &head(4));
    seen.take(&passed(Nanos(4), false, SIZE, 32), &head(4));
    assert_eq!(seen.packets(), 2);
    assert_eq!(AuditReport::from_text("nonsense"), None);
    assert_eq!(AuditReport::from_text("fault without a beginning"), None);
}
