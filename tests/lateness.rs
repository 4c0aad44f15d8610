//! `millpond lateness`: writes what the daemon recorded, or one line that says why not. A thread stands in for the
//! daemon.

#![cfg(feature = "endpoint")]

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::thread;

struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Folder {
        let folder = std::env::temp_dir().join(format!("millpond-lateness-{name}-{}", std::process::id()));
        _ = fs::remove_dir_all(&folder);
        fs::create_dir_all(&folder).unwrap();
        Folder(folder)
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        _ = fs::remove_dir_all(&self.0);
    }
}

/// Answers one request after the other. Returns the requests.
fn daemon(socket: &Path, answers: Vec<String>) -> thread::JoinHandle<Vec<String>> {
    let listener = UnixListener::bind(socket).unwrap();
    thread::spawn(move || {
        let answer = |text: String| {
            let (mut client, _) = listener.accept().unwrap();
            let mut line = String::new();
            BufReader::new(client.try_clone().unwrap()).read_line(&mut line).unwrap();
            client.write_all(text.as_bytes()).unwrap();
            line.trim().to_owned()
        };
        answers.into_iter().map(answer).collect()
    })
}

fn lateness(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_millpond")).arg("lateness").args(arguments).output().unwrap()
}

fn error(output: &Output) -> String {
    let text = String::from_utf8(output.stderr.clone()).unwrap();
    assert!(!output.status.success() && text.lines().count() == 1, "{text}");
    text
}

#[test]
fn the_record_is_a_file_that_the_laboratory_reads() {
    let folder = Folder::new("file");
    let (socket, output) = (folder.path("socket"), folder.path("a.json"));
    let values = |range: std::ops::Range<u32>| range.map(|value| value.to_string()).collect::<Vec<_>>().join(" ");
    let answers = vec![
        "gamma 33 25400000 0 1\n\n".to_owned(),
        format!("gamma 33 25400000 0 4097\n{}\n", values(0..4_096)),
        "gamma 33 25400000 2 4097\n\n".to_owned(),
        format!("gamma 33 25400000 3 4297\n{}\n", values(4_096..4_296)),
        String::new(),
    ];
    let daemon = daemon(&socket, answers);
    let (socket, path) = (socket.to_str().unwrap(), output.to_str().unwrap());
    let ran = lateness(&["--socket", socket, "--output", path, "--cells", "4200", "--home", "10.77.0.2"]);
    assert!(ran.status.success(), "{}", String::from_utf8_lossy(&ran.stderr));
    let home = "10.77.0.2";
    assert_eq!(
        daemon.join().unwrap(),
        ["0", "1", "4097", "4097", "4294967295"].map(|from| format!("lateness {from} {home}"))
    );
    let record: serde_json::Value = serde_json::from_str(&fs::read_to_string(&output).unwrap()).unwrap();
    assert_eq!(record["lateness_ns"], serde_json::json!((0..4_200).collect::<Vec<u32>>()));
    assert_eq!((&record["law"], &record["spread_percent"]), (&"gamma".into(), &33.into()));
    assert_eq!((&record["interval_ns"], &record["missed_slots"]), (&25_400_000.into(), &3.into()));
    #[cfg(feature = "lab")]
    {
        let read = millpond::lab::bound::LatenessRecord::read(&output).unwrap();
        assert_eq!((read.lateness_ns.len(), read.lateness_ns[4_199], read.missed_slots), (4_200, 4_199, 3));
    }
}

#[test]
fn refusals_and_errors_are_one_line() {
    let folder = Folder::new("errors");
    let socket = folder.path("socket");
    let refused = |name: &str, answers: &[&str]| {
        let socket = folder.path(name);
        let daemon = daemon(&socket, answers.iter().map(|answer| (*answer).to_owned()).collect());
        let output = folder.path("refused.json");
        let ran = lateness(&["--socket", socket.to_str().unwrap(), "--output", output.to_str().unwrap()]);
        daemon.join().unwrap();
        (error(&ran), ran.status.code(), output.exists())
    };
    let (text, code, is_there) = refused("a", &["refused: a record is running\n"]);
    assert!(text.contains("a record is running") && code == Some(69) && !is_there, "{text} {is_there}");
    let (text, code, _) = refused("b", &["gamma 33 25400000 0 1\n\n", "refused: the rate has changed\n"]);
    assert!(text.contains("the rate has changed") && code == Some(69), "{text}");
    let (text, code, _) = refused("c", &["gamma 33\n"]);
    assert!(text.contains("the daemon's answer is incomplete") && code == Some(69), "{text}");
    let socket = socket.to_str().unwrap();
    assert!(error(&lateness(&["--socket", socket])).contains("is the service running?"));
    for cells in ["0", "1000001", "many", "-1"] {
        let ran = lateness(&["--cells", cells]);
        assert!(error(&ran).contains("want 1..=1000000") && ran.status.code() == Some(64), "{cells}");
    }
    let path = folder.path("d");
    let daemon = daemon(&path, vec!["gamma 33 25400000 0 1\n\n".to_owned()]);
    let ran = lateness(&["--socket", path.to_str().unwrap(), "--output", "/nonexistent/a.json"]);
    daemon.join().unwrap();
    assert!(error(&ran).contains("writing /nonexistent/a.json") && ran.status.code() == Some(74));
}
