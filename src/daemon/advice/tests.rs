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
    let size = Encapsulation::wireguard(IpVersion::V4).largest_cell(512).unwrap();
    RateAdvisor::new(settings, size, 7, Nanos::ZERO)
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
        advisor.run_pending(|| true);
    }
    advisor.advance(Nanos::from_secs(seconds + 30));
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
    let camera_max = camera.lowest(Direction::Up, Level::Strict).map(|step| RATES_KBIT[step]).unwrap();
    assert!((200..=320).contains(&camera_max), "{camera_max} kbit/s");
    assert_eq!(camera.lowest(Direction::Down, Level::Strict), Some(0), "it receives nothing");
    let plug_mean = plug.lowest(Direction::Up, Level::Saver).map(|step| RATES_KBIT[step]).unwrap();
    assert!(plug_mean <= 80, "the plug's packets overtake the camera's: {plug_mean} kbit/s");
    let mut before = [0, 0];
    for level in ADVISED {
        let rates = advice.advised(level).unwrap();
        assert!(rates[0] >= before[0] && rates[1] >= before[1], "{} {rates:?}", level.name());
        assert!(rates[0] >= plug_mean, "one rate for the whole home");
        before = rates;
    }
    assert!(before[0] >= camera_max && before[1] <= 40, "{before:?}");
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
    assert!(!json.contains("advised_") && advice.answer().to_string().contains("no packets observed"));
}

#[test]
fn pending_packets_wait_and_excess_ones_are_missed() {
    let settings = settings("");
    let mut advisor = advisor(&settings);
    for at in 0..300 {
        advisor.note(ObservedPacket { at: Nanos(at), bytes: 100, device: MAX_TRACKED + 1, direction: Direction::Up });
    }
    advisor.run_pending(|| false);
    assert_eq!(Advice::new(&settings, &advisor, HOUR).packets(), 0);
    advisor.advance(HOUR);
    advisor.run_pending(|| true);
    let advice = Advice::new(&settings, &advisor, HOUR);
    assert_eq!((advice.packets(), advice.advisor.missed), (MAX_PENDING as u32, 300 - MAX_PENDING as u32));
    assert_eq!(advice.devices.last().unwrap().name, "all others");
    assert_eq!(advice.confidence().name(), "low");
    assert!(advice.answer().to_string().contains("(44 missed)"));
}
