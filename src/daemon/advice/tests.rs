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
        advisor.note(ObservedPacket { at, bytes: 100, device: DeviceId(1), direction: Direction::Up });
        advisor.note(ObservedPacket { at, bytes: 60, device: DeviceId(1), direction: Direction::Down });
        for _ in 0..if second % 60 == 0 { 143 } else { 0 } {
            advisor.note(ObservedPacket { at, bytes: 1400, device: DeviceId(2), direction: Direction::Up });
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
            advisor.note(ObservedPacket { at, bytes: 1400, device: DeviceId(2), direction: Direction::Up });
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
        advisor.note(ObservedPacket {
            at: Nanos(at),
            bytes: 100,
            device: DeviceId(MAX_TRACKED.0 + 1),
            direction: Direction::Up,
        });
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

const BURST: &str = "config burst\n\tlist device 'camera'\n\toption upload '600'\n\toption download '160'\n";

/// An advisor that has watched a camera which uploads 200 KB each ten minutes, for `hours`.
fn watched(settings: &Settings, hours: u64) -> RateAdvisor {
    let mut advisor = advisor(settings);
    let size = Encapsulation::wireguard(IpVersion::V4).largest_cell(512).unwrap();
    advisor.watch_needs(settings, size, Nanos::ZERO);
    for minute in (5..60 * hours).step_by(10) {
        for _ in 0..143 {
            let at = Nanos::from_secs(60 * minute);
            // Neither another device nor the other direction is need.
            for (device, direction) in [(2, Direction::Up), (1, Direction::Up), (2, Direction::Down)] {
                advisor.note(ObservedPacket { at, bytes: 1_400, device: DeviceId(device), direction });
            }
        }
    }
    advisor.needs.advance(Nanos(hours * HOUR.0));
    advisor
}

/// 200 KB wait at the first boundary, and 120 KB at the second; the third slot is a burst.
#[test]
fn needs_are_counted_by_events_and_their_slots() {
    let settings = settings(BURST);
    let advisor = watched(&settings, 24);
    assert_eq!(advisor.needs.event_slots(), 2.0);
    let need = advisor.needs.pattern(0).expect("a day is enough");
    assert!((need.shares()[1] * 8_640.0 - 288.0).abs() < 1.0, "144 events of two slots: {need:?}");
    assert_eq!(advisor.needs.linger(), Some(crate::config::model::Burst::LINGER), "short events, short decoys");
    assert_eq!(watched(&settings, 0).needs.pattern(1), None);
}

#[test]
fn needs_survive_a_restart_and_files_from_before_bursts_are_read() {
    let settings_with = settings(BURST);
    let saved = watched(&settings_with, 24).save(Nanos(24 * HOUR.0));
    let mut next = watched(&settings_with, 0);
    assert!(next.restore(&saved));
    assert_eq!((next.needs.event_slots(), next.needs.watched()), (2.0, Nanos(24 * HOUR.0 + 10_000_000_000)));
    let before = advisor(&settings("")).save(HOUR);
    let mut next = watched(&settings_with, 0);
    assert!(next.restore(&before), "a file of a version without bursts");
    assert_eq!(next.needs.event_slots(), 1.0);
    let mut cut = watched(&settings_with, 0);
    assert!(!cut.restore(&saved[..saved.len() - 1]));
}

/// The status says what anyone can learn, and rounds no number in favour of millpond.
#[test]
fn what_bursts_show_is_told_in_words() {
    let settings = settings(BURST);
    let size = Encapsulation::wireguard(IpVersion::V4).largest_cell(512).unwrap();
    let params = crate::daemon::shape::bursts(&settings, size, None).expect("bursts");
    let rates = [BitsPerSec::from_kbit(600), BitsPerSec::from_kbit(160)];
    let answer = watched(&settings, 24).bursts(&params, rates, false);
    let (bursts, decoys) = (answer.bursts_a_day.unwrap(), answer.decoys_a_day.unwrap());
    assert!((120..=150).contains(&(bursts - decoys)) && (200..=260).contains(&decoys), "{answer:?}");
    let odds = crate::core::burst::odds::BurstOdds::new(
        &params.rules,
        &crate::core::burst::odds::NeedPattern::new(144.9, 2.0, params.rules.slot),
    );
    assert!(answer.burst_percent.unwrap().0 >= 100.0 * odds.at_begin, "{answer:?}");
    assert!(answer.burst_percent.unwrap().0 < 100.0 * odds.at_begin + 0.1, "{answer:?}");
    assert!(answer.event_percent > answer.burst_percent);
    let text = answer.to_string();
    assert!(text.starts_with("bounded promise") && text.contains(&format!("{decoys} are decoys")), "{text}");
    let text = watched(&settings, 0).bursts(&params, rates, false).to_string();
    assert!(text.contains("not known yet"), "{text}");
}

#[test]
fn bursts_have_a_price_for_each_share_of_decoys() {
    let settings = settings(BURST);
    let advisor = watched(&settings, 24);
    let prices = bursts::burst_prices(&Advice::new(&settings, &advisor, HOUR));
    assert_eq!(prices.len(), 5);
    for pair in prices.windows(2) {
        assert!(pair[1].month_gb > pair[0].month_gb && pair[1].burst_percent < pair[0].burst_percent, "{prices:?}");
    }
    assert!(prices[0].month_gb.0 > 77.0 && prices[4].month_gb.0 < 246.0, "between base and burst: {prices:?}");
    assert_eq!(bursts::burst_prices(&Advice::new(&self::settings(""), &advisor, HOUR)), []);
}
