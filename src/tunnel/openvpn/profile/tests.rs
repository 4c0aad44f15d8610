//! Which options a profile may have.

use super::*;

const CLIENT: &str = include_str!("../../../../files/etc/millpond/client.ovpn.example");
const SERVER: &str = include_str!("../../../../files/etc/millpond/server.ovpn.example");

/// Line and text of each error.
fn errors(text: &str) -> Vec<(usize, String)> {
    let problems = parse(text.as_bytes(), Role::Router).err().unwrap_or_default();
    problems.into_iter().map(|problem| (problem.line, problem.text)).collect()
}

#[test]
fn the_shipped_profiles_are_valid() {
    assert_eq!(parse(CLIENT.as_bytes(), Role::Router), Ok(Profile { ipv6: false }));
    assert_eq!(parse(SERVER.as_bytes(), Role::Endpoint), Ok(Profile { ipv6: false }));
}

#[test]
fn every_refused_option_is_reported_with_its_line() {
    let refused = [
        "comp-lzo",
        "comp-lzo no",
        "compress",
        "compress lz4-v2",
        "--compress stub-v2",
        "allow-compression yes",
        "allow-compression asym",
        "push \"comp-lzo yes\"",
        "push 'compress lz4'",
        "setenv opt compress",
        "proto tcp",
        "proto tcp-client",
        "proto tcp6",
        "remote vpn.example.org 443 tcp",
        "http-proxy proxy 3128",
        "socks-proxy proxy 1080",
        "dev tap0",
        "cipher AES-256-CBC",
        "cipher \"none\"",
        "data-ciphers AES-256-GCM:AES-128-CBC",
        "secret static.key",
        "fragment 1300",
        "daemon",
        "log /var/log/openvpn",
        "config other.ovpn",
        "up /etc/openvpn/update-resolv-conf",
        "plugin /usr/lib/openvpn/auth.so",
    ];
    for line in refused {
        let found = errors(&format!("client\nremote vpn.example.org 1194\n\n  {line}\nverb 3\n"));
        assert_eq!(found.iter().map(|(line, _)| *line).collect::<Vec<_>>(), [4], "{line}");
        assert!(found[0].1.contains("want"), "{}", found[0].1);
    }
    assert_eq!(
        errors("remote a 1\ncomp-lzo adaptive"),
        [(
            2,
            "comp-lzo: compression makes the length of a packet depend on its content (got 'comp-lzo adaptive', want \
             the line removed at both ends)"
                .to_owned()
        )]
    );
}

#[test]
fn harmless_options_pass() {
    let passed = [
        "# comp-lzo",
        "; compress lz4",
        "allow-compression no",
        "push \"ping 10\" # compress",
        "proto udp",
        "remote 192.0.2.1 1194 udp4",
        "cipher aes-256-gcm",
        "data-ciphers AES-256-GCM:?CHACHA20-POLY1305",
        "<ca>\ncompress\n</ca>",
        "redirect-gateway def1",
        "keepalive 10 60",
    ];
    for line in passed {
        assert_eq!(errors(&format!("remote a 1\n{line}\n")), [], "{line}");
    }
}

#[test]
fn options_inside_a_connection_are_checked() {
    let text = "client\n<connection>\nremote a 1194\nproto tcp\n</connection>\n";
    assert_eq!(errors(text).iter().map(|(line, _)| *line).collect::<Vec<_>>(), [4]);
}

#[test]
fn all_errors_are_reported_at_once() {
    let lines: Vec<usize> = errors("comp-lzo\n\"open\nproto tcp\n<ca>\n").into_iter().map(|(line, _)| line).collect();
    assert_eq!(lines, [1, 2, 3, 4, 0]);
    assert!(parse(b"", Role::Endpoint).is_ok());
}

#[test]
fn the_outer_ip_version_is_detected() {
    for (line, ipv6) in [
        ("remote vpn.example.org 1194", false),
        ("remote vpn.example.org 1194 udp6", true),
        ("remote 2001:db8::1 1194", true),
        ("remote 192.0.2.1 1194\nproto udp6", true),
        ("remote 192.0.2.1 1194 udp", false),
    ] {
        assert_eq!(parse(line.as_bytes(), Role::Router), Ok(Profile { ipv6 }), "{line}");
    }
}

#[test]
fn random_bytes_do_not_panic() {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    for _ in 0..2000 {
        let bytes: Vec<u8> = (0..40)
            .map(|_| {
                state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                b"<>/\"'\\ \n#;-ac\xff\xc3"[(state >> 33) as usize % 15]
            })
            .collect();
        let _ = parse(&bytes, Role::Router);
    }
}
