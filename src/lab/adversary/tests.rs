//! The attacks detect a planted difference, and nothing in equal conditions.

use std::fs;
use std::io::Write;

use super::*;
use crate::lab::trace::HomeTrace;
use crate::units::Nanos;

#[test]
fn no_attack_detects_a_busy_home_in_virtual_time() {
    let seed = 3;
    println!("seed {seed}");
    let (home, _) = HomeTrace::synthetic(Nanos::from_secs(600), seed);
    let cases = virtual_cases(&home, Nanos::from_secs(3_600), seed).unwrap();
    for law in ["gamma", "normal", "constant"] {
        let of_law: Vec<_> = cases.iter().filter(|case| case.law == law).collect();
        assert!(of_law.len() >= 4, "{law}: {} attacks", of_law.len());
        for case in of_law {
            assert!(case.packets >= 20_000, "{case:?}");
            assert!(case.p_corrected > 0.001, "{case:?}");
            assert!(case.ci95[1] < 0.58, "{case:?}");
        }
    }
}

/// In the capture, the intervals of condition `wider` have 10 % more spread; those of `equal` have the same spread.
#[test]
fn attacks_detect_a_planted_difference_in_an_interleaved_capture() {
    let folder = std::env::temp_dir().join(format!("millpond-adversary-{}", std::process::id()));
    let law = folder.join("gamma");
    fs::create_dir_all(&law).unwrap();
    let times = write_planted_capture(&law);
    fs::write(law.join("timeline.csv"), times).unwrap();
    fs::write(law.join("run.json"), r#"{"router_wan": "203.0.113.2", "endpoint": "198.51.100.2", "seed": 1}"#).unwrap();
    let interleaved = InterleavedCapture::read(&folder, Law::Gamma).unwrap().expect("there is a run");
    let cases = interleaved.cases(1).unwrap();
    let min_p = |name: &str| {
        let of_condition = cases.iter().filter(|case| case.condition == name);
        of_condition.map(|case| case.p_corrected).fold(1.0, f64::min)
    };
    assert!(min_p("wider") < 1e-6, "{cases:#?}");
    assert!(min_p("equal") > 0.001, "{cases:#?}");
    assert!(InterleavedCapture::read(&folder, Law::Normal).unwrap().is_none());
    fs::write(law.join("timeline.csv"), "condition,start_ns,stop_ns\nidle,5,3\n").unwrap();
    let error = InterleavedCapture::read(&folder, Law::Gamma).err().unwrap().to_string();
    assert!(error.contains("timeline.csv") && error.contains('2'), "{error}");
    fs::remove_dir_all(&folder).unwrap();
}

/// Writes the capture and returns its timeline as CSV.
fn write_planted_capture(folder: &std::path::Path) -> String {
    use rand::rngs::ChaCha8Rng;
    use rand::{RngExt, SeedableRng};
    let mut rng = ChaCha8Rng::seed_from_u64(5);
    let mut file = fs::File::create(folder.join("wan.pcap")).unwrap();
    // Classic pcap with nanoseconds, link type Ethernet.
    let header = [0xa1b2_3c4d_u32, 0x0004_0002, 0, 0, 65_535, 1];
    header.iter().for_each(|word| file.write_all(&word.to_le_bytes()).unwrap());
    let mut now = 1_700_000_000_000_000_000u64;
    let mut lines = "condition,start_ns,stop_ns\n".to_owned();
    for _ in 0..10 {
        for (name, spread) in [("idle", 0.30), ("equal", 0.30), ("wider", 0.33)] {
            let start = now;
            for number in 0..4_000 {
                let sum: f64 = (0..12).map(|_| rng.random::<f64>()).sum::<f64>() - 6.0;
                now += (10e6 * (1.0 + spread * sum)).max(1.0) as u64;
                write_packet(&mut file, now, number % 2 == 0);
            }
            lines.push_str(&format!("{name},{start},{}\n", now + 1));
            now += 1_000_000_000;
        }
    }
    lines
}

fn write_packet(file: &mut impl Write, now: u64, up: bool) {
    let (router, endpoint) = ([203, 0, 113, 2], [198, 51, 100, 2]);
    let (source, destination) = if up { (router, endpoint) } else { (endpoint, router) };
    let mut frame = vec![2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2, 8, 0];
    frame.extend([0x45, 0, 1, 252, 0, 0, 0, 0, 64, 17, 0, 0]);
    frame.extend(source);
    frame.extend(destination);
    frame.extend([0xca, 0x6c, 0xca, 0x6c, 1, 232, 0, 0, 4, 0, 0, 0]);
    let words = [(now / 1_000_000_000) as u32, (now % 1_000_000_000) as u32, frame.len() as u32, 522];
    words.iter().for_each(|word| file.write_all(&word.to_le_bytes()).unwrap());
    file.write_all(&frame).unwrap();
}
