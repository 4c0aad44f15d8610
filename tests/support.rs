//! The support report shows nothing personal, however the names are written.

mod common;

use common::openwrt::{Router, has_busybox};

const KEY: &str = "yAnz5TF+lXXJte14tji3zlMNq+hd2rYUIgJBgB3fBmk=";
const PUBLIC: &str = "xTIBA5rboUvnH4htodjb6e697QjLERt1NAB4mZqp8Dg=";
const BROKEN_KEY: &str = "thiskeyistooshort";

#[test]
fn a_support_dump_masks_personal_data() {
    if !has_busybox("a_support_dump_masks_personal_data") {
        return;
    }
    let settings = format!(
        "config millpond 'main'\n\toption enabled '1'\n\tlist server '9.9.9.9'\n\
         config tunnel 'tunnel'\n\toption private_key '{KEY}'\n\toption public_key \"{PUBLIC}\"\n\
         \toption preshared_key '{BROKEN_KEY}'\n\toption endpoint 'vpn.smith-family.example:51820'\n\
         config device\n\toption name 'Front door camera'\n\toption mac '18:b4:30:26:34:40'\n"
    );
    let router = Router::new("support", &settings);
    router.program(
        "millpond",
        &format!(
            "echo \"12:34:56 shaping towards 198.51.100.2:51820, vpn.smith-family.example, {PUBLIC}\"\n\
             echo 'Front door camera 18-B4-30-26-34-40 at 192.168.1.20 and 2001:db8:1::20, fe80::1ab4:30ff:fe26:3440'"
        ),
    );
    router.program("logread", &format!("echo 'refused: private_key {KEY} of 18:b4:30:26:34:40'"));
    let output = router.run(&[&router.script("usr/share/millpond/support")], &[]);
    let dump = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success(), "{dump}");
    for secret in [
        KEY,
        PUBLIC,
        BROKEN_KEY,
        "smith-family",
        "Front door",
        "18:b4:30:26:34:40",
        "18-B4-30",
        "192.168.1.20",
        "198.51.100.2",
        "2001:db8",
        "fe26:3440",
        "9.9.9.9",
    ] {
        assert!(!dump.contains(secret), "{secret} in\n{dump}");
    }
    assert!(dump.contains("12:34:56 shaping towards"), "times and words are kept:\n{dump}");
    assert!(dump.contains("option enabled '1'"), "{dump}");
    let masked = |line: &str| dump.lines().filter(|found| found.contains(line)).count();
    assert!(
        masked("MAC-1") >= 2 && masked("HOST-1") >= 2 && masked("NAME-1") >= 2,
        "equal values have equal masks:\n{dump}"
    );
    assert!(dump.contains("== log"), "the dump is complete:\n{dump}");
}
