//! The ubus object with a real broker: published, called, flooded, and published again after a restart.

use std::io::Write;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use millpond::config::model::Level;
use millpond::daemon::RequestError;
use millpond::daemon::answers::{
    AdvisedAnswer, AdvisedShape, AuditAnswer, AuditStarted, AuditedAnswer, Rounded, StateAnswer, StateEvent,
    to_json as answer_json, to_table,
};
use millpond::daemon::request::{AuditOptions, Format, Request};
use millpond::daemon::ubus::{Presence, Provider};
use millpond::sys::epoll::Poll;
use millpond::sys::timer::{self, Timer};
use millpond::units::Nanos;
use ubus::blobmsg::{BlobBuilder, to_json};
use ubus::client::UbusClient;
use ubus::unix::UnixUbusTransport;
use ubus::{BlobMsgTable, UbusError};

const WAIT_LIMIT: Duration = Duration::from_secs(20);

/// A broker in a thread, with its own socket.
struct Broker {
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Broker {
    fn start(path: &Path) -> Broker {
        let config = ubusd::Config { socket_path: path.to_str().unwrap().into(), ..Default::default() };
        let mut broker = ubusd::Broker::bind(config).unwrap();
        let stop = Arc::new(AtomicBool::new(false));
        let stopping = stop.clone();
        let thread = thread::spawn(move || {
            while !stopping.load(Ordering::Relaxed) {
                broker.poll_once(20).unwrap();
            }
        });
        Broker { stop, thread: Some(thread) }
    }
}

impl Drop for Broker {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        self.thread.take().unwrap().join().unwrap();
    }
}

/// Stands in for the daemon with fixed answers, in a thread with an epoll set like the daemon's.
struct Daemon {
    stop: Arc<AtomicBool>,
    leaves: Arc<AtomicBool>,
    thread: Option<JoinHandle<Log>>,
    news: std::sync::mpsc::Sender<&'static str>,
}

/// Records of the provider's driver.
#[derive(Default)]
struct Log {
    presences: Vec<Presence>,
    requests: Vec<Request>,
    turns: usize,
    longest: Duration,
}

impl Daemon {
    fn start(paths: &[&Path]) -> Daemon {
        let stop = Arc::new(AtomicBool::new(false));
        let (news, announced) = std::sync::mpsc::channel();
        let leaves = Arc::new(AtomicBool::new(false));
        let (stopping, leaving) = (stop.clone(), leaves.clone());
        let paths = paths.iter().map(PathBuf::from).collect();
        let thread = thread::spawn(move || {
            let (mut poll, timer) = (Poll::new().unwrap(), Timer::new().unwrap());
            poll.add(&timer, 0).unwrap();
            let mut provider = Provider::new(paths, timer::now());
            let mut log = Log::default();
            while !stopping.load(Ordering::Relaxed) {
                if leaving.load(Ordering::Relaxed) {
                    provider.leave(&RequestError::stopping());
                    while !stopping.load(Ordering::Relaxed) {
                        thread::sleep(Duration::from_millis(5));
                    }
                    return log;
                }
                let soon = timer::now() + Nanos::from_millis(20);
                timer.set(provider.next_timeout().map_or(soon, |due| due.min(soon))).unwrap();
                let tokens: Vec<u64> = poll.wait().unwrap().collect();
                timer.acknowledge().unwrap();
                let start_of_turn = Instant::now();
                log.turns += 1;
                let now = timer::now();
                provider.handle_timeout(&poll, now);
                if tokens.iter().any(|token| *token != 0) {
                    serve(&mut provider, &poll, now, &mut log);
                }
                if let Ok(what) = announced.try_recv() {
                    provider.announce("state", &to_table(&event(what)).unwrap(), &poll, now);
                }
                log.longest = log.longest.max(start_of_turn.elapsed());
                if log.presences.last() != Some(provider.presence()) {
                    log.presences.push(provider.presence().clone());
                }
            }
            log
        });
        Daemon { stop, leaves, thread: Some(thread), news }
    }

    /// Leaves the bus and lives on, as the daemon does while it tears down. From then on nobody is answered.
    fn leave(&self) {
        self.leaves.store(true, Ordering::Relaxed);
    }

    fn stop(mut self) -> Log {
        self.stop.store(true, Ordering::Relaxed);
        self.thread.take().unwrap().join().unwrap()
    }
}

fn serve(provider: &mut Provider, poll: &Poll, now: Nanos, log: &mut Log) {
    let Some((caller, request)) = provider.handle(poll, now) else { return };
    let answer = match request {
        Ok(request) => {
            log.requests.push(request);
            canned(request, &log.requests)
        }
        Err(error) => Err(error),
    };
    provider.answer(&caller, answer.as_ref().map(BlobMsgTable::contents), poll, now);
}

/// `requests` are all so far.
fn canned(request: Request, requests: &[Request]) -> Result<BlobMsgTable, RequestError> {
    match request {
        Request::Status(Format::Text) => Ok(BlobMsgTable::build(|blob| blob.put_str(Some("text"), "shaping\n"))),
        Request::Status(Format::Json) => Ok(BlobMsgTable::build(|blob| blob.put_str(Some("text"), "{}"))),
        Request::State => Ok(to_table(&StateAnswer { state: "shaping".into() }).unwrap()),
        Request::Status(Format::Values) => Ok(BlobMsgTable::build(|blob| blob.put_str(Some("state"), "shaping"))),
        // As large as the largest real answer.
        Request::Devices(Format::Values) => Ok(BlobMsgTable::build(|blob| {
            blob.open_array(Some("devices"));
            (0..5000).for_each(|_| blob.put_str(None, "a device"));
            blob.close_array();
        })),
        Request::Devices(_) => Ok(BlobMsgTable::build(|blob| blob.put_str(Some("text"), "[]"))),
        Request::History { seconds } => Ok(BlobMsgTable::build(|blob| blob.put_i64(Some("seconds"), seconds.into()))),
        Request::Advise(_) => Ok(BlobMsgTable::build(|blob| blob.put_str(Some("text"), ADVICE))),
        Request::Advised { level } => {
            let shape = AdvisedShape { upload_kbit: 40, download_kbit: 60, cell_bytes: 768 };
            let shape = (level == Level::Saver).then_some(shape);
            Ok(to_table(&AdvisedAnswer::new(shape)).unwrap())
        }
        Request::Audited => {
            let passed = requests.iter().rev().find_map(|request| match request {
                Request::Audit { options, waiting: true, .. } => Some(audit(options.packets).faults.is_empty()),
                _ => None,
            });
            Ok(to_table(&AuditedAnswer::new(passed)).unwrap())
        }
        Request::Audit { options, format: Format::Text, waiting: true } => {
            let report = audit(options.packets).to_string();
            Ok(BlobMsgTable::build(|blob| blob.put_str(Some("text"), &report)))
        }
        Request::Audit { options, waiting: true, .. } => {
            let report = answer_json(&audit(options.packets)).unwrap();
            Ok(BlobMsgTable::build(|blob| blob.put_str(Some("text"), &report)))
        }
        Request::Audit { options, .. } => {
            let packets = options.packets;
            Ok(to_table(&AuditStarted { running: true, packets, expected_s: Rounded(1.5) }).unwrap())
        }
        Request::Reload => Err(RequestError { status: 9, text: "the settings are not usable".into() }),
        _ => Ok(BlobMsgTable::empty()),
    }
}

/// An audit that finds a fault if it captures many packets.
fn audit(packets: u32) -> AuditAnswer {
    AuditAnswer {
        running: None,
        age_s: None,
        at_unix: None,
        seconds: 1,
        packets: packets.into(),
        wire_bytes: 508,
        strays: 0,
        handshakes: 0,
        faults: if packets < 1_000 { Vec::new() } else { vec!["strays".into()] },
        quotes: None,
        upload: None,
        download: None,
        sends_upload: true,
    }
}

/// What `audit` reports on standard error after a report with faults.
const AUDIT_ERROR: &str = "millpond: auditing the wire: found faults: see the report above\n";

/// Advice as `advise` prints it.
const ADVICE: &str = "observed for 24 h\n";

fn event(state: &'static str) -> StateEvent {
    StateEvent { state: state.into(), before: "shaping".into(), problems: vec!["name".into()] }
}

/// A socket path that no other test uses.
fn place(name: &str) -> PathBuf {
    let folder = std::env::temp_dir().join(format!("millpond-ubus-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    folder.join(name)
}

type Client = UbusClient<UnixUbusTransport>;

fn connect(path: &Path) -> Client {
    UbusClient::connect(UnixUbusTransport::connect(path.to_str().unwrap()).unwrap()).unwrap()
}

/// Runs the program with `--ubus`.
fn millpond(path: &Path, arguments: &[&str]) -> (Option<i32>, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_millpond"));
    let output = command.args(arguments).arg("--ubus").arg(path).output().unwrap();
    (output.status.code(), String::from_utf8([output.stdout, output.stderr].concat()).unwrap())
}

/// Waits for the object and returns its number.
fn find(client: &mut Client) -> u32 {
    let start = Instant::now();
    while start.elapsed() < WAIT_LIMIT {
        if let Ok(id) = client.lookup("millpond") {
            return id;
        }
        thread::sleep(Duration::from_millis(20));
    }
    panic!("the object was not published");
}

fn call(client: &mut Client, id: u32, method: &str, arguments: impl FnOnce(&mut BlobBuilder)) -> Result<String, i32> {
    match client.invoke_many(id, method, &BlobMsgTable::build(arguments)) {
        Ok(replies) => Ok(replies.iter().map(|reply| to_json(reply, true)).collect()),
        Err(UbusError::Status(status)) => Err(status),
        Err(error) => panic!("{method}: {error}"),
    }
}

#[test]
fn methods_are_listed_and_answered() {
    let path = place("methods");
    let _broker = Broker::start(&path);
    let daemon = Daemon::start(&[&place("missing"), &path]);
    let mut client = connect(&path);
    let id = find(&mut client);
    let objects = client.lookup_objects(Some("millpond")).unwrap();
    let signature = to_json(&objects[0].signature, true);
    assert_eq!(
        signature,
        "{\"status\":{\"form\":3},\"state\":{},\"devices\":{\"form\":3},\"history\":{\"seconds\":5},\"advise\":{\"form\":3},\
         \"advised\":{\"level\":3},\"audit\":{\"packets\":5,\"wait\":7,\"form\":3,\"deep\":7},\"audited\":{},\"reload\":{},\"renew\":{}}"
    );
    assert_eq!(call(&mut client, id, "status", |_| ()), Ok("{\"state\":\"shaping\"}".into()));
    assert_eq!(call(&mut client, id, "state", |_| ()), Ok("{\"state\":\"shaping\"}".into()));
    let saver = |blob: &mut BlobBuilder| blob.put_str(Some("level"), "saver");
    let shape = "{\"upload_kbit\":40,\"download_kbit\":60,\"cell_bytes\":768}".to_owned();
    assert_eq!(call(&mut client, id, "advised", saver), Ok(shape));
    assert_eq!(call(&mut client, id, "audited", |_| ()), Ok("{\"audited\":\"none\"}".into()));
    let session = |blob: &mut BlobBuilder| {
        blob.put_str(Some("ubus_rpc_session"), "00000000000000000000000000000000");
        blob.put_i32(Some("seconds"), 120);
    };
    assert_eq!(call(&mut client, id, "history", session), Ok("{\"seconds\":120}".into()));
    let started = "{\"running\":true,\"packets\":2000,\"expected_s\":1.5}".to_owned();
    assert_eq!(call(&mut client, id, "audit", |_| ()), Ok(started));
    assert_eq!(call(&mut client, id, "devices", session).unwrap().len(), "{\"devices\":[]}".len() + 5000 * 11 - 1);
    let log = daemon.stop();
    assert_eq!(log.presences.last(), Some(&Presence::Published));
    assert_eq!(
        log.requests,
        [
            Request::Status(Format::Values),
            Request::State,
            Request::Advised { level: Level::Saver },
            Request::Audited,
            Request::History { seconds: 120 },
            Request::Audit {
                options: AuditOptions { packets: 2000, deep: false },
                format: Format::Values,
                waiting: false
            },
            Request::Devices(Format::Values)
        ]
    );
}

#[test]
fn invalid_calls_are_refused() {
    let path = place("wrong");
    let _broker = Broker::start(&path);
    let daemon = Daemon::start(&[&path]);
    let mut client = connect(&path);
    let id = find(&mut client);
    assert_eq!(call(&mut client, id, "bogus", |_| ()), Err(3), "no such method");
    assert_eq!(call(&mut client, id, "history", |blob| blob.put_str(Some("seconds"), "all")), Err(2));
    assert_eq!(call(&mut client, id, "history", |blob| blob.put_str(Some("x"), &"x".repeat(300_000))), Err(2));
    assert_eq!(call(&mut client, id, "reload", |_| ()), Err(9));
    assert_eq!(call(&mut client, id, "status", |_| ()), Ok("{\"state\":\"shaping\"}".into()), "it still answers");
    daemon.stop();
}

#[test]
fn commands_use_ubus() {
    let path = place("commands");
    let _broker = Broker::start(&path);
    let daemon = Daemon::start(&[&path]);
    find(&mut connect(&path));
    assert_eq!(millpond(&path, &["status"]), (Some(0), "shaping\n".into()));
    assert_eq!(millpond(&path, &["status", "--json"]), (Some(0), "{}".into()));
    assert_eq!(millpond(&path, &["devices", "--json"]), (Some(0), "[]".into()));
    for (packets, code) in [("2000", Some(1)), ("500", Some(0))] {
        let error = if code == Some(1) { AUDIT_ERROR } else { "" };
        let report = audit(packets.parse().unwrap());
        let text = format!("{}\n{error}", report.to_string().trim_end());
        assert_eq!(millpond(&path, &["audit", "--packets", packets]), (code, text));
        let json = format!("{}\n{error}", answer_json(&report).unwrap());
        assert_eq!(millpond(&path, &["audit", "--json", "--packets", packets]), (code, json));
    }
    let (code, why) = millpond(&path, &["reload"]);
    assert_eq!(code, Some(78));
    assert!(why.ends_with("the previous settings stay in force: the settings are not usable\n"), "{why}");
    daemon.stop();
    let (code, why) = millpond(&path, &["status"]);
    assert_eq!(code, Some(69), "a broker without the object");
    assert!(why.contains("is the service running?"), "{why}");
}

#[test]
fn a_level_gets_its_rates_only_on_request() {
    let path = place("levels");
    let _broker = Broker::start(&path);
    let daemon = Daemon::start(&[&path]);
    find(&mut connect(&path));
    let config = place("levels.uci");
    std::fs::write(&config, "config millpond 'main'\n\toption level 'balanced'\n").unwrap();
    let at = ["--config", config.to_str().unwrap()];
    let advise = |more: &[&str]| millpond(&path, &[&["advise"][..], &at, more].concat());
    let text = || std::fs::read_to_string(&config).unwrap();
    let before = text();
    assert_eq!(advise(&[]), (Some(0), ADVICE.to_owned()));
    let (code, why) = advise(&["--set", "strict"]);
    assert_eq!(code, Some(69), "there is no advice for this level: {why}");
    let reason = "no packets observed yet, or no rate keeps all devices within their tolerances";
    let expected = format!("setting level strict: no advised rates: {reason}: see 'millpond advise'\n");
    assert!(why.ends_with(&expected), "{why}");
    assert_eq!(advise(&["--set", "off"]).0, Some(64));
    assert_eq!(text(), before);
    let (code, output) = advise(&["--set", "saver"]);
    assert_eq!(
        (code, output.as_str()),
        (Some(0), "level saver: 40 kbit/s up, 60 down, cells of 768 bytes; to apply it: millpond reload\n")
    );
    assert!(text().contains("option level 'saver'") && text().contains("config level 'saver'\n\toption upload '40'"));
    std::fs::write(&config, "config millpond 'main'\n\toption level\n").unwrap();
    let (code, output) = advise(&["--set", "saver"]);
    assert!(code == Some(78) && output.contains("millpond check"), "{code:?} {output}");
    daemon.stop();
}

#[test]
fn a_restarted_broker_gets_the_object_again() {
    let path = place("again");
    let daemon = Daemon::start(&[&path]);
    thread::sleep(Duration::from_millis(300));
    for round in 0..3 {
        let broker = Broker::start(&path);
        let mut client = connect(&path);
        let id = find(&mut client);
        assert_eq!(call(&mut client, id, "status", |_| ()), Ok("{\"state\":\"shaping\"}".into()), "round {round}");
        drop(broker);
    }
    thread::sleep(Duration::from_millis(300));
    let log = daemon.stop();
    let shown = |presence: &Presence| match presence {
        Presence::Unknown => "unknown",
        Presence::Absent => "absent",
        Presence::Published => "published",
        Presence::Lost(_) => "lost",
    };
    let mut presences: Vec<_> = log.presences.iter().map(shown).filter(|shown| *shown != "unknown").collect();
    presences.dedup();
    assert_eq!(presences, ["absent", "published", "lost", "published", "lost", "published", "lost"]);
    // This test's timer causes one every 20 ms.
    assert!(log.turns < 5000, "{} turns: no busy waiting", log.turns);
}

#[test]
fn a_silent_or_invalid_broker_is_disconnected() {
    let path = place("silent");
    let listener = std::os::unix::net::UnixListener::bind(&path).unwrap();
    let daemon = Daemon::start(&[&path]);
    let (mut first, _) = listener.accept().unwrap();
    first.write_all(&[0xff; 64]).unwrap();
    let (second, _) = listener.accept().expect("a second connection");
    thread::sleep(Duration::from_millis(200));
    let log = daemon.stop();
    drop(second);
    assert!(log.presences.iter().any(|presence| matches!(presence, Presence::Lost(_))), "{:?}", log.presences);
    assert!(log.longest < Duration::from_secs(1), "it never blocks");
}

#[test]
fn a_flood_is_rate_limited() {
    let path = place("flood");
    let _broker = Broker::start(&path);
    let daemon = Daemon::start(&[&path]);
    let id = find(&mut connect(&path));
    let start = Instant::now();
    let floods: Vec<_> = (0..4)
        .map(|_| {
            let path = path.clone();
            thread::spawn(move || {
                let mut client = connect(&path);
                let mut answers = 0;
                while start.elapsed() < Duration::from_secs(2) {
                    assert_eq!(call(&mut client, id, "status", |_| ()), Ok("{\"state\":\"shaping\"}".into()));
                    answers += 1;
                }
                answers
            })
        })
        .collect();
    let answers: usize = floods.into_iter().map(|flood| flood.join().unwrap()).sum();
    let elapsed = start.elapsed().as_millis() as usize;
    let log = daemon.stop();
    assert!(answers >= 4, "every client is answered");
    assert!(answers <= elapsed / 10 + 5, "{answers} answers in {elapsed} ms, one in 10 ms is allowed");
    assert_eq!(log.requests.len(), answers);
}

#[test]
fn state_changes_reach_listeners() {
    let path = place("news");
    let _broker = Broker::start(&path);
    let daemon = Daemon::start(&[&path]);
    let mut client = connect(&path);
    let object = find(&mut client);
    let listener = client.add_anonymous_object().unwrap();
    client.register_event(listener, "millpond.*").unwrap();
    client.subscribe(listener, object).unwrap();
    daemon.news.send("degraded").unwrap();
    let start = Instant::now();
    let mut received = Vec::new();
    while received.len() < 2 && start.elapsed() < WAIT_LIMIT {
        match client.recv_frame().unwrap() {
            Some(frame) => {
                if let Some(data) = ubus::envelope::find(&frame.payload, ubus::envelope::UbusAttr::Data) {
                    let method = ubus::envelope::find(&frame.payload, ubus::envelope::UbusAttr::Method);
                    let method = method.and_then(|method| method.as_str()).unwrap_or("").to_owned();
                    received.push((method, to_json(data.payload, true)));
                }
            }
            None => thread::sleep(Duration::from_millis(5)),
        }
    }
    received.sort();
    let data = answer_json(&event("degraded")).unwrap();
    assert_eq!(received, [("millpond.state".into(), data.clone()), ("state".into(), data)]);
    daemon.stop();
}

/// A daemon that stays on the bus while it tears down lets its callers wait for their whole time-out.
#[test]
fn callers_are_answered_when_the_daemon_ends() {
    let path = place("leaving");
    let _broker = Broker::start(&path);
    let daemon = Daemon::start(&[&path]);
    let id = find(&mut connect(&path));
    let callers: Vec<_> = (0..8)
        .map(|_| {
            let path = path.clone();
            thread::spawn(move || {
                let mut client = connect(&path);
                let mut longest = Duration::ZERO;
                loop {
                    let start = Instant::now();
                    let answer = call(&mut client, id, "status", |_| ());
                    longest = longest.max(start.elapsed());
                    if let Err(status) = answer {
                        return (status, longest);
                    }
                }
            })
        })
        .collect();
    thread::sleep(Duration::from_millis(300));
    daemon.leave();
    for caller in callers {
        let (status, longest) = caller.join().unwrap();
        assert!(status == 10 || status == 4, "stopping, or not found: {status}");
        assert!(longest < Duration::from_secs(2), "waited {longest:?}");
    }
    assert!(connect(&path).lookup("millpond").is_err(), "the object has gone while the daemon lives on");
    daemon.stop();
}

/// OpenWrt's own client, if installed.
#[test]
fn openwrts_ubus_client_works() {
    let Ok(version) = Command::new("ubus").arg("list").output() else {
        println!("skipped openwrts_ubus_client_works: no ubus on PATH");
        return;
    };
    drop(version);
    let path = place("openwrt");
    let _broker = Broker::start(&path);
    let daemon = Daemon::start(&[&path]);
    find(&mut connect(&path));
    let ubus = |arguments: &[&str]| {
        let output = Command::new("ubus").arg("-s").arg(&path).args(arguments).output().unwrap();
        (output.status.success(), String::from_utf8(output.stdout).unwrap())
    };
    let (listed, objects) = ubus(&["-v", "list", "millpond"]);
    assert!(listed && objects.contains("\"history\":{\"seconds\":\"Integer\"}"), "{objects}");
    let (answered, status) = ubus(&["call", "millpond", "status"]);
    assert!(answered && status.contains("\"state\": \"shaping\""), "{status}");
    let (answered, error) = ubus(&["call", "millpond", "history", "{\"seconds\":\"all\"}"]);
    assert!(!answered && error.contains("want a whole number"), "{error}");
    daemon.stop();
}

/// A client that never reads must not block the others.
#[test]
fn a_client_that_never_reads_blocks_no_other() {
    let path = place("deaf");
    let _broker = Broker::start(&path);
    let daemon = Daemon::start(&[&path]);
    let mut client = connect(&path);
    let id = find(&mut client);
    let silent = UnixStream::connect(&path).unwrap();
    for _ in 0..10 {
        call(&mut client, id, "devices", |_| ()).unwrap();
    }
    drop(silent);
    assert!(daemon.stop().longest < Duration::from_secs(1));
}
