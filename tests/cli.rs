//! The command line as scripts and people use it: exit codes of sysexits.h, one line on stderr, no partial changes.

use std::os::unix::process::ExitStatusExt;
use std::process::{Command, Output, Stdio};

const MANY_ERRORS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/golden/many-errors.uci");
const SHIPPED: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/files/etc/config/millpond");

fn millpond(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_millpond")).args(arguments).output().unwrap()
}

fn stderr(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).unwrap()
}

#[test]
fn the_version_is_the_package_version_and_nothing_else() {
    for arguments in [["--version"], ["version"]] {
        let output = millpond(&arguments);
        assert!(output.status.success());
        assert_eq!(String::from_utf8(output.stdout).unwrap(), format!("{}\n", env!("CARGO_PKG_VERSION")));
    }
}

#[test]
fn an_invalid_command_line_is_a_usage_error() {
    for arguments in [&["bogus"][..], &[], &["run", "--bogus"], &["check", "--config"], &["status", "extra"]] {
        let output = millpond(arguments);
        assert_eq!(output.status.code(), Some(64), "{arguments:?}");
        assert!(!output.stderr.is_empty(), "{arguments:?}");
    }
    let help = millpond(&["--help"]);
    assert!(help.status.success() && String::from_utf8(help.stdout).unwrap().contains("run"));
}

#[test]
fn the_shipped_settings_are_valid_and_not_enabled() {
    let output = millpond(&["check", "--config", SHIPPED]);
    assert!(output.status.success(), "{}", stderr(&output));
    assert!(String::from_utf8(output.stdout).unwrap().contains("not enabled"));
    let output = millpond(&["run", "--config", SHIPPED, "--socket", "/nonexistent/socket"]);
    assert!(output.status.success(), "a service that is not enabled exits without an error");
}

#[test]
fn a_closed_pipe_ends_a_command_without_a_panic() {
    for arguments in [&["--help"][..], &["version"], &["check", "--config", SHIPPED]] {
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        let output = Command::new(env!("CARGO_BIN_EXE_millpond")).args(arguments).stdout(writer).output().unwrap();
        assert_eq!(output.status.signal(), Some(13), "{arguments:?}: {}", stderr(&output));
        // This host's interfaces may deserve a warning.
        let complaints: Vec<String> =
            stderr(&output).lines().filter(|line| !line.contains(": warning: ")).map(str::to_owned).collect();
        assert_eq!(complaints, [""; 0], "{arguments:?}");
    }
}

/// Without a reader, and on a full disk.
#[test]
fn a_daemon_that_cannot_log_runs_until_it_is_stopped() {
    let without_reader = || Stdio::from(std::io::pipe().unwrap().1);
    let full = || Stdio::from(std::fs::OpenOptions::new().write(true).open("/dev/full").unwrap());
    for streams in [[without_reader(), without_reader()], [full(), full()]] {
        let [stdout, stderr] = streams;
        let run = ["run", "--config", "/nonexistent/file", "--socket", "/nonexistent/socket"];
        let mut command = Command::new(env!("CARGO_BIN_EXE_millpond"));
        let mut daemon = command.args(run).stdout(stdout).stderr(stderr).spawn().unwrap();
        // The daemon logs information and several errors in that time.
        std::thread::sleep(std::time::Duration::from_millis(500));
        if nix::unistd::geteuid().is_root() {
            assert_eq!(daemon.try_wait().unwrap(), None);
        }
        _ = nix::sys::signal::kill(nix::unistd::Pid::from_raw(daemon.id() as i32), nix::sys::signal::Signal::SIGTERM);
        let status = daemon.wait().unwrap();
        assert_eq!(status.signal(), None, "{status}");
        assert_ne!(status.code(), Some(101), "a panic");
    }
}

#[test]
fn every_command_reports_all_errors_of_the_settings() {
    for command in ["check", "plan"] {
        let output = millpond(&[command, "--config", MANY_ERRORS]);
        assert_eq!(output.status.code(), Some(78), "{command}");
        let lines = stderr(&output).lines().filter(|line| line.contains("many-errors.uci:")).count();
        assert!(lines > 20, "{command}: {lines} lines");
    }
}

#[test]
fn a_missing_file_or_daemon_is_reported_in_one_line() {
    for (arguments, code, words) in [
        (["check", "--config", "/nonexistent/file"], 74, "/nonexistent/file"),
        (["config", "--config", "/nonexistent/file"], 74, "/nonexistent/file"),
        (["reload", "--socket", "/nonexistent/socket"], 69, "is the service running"),
        (["renew", "--socket", "/nonexistent/socket"], 69, "is the service running"),
    ] {
        let output = millpond(&arguments);
        assert_eq!(output.status.code(), Some(code), "{arguments:?}");
        let text = stderr(&output);
        assert!(text.lines().count() == 1 && text.contains(words), "{arguments:?}: {text}");
    }
}

#[test]
fn without_a_daemon_status_says_whether_millpond_is_off_and_what_to_do() {
    let path = std::env::temp_dir().join(format!("millpond-off-{}", std::process::id()));
    let name = path.to_str().unwrap();
    let status = || {
        let output = millpond(&["status", "--socket", "/nonexistent/socket", "--config", name]);
        let text = stderr(&output);
        assert_eq!((output.status.code(), text.lines().count()), (Some(69), 1), "{text}");
        text
    };
    assert!(status().contains(&format!("no settings: {name} is missing")), "{}", status());
    let tunnel = "config tunnel\n\toption private_key 'AQIDBAUGBwgJCgsMDQ4PEBESExQVFhcYGRobHB0eHyA='\n\
                  \toption public_key 'ISIjJCUmJygpKissLS4vMDEyMzQ1Njc4OTo7PD0+P0A='\n\
                  \toption endpoint 'vpn.example.org:51820'\n\toption address '10.77.0.2'\n\
                  \toption peer_address '10.77.0.1'\n";
    let main = |enabled: u8| format!("config millpond 'main'\n\toption enabled '{enabled}'\n");
    for (settings, words) in [
        (std::fs::read_to_string(SHIPPED).unwrap(), "off and not set up"),
        (main(0), "run 'millpond join'"),
        (main(0) + "\toption role 'endpoint'\n", "run 'millpond endpoint init'"),
        (main(0) + tunnel, "set millpond.main.enabled to 1 in"),
        (main(1) + tunnel, "is the service running"),
        ("config millpond 'main\n".into(), "is the service running"),
    ] {
        std::fs::write(&path, &settings).unwrap();
        assert!(status().contains(words), "{settings}: {}", status());
    }
    std::fs::remove_file(&path).unwrap();
}

/// What scripts read instead of the file's text: every value that UCI's quoting allows, on one line each.
#[test]
fn scripts_get_the_settings_as_the_daemon_reads_them() {
    let path = std::env::temp_dir().join(format!("millpond-config-{}", std::process::id()));
    let name = path.to_str().unwrap();
    let config = |text: &str, option: Option<&str>| {
        std::fs::write(&path, text).unwrap();
        let output = millpond(&[&["config", "--config", name], option.as_slice()].concat());
        (output.status.code(), String::from_utf8(output.stdout.clone()).unwrap(), stderr(&output))
    };
    let text = "config tunnel\n option private_key /etc/a.key;list backup 'a:1 K' # 1\n list backup \"b:2 \\\"K\"\n\
                config device cam\n\toption name 'Anna'\\''s'\" cam\"\n option note 'two\n\\lines'\n";
    let lines = "@tunnel[0]=\n@tunnel[0].private_key=/etc/a.key\n@tunnel[0].backup=a:1 K\n@tunnel[0].backup=b:2 \"K\n\
                 @device[0]=cam\n@device[0].name=Anna's cam\n@device[0].note=two\\n\\\\lines\n";
    assert_eq!(config(text, None), (Some(0), lines.into(), String::new()));
    assert_eq!(config(text, Some("tunnel.backup")).1, "a:1 K\nb:2 \"K\n");
    assert_eq!(config(text, Some("device.mac")), (Some(0), String::new(), String::new()));
    // What can be read is printed, and the command fails.
    let (code, printed, errors) = config("config device\n option name 'A'\n option mac 'never closed\n", None);
    assert_eq!((code, printed.as_str()), (Some(78), "@device[0]=\n@device[0].name=A\n"));
    assert!(errors.contains(&format!("{name}:3: quote ' is not closed")), "{errors}");
    std::fs::remove_file(&path).unwrap();
}

/// An internal error, here a signal from outside, leaves one line with the address and the version.
#[test]
fn an_internal_error_is_one_line() {
    use std::os::unix::process::ExitStatusExt;
    // The command waits for the writer of a settings file that is a pipe.
    let folder = std::env::temp_dir().join(format!("millpond-fault-{}", std::process::id()));
    let settings = folder.to_str().unwrap();
    nix::unistd::mkfifo(settings, nix::sys::stat::Mode::S_IRWXU).unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_millpond"));
    let child = command.args(["check", "--config", settings]).stderr(Stdio::piped()).spawn().unwrap();
    // Opening for writing waits for the reader.
    let pipe = std::fs::File::create(settings).unwrap();
    nix::sys::signal::kill(nix::unistd::Pid::from_raw(child.id() as i32), nix::sys::signal::SIGILL).unwrap();
    let output = child.wait_with_output().unwrap();
    drop(pipe);
    std::fs::remove_file(settings).unwrap();
    assert_eq!(output.status.signal(), Some(libc::SIGILL));
    let text = stderr(&output);
    assert!(text.starts_with("millpond: internal error at 0x") && text.lines().count() == 1, "{text}");
    assert!(text.contains(env!("CARGO_PKG_VERSION")) && !text.contains("at 0x0000000000000000"), "{text}");
}

/// The daemon reports the errors until the file is corrected, and can then load it. Its log has information on standard
/// output and the errors on standard error, each line with its level and without a time.
#[test]
fn a_daemon_without_valid_settings_reports_blocked() {
    if !nix::unistd::geteuid().is_root() {
        println!("skipped a_daemon_without_valid_settings_reports_blocked: not root");
        return;
    }
    let socket = std::env::temp_dir().join(format!("millpond-blocked-{}", std::process::id()));
    let socket = socket.to_str().unwrap();
    for config in [MANY_ERRORS, "/nonexistent/file"] {
        let daemon = Command::new("unshare")
            .args(["--net", env!("CARGO_BIN_EXE_millpond"), "run", "--config", config, "--socket", socket])
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let status = (0..100).find_map(|_| {
            std::thread::sleep(std::time::Duration::from_millis(100));
            let answer = millpond(&["status", "--json", "--socket", socket]);
            answer.status.success().then(|| String::from_utf8(answer.stdout).unwrap())
        });
        let status = status.expect("an answer within 10 s");
        assert!(status.contains(r#""state":"blocked""#) && status.contains(r#""code":"settings""#), "{status}");
        let reload = millpond(&["reload", "--socket", socket]);
        assert_eq!(reload.status.code(), Some(78), "{}", stderr(&reload));
        nix::sys::signal::kill(nix::unistd::Pid::from_raw(daemon.id() as i32), nix::sys::signal::SIGTERM).unwrap();
        let output = daemon.wait_with_output().unwrap();
        assert!(output.status.success(), "{config}: it exits successfully");
        let (information, problems) = (String::from_utf8(output.stdout.clone()).unwrap(), stderr(&output));
        assert!(information.contains("INFO  [millpond::daemon"), "{information}");
        assert!(information.lines().all(|line| line.starts_with("INFO  [millpond::")), "{information}");
        assert!(problems.contains(config), "{problems}");
        let is_problem = |line: &str| line.starts_with("WARN  [millpond::") || line.starts_with("ERROR [millpond::");
        assert!(problems.lines().all(is_problem), "{problems}");
    }
}

/// Runs `millpond check` as on a router with these settings of the network. `None` without the right to do so.
fn check_on_router(network: &str, settings: &str) -> Option<Output> {
    const PREPARE: &str = "mount -t tmpfs none /mnt && mkdir -p /mnt/config && mount --bind /mnt /etc \
        && ip link add br-lan.30 type veth peer name port && ip addr add 192.168.30.1/24 dev br-lan.30";
    let unshare = |script: &str| {
        let mut command = Command::new("unshare");
        command.args(["--mount", "--net", "sh", "-c", script]).env("PATH", std::env::var_os("PATH").unwrap());
        command.env("NETWORK", network).env("SETTINGS", settings).env("MILLPOND", env!("CARGO_BIN_EXE_millpond"));
        command.output().ok()
    };
    unshare(PREPARE).filter(|output| output.status.success())?;
    let write = "printf '%s' \"$NETWORK\" > /etc/config/network && printf '%s' \"$SETTINGS\" > /etc/config/millpond";
    unshare(&format!("{PREPARE} && {write} && \"$MILLPOND\" check"))
}

#[test]
fn a_networks_interface_comes_from_the_routers_own_settings() {
    let network = "config interface 'iot'\n\toption device 'br-lan.30'\n";
    let settings = "config millpond 'main'\nconfig network\n\toption name 'iot'\n\
                    config device\n\toption name 'laptop'\n\toption mac '74:2f:68:81:69:42'\n\toption policy 'direct'\n";
    let Some(output) = check_on_router(network, settings) else {
        println!("skipped: it needs root, for namespaces");
        return;
    };
    assert!(output.status.success(), "{}", stderr(&output));
    assert_eq!(stderr(&output), "", "the interface is the home's");
    let missing = check_on_router("", settings).unwrap();
    assert_eq!(missing.status.code(), Some(78), "{}", stderr(&missing));
    let text = "network iot: its interface was not found (tried br-iot), so none of its devices is protected";
    assert!(stderr(&missing).contains(text), "{}", stderr(&missing));
}
