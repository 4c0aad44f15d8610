//! What other programs write: notations of MACs, days and times, several MACs, byte order marks.

use super::super::parse;
use super::{ROUTER, lines, router_with};
use crate::config::model::Mac;

/// Notations of other programs for the same values.
#[test]
fn values_are_read_as_other_programs_write_them() {
    let usual = parse(ROUTER.as_bytes()).settings.expect("good settings");
    let same = [
        ("mac", "option mac '18-b4-30-26-34-40'"),
        ("mac", "option mac '18b4.3026.3440'"),
        ("mac", "option mac '18b430263440'"),
        ("mac", "option mac ' 18:B4:30:26:34:40 '"),
        ("day", "option day 'mon sun'"),
        ("day", "list day ' Mon'\n\tlist day 'SUNDAY '"),
        ("start", "option start '8:00'"),
        ("start", "option start '08:00:00'"),
        ("level", "option level ' custom '"),
    ];
    for (option, line) in same {
        let text = ROUTER.replace("\tlist day 'sun'\n", if option == "day" { "" } else { "\tlist day 'sun'\n" });
        let text = match option {
            "start" => text.replace("option start '08:00'", line),
            "day" => text.replace("list day 'mon'", line),
            "level" => text.replace("option level 'custom'", line),
            _ => text.replace("option mac '18:B4:30:26:34:40'", line),
        };
        assert_ne!(text, ROUTER, "{line}");
        let parsed = parse(text.as_bytes());
        assert_eq!(parsed.settings.as_ref(), Some(&usual), "{line}: {:?}", lines(&parsed));
    }
    let endpoint = |line| router_with("endpoint", line).settings.expect("good settings").tunnel;
    let bare = endpoint("option endpoint '2001:db8::1:51820'");
    assert_eq!(bare, usual.tunnel, "as wg reads it");
    // A single digit for a byte below 16.
    let short = router_with("mac", "option mac '0:16:6c:ab:6b:8'").settings.unwrap();
    assert_eq!(short.devices[0].macs, [Mac([0x00, 0x16, 0x6c, 0xab, 0x6b, 0x08])]);
}

#[test]
fn a_device_may_have_several_macs() {
    let (one, two) = ("18:b4:30:26:34:40", "00:16:6C:AB:6B:88");
    for lines in [format!("list mac '{one}'\n\tlist mac '{two}'"), format!("option mac '{one} {two}'")] {
        let settings = router_with("mac", &lines).settings.expect("good settings");
        let macs: Vec<String> = settings.devices[0].macs.iter().map(Mac::to_string).collect();
        assert_eq!(macs, [one.to_owned(), two.to_lowercase()], "{lines}");
    }
    let text = format!("config millpond main\nconfig device\nlist mac '{one}'\nlist mac '{two}'\n");
    let error = |more: &str| {
        let parsed = parse(format!("{text}{more}").as_bytes());
        let macs = parsed.understood.as_ref().expect("a role").devices[0].macs.len();
        (lines(&parsed).join("\n"), macs)
    };
    let again = error(&format!("config device\noption mac '{two}'\n"));
    assert!(
        again.0.contains("@device[1].mac: duplicate (got 00:16:6c:ab:6b:88, already used by '@device[0]'"),
        "{again:?}"
    );
    // The other addresses of a device with a broken one are still confined.
    assert_eq!(error("list mac '18:b4:30 a0:92:08:7b:03:1c'\n").1, 3);
    let many: String = (1..=7).map(|last| format!("list mac '00:00:00:00:00:0{last}'\n")).collect();
    assert!(error(&many).0.contains("@device[0].mac: too many (got 9, want at most 8 for one device)"));
}

#[test]
fn a_byte_order_mark_is_named() {
    let device = "config millpond main\nconfig device\noption mac '18:b4:30:26:34:40'\n";
    let parsed = parse(format!("\u{feff}{device}").as_bytes());
    let [problem] = &lines(&parsed)[..] else { panic!("{:?}", lines(&parsed)) };
    assert!(problem.starts_with("f:1: the file begins with a byte order mark (want UTF-8 without it"), "{problem}");
    assert_eq!(parsed.understood.expect("the rest is read").devices.len(), 1);
    let utf16: Vec<u8> = "\u{feff}config".encode_utf16().flat_map(u16::to_le_bytes).collect();
    let utf16 = lines(&parse(&utf16));
    assert!(utf16.len() < 3 && utf16.iter().any(|line| line.contains("begins with a byte order mark")), "{utf16:?}");
}
