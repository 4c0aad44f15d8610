//! `config burst`: slots of a higher rate for some devices.

use super::context::Context;
use super::general::General;
use super::level::KBIT;
use super::reader::SectionReader;
use super::value::{ValueError, mac, number, shown};
use crate::config::model::{Burst, Device, Policy, Role};
use crate::config::problem::SettingsProblem;
use crate::config::uci::Section;
use crate::law::{MAX_TRAIN, MIN_INTERVAL};
use crate::units::{BitsPerSec, Chance, Nanos};

const OPTIONS: [&str; 8] = ["device", "upload", "download", "slot", "begin", "decoy", "keep", "linger"];
/// The highest number of a device that is listed: [`Burst::devices`] has 64 bits.
const MAX_NUMBER: usize = 63;

/// Reads the `burst` section.
pub(super) fn read<'a>(
    sections: impl Iterator<Item = &'a Section>,
    general: &General,
    devices: &[Device],
    context: &Context,
    problems: &mut Vec<SettingsProblem>,
) -> Option<Burst> {
    let mut burst = None;
    for (index, section) in sections.enumerate() {
        let mut reader = SectionReader::new(section, &OPTIONS, problems);
        context.expect(Role::Router, &mut reader);
        if index > 0 {
            reader.error_section("duplicate section (want one config burst, with all its devices)".to_owned());
        }
        burst = section_burst(&mut reader, general, devices);
    }
    burst
}

fn section_burst(reader: &mut SectionReader, general: &General, devices: &[Device]) -> Option<Burst> {
    let base = general.shape(general.level)?;
    if base.law.paced_by_kernel() {
        let text = format!("no bursts with this law (got law '{}', want gamma | normal | constant)", base.law);
        reader.error_section(text);
    }
    let listed = listed(reader, devices);
    let mut rate = |option, base_rate: BitsPerSec| {
        let kbit = reader.needed(true, option, "kbit/s", number(KBIT, "kbit/s"))?;
        let rate = BitsPerSec::from_kbit(kbit.into());
        let train_bytes = usize::from(base.train.unwrap_or(MAX_TRAIN)) * usize::from(base.cell_bytes);
        if rate < base_rate {
            let (least, level) = (base_rate.0 / 1_000, general.level.name());
            let text = format!("slower than the base (got '{kbit}', want at least {least} kbit/s as level '{level}')");
            reader.error(option, text);
        } else if rate.interval(train_bytes) < MIN_INTERVAL {
            let most = train_bytes as u64 * 8 * 1_000_000 / MIN_INTERVAL.0;
            reader.error(option, format!("too fast for the trains (got '{kbit}', want at most {most} kbit/s)"));
        }
        Some(rate)
    };
    let (upload, download) = (rate("upload", base.upload), rate("download", base.download));
    let slot = reader.value("slot", number(2..=600, "seconds")).unwrap_or(10);
    let mut chance = |option, default| reader.value(option, probability).unwrap_or(Chance(default));
    let (begin, decoy, keep) = (chance("begin", 900_000), chance("decoy", 30_000), chance("keep", 950_000));
    let linger = reader.value("linger", probability);
    let below = |reader: &mut SectionReader, low: &str, high: &str| {
        reader.error(low, format!("above {high} (want at most {high}: need must not make a burst less likely)"));
    };
    if decoy > begin {
        below(reader, "decoy", "begin");
    }
    if linger.unwrap_or(Burst::LINGER) > keep {
        below(reader, "linger", "keep");
    }
    let slot = Nanos::from_secs(slot.into());
    Some(Burst { devices: listed, upload: upload?, download: download?, slot, begin, decoy, keep, linger })
}

/// The listed devices, bit N for number N.
fn listed(reader: &mut SectionReader, devices: &[Device]) -> u64 {
    let of = |text: &str| {
        let mac = mac(text).ok();
        let is_it = |device: &Device| device.name == text || mac.is_some_and(|mac| device.macs.contains(&mac));
        let place = devices.iter().position(is_it);
        let place = place.filter(|place| *place < MAX_NUMBER && devices[*place].policy == Policy::Shape);
        let wanted = "the name or MAC of one of the first 63 devices, with policy 'shape'";
        place.ok_or_else(|| ValueError::new("no such device", text, wanted))
    };
    if !reader.given("device") {
        reader.error("device", "missing (want the name or MAC of each device that needs bursts)".to_owned());
    }
    let mut listed = 0;
    for (place, _) in reader.list("device", of) {
        let bit = 2 << place;
        if listed & bit != 0 {
            reader.error("device", format!("twice (got {}, want each device once)", shown(&devices[place].name)));
        }
        listed |= bit;
    }
    listed
}

/// A decimal fraction between 0 and 1, both excluded, with at most six decimals.
fn probability(text: &str) -> Result<Chance, ValueError> {
    let digits = text.strip_prefix('0').unwrap_or(text).strip_prefix('.').unwrap_or_default();
    let digits = Some(digits).filter(|digits| digits.len() <= 6 && digits.bytes().all(|b| b.is_ascii_digit()));
    let millionths =
        digits.and_then(|digits| format!("{digits:0<6}").parse().ok()).filter(|millionths| *millionths > 0);
    millionths.map(Chance).ok_or_else(|| ValueError::new("not a probability", text, "between 0 and 1, such as 0.03"))
}

#[cfg(test)]
mod tests {
    use crate::config::model::Burst;
    use crate::config::{Parsed, parse};
    use crate::units::{BitsPerSec, Chance, Nanos};

    const DEVICES: &str = "config millpond 'main'\n\toption level 'saver'\n\
        config device\n\toption name 'plug'\n\toption mac '18:b4:30:26:34:41'\n\
        config device\n\toption name 'front door'\n\toption mac '18:b4:30:26:34:40'\n\
        config device\n\toption name 'laptop'\n\toption mac '18:b4:30:26:34:42'\n\toption policy 'direct'\n";
    const BURST: &str = "config burst 'b'\n\tlist device 'front door'\n\toption upload '600'\n\toption download '60'\n";

    fn parsed(more: &str) -> Parsed {
        parse(format!("{DEVICES}{more}").as_bytes())
    }

    #[test]
    fn bursts_have_defaults() {
        assert_eq!(parsed("").settings.unwrap().line.burst, None);
        let burst = parsed(BURST).settings.unwrap().line.burst.unwrap();
        let want = Burst {
            devices: 1 << 2,
            upload: BitsPerSec::from_kbit(600),
            download: BitsPerSec::from_kbit(60),
            slot: Nanos::from_secs(10),
            begin: Chance(900_000),
            decoy: Chance(30_000),
            keep: Chance(950_000),
            linger: None,
        };
        assert_eq!(burst, want);
        let more = "\tlist device '18-B4-30-26-34-41'\n\toption slot '5'\n\toption decoy '.003'\n\
            \toption linger '0.80'\n\toption keep '0.999999'\n";
        let burst = parsed(&format!("{BURST}{more}")).settings.unwrap().line.burst.unwrap();
        let all = Some(Chance(800_000));
        assert_eq!(
            (burst.devices, burst.slot, burst.decoy, burst.linger),
            (0b110, Nanos::from_secs(5), Chance(3_000), all)
        );
        assert_eq!(burst.keep, Chance(999_999));
    }

    #[test]
    fn errors_of_bursts_are_reported() {
        for (more, want) in [
            ("\toption begin '0'\n", "b.begin: not a probability (got '0', want between 0 and 1, such as 0.03)"),
            ("\toption begin '1'\n", "b.begin: not a probability"),
            ("\toption decoy '0.0000001'\n", "b.decoy: not a probability"),
            ("\toption decoy '0.000000'\n", "b.decoy: not a probability"),
            ("\toption keep '1.0'\n", "b.keep: not a probability"),
            ("\toption linger '-0.5'\n", "b.linger: not a probability"),
            ("\toption linger '50%'\n", "b.linger: not a probability"),
            ("\toption decoy '0.95'\n", "b.decoy: above begin"),
            ("\toption linger '0.96'\n", "b.linger: above keep"),
            ("\toption keep '0.5'\n", "b.linger: above keep"),
            ("\toption slot '1'\n", "b.slot: out of range (got '1', want 2..=600 seconds"),
            ("\tlist device 'front door'\n", "b.device: twice (got 'front door'"),
            ("\tlist device '18:b4:30:26:34:40'\n", "b.device: twice"),
            ("\tlist device 'laptop'\n", "b.device: no such device (got 'laptop', want the name or MAC"),
            ("\tlist device 'fridge'\n", "b.device: no such device"),
            ("config burst 'c'\n\tlist device 'plug'\n\toption upload '600'\n\toption download '60'\n", "c: duplicate"),
        ] {
            let problems = parsed(&format!("{BURST}{more}")).problems;
            assert!(problems.len() == 1 && problems[0].to_string().starts_with(want), "{more}: {problems:?}");
        }
        for (from, to, want) in [
            ("'600'", "'29'", "b.upload: slower than the base (got '29', want at least 30 kbit/s as level 'saver')"),
            ("'60'", "'10'", "b.download: slower than the base"),
            ("\toption upload '600'\n", "", "b.upload: missing"),
            ("\tlist device 'front door'\n", "", "b.device: missing"),
        ] {
            let problems = parsed(&BURST.replace(from, to)).problems;
            assert!(problems.len() == 1 && problems[0].to_string().starts_with(want), "{to}: {problems:?}");
        }
        let main = DEVICES.replace("'saver'\n", "'saver'\n\toption law 'kernel'\n");
        let problems = parse(format!("{main}{BURST}").as_bytes()).problems;
        assert!(
            problems.len() == 1 && problems[0].to_string().starts_with("b: no bursts with this law"),
            "{problems:?}"
        );
    }
}
