//! `millpond join` as an owner or LuCI uses it: settings written, comments kept, and one line for each error.

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use millpond::config::join::{Identity, Invitation};
use millpond::config::model::{HostPort, Key, Server, Tunnel};
use millpond::config::parse_with;
use millpond::units::BitsPerSec;

const SHIPPED: &str = include_str!("../files/etc/config/millpond");

/// A folder with a router's settings as shipped; removed at the end.
struct Router {
    folder: PathBuf,
}

impl Router {
    fn new(name: &str) -> Router {
        let folder = std::env::temp_dir().join(format!("millpond-join-{name}-{}", std::process::id()));
        _ = fs::remove_dir_all(&folder);
        fs::create_dir_all(&folder).unwrap();
        fs::write(folder.join("millpond"), SHIPPED).unwrap();
        Router { folder }
    }

    fn settings(&self) -> String {
        fs::read_to_string(self.folder.join("millpond")).unwrap()
    }

    /// The names of all files.
    fn files(&self) -> Vec<String> {
        let entries =
            fs::read_dir(&self.folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
        let mut names: Vec<String> = entries.collect();
        names.sort();
        names
    }

    fn join(&self, arguments: &[&str], text: &str) -> Output {
        self.join_with_daemon(Path::new("/nonexistent/socket"), arguments, text)
    }

    fn join_with_daemon(&self, socket: &Path, arguments: &[&str], text: &str) -> Output {
        let mut child = Command::new(env!("CARGO_BIN_EXE_millpond"))
            .arg("join")
            .args(arguments)
            .arg("--config")
            .arg(self.folder.join("millpond"))
            .arg("--keys")
            .arg(&self.folder)
            .arg("--socket")
            .arg(socket)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        // The command may end before it has read everything.
        _ = child.stdin.take().unwrap().write_all(text.as_bytes());
        child.wait_with_output().unwrap()
    }
}

impl Drop for Router {
    fn drop(&mut self) {
        _ = fs::remove_dir_all(&self.folder);
    }
}

fn invitation() -> Invitation {
    let server =
        |host: &str, key| Server { at: HostPort { host: host.into(), port: 51820 }, public_key: Key([key; 32]) };
    Invitation {
        name: "maple street".into(),
        expires: None,
        identity: Identity::Private(Key::private([7; 32])),
        preshared_key: Some(Key([9; 32])),
        address: [10, 77, 0, 2].into(),
        peer_address: [10, 77, 0, 1].into(),
        address6: Some("fd77::2".parse().unwrap()),
        resolvers: vec!["149.112.112.112".parse().unwrap()],
        max_download: BitsPerSec::from_kbit(4000),
        servers: vec![server("vpn.example.org", 1), server("2001:db8::1", 2)],
    }
}

fn out(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).unwrap()
}

fn err(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).unwrap()
}

#[test]
fn a_join_text_fills_the_settings_and_keeps_the_comments() {
    let router = Router::new("fills");
    let output = router.join(&[], &invitation().to_text());
    assert!(output.status.success(), "{}", err(&output));
    assert!(out(&output).contains("maple street") && out(&output).contains("start"), "{}", out(&output));
    let text = router.settings();
    for comment in SHIPPED.lines().filter(|line| line.trim_start().starts_with('#')) {
        assert!(text.contains(comment), "{comment}");
    }
    let read = |path: &str| fs::read_to_string(path).map_err(|error| error.to_string());
    let parsed = parse_with(text.as_bytes(), &read);
    assert_eq!(parsed.problems, []);
    let settings = parsed.settings.unwrap();
    let Some(Tunnel::Wireguard(wireguard)) = settings.tunnel else { panic!("{text}") };
    assert!(settings.enabled);
    assert_eq!(wireguard.join_key, Some(Key::private([7; 32])));
    assert_ne!(
        wireguard.private_key,
        Key::private([7; 32]),
        "the router's permanent key must not come from a join text"
    );
    assert_eq!(wireguard.preshared_key, Some(Key([9; 32])));
    assert_eq!((wireguard.address, wireguard.peer_address), ([10, 77, 0, 2].into(), Some([10, 77, 0, 1].into())));
    assert_eq!(
        (wireguard.endpoint, wireguard.public_key),
        (Some(invitation().servers[0].at.clone()), Some(Key([1; 32])))
    );
    assert_eq!(wireguard.backup, invitation().servers[1..]);
    assert_eq!(settings.address6, invitation().address6);
    assert_eq!(settings.dns.servers, invitation().resolvers);
    for name in router.files().iter().filter(|name| *name != "millpond") {
        let mode = fs::metadata(router.folder.join(name)).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600, "{name}");
    }
    assert!(!text.contains(&Key::private([7; 32]).to_base64()), "the settings contain a secret key");
}

#[test]
fn programs_get_the_settings_and_no_secret() {
    let router = Router::new("json");
    let dry = router.join(&["--json", "--dry-run"], &invitation().to_text());
    assert!(dry.status.success(), "{}", err(&dry));
    assert_eq!((router.settings().as_str(), router.files().len()), (SHIPPED, 1), "a dry run writes nothing");
    let kept = router.join(&["--json", "--keep-keys"], &invitation().to_text());
    let text = out(&kept);
    let (start, rest) = text.split_once(r#""public_key":""#).unwrap();
    let (own_key, end) = rest.split_once("\",").unwrap();
    assert_eq!(format!("{start}{end}"), out(&dry), "only the created key differs");
    let made = fs::read_to_string(router.folder.join("router.private")).unwrap();
    assert_eq!(Key::from_base64(made.trim_end()).unwrap().public().to_base64(), own_key);
    assert_eq!((router.settings().as_str(), router.files().len()), (SHIPPED, 4));
    let text = out(&dry);
    let keys = router.folder.display();
    let name = &invitation().key_files()[0];
    for part in [
        r#"{"name":"maple street","made_by":"#.to_owned(),
        format!(
            r#""made_by":"endpoint","max_download_kbit":4000,"warnings":[],"settings":{{"main":{{"enabled":"1","role":"router"}},"tunnel":{{"type":"wireguard","private_key":"{keys}/router.private","join_key":"{keys}/{name}""#
        ),
        r#""endpoint":"vpn.example.org:51820","backup":["[2001:db8::1]:51820 "#.to_owned(),
        r#""listen_port":"","profile":"","interface":"","overhead":"","unencrypted":""},"dns":{"server":["149.112.112.112"]}}}"#
            .to_owned(),
    ] {
        assert!(text.contains(&part), "{part} in {text}");
    }
    for secret in [Key::private([7; 32]), Key([9; 32])] {
        assert!(!text.contains(&secret.to_base64()), "{text}");
    }
}

#[test]
fn each_invalid_text_has_its_own_error_and_changes_nothing() {
    let good = invitation().to_text();
    let altered = good.replace(&good[40..41], if &good[40..41] == "x" { "y" } else { "x" });
    let expired = Invitation { expires: Some(1_750_000_000), ..invitation() }.to_text();
    let other = Invitation { identity: Identity::Public(Key([3; 32])), ..invitation() }.to_text();
    let cases = [
        ("cut", "copy the whole line again", good[..good.len() - 9].to_owned()),
        ("altered", "copy the whole line again", altered),
        ("version", "install the same version at both ends", good.replacen('1', "2", 1)),
        ("expired", "ask the endpoint's operator", expired),
        ("not-join-text", "add-home", "hello".to_owned()),
        ("no-key", "--make-key", other.clone()),
    ];
    let router = Router::new("refuses");
    let refuse = |code: &str, words: &str, text: &str| {
        let output = router.join(&[], text);
        assert_eq!(output.status.code(), Some(65), "{code}");
        assert!(err(&output).lines().count() == 1 && err(&output).contains(words), "{code}: {}", err(&output));
        let json = out(&router.join(&["--json"], text));
        assert!(json.starts_with(&format!(r#"{{"code":"{code}","error":""#)) && json.lines().count() == 1, "{json}");
    };
    for (code, words, text) in &cases {
        refuse(code, words, text);
        assert_eq!((router.settings().as_str(), router.files().len()), (SHIPPED, 1), "{code}");
    }
    assert!(router.join(&[], &good).status.success());
    let joined = router.settings();
    refuse("used", "nothing was changed", &good);
    refuse("other-router", "--make-key", &other);
    assert_eq!(router.settings(), joined);
}

#[test]
fn a_router_may_keep_its_own_key() {
    let router = Router::new("own");
    let made = router.join(&["--make-key"], "");
    assert!(made.status.success(), "{}", err(&made));
    let public = Key::from_base64(out(&made).trim_end()).unwrap();
    assert_eq!(out(&router.join(&["--make-key"], "")), out(&made), "the key is created once");
    let text = Invitation { identity: Identity::Public(public.clone()), ..invitation() }.to_text();
    let before: Vec<String> =
        router.settings().lines().filter(|line| line.contains("router.private")).map(Into::into).collect();
    assert_eq!(before.len(), 1);
    let output = router.join(&[], &text);
    assert!(output.status.success(), "{}", err(&output));
    assert!(router.settings().contains(&before[0]), "the key is the router's own");
    let read = |path: &str| fs::read_to_string(path).map_err(|error| error.to_string());
    let settings = parse_with(router.settings().as_bytes(), &read).settings.unwrap();
    let Some(Tunnel::Wireguard(wireguard)) = settings.tunnel else { panic!("no tunnel") };
    assert_eq!(wireguard.private_key.public(), public);
}

/// A key that 'wg genkey' did not make may begin with a slash, as the path of a key file does.
#[test]
fn a_key_that_looks_like_a_path_is_kept() {
    let router = Router::new("slash");
    let key = Key(std::array::from_fn(|i| if i == 0 { 0xfc } else { i as u8 }));
    let text = key.to_base64();
    assert!(text.starts_with('/'), "{text}");
    let settings = SHIPPED.replace("#option private_key ''", &format!("option private_key \"{text}\""));
    fs::write(router.folder.join("millpond"), settings).unwrap();
    let made = router.join(&["--make-key"], "");
    assert_eq!(out(&made).trim_end(), key.public().to_base64(), "{}", err(&made));
    assert!(router.join(&[], &invitation().to_text()).status.success());
    assert!(router.settings().contains(&text), "the router keeps its key");
}

#[test]
fn a_join_ends_when_the_daemon_shapes() {
    let router = Router::new("waits");
    let socket = router.folder.join("socket");
    let listener = UnixListener::bind(&socket).unwrap();
    let answers = ["the settings are in force\n", "starting\n", "refused: too busy\n", "shaping\n"];
    let daemon = std::thread::spawn(move || {
        answers.map(|answer| {
            let (stream, _) = listener.accept().unwrap();
            let mut request = String::new();
            BufReader::new(&stream).read_line(&mut request).unwrap();
            (&stream).write_all(answer.as_bytes()).unwrap();
            request
        })
    });
    let output = router.join_with_daemon(&socket, &["--wait", "60"], &invitation().to_text());
    assert!(output.status.success(), "{}", err(&output));
    assert!(out(&output).ends_with("joined: receiving the endpoint's cells\n"), "{}", out(&output));
    assert_eq!(daemon.join().unwrap(), ["reload\n", "state\n", "state\n", "state\n"]);
}

#[test]
fn a_join_without_an_answer_names_the_router_s_own_problem() {
    let router = Router::new("hindered");
    let socket = router.folder.join("socket");
    let listener = UnixListener::bind(&socket).unwrap();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut request = String::new();
            BufReader::new(stream.as_ref().unwrap()).read_line(&mut request).unwrap();
            let answer = match request.trim_end() {
                "state" => "blocked\n",
                "status" => {
                    "blocked for 3 s\nerror: kernel module wireguard is missing (package-missing)\n  install it\n"
                }
                _ => "the settings are in force\n",
            };
            stream.unwrap().write_all(answer.as_bytes()).unwrap();
        }
    });
    let output = router.join_with_daemon(&socket, &["--wait", "3"], &invitation().to_text());
    assert!(!output.status.success());
    assert!(err(&output).contains("kernel module wireguard is missing"), "{}", err(&output));
    assert!(!err(&output).contains("UDP port"), "{}", err(&output));
}

/// Runs `join` on a router as installed: the init script exists, and the daemon does not run. With `keys` it runs on a
/// terminal, where somebody types them after the join text. Returns the output and what the init script was told.
fn join_fresh(router: &Router, options: &str, keys: Option<&str>) -> (Output, String) {
    let (folder, socket, actions) = (router.folder.display(), router.folder.join("socket"), router.folder.join("told"));
    fs::write(router.folder.join("init"), format!("#!/bin/sh\necho \"$1\" >> {folder}/told\n")).unwrap();
    fs::set_permissions(router.folder.join("init"), fs::Permissions::from_mode(0o755)).unwrap();
    _ = fs::remove_file(&actions);
    _ = fs::remove_file(&socket);
    fs::write(router.folder.join("text"), invitation().to_text() + "\n").unwrap();
    let join = format!("{} join {options} --keys {folder} --socket {folder}/socket", env!("CARGO_BIN_EXE_millpond"));
    let join = match keys {
        // Ctrl-D ends the text.
        Some(keys) => format!("(cat {folder}/text; printf '\\004'; printf '{keys}') | script -qec '{join}' /dev/null"),
        None => format!("{join} < {folder}/text"),
    };
    let command = format!(
        "mount -t tmpfs tmpfs /etc && mkdir /etc/config /etc/init.d && cp {folder}/init /etc/init.d/millpond && \
         cp {folder}/millpond /etc/config/ && {join}; status=$?; cp /etc/config/millpond {folder}/; exit $status"
    );
    let told = || fs::read_to_string(&actions).unwrap_or_default();
    let ended = std::sync::atomic::AtomicBool::new(false);
    let output = std::thread::scope(|scope| {
        // The daemon that the init script starts.
        scope.spawn(|| {
            while !ended.load(std::sync::atomic::Ordering::Relaxed) {
                if told().contains("start") {
                    let listener = UnixListener::bind(&socket).unwrap();
                    for answer in ["starting\n", "shaping\n"] {
                        let (stream, _) = listener.accept().unwrap();
                        BufReader::new(&stream).read_line(&mut String::new()).unwrap();
                        (&stream).write_all(answer.as_bytes()).unwrap();
                    }
                    return;
                }
                std::thread::sleep(std::time::Duration::from_millis(20));
            }
        });
        let output = Command::new("unshare").args(["--mount", "sh", "-c", &command]).output().unwrap();
        ended.store(true, std::sync::atomic::Ordering::Relaxed);
        output
    });
    (output, told())
}

#[test]
fn a_join_on_a_fresh_router_starts_the_service_and_waits() {
    if !nix::unistd::geteuid().is_root() {
        println!("skipped a_join_on_a_fresh_router_starts_the_service_and_waits: needs root for a mount namespace");
        return;
    }
    let router = Router::new("fresh");
    let (output, told) = join_fresh(&router, "", None);
    assert!(output.status.success(), "{}", err(&output));
    assert_eq!(told, "enable\nstart\n");
    assert!(out(&output).ends_with("joined: receiving the endpoint's cells\n"), "{}", out(&output));
    let router = Router::new("no-start");
    let (output, told) = join_fresh(&router, "--no-start", None);
    assert!(output.status.success() && out(&output).contains("start it"), "{}", out(&output));
    assert_eq!(told, "");
    assert!(router.settings().contains("option enabled '1'"), "{}", router.settings());
}

#[test]
fn a_join_on_a_terminal_asks_before_it_starts_the_service() {
    let has_script = Command::new("script").arg("--version").output().is_ok();
    if !nix::unistd::geteuid().is_root() || !has_script {
        println!("skipped a_join_on_a_terminal_asks_before_it_starts_the_service: needs root, and the program script");
        return;
    }
    for (keys, starts) in [("\\n", true), ("y\\n", true), ("no\\n", false), ("\\004", false)] {
        let router = Router::new("terminal");
        let (output, told) = join_fresh(&router, "", Some(keys));
        assert!(out(&output).contains("[Y/n]"), "{keys}: {}", out(&output));
        assert_eq!(told == "enable\nstart\n", starts, "{keys}: {told}");
        assert_eq!(out(&output).contains("joined:"), starts, "{keys}: {}", out(&output));
    }
}

#[test]
fn invalid_settings_are_left_unchanged() {
    let router = Router::new("wrong");
    let broken = SHIPPED.replace("'gamma'", "'sawtooth'");
    for settings in [broken, SHIPPED.replace("option role 'router'", "option role 'router")] {
        fs::write(router.folder.join("millpond"), &settings).unwrap();
        let output = router.join(&[], &invitation().to_text());
        assert_eq!((output.status.code(), err(&output).lines().count()), (Some(78), 1), "{}", err(&output));
        assert_eq!((router.settings(), router.files().len()), (settings, 1));
    }
    let low = SHIPPED.replace("'balanced'", "'strict'");
    fs::write(router.folder.join("millpond"), low).unwrap();
    let slow = Invitation { max_download: BitsPerSec::from_kbit(200), ..invitation() };
    let output = router.join(&["--dry-run"], &slow.to_text());
    assert!(output.status.success() && err(&output).contains("at most 200 kbit/s"), "{}", err(&output));
    fs::remove_file(router.folder.join("millpond")).unwrap();
    assert_eq!(router.join(&[], &invitation().to_text()).status.code(), Some(74));
}
