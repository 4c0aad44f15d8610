//! Which options a profile may have.

use super::super::options::{BY_ARGUMENT, FILES, HARMLESS};
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
    assert_eq!(parse(CLIENT.as_bytes(), Role::Router), Ok(Profile::default()));
    assert_eq!(parse(SERVER.as_bytes(), Role::Endpoint), Ok(Profile::default()));
}

#[test]
fn every_refused_option_is_reported_with_its_line() {
    let refused = [
        "comp-lzo",
        "comp-lzo yes",
        "comp-lzo adaptive",
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
        "data-ciphers AES-256-CBC:BF-CBC",
        "data-ciphers AES-192-GCM",
        "cipher AES-192-GCM",
        "secret static.key",
        "fragment 1300",
        "daemon",
        "log /var/log/openvpn",
        "config other.ovpn",
        "up /etc/openvpn/update-resolv-conf",
        "plugin /usr/lib/openvpn/auth.so",
        // Control, files written by root, other code, and what would loosen millpond's own options.
        "management 0.0.0.0 7505",
        "management-client",
        "management-hold",
        "status /etc/config/firewall",
        "status /tmp/openvpn.status 10",
        "writepid /var/run/openvpn.pid",
        "ifconfig-pool-persist /etc/config/network",
        "replay-persist /tmp/replay",
        "tls-export-cert /tmp",
        "memstats /tmp/stats",
        "tmp-dir /tmp",
        "log-append /var/log/openvpn",
        "machine-readable-output",
        "pkcs11-providers /tmp/evil.so",
        "pkcs11-id abc",
        "engine dynamic",
        "providers legacy",
        "pull-filter accept comp",
        "pull-filter \"accept\" \"comp-lzo\"",
        "--management /tmp/socket unix",
        "setenv opt management 0.0.0.0 7505",
        "setenv LD_PRELOAD /tmp/evil.so",
        "script-security 2",
        "route-up /bin/sh",
        "route-pre-down /bin/sh",
        "tls-verify /bin/sh",
        "iproute /bin/sh",
        "chroot /tmp",
        "cd /tmp",
        "capath /etc/ssl/certs",
        "crl-verify /tmp/crls dir",
        "askpass",
        "auth-user-pass",
        "auth-retry interact",
        "verify-client-cert none",
        "client-to-client",
        "link-mtu 1500",
        "shaper 10000",
        "passtos",
        "no-replay",
        "dev-node /dev/null",
        "mark 1",
        "genkey secret /tmp/x",
        "an-option-of-tomorrow",
        "<up>\n</up>",
        "<secret>\n</secret>",
        "<http-proxy-user-pass>\n</http-proxy-user-pass>",
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
        "comp-lzo no",
        "data-ciphers AES-256-GCM:AES-128-GCM:AES-256-CBC",
        "data-ciphers AES-192-GCM:AES-256-GCM",
        "data-ciphers-fallback AES-256-CBC",
        "pull-filter ignore \"dhcp-option DNS\"",
        "pull-filter reject redirect",
        "setenv opt block-outside-dns",
        "setenv UV_HOME maple",
        "script-security 1",
        "auth-user-pass /etc/millpond/account",
        "<auth-user-pass>\nname\nword\n</auth-user-pass>",
        "<tls-crypt-v2>\nplugin\n</tls-crypt-v2>",
        "verify-client-cert require",
        "user nobody",
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
        assert_eq!(parse(line.as_bytes(), Role::Router), Ok(Profile { ipv6, framing: false }), "{line}");
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

/// Lines of a profile, and words of the reason why each is refused.
type Findings = &'static [(usize, &'static str)];

/// Whether the options that other programs and providers write pass, or are refused by line with a reason.
#[test]
fn profiles_as_providers_write_them_pass_or_name_each_line() {
    let inline = "<ca>\n-----BEGIN CERTIFICATE-----\nb25l\n-----END CERTIFICATE-----\n</ca>\n<cert>\nx\n</cert>\n\
        <key>\nx\n</key>\n";
    let cases: [(&str, &str, Findings); 5] = [
        (
            "an access server",
            "# Generated\nsetenv FORWARD_COMPATIBLE 1\nclient\nserver-poll-timeout 4\nnobind\n\
             remote 192.0.2.10 1194 udp\nremote 192.0.2.10 443 tcp\ndev tun\ndev-type tun\nremote-cert-tls server\n\
             tls-version-min 1.2\nreneg-sec 604800\ntun-mtu 1420\nauth-user-pass\nverb 3\npush-peer-info\n\
             setenv PUSH_PEER_INFO\nsetenv CLIENT_CERT 0\ncomp-lzo no\nkey-direction 1\n<tls-auth>\nx\n</tls-auth>\n",
            &[(7, "TCP merges"), (14, "no terminal")],
        ),
        (
            "a firewall's export",
            "dev tun\npersist-tun\npersist-key\ndata-ciphers AES-256-GCM:AES-128-GCM:CHACHA20-POLY1305:AES-256-CBC\n\
             data-ciphers-fallback AES-256-CBC\nauth SHA256\ntls-client\nclient\nresolv-retry infinite\n\
             remote vpn.example.org 1194 udp4\nnobind\nverify-x509-name \"vpn server\" name\nremote-cert-tls server\n\
             explicit-exit-notify\n<tls-crypt>\nx\n</tls-crypt>\n",
            &[],
        ),
        (
            "a provider with an account file",
            "client\ndev tun\nresolv-retry infinite\nnobind\npersist-key\npersist-tun\nverb 3\nremote-cert-tls server\n\
             ping 10\nping-restart 60\nsndbuf 524288\nrcvbuf 524288\ncipher AES-256-GCM\n\
             tls-cipher TLS-DHE-RSA-WITH-AES-256-GCM-SHA384\nproto udp\nauth-user-pass account.txt\n\
             script-security 2\nup /etc/openvpn/update-resolv-conf\ndown /etc/openvpn/update-resolv-conf\n\
             fast-io\nremote-random\nremote 192.0.2.1 1301\nremote 192.0.2.2 1301\n",
            &[(17, "starts no other program"), (18, "starts no other program"), (19, "starts no other program")],
        ),
        (
            "a provider with old options",
            "client\ndev tun\nproto udp\nremote 192.0.2.3 1194\nresolv-retry infinite\nremote-random\nnobind\n\
             tun-mtu 1500\ntun-mtu-extra 32\nmssfix 1450\npersist-key\npersist-tun\nping 15\nping-restart 0\n\
             ping-timer-rem\nreneg-sec 0\ncomp-lzo no\nverify-x509-name CN=server\nremote-cert-tls server\nverb 3\n\
             pull\nfast-io\ncipher AES-256-CBC\nauth SHA512\nkey-direction 1\n",
            &[(23, "cipher")],
        ),
        (
            "a desktop's file",
            "client\nremote vpn.example.org\nuser nobody\ngroup nogroup\nmute 20\nmute-replay-warnings\n\
             ignore-unknown-option block-outside-dns\nblock-outside-dns\ndhcp-option DNS 192.0.2.53\n\
             ns-cert-type server\nstatus openvpn-status.log\n",
            &[(11, "would write")],
        ),
    ];
    for (kind, text, want) in cases {
        let found = errors(&format!("{text}{inline}"));
        let is_as_wanted = found.len() == want.len()
            && found.iter().zip(want).all(|((line, text), (at, why))| line == at && text.contains(why));
        assert!(is_as_wanted, "{kind}: {found:?}, want {want:?}");
    }
}

#[test]
fn the_files_of_a_profile_are_named() {
    let text = "ca ca.pem\n<cert>\nx\n</cert>\ntls-auth /etc/ta.key 1\ndh none\nkey [inline]\nauth-user-pass account\n";
    let files: Vec<_> =
        named_files(text.as_bytes()).into_iter().map(|file| (file.line, file.option, file.path)).collect();
    let want = [(1, "ca", "ca.pem"), (5, "tls-auth", "/etc/ta.key"), (8, "auth-user-pass", "account")];
    assert_eq!(files, want.map(|(line, option, path)| (line, option.to_owned(), path.to_owned())));
}

#[test]
fn framing_costs_a_byte_in_every_packet() {
    assert_eq!(parse(b"remote a 1\ncomp-lzo no\n", Role::Router), Ok(Profile { ipv6: false, framing: true }));
}

/// An option that is in the page but not in the lists would be refused, and the other way round nobody would know.
#[test]
fn the_page_lists_the_options_that_a_profile_may_have() {
    let page = include_str!("../../../../docs/configuration.md");
    let (_, rest) = page.split_once("**Options of a profile.**").expect("the page lists the options");
    let (listed, _) = rest.split_once("\n\n**Files").expect("the list ends before the files");
    let mut listed: Vec<&str> = listed.split('`').skip(1).step_by(2).collect();
    let mut known: Vec<&str> = [HARMLESS, FILES, BY_ARGUMENT].iter().flat_map(|list| list.split(' ')).collect();
    listed.sort_unstable();
    known.sort_unstable();
    assert_eq!(listed, known);
}

#[test]
fn an_error_shows_control_characters_escaped() {
    let [(1, error)] = &errors("dev\u{1b}[2J \0\u{202e}\nremote vpn.example.org\n")[..] else { panic!("one error") };
    assert!(error.contains("dev\\u{1b}[2J") && error.contains("\\u{0}\\u{202e}"), "{error}");
    assert!(!error.contains(['\0', '\u{1b}', '\u{202e}']), "{error}");
}
