use rand::rngs::ChaCha12Rng;
use rand::{RngExt, SeedableRng};

use super::capture::{CaptureCounts, captured, max_duration};
use super::*;
use crate::core::quotes::QuoteKind;
use crate::law::Law;

const SIZE: usize = 508;

fn job(packets: u32) -> AuditJob {
    let pace = |ms| Some(Pace { law: Law::Normal, mean: Nanos::from_millis(ms), spread_percent: 15 });
    AuditJob {
        packets,
        place: CapturePoint::Wire { peer: None, port: 51820 },
        bytes: SIZE as u16,
        paces: [pace(25), pace(12)],
        trains: [1; 2],
        per_second: 120.0,
        mark: 1,
        deep: false,
    }
}

/// The start of an IPv4 packet with that WireGuard message type.
fn head(kind: u8) -> [u8; 32] {
    let mut head = [0; 32];
    (head[0], head[28]) = (0x45, kind);
    head
}

/// Passes `count` cells up at normal intervals around 25 ms (the sum of twelve uniform numbers is nearly normal), each
/// with a cell down at the same time.
fn pass_cells(counts: &mut CaptureCounts, count: usize, spread: f64) {
    println!("seed 5");
    let mut rng = ChaCha12Rng::seed_from_u64(5);
    let mut at = Nanos::from_secs(1_800_000_000);
    for _ in 0..count {
        let normal = (0..12).map(|_| rng.random_range(0.0..1.0)).sum::<f64>() - 6.0;
        at = at + Nanos((25e6 * (1.0 + spread * normal)) as u64);
        counts.handle_packet(&captured(at, true, SIZE, 32), &head(4));
        counts.handle_packet(&captured(at, false, SIZE, 32), &head(4));
    }
}

#[test]
fn cells_as_promised_pass_and_the_report_survives_its_text_format() {
    let job = job(4_000);
    let mut counts = CaptureCounts::new(&job);
    pass_cells(&mut counts, 2_000, 0.15);
    counts.handle_packet(&captured(Nanos::from_secs(1), true, 176, 32), &head(1));
    let report = counts.judge(&job, true);
    assert_eq!(report.faults, Vec::<String>::new());
    assert_eq!((report.packets, report.handshakes), (4_000, 1));
    assert_eq!(AuditReport::from_text(&report.to_text()), Some(report.clone()));
    assert!(report.passed() && report.answer(true).to_string().starts_with("no faults: 4000 packets"));
    assert!(report.answer(false).to_string().contains("download: 2000"));
    assert!((60..80).contains(&(max_duration(&job).0 / 1_000_000_000)), "twice 33 s plus the grace period");
}

#[test]
fn each_fault_is_reported() {
    let job = job(1_000);
    let faults = |change: &dyn Fn(&mut CaptureCounts)| {
        let mut counts = CaptureCounts::new(&job);
        change(&mut counts);
        counts.judge(&job, true).faults.join("; ")
    };
    let narrow = faults(&|counts| pass_cells(counts, 2_000, 0.05));
    assert!(narrow.contains("upload: the intervals do not follow the law") && !narrow.contains("download"), "{narrow}");
    let keepalive = |counts: &mut CaptureCounts| {
        pass_cells(counts, 600, 0.15);
        counts.handle_packet(&captured(Nanos::from_secs(1_800_000_099), false, 60, 32), &head(4));
    };
    assert_eq!(faults(&keepalive), "download: 1 of 601 packets do not have the promised size");
    assert_eq!(faults(&|_| ()), "captured only 0 of 1000 expected packets");
    let fast = |counts: &mut CaptureCounts| {
        for at in 0..1_000 {
            counts.handle_packet(&captured(Nanos::from_millis(20 * at), true, SIZE, 32), &head(4));
        }
    };
    assert!(faults(&fast).contains("upload: 203 kbit/s instead of 163"), "{}", faults(&fast));
}

#[test]
fn a_lower_interface_does_not_count_packets_twice() {
    let job = job(100);
    let mut counts = CaptureCounts::new(&job);
    let below = |at| crate::sys::capture::CapturedPacket { interface: 2, ..captured(at, false, SIZE, 32) };
    counts.handle_packet(&below(Nanos(1)), &head(4));
    counts.handle_packet(&captured(Nanos(2), true, SIZE, 32), &head(4));
    counts.handle_packet(&below(Nanos(3)), &head(4));
    counts.handle_packet(&captured(Nanos(4), false, SIZE, 32), &head(4));
    assert_eq!(counts.packets(), 2);
    assert_eq!(AuditReport::from_text("nonsense"), None);
    assert_eq!(AuditReport::from_text("fault without a beginning"), None);
}

/// Quotes fail an audit, are told in words and as values, and survive the text format, whatever the device is called.
#[test]
fn quotes_are_a_part_of_the_report() {
    let quote = |device: &str, kind| QuoteFinding { device: device.into(), kind, service: "ICMP".into(), packets: 3 };
    let quotes = vec![quote("front door camera", QuoteKind::Answer), quote("a\tb \u{e4}", QuoteKind::Name)];
    let report = AuditReport { packets: 9, quotes: Some(quotes), ..AuditReport::default() };
    let read = AuditReport::from_text(&report.to_text()).expect("a report");
    let names: Vec<String> = read.quotes.iter().flatten().map(|quote| quote.device.clone()).collect();
    assert_eq!(names, ["front door camera", "ab \u{e4}"], "control characters would end the line or the word");
    assert!(!report.passed() && report.faults.is_empty());
    let answer = read.answer(true);
    let sentence = "packets from the router outside the tunnel answer packets of front door camera: 3 (ICMP)";
    assert_eq!(answer.faults[0], sentence);
    assert!(answer.to_string().contains(sentence));
    assert_eq!(answer.quotes.map(|quotes| (quotes[0].kind.to_string(), quotes.len())), Some(("answer".into(), 2)));
    let none = AuditReport { quotes: Some(Vec::new()), ..AuditReport::default() };
    assert_eq!(AuditReport::from_text(&none.to_text()), Some(none.clone()));
    assert!(none.passed());
    assert_eq!(AuditReport::from_text("found 1 1 1 1 1 1\nquote answer\t3\tICMP\tcamera"), None, "without a heading");
}
