//! The support report shows nothing personal, however the names are written.

mod common;

use std::fs;
use std::os::unix::fs::PermissionsExt;

use common::openwrt::{Router, busybox, has_busybox};

/// A router with the program's `config`. What its other commands print is in the folder `out`.
struct Reported(Router);

impl Reported {
    fn new(name: &str, settings: &str) -> Reported {
        let router = Router::new(&format!("support-{name}"), settings);
        let (out, real) = (router.path("out").display().to_string(), env!("CARGO_BIN_EXE_millpond"));
        for folder in ["out", "tmp", "etc/millpond", "sys/class/net", "etc/iproute2"] {
            fs::create_dir_all(router.path(folder)).unwrap();
        }
        router.program(
            "millpond",
            &format!(
                "[ \"$1\" != config ] || exec {real} \"$@\"\njson=\n[ \"$2\" != --json ] || json=-json\n\
                 cat \"{out}/$1$json\" 2> /dev/null"
            ),
        );
        for (program, output) in [("logread", "log"), ("nft", "nft"), ("ip", "ip")] {
            router.program(program, &format!("cat \"{out}/{output}\" 2> /dev/null"));
        }
        router.program("uname", "case $1 in -n) echo Gretas-Router ;; *) echo 6.12.5 ;; esac");
        Reported(router)
    }

    fn file(&self, path: &str, text: &str) {
        fs::write(self.0.path(path), text).unwrap();
    }

    fn report(&self) -> String {
        let script = self.0.script("usr/share/millpond/support");
        // BusyBox prefers its own programs to those on PATH.
        let mut text = fs::read_to_string(&script).unwrap();
        for program in ["logread", "ip", "uname"] {
            text = text.replace(&format!(" {program} "), &format!(" {} ", self.0.path("bin").join(program).display()));
        }
        fs::write(&script, text).unwrap();
        let output = self.0.run(&[&script], &[]);
        let report = String::from_utf8(output.stdout).unwrap();
        assert!(output.status.success() && output.stderr.is_empty(), "{report}\n{:?}", output.stderr);
        assert!(report.contains("== log"), "the report is complete:\n{report}");
        report
    }
}

fn assert_hides(report: &str, secrets: &[&str]) {
    let lower = report.to_lowercase();
    for secret in secrets {
        assert!(!lower.contains(&secret.to_lowercase()), "{secret} in\n{report}");
    }
}

const KEY: &str = "yAnz5TF+lXXJte14tji3zlMNq+hd2rYUIgJBgB3fBmk=";
const PUBLIC: &str = "xTIBA5rboUvnH4htodjb6e697QjLERt1NAB4mZqp8Dg=";
const BACKUP: &str = "ISIjJCUmJygpKissLS4vMDEyMzQ1Njc4OTo7PD0+P0A=";
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
         config device\n\toption name 'Front door camera'\n\toption mac '18:b4:30:26:34:40'\n\
         config device\n\tlist mac 'a092.087b.031c'\n\toption mac '00166cab6b88 74-2f-68-81-69-42'\n"
    );
    let router = Reported::new("data", &settings);
    router.file(
        "out/status",
        &format!(
            "12:34:56 shaping towards 198.51.100.2:51820, vpn.smith-family.example, {PUBLIC}\n\
             Front door camera 18-B4-30-26-34-40 at 192.168.1.20 and 2001:db8:1::20, fe80::1ab4:30ff:fe26:3440\n\
             neighbours ff02::1:ff26:3440 and 18b430263440\n"
        ),
    );
    let log = format!(
        "Mon Jan  5 07:08:09 2026 daemon.err millpond[99]: refused: private_key {KEY} of 18:b4:30:26:34:40\n\
         Mon Jan  5 07:08:09 2026 authpriv.info dropbear[8]: millpond login of greta\n"
    );
    router.file("out/log", &log);
    let report = router.report();
    let secrets = [
        KEY,
        PUBLIC,
        BROKEN_KEY,
        "a092.087b",
        "00166cab",
        "74-2f-68",
        "smith-family",
        "Front door",
        "18:b4:30:26:34:40",
        "18-B4-30",
        "greta",
    ];
    assert_hides(&report, &secrets);
    assert_hides(&report, &["192.168.1.20", "198.51.100.2", "2001:db8", "26:3440", "18b430", "9.9.9.9"]);
    assert!(report.contains("12:34:56 shaping towards"), "times and words are kept:\n{report}");
    assert!(report.contains("07:08:09 2026 daemon.err millpond[99]: refused"), "{report}");
    assert!(report.contains("@millpond[0].enabled=1"), "{report}");
    let masked = |line: &str| report.lines().filter(|found| found.contains(line)).count();
    assert!(
        masked("MAC-1") >= 2 && masked("HOST-1") >= 2 && masked("NAME-1") >= 2,
        "equal values have equal masks:\n{report}"
    );
}

/// A name, the ways to write it in the settings, and the parts of it that identify somebody.
fn names() -> Vec<(String, String, Vec<&'static str>)> {
    let names: [(&str, &[&str]); 8] = [
        ("Anna's camera", &["anna"]),
        ("Bob \"Bobby\" Lamp", &["bob", "bobby"]),
        ("Zoë\\Zimmer", &["zoë", "zimmer"]),
        ("Mia # porch; east", &["mia #", "porch", "east"]),
        ("Greta's \"attic\" \\ 'old' plug", &["greta", "attic", "'old'"]),
        ("Hugo\nIda", &["hugo", "ida"]),
        ("Tilo\u{202e}Uwe\u{1b}[1m", &["tilo", "uwe"]),
        ("TV", &["tv"]),
    ];
    let single = |text: &str| format!("'{}'", text.replace('\'', "'\\''"));
    let double = |text: &str| format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""));
    // A backslash before a line end joins the lines, so a line end cannot be bare.
    let bare =
        |text: &str| text.chars().map(|c| if c == '\n' { "'\n'".into() } else { format!("\\{c}") }).collect::<String>();
    let parts = |text: &str| {
        let middle = text.char_indices().nth(text.chars().count() / 2).unwrap().0;
        single(&text[..middle]) + &double(&text[middle..])
    };
    let mut written = Vec::new();
    for (name, personal) in names {
        for quoted in [single(name), double(name), bare(name), parts(name)] {
            written.push((name.to_owned(), quoted, personal.to_vec()));
        }
    }
    written
}

/// As JSON and as a message shows the name.
fn shown(name: &str) -> String {
    name.escape_debug().to_string()
}

#[test]
fn names_are_masked_however_the_settings_quote_them() {
    if !has_busybox("names_are_masked_however_the_settings_quote_them") {
        return;
    }
    for (name, quoted, personal) in names() {
        let settings = format!("config device\n\toption mac '18:b4:30:26:34:40'\n\toption name {quoted} # mine\n");
        let router = Reported::new("quoting", &settings);
        let flat = name.replace('\n', " ");
        router.file("out/devices", &format!("shape  18:b4:30:26:34:40 {flat}, 192.168.1.20, lan\n"));
        let json = serde_json::to_string(&name).unwrap();
        router.file("out/devices-json", &format!("{{\"devices\":[{{\"name\":{json},\"network\":\"lan\"}}]}}\n"));
        router.file("out/check", &format!("f:3: @device[0].name: too long (got '{}', want 64)\n", shown(&name)));
        router.file("out/log", &format!("Mon Jan  5 07:08:09 2026 daemon.err millpond[99]: {} is new\n", shown(&name)));
        let report = router.report();
        assert_hides(&report, &personal);
        assert!(report.contains("@device[0].name=NAME-1") && report.contains("NAME-1 is new"), "{quoted}:\n{report}");
    }
}

/// Everything that somebody may have chosen, where the report shows it.
#[test]
fn values_that_are_not_known_to_be_harmless_are_masked() {
    if !has_busybox("values_that_are_not_known_to_be_harmless_are_masked") {
        return;
    }
    let settings = format!(
        "config millpond annas_main\n\toption enabled 1\n\toption level anna_level\n\toption annas_option 'a b'\n\
         \toption upload 'anna16'\n\toption spread 33\n\
         config tunnel\n\toption endpoint \"one.anna-vpn.example:51820\"\n\toption public_key {PUBLIC}\n\
         \tlist backup two.anna-backup.example:51820' {BACKUP}'\n\tlist backup \"annaserver:4500 broken\"\n\
         \toption profile /etc/millpond/anna.ovpn\n\
         config network\n\toption name anna_lan\n\toption device br-annalan\n\
         config network\n\toption name lan\n\
         config level anna_level\n\toption upload 100\n\
         config schedule\n\tlist day mon\n\toption start 06:30\n\toption level strict\n\
         config annas_kind\n\toption name annas_thing\n"
    );
    let router = Reported::new("values", &settings);
    router.file("etc/config/dhcp", "config host\n\toption name 'annas-tablet'\n\toption mac '18:b4:30:26:34:41'\n");
    router.file("etc/config/network", "config interface 'annaguest'\n\toption device br-annaguest\n");
    router.file("etc/config/system", "config system\n\toption hostname Annas-Router\n");
    router.file(
        "etc/config/firewall",
        "config zone 'millpond'\n\toption name millpond\n\toption input REJECT\n\toption note 'for anna'\n\
         config zone\n\toption name annazone\nconfig forwarding millpond_annazone\n\toption src annazone\n",
    );
    router.file("tmp/dhcp.leases", "1764000000 18:b4:30:26:34:42 192.168.1.23 annas-iPhone 01:18:b4:30:26:34:42\n");
    for interface in ["lo", "eth0", "br-annaguest", "wg_anna"] {
        router.file(&format!("sys/class/net/{interface}"), "");
    }
    router.file("etc/millpond/anna.ovpn", "");
    router.file("etc/millpond/xTIBA5rboUvn.private", "");
    router.file("etc/iproute2/rt_tables", "254\tmain\n77\tannatable\n");
    let hostnames =
        "{\"devices\":[{\"hostname\":\"cam\\\"anna01\",\"interface\":\"eth0\"},{\"hostname\":\"annas-tv\"}]}";
    router.file("out/devices-json", hostnames);
    router.file("out/devices", "direct 18:b4:30:26:34:42 annas-iphone\ndirect - cam\"anna01\ndirect - annas-tv\n");
    router.file("out/status-json", "{\"state\":\"shaping\",\"peers\":[{\"name\":\"anna street\"}]}\n");
    router.file("out/status", "shaping for 5 s\nanna street (10.77.0.2): shaping\nerror: network anna_lan: missing\n");
    router.file("out/check", "f:2: @millpond[0].annas_option: unknown option, ignored\nf:3: annas_main.level: bad\n");
    router.file(
        "out/log",
        "Mon Jan  5 07:08:09 2026 daemon.info millpond[9]: tunnel.endpoint old.anna-vpn.example resolved to 192.0.2.7\n\
         Mon Jan  5 07:08:09 2026 daemon.warn millpond[99]: no home named 'Anna's old name' (got 'anna', want more)\n\
         Mon Jan  5 07:08:09 2026 daemon.warn millpond[99]: no answer: 'millpond status' shows the tunnel's state\n\
         Mon Jan  5 07:08:09 2026 daemon.info millpond[99]: openvpn: VERIFY OK: CN=Anna Smith, O=annahome\n\
         Mon Jan  5 07:08:09 2026 daemon.info millpond[99]: openvpn: Initialization Sequence Completed\n\
         Mon Jan  5 07:08:09 2026 daemon.info dnsmasq[7]: annas-phone asked for millpond.example\n",
    );
    router.file("out/nft", "table inet fw4\ntable inet anna_filter\n");
    router.file(
        "out/ip",
        "2: br-annaguest: mtu 1500\n    alias annas bridge\n    altname enx18b430263441\n9: from all lookup annatable\n\
         3: eth0: mtu 1500\n4: wg_anna: mtu 1420\n",
    );
    let report = router.report();
    assert_hides(&report, &["anna", "greta", PUBLIC, BACKUP, "xTIBA5", "18b430"]);
    for harmless in [
        "@millpond[0].spread=33",
        "@schedule[0].start=06:30",
        "@schedule[0].day=mon",
        "@network[1].name=lan",
        "input=REJECT",
        "table inet fw4",
        "3: eth0: mtu 1500",
        "no answer: 'millpond status' shows the tunnel's state",
        "openvpn: Initialization Sequence Completed",
        "tunnel.endpoint HOST",
        "unknown option, ignored",
    ] {
        assert!(report.contains(harmless), "{harmless}:\n{report}");
    }
}

#[test]
fn a_report_without_readable_settings_is_complete() {
    if !has_busybox("a_report_without_readable_settings_is_complete") {
        return;
    }
    let router = Reported::new("broken", "config device\n\toption name 'Anna\n");
    router.report();
    fs::remove_file(router.0.path("etc/config/millpond")).unwrap();
    assert!(router.report().contains("failed with status"), "the report says what is missing");
    // A program that does not start.
    let path = router.0.path("bin/millpond");
    fs::write(&path, format!("#!{} sh\nexit 127\n", busybox().unwrap().display())).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
    router.report();
}
