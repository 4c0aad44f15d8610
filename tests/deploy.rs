//! The files in `cross/deploy` fit the program and each other. `make lint` checks each with its own world's checker.

use std::fs;
use std::path::Path;

use millpond::config::parse_with;

const COMPOSE: &str = include_str!("../cross/deploy/compose.yaml");
const KUBERNETES: &str = include_str!("../cross/deploy/kubernetes.yaml");
const POD_MONITOR: &str = include_str!("../cross/deploy/podmonitor.yaml");
const CLOUD_INIT: &str = include_str!("../cross/deploy/cloud-init.yaml");
const ENDPOINT_PAGE: &str = include_str!("../docs/endpoint.md");

/// Keys for the manifests' places. None of them is anybody's.
const PRIVATE: &str = "AQIDBAUGBwgJCgsMDQ4PEBESExQVFhcYGRobHB0eHyA=";
const PUBLIC: &str = "ISIjJCUmJygpKissLS4vMDEyMzQ1Njc4OTo7PD0+P0A=";
const OTHER_PUBLIC: &str = "YWJjZGVmZ2hpamtsbW5vcHFyc3R1dnd4eXp7fH1+f4A=";

/// The indented lines after the line `key: |`, without their indentation.
fn block(yaml: &str, key: &str) -> String {
    let lines = yaml.lines().skip_while(|line| line.trim_start() != format!("{key}: |")).skip(1);
    let indent = lines.clone().next().map_or(0, |line| line.len() - line.trim_start().len());
    let inside = lines.take_while(|line| line.trim().is_empty() || line.starts_with(&" ".repeat(indent)));
    inside.map(|line| line.get(indent..).unwrap_or_default().to_owned() + "\n").collect()
}

/// The text after each `before`, up to the first of `ends`.
fn after<'a>(text: &'a str, before: &str, ends: &[char]) -> Vec<&'a str> {
    text.split(before).skip(1).map(|rest| rest.split(ends).next().unwrap_or_default()).collect()
}

#[test]
fn every_image_and_package_has_this_version() {
    let version = env!("CARGO_PKG_VERSION");
    for (name, text) in
        [("compose.yaml", COMPOSE), ("kubernetes.yaml", KUBERNETES), ("docs/endpoint.md", ENDPOINT_PAGE)]
    {
        let images = after(text, "localhost/millpond-endpoint:", &['\n', ' ', '`']);
        assert!(!images.is_empty() && images.iter().all(|image| *image == version), "{name}: {images:?}");
        for file in after(text, "millpond-endpoint_", &['_']) {
            assert_eq!(file, version, "{name}");
        }
    }
    assert!(CLOUD_INIT.contains(&format!("/millpond_{version}-1_amd64.deb\n")), "cloud-init.yaml");
}

/// A typing error in the settings would only show in somebody's cluster.
#[test]
fn the_settings_of_the_cluster_are_valid_and_their_key_files_are_mounted() {
    let settings = block(KUBERNETES, "millpond")
        .replace("PUBLIC KEY OF THE SECOND ENDPOINT", OTHER_PUBLIC)
        .replace("PUBLIC KEY OF MAPLE STREET", PUBLIC);
    let parsed = parse_with(settings.as_bytes(), &|path| {
        let (folder, name) = path.rsplit_once('/').unwrap();
        let mounted = [path, folder].iter().any(|mount| KUBERNETES.contains(&format!("mountPath: {mount}\n")));
        assert!(mounted, "{path} is not mounted");
        // The key of the pod is mounted under another name.
        let stored = if name == "endpoint.private" { "millpond-0.private" } else { name };
        assert!(KUBERNETES.contains(&format!("\n  {stored}: ")), "no Secret has {stored}");
        Ok(PRIVATE.to_owned())
    });
    assert!(parsed.problems.is_empty(), "{:?}\n{settings}", parsed.problems);
    let settings = parsed.settings.unwrap();
    assert!(settings.enabled && settings.homes.len() == 1);
}

#[test]
fn the_pod_monitor_finds_the_pods_and_their_port() {
    let selected = after(POD_MONITOR, "matchLabels:\n      ", &['\n']);
    assert_eq!(selected.len(), 1);
    assert!(KUBERNETES.contains(&format!("      labels:\n        {}\n", selected[0])), "{selected:?}");
    for port in after(POD_MONITOR, "- port: ", &['\n']) {
        assert!(KUBERNETES.contains(&format!("- name: {port}\n              containerPort: ")), "{port}");
    }
}

/// The script that cloud-init runs, in POSIX sh as on the server.
#[test]
fn the_script_of_the_new_server_is_valid_shell() {
    let script = block(CLOUD_INIT, "content");
    assert!(script.starts_with("#!/bin/sh\n") && script.contains("millpond endpoint init"), "{script}");
    let file = std::env::temp_dir().join(format!("millpond-cloud-init-{}", std::process::id()));
    fs::write(&file, &script).unwrap();
    let output = std::process::Command::new("sh").args([Path::new("-n"), &file]).output().unwrap();
    fs::remove_file(file).unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}
