//! Applying a plan to a kernel that lacks a part.

mod common;

use std::process::Command;

use millpond::apply::{Kernel, apply};
use millpond::plan::Desired;
use millpond::sys::kernel::LinuxKernel;
use nix::sched::{CloneFlags, unshare};

/// If a kernel part is missing, the error names its package, and the operations before it are rolled back.
#[test]
fn a_missing_kernel_part_is_named_and_changes_nothing() {
    let has = |probe: &str| {
        let script = format!("unshare -n sh -c '{probe}' >/dev/null 2>&1");
        Command::new("sh").args(["-c", &script]).status().is_ok_and(|status| status.success())
    };
    let parts = [
        ("kmod-wireguard", "ip link add probe0 type wireguard"),
        ("kmod-sched-prio", "ip link set lo up && tc qdisc add dev lo root handle 1: prio"),
    ];
    let absent = parts.iter().find(|(_, probe)| !has(probe));
    let Some((package, _)) = absent.filter(|_| nix::unistd::geteuid().is_root() && has("nft list tables")) else {
        println!("skipped a_missing_kernel_part_is_named_and_changes_nothing: no part is missing here, or not root");
        return;
    };
    unshare(CloneFlags::CLONE_NEWNET).unwrap();
    let mut kernel = LinuxKernel::open().unwrap();
    let before = kernel.snapshot().unwrap();
    let desired =
        Desired::from_settings(&common::router([1; 32], [2; 32]), &common::facts(), &common::limits()).unwrap();
    let error = apply(&mut kernel, &desired).unwrap_err();
    assert!(error.to_string().contains(package), "{error}");
    assert_eq!(error.not_rolled_back, []);
    assert_eq!(kernel.snapshot().unwrap(), before);
}
