//! The scripts of the LuCI package read the settings as the daemon does, however an owner has written them.

mod common;

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use common::openwrt::{ROOT, Router, has_busybox};
use millpond::config::model::Key;

/// A router with the program itself and the LuCI package's scripts.
struct LuciRouter(Router);

impl LuciRouter {
    fn new(name: &str, settings: &str) -> LuciRouter {
        let router = Router::new(&format!("rpcd-{name}"), settings);
        let bin = router.path("bin");
        fs::remove_file(bin.join("millpond")).unwrap();
        let link = |from: &Path, name: &str| std::os::unix::fs::symlink(from, bin.join(name)).unwrap();
        link(Path::new(env!("CARGO_BIN_EXE_millpond")), "millpond");
        for applet in ["mv", "cut", "tr", "head", "tail"] {
            link(&common::openwrt::busybox().unwrap(), applet);
        }
        link(&Path::new(ROOT).join("tests/common/uci"), "uci");
        // Prints the secret key that it is given, so that a test sees which one it was.
        router.program("wg", "case $1 in genkey) echo wg-made ;; pubkey) read -r key; echo \"public-of-$key\" ;; esac");
        fs::create_dir(router.path("keys")).unwrap();
        LuciRouter(router)
    }

    fn key(&self, name: &str) -> PathBuf {
        let path = self.0.path("keys").join(name);
        fs::write(&path, format!("{}\n", secret(1))).unwrap();
        path
    }

    fn keys(&self) -> Vec<String> {
        let entries = fs::read_dir(self.0.path("keys")).unwrap();
        let mut names: Vec<_> = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }

    fn settings(&self, text: &str) {
        fs::write(self.0.path("etc/config/millpond"), text).unwrap();
    }

    /// Calls a method of `luci.millpond` as rpcd does.
    fn call(&self, method: &str, arguments: &str) -> String {
        use std::io::Write;
        let mut child = Command::new(common::openwrt::busybox().unwrap())
            .arg("sh")
            .arg(Path::new(ROOT).join("luci-app/root/usr/libexec/rpcd/luci.millpond"))
            .args(["call", method])
            .env_clear()
            .env("PATH", self.0.path("bin"))
            .env("UCI_CONFIG_DIR", self.0.path("etc/config"))
            .env("UCI_DIR", self.0.path("etc/config"))
            .env("MILLPOND_KEYS", self.0.path("keys"))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        _ = writeln!(child.stdin.take().unwrap(), "{arguments}");
        String::from_utf8(child.wait_with_output().unwrap().stdout).unwrap()
    }
}

fn secret(number: u8) -> String {
    Key::private([number; 32]).to_base64()
}

/// Every way in which UCI lets an owner write a value.
fn quotings(value: &str) -> [(&'static str, String); 5] {
    let (first, second) = value.split_at(value.len() / 2);
    [
        ("single quotes", format!("'{value}'")),
        ("double quotes", format!("\"{value}\"")),
        ("bare", value.to_owned()),
        ("parts", format!("'{first}'\"{second}\"")),
        ("escapes", format!("\\{value}")),
    ]
}

#[test]
fn key_files_that_the_settings_name_are_kept_however_they_are_quoted() {
    if !has_busybox("key_files_that_the_settings_name_are_kept_however_they_are_quoted") {
        return;
    }
    let router = LuciRouter::new("quoting", "");
    let mine = router.key("mine.private").display().to_string();
    let psk = router.key("mine.preshared").display().to_string();
    let join = router.key("join.private").display().to_string();
    let ways = [quotings(&mine), quotings(&psk), quotings(&join)];
    for (((way, mine), (_, psk)), (_, join)) in ways[0].iter().zip(&ways[1]).zip(&ways[2]) {
        router.key("unused.private");
        router.settings(&format!(
            "config tunnel\n\toption private_key {mine}\n\toption preshared_key {psk} # mine\n; option join_key {join}\n"
        ));
        let answer = router.call("keep_keys", &format!("{{ \"private_key\": \"{}\" }}", secret(7)));
        assert!(answer.contains("private_key_file"), "{way}: {answer}");
        let kept = router.keys();
        assert!(kept.iter().any(|name| name.starts_with("publicof")), "{way}: {kept:?}");
        for name in ["mine.private", "mine.preshared", "join.private"] {
            assert!(kept.iter().any(|key| key == name), "{way}: {name} is kept: {kept:?}");
        }
        assert!(!kept.iter().any(|name| name == "unused.private"), "{way}: {kept:?}");
    }
}

#[test]
fn settings_that_cannot_be_read_cost_no_key_file() {
    if !has_busybox("settings_that_cannot_be_read_cost_no_key_file") {
        return;
    }
    let router = LuciRouter::new("broken", "");
    let mine = router.key("mine.private");
    for settings in [format!("config tunnel\n\toption private_key '{}\n", mine.display()), "nonsense 'x\n".into()] {
        router.settings(&settings);
        router.call("keep_keys", &format!("{{ \"private_key\": \"{}\" }}", secret(7)));
        assert!(mine.exists(), "{settings}");
    }
    fs::remove_file(router.0.path("etc/config/millpond")).unwrap();
    router.call("keep_keys", &format!("{{ \"private_key\": \"{}\" }}", secret(7)));
    assert!(mine.exists());
}

#[test]
fn the_public_key_comes_from_the_key_in_force() {
    if !has_busybox("the_public_key_comes_from_the_key_in_force") {
        return;
    }
    let router = LuciRouter::new("show", "");
    let file = router.0.path("etc/elsewhere.key");
    fs::write(&file, format!("{}\n", secret(3))).unwrap();
    // A key may begin like a path.
    let slash = format!("/{}", &secret(4)[1..]);
    let file = file.display().to_string();
    for (_, quoted) in quotings(&file) {
        router.settings(&format!("config tunnel mine\n\toption private_key {quoted}\n"));
        let answer = router.call("key", "{}");
        assert!(answer.contains(&format!("public-of-{}", secret(3))), "{quoted}: {answer}");
        assert!(answer.contains("\"lies\": \"file\""), "{quoted}: {answer}");
    }
    for (_, quoted) in quotings(&slash) {
        router.settings(&format!("config tunnel\n\toption private_key {quoted}\n"));
        let answer = router.call("key", "{}");
        assert!(answer.contains(&format!("public-of-{slash}")), "{quoted}: {answer}");
        assert!(answer.contains("\"lies\": \"settings\""), "{quoted}: {answer}");
    }
    router.settings("config tunnel\n\toption private_key ''\n");
    assert!(router.call("key", "{}").contains("\"lies\": \"nowhere\""));
}

/// What "Turn on" and "Turn off" need besides the settings, whatever state the service is in.
#[test]
fn the_pages_may_control_the_service_and_nothing_else() {
    let path = Path::new(ROOT).join("luci-app/root/usr/share/rpcd/acl.d/luci-app-millpond.json");
    let rights: serde_json::Value = serde_json::from_str(&fs::read_to_string(path).unwrap()).unwrap();
    let files = |mode: &str| -> Vec<String> {
        let files = rights["luci-app-millpond"][mode]["file"].as_object().unwrap();
        files.keys().map(|line| line.replace("/etc/init.d/millpond ", "")).collect()
    };
    let mut actions = files("write");
    actions.sort();
    assert_eq!(actions, ["enable", "reload", "restart", "start", "stop", "support"]);
    assert_eq!(files("read"), ["/sbin/logread -l 200 -e millpond"]);
}

/// Runs once after the installation of the pages.
#[test]
fn installing_the_pages_moves_keys_but_no_paths_out_of_the_settings() {
    if !has_busybox("installing_the_pages_moves_keys_but_no_paths_out_of_the_settings") {
        return;
    }
    let router = LuciRouter::new("defaults", "");
    let folder = router.0.path("etc/millpond");
    // The settings are written by uci. This one prints what it is told instead.
    fs::remove_file(router.0.path("bin/uci")).unwrap();
    router.0.program("uci", "echo \"uci $*\" >> \"$CALLS\"");
    let script = router.0.script_at(&Path::new(ROOT).join("luci-app/root/etc/uci-defaults/80_luci-app-millpond"));
    let install = || {
        _ = fs::remove_dir_all(&folder);
        let output = router.0.run(&[&script], &[]);
        assert!(output.stdout.is_empty() && output.stderr.is_empty(), "{output:?}");
        (output.status.code(), router.0.calls())
    };
    let slash = format!("/{}", &secret(4)[1..]);
    for key in [secret(3), slash] {
        for (way, quoted) in quotings(&key) {
            router.settings(&format!("config tunnel\n\toption private_key {quoted}\n\toption join_key {quoted}\n"));
            let (status, calls) = install();
            assert_eq!(status, Some(0), "{way}");
            assert_eq!(
                calls,
                [
                    "uci set millpond.@tunnel[0].private_key=/etc/millpond/settings.private",
                    "uci set millpond.@tunnel[0].join_key=/etc/millpond/settings-join.private",
                    "uci commit millpond",
                ],
                "{way}"
            );
            let file = folder.join("settings.private");
            assert_eq!(fs::read_to_string(&file).unwrap(), format!("{key}\n"), "{way}");
            assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
        }
    }
    for path in ["/etc/millpond/router.private", "/etc/my.key", "/root/keys/home"] {
        for (way, quoted) in quotings(path) {
            router.settings(&format!(
                "config tunnel 'tunnel'\n\toption private_key {quoted}\n\toption preshared_key {quoted}\n"
            ));
            assert_eq!(install(), (Some(0), vec![]), "{path}, {way}");
            assert!(!folder.exists(), "{path}, {way}: nothing is written");
        }
    }
    router.settings("config tunnel\n\toption private_key 'never closed\n");
    assert_eq!(install(), (Some(1), vec![]), "with settings that cannot be read it runs again at the next boot");
}
