//! A small version of the measurement in `tests/lab/endpoint_load`: every simulated home receives its cells, whatever
//! thread of the endpoint serves it.

use std::process::Command;

#[test]
fn every_home_receives_its_cells() {
    if !nix::unistd::geteuid().is_root() {
        println!("skipped every_home_receives_its_cells: not root");
        return;
    }
    for (homes, threads) in [("1", "1"), ("60", "1"), ("60", "2")] {
        let mut command = Command::new(env!("CARGO_BIN_EXE_millpond-world"));
        command.args(["endpoint-load", "--homes", homes, "--threads", threads, "--rate", "20", "--seconds", "3"]);
        let output = command.output().unwrap();
        let text = String::from_utf8_lossy(&output.stdout);
        println!("{text}");
        assert!(output.status.success(), "{homes}: {text}{}", String::from_utf8_lossy(&output.stderr));
        assert!(text.starts_with(&format!("{{\"homes\": {homes}, \"threads\": {threads}, ")), "{text}");
    }
}
