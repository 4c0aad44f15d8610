//! The dashboard and the alert rules in `cross/deploy` with a real Prometheus, which scrapes a real endpoint with homes.

use std::collections::BTreeSet;
use std::fs;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use serde_json::Value;

const ALERTS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/cross/deploy/alerts.yml");
const DASHBOARD: &str = include_str!("../cross/deploy/grafana.json");

/// Enough for a busy machine; without load everything is there after about 5 s.
const WAIT_LIMIT: Duration = Duration::from_secs(60);
/// What Grafana puts into the panels' queries. The interval has six samples.
const VARIABLES: [(&str, &str); 2] = [("$__rate_interval", "3s"), ("$instance", ".*")];

/// A process that ends with the test.
struct Running(Child);

impl Running {
    fn start(command: &mut Command) -> Running {
        let child = command.stdin(Stdio::null()).stdout(Stdio::null()).spawn();
        Running(child.unwrap_or_else(|error| panic!("{command:?}: {error}")))
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        _ = self.0.kill();
        _ = self.0.wait();
    }
}

/// Debian's prometheus: that of `tests/tools/setup`, or one that is installed.
fn prometheus() -> Option<PathBuf> {
    let script = ". tests/tools/deploy-tools; echo \"$deploy_tools/debian/usr/bin/prometheus\"";
    let output = Command::new("bash").args(["-c", script]).current_dir(env!("CARGO_MANIFEST_DIR")).output().ok()?;
    let unpacked = PathBuf::from(String::from_utf8(output.stdout).ok()?.trim_end());
    let installed = PathBuf::from("/usr/bin/prometheus");
    [unpacked, installed].into_iter().find(|path| path.exists())
}

fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

/// The body of the answer to a GET request; `None` if nothing answers.
fn get(port: u16, path: &str) -> Option<String> {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).ok()?;
    // With HTTP/1.0 the answer ends with the connection and has no chunks.
    stream.write_all(format!("GET {path} HTTP/1.0\r\nHost: localhost\r\n\r\n").as_bytes()).ok()?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).ok()?;
    answer.split_once("\r\n\r\n").map(|(_, body)| body.to_owned())
}

/// The number of series that a query returns; an error's text if Prometheus refuses it.
fn series(port: u16, query: &str) -> Result<usize, String> {
    let escaped: String = query.bytes().map(|byte| format!("%{byte:02x}")).collect();
    let body = get(port, &format!("/api/v1/query?query={escaped}")).ok_or("no answer")?;
    let answer: Value = serde_json::from_str(&body).map_err(|error| error.to_string())?;
    if answer["status"] != "success" {
        return Err(answer["error"].to_string());
    }
    Ok(answer["data"]["result"].as_array().map_or(0, Vec::len))
}

/// Waits until `condition` returns nothing that is still missing.
fn await_all(what: &str, mut missing: impl FnMut() -> Vec<String>) {
    let start = Instant::now();
    loop {
        let left = missing();
        if left.is_empty() {
            return;
        }
        assert!(start.elapsed() < WAIT_LIMIT, "{what}: {left:#?}");
        sleep(Duration::from_millis(250));
    }
}

/// Title and query of every panel.
fn panels() -> Vec<(String, String)> {
    let dashboard: Value = serde_json::from_str(DASHBOARD).unwrap();
    let mut queries = Vec::new();
    for panel in dashboard["panels"].as_array().unwrap() {
        let targets = panel["targets"].as_array();
        assert_eq!(targets.is_none(), panel["type"] == "row", "{}: a panel without a query", panel["title"]);
        for target in targets.into_iter().flatten() {
            queries.push((panel["title"].to_string(), target["expr"].as_str().unwrap().to_owned()));
        }
    }
    queries
}

/// The names of millpond's metrics in a text. A summary has the names of its sum and count, too.
fn metrics_in(text: &str) -> BTreeSet<String> {
    let words = text.split(|c: char| !c.is_ascii_alphanumeric() && c != '_');
    words.filter(|word| word.starts_with("millpond_")).map(str::to_owned).collect()
}

#[test]
fn every_panel_and_every_alert_has_data_of_a_real_endpoint() {
    let test = "every_panel_and_every_alert_has_data_of_a_real_endpoint";
    let Some(prometheus) = prometheus() else {
        println!("skipped {test}: prometheus is not installed ('tests/tools/setup lint' unpacks it)");
        return;
    };
    if !nix::unistd::geteuid().is_root() {
        println!("skipped {test}: not root");
        return;
    }
    let mut world = Command::new(env!("CARGO_BIN_EXE_millpond-world"));
    world.args(["endpoint-load", "--homes", "3", "--rate", "40", "--seconds", "300"]);
    // The homes complain when their endpoint is killed at the end.
    let load = Running::start(world.stderr(Stdio::null()));
    let of_endpoint = std::env::temp_dir().join(format!("millpond-endpoint-load-{}", load.0.id()));
    let folder = std::env::temp_dir().join(format!("millpond-monitoring-{}", std::process::id()));
    fs::create_dir_all(&folder).unwrap();
    let (exporter_port, port) = (free_port(), free_port());
    let socket = of_endpoint.join("socket");
    let _exporter = Running::start(
        Command::new(env!("CARGO_BIN_EXE_millpond"))
            .args(["endpoint", "metrics", "--listen", &format!("127.0.0.1:{exporter_port}"), "--socket"])
            .arg(&socket),
    );
    let _prometheus = start_prometheus(&prometheus, &folder, port, exporter_port);

    let queries: Vec<(String, String)> = panels()
        .into_iter()
        .map(|(title, query)| (title, VARIABLES.iter().fold(query, |query, (name, value)| query.replace(name, value))))
        .collect();
    assert!(queries.len() >= 15, "{queries:?}");
    await_all("queries without a series", || {
        let state = |(title, query): &(String, String)| match series(port, query) {
            Ok(0) => Some(format!("{title}: no series: {query}")),
            Ok(_) => None,
            Err(error) => Some(format!("{title}: {error}: {query}")),
        };
        queries.iter().filter_map(state).collect()
    });

    await_all("alert rules that Prometheus could not evaluate", || {
        let rules: Value =
            get(port, "/api/v1/rules").and_then(|body| serde_json::from_str(&body).ok()).unwrap_or_default();
        let rules = rules["data"]["groups"][0]["rules"].as_array().cloned().unwrap_or_default();
        if rules.len() < 8 {
            return vec![format!("only {} rules", rules.len())];
        }
        rules.iter().filter(|rule| rule["health"] != "ok").map(Value::to_string).collect()
    });
    let exported = metrics_in(&get(exporter_port, "/metrics").unwrap());
    // Exported only if main.data_cap is set, which this endpoint's settings do not.
    let mut used = metrics_in(&fs::read_to_string(ALERTS).unwrap());
    assert!(used.remove("millpond_month_quota_bytes"));
    assert_eq!(used.difference(&exported).collect::<Vec<_>>(), [""; 0], "metrics of alerts that no endpoint exports");

    drop(load);
    _ = fs::remove_dir_all(of_endpoint);
    _ = fs::remove_dir_all(folder);
}

/// Starts Prometheus with the project's alert rules, scraping twice a second.
fn start_prometheus(program: &Path, folder: &Path, port: u16, exporter_port: u16) -> Running {
    let config = folder.join("prometheus.yml");
    let text = format!(
        "global: {{scrape_interval: 500ms, evaluation_interval: 500ms}}\n\
         rule_files: ['{ALERTS}']\n\
         scrape_configs:\n- job_name: millpond\n  static_configs: [{{targets: ['127.0.0.1:{exporter_port}']}}]\n"
    );
    fs::write(&config, text).unwrap();
    Running::start(
        Command::new(program)
            .arg(format!("--config.file={}", config.display()))
            .arg(format!("--storage.tsdb.path={}", folder.join("data").display()))
            .arg(format!("--web.listen-address=127.0.0.1:{port}"))
            .arg("--log.level=error"),
    )
}
