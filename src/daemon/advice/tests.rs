use super::*;
use crate::config::model::Level;
use crate::core::what_if::MAX_TRACKED;
use crate::daemon::control::encode;
use crate::wire::size::{Encapsulation, IpVersion};

const HOUR: Nanos = Nanos::from_secs(3_600);

fn settings(more: &str) -> Settings {
    let text = format!(
        "config millpond 'main'\n\toption level 'balanced'\n{more}\n\
         config device\n\toption name 'plug'\n\toption mac '18:b4:30:26:34:40'\n\toption kind 'plug'\n\
         config device\n\toption name 'camera'\n\toption mac '18:b4:30:26:34:41'\n\toption kind 'camera'\n"
    );
    let parsed = crate::config::parse(text.as_bytes());
    parsed.settings.unwrap_or_else(|| panic!("{:?}", parsed.problems))
}

fn advisor(settings: &Settings) -> RateAdvisor {
    RateAdvisor::new(settings, Encapsulation::wireguard(IpVersion::V4), 7, Nanos::ZERO)
}

/// A plug that sends 100 bytes each second, and a camera that uploads 200 KB each minute.
fn simulate_home(advisor: &mut RateAdvisor, seconds: u64) {
    for second in 1..=seconds {
        let at = Nanos::from_secs(second);
        advisor.note(ObservedPacket { at, bytes: 100, device: 1, direction: Direction::Up });
        advisor.note(ObservedPacket { at, bytes: 60, device: 1, direction: Direction::Down });
        for _ in 0..if second % 60 == 0 { 143 } else { 0 } {
            advisor.note(ObservedPacket { at, bytes: 1400, device: 2, direction: Direction::Up });
        }
        advisor.run_pending(at, || true);
    }
    advisor.run_pending(Nanos::from_secs(seconds + 30), || true);
}

#[test]
fn each_device_stays_within_its_own_tolerance() {
    let settings = settings("");
    let mut advisor = advisor(&settings);
    simulate_home(&mut advisor, 3_600);
    let advice = Advice::new(&settings, &advisor, HOUR);
    let [plug, camera] = &advice.devices[..] else { panic!("two devices") };
    assert_eq!(plug.offered, [3_600; 2]);
    // A burst of 200 KB takes 17.6 s at 91 kbit/s of packets, but the queue gives up after 10 s.
    let lowest = |device: &choice::DeviceDelays<'_>, level| {
        device.lowest(Direction::Up, level, &|_| Nanos::ZERO).map(|step| RATES_KBIT[step]).unwrap()
    };
    let camera_max = lowest(camera, Level::Strict);
    assert!((180..=220).contains(&camera_max), "{camera_max} kbit/s");
    assert_eq!(camera.lowest(Direction::Down, Level::Strict, &|_| Nanos::ZERO), Some(0), "it receives nothing");
    let plug_mean = lowest(plug, Level::Saver);
    assert!(plug_mean <= 80, "the plug's packets overtake the camera's: {plug_mean} kbit/s");
    let mut before = 0;
    for level in ADVISED {
        let advised = advice.advised(level).unwrap();
        assert!(advised.total_kbit() >= before, "{} {advised:?}", level.name());
        before = advised.total_kbit();
    }
    let strict = advice.advised(Level::Strict).unwrap();
    assert_eq!(strict.cell_bytes, 1_280, "the camera's bytes cost less in large cells");
    assert!(strict.upload_kbit < camera_max && strict.download_kbit <= 40, "{strict:?}");
    let answer = advice.answer();
    let saved: Vec<f64> = answer.levels.iter().filter_map(|level| Some(level.advised_saves_gb?.0)).collect();
    let in_force = 240.0 * 0.324;
    assert!((saved[2] - (in_force - strict.total_kbit() as f64 * 0.324)).abs() < 0.01, "{saved:?}");
}

/// The rates of the answer are as they always were; the others lie between them.
#[test]
fn neighbouring_rates_lie_8_percent_apart() {
    assert!(SHOWN_KBIT.iter().zip(RATES_KBIT.iter().skip(SHOWN_EVERY - 1).step_by(SHOWN_EVERY)).all(|(a, b)| a == b));
    for pair in RATES_KBIT.windows(2) {
        let ratio = pair[1] as f64 / pair[0] as f64;
        assert!(ratio > 1.0 && (ratio < 1.13 || pair[1] < 30), "{pair:?}");
    }
}

#[test]
fn observations_are_read_back_for_the_same_devices_only() {
    let settings = settings("");
    let mut before = advisor(&settings);
    simulate_home(&mut before, 3_600);
    let bytes = before.save(HOUR);
    println!("{} bytes for two devices", bytes.len());
    assert!(bytes.len() < 16 * 1024, "{} bytes", bytes.len());
    let mut after = advisor(&settings);
    assert!(after.restore(&bytes));
    assert_eq!(
        Advice::new(&settings, &after, Nanos::ZERO).answer(),
        Advice::new(&settings, &before, HOUR).answer(),
        "a new daemon, whose clock starts at zero"
    );
    for length in [0, 1, 20, bytes.len() - 1] {
        assert!(!advisor(&settings).restore(&bytes[..length]), "cut after {length} bytes");
    }
    assert!(!advisor(&settings).restore(&[&bytes[..], &[1]].concat()));
    let mut others = settings.clone();
    others.devices.swap(0, 1);
    assert!(!advisor(&others).restore(&bytes), "the numbers mean other devices");
    let mut other_level = settings.clone();
    other_level.shape.cell_bytes = 1_280;
    other_level.shape.upload = BitsPerSec(30_000);
    assert!(advisor(&other_level).restore(&bytes), "a change of level ends no observation");
}

/// A second of departures at eighty rates takes a small router tens of milliseconds: several cells would be late.
#[test]
fn the_departures_of_a_second_are_run_in_small_parts() {
    let settings = settings("");
    let [mut whole, mut interrupted] = [(); 2].map(|()| advisor(&settings));
    for advisor in [&mut whole, &mut interrupted] {
        for _ in 0..100 {
            let at = Nanos::from_millis(3);
            advisor.note(ObservedPacket { at, bytes: 1400, device: 2, direction: Direction::Up });
        }
    }
    let end = Nanos::from_secs(30);
    whole.run_pending(end, || true);
    let mut parts = 0;
    while interrupted.latest != [end; 2] {
        let before = interrupted.latest;
        let mut asked = 0;
        interrupted.run_pending(end, || std::mem::replace(&mut asked, 1) == 0);
        let step = interrupted.latest[0].saturating_since(before[0]);
        let idle = interrupted.latest[0] == end;
        assert!(step <= Nanos::from_millis(10) || idle, "{step:?} at once while packets wait");
        parts += 1;
    }
    assert!(parts > 1_000, "{parts}");
    let answers = [&whole, &interrupted].map(|advisor| Advice::new(&settings, advisor, HOUR).answer());
    assert_eq!(answers[0], answers[1], "interruptions change no result");
}

#[test]
fn without_observed_packets_only_costs_are_given() {
    let settings = settings("\toption data_cap '150'\n\toption price '2.50'\n");
    let advisor = advisor(&settings);
    let advice = Advice::new(&settings, &advisor, Nanos::from_secs(10));
    assert_eq!(advice.confidence().name(), "none");
    assert!(ADVISED.iter().all(|level| advice.advised(*level).is_none()));
    let json = encode::to_json(&advice.answer()).unwrap();
    for part in [
        "\"confidence\":\"none\"",
        // The paper's 7.5 KB/s and 40 KB/s.
        "{\"kbit\":60,\"month_gb\":19.440,\"cap_percent\":12.960,\"month_price\":0.000,",
        "{\"kbit\":320,\"month_gb\":103.680,\"cap_percent\":69.120,",
        "\"level\":\"strict\",\"in_force\":false,\"upload_kbit\":160.000,\"download_kbit\":320.000,\
         \"month_gb\":155.520,\"cap_percent\":103.680,\"month_price\":13.800,\"guarantee\"",
    ] {
        assert!(json.contains(part), "{part} in {json}");
    }
    let weekly = self::settings("\toption data_cap '35'\n\toption cap_period 'week'\n");
    let json_weekly = encode::to_json(&Advice::new(&weekly, &self::advisor(&weekly), HOUR).answer()).unwrap();
    assert!(json_weekly.contains("\"kbit\":60,\"month_gb\":19.440,\"cap_percent\":12.960,"), "{json_weekly}");
    assert!(!json.contains("advised_") && advice.answer().to_string().contains("no packets observed"));
}

#[test]
fn pending_packets_wait_and_excess_ones_are_missed() {
    let settings = settings("");
    let mut advisor = advisor(&settings);
    for at in 0..300 {
        advisor.note(ObservedPacket { at: Nanos(at), bytes: 100, device: MAX_TRACKED + 1, direction: Direction::Up });
    }
    advisor.run_pending(HOUR, || false);
    assert_eq!(Advice::new(&settings, &advisor, HOUR).packets(), 0);
    advisor.run_pending(HOUR, || true);
    let advice = Advice::new(&settings, &advisor, HOUR);
    assert_eq!((advice.packets(), advice.advisor.missed), (MAX_PENDING as u32, 300 - MAX_PENDING as u32));
    assert_eq!(advice.devices.last().unwrap().name, "all others");
    assert_eq!(advice.confidence().name(), "low");
    assert!(advice.answer().to_string().contains("(44 missed)"));
}
