//! A short run of the measurement in `tests/lab/gateway`: cells and traffic pass, and the result has its numbers.

use std::path::Path;
use std::process::Command;

use millpond::lab::bench::GatewayReport;

#[test]
fn a_line_with_devices_is_measured() {
    if !nix::unistd::geteuid().is_root() || !Path::new("/dev/net/tun").exists() {
        println!("skipped a_line_with_devices_is_measured: not root, or no TUN");
        return;
    }
    let mut command = Command::new(env!("CARGO_BIN_EXE_millpond-world"));
    command.args(["gateway", "--rate", "50000", "--loads", "2", "--seconds", "2", "--devices", "20", "--only-rate"]);
    let output = command.output().unwrap();
    let (text, errors) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    println!("{text}{errors}");
    assert!(output.status.success(), "the measurement failed");
    let report: GatewayReport = serde_json::from_str(&text).unwrap();
    assert_eq!((report.devices, report.loads.len()), (20, 1));
    // Only service is required, not its speed, because this machine may be busy.
    let positive = [
        report.gbit_up,
        report.gbit_down,
        report.ceiling_gbit,
        report.us_per_cell,
        report.sparse_ratio,
        report.loads[0].carried_mbit[0],
        report.loads[0].carried_mbit[1],
    ];
    assert!(positive.iter().all(|number| *number > 0.0), "{report:?}");
}
