//! Which options a profile may have.
//!
//! openvpn runs as root, and its options write files, open control sockets and load code. New versions bring new
//! options. So what may be in a profile is listed here, and everything else is refused.

use super::lexer::Directive;

/// The ciphers that millpond's openvpn offers. All are AEAD ciphers, which add the same bytes to every packet.
pub(super) const CIPHERS: &str = "AES-256-GCM:AES-128-GCM:CHACHA20-POLY1305";

/// What an option of a profile means for millpond.
pub(super) enum ProfileOption {
    /// It may be in a profile.
    Harmless,
    /// It may, if the file that its first argument names is a small plain file.
    File,
    /// It may not.
    Unsuitable(UnsuitableOption),
}

/// Why an option is refused, and what to do about it.
pub(super) struct UnsuitableOption {
    pub why: &'static str,
    pub want: &'static str,
}

/// Options that are harmless with every argument, because they decide at most whether the tunnel works, or because
/// openvpn's command line overrides them.
pub(super) const HARMLESS: &str = "allow-pull-fqdn auth auth-nocache bcast-buffers bind block-ipv6 block-outside-dns \
    ccd-exclusive client client-config-dir client-nat connect-freq connect-freq-initial connect-retry \
    connect-retry-max connect-timeout data-ciphers-fallback dhcp-option dhcp-pre-release dhcp-release dhcp-renew \
    disable-dco disable-occ dns down-pre ecdh-curve echo explicit-exit-notify fast-io float group hand-window \
    hash-size ifconfig ifconfig-ipv6 ifconfig-ipv6-pool ifconfig-ipv6-push ifconfig-noexec ifconfig-nowarn \
    ifconfig-pool ifconfig-push ignore-unknown-option inactive iroute iroute-ipv6 keepalive key-direction local lport \
    max-clients max-routes-per-client mlock mode mssfix mtu-disc multihome mute mute-replay-warnings nice nobind \
    ns-cert-type peer-fingerprint persist-key persist-local-ip persist-remote-ip persist-tun ping ping-exit \
    ping-restart ping-timer-rem port pull push-peer-info push-remove push-reset rcvbuf redirect-gateway \
    redirect-private register-dns remap-usr1 remote-cert-eku remote-cert-ku remote-cert-tls remote-random \
    remote-random-hostname reneg-bytes reneg-pkts reneg-sec replay-window resolv-retry route route-delay \
    route-gateway route-ipv6 route-ipv6-gateway route-metric route-noexec route-nopull rport server server-ipv6 \
    server-poll-timeout setenv-safe single-session sndbuf socket-flags stale-routes-check suppress-timestamps \
    tls-cert-profile tls-cipher tls-ciphersuites tls-client tls-exit tls-groups tls-server tls-timeout \
    tls-version-max tls-version-min topology tran-window tun-mtu tun-mtu-extra txqueuelen user verb verify-hash \
    verify-x509-name x509-username-field";

/// Options whose first argument names a file that openvpn reads. Each may also be an inline section.
pub(super) const FILES: &str = "askpass auth-user-pass ca cert crl-verify dh extra-certs key pkcs12 tls-auth tls-crypt \
    tls-crypt-v2";

/// Options that are harmless with some arguments only. [`profile_option`] knows which.
#[cfg(test)]
pub(super) const BY_ARGUMENT: &str = "allow-compression auth-retry cipher comp-lzo data-ciphers dev dev-type \
    ncp-ciphers proto proto-force pull-filter push remote script-security setenv verify-client-cert";

const COMPRESSION: UnsuitableOption = UnsuitableOption {
    why: "compression makes the length of a packet depend on its content",
    want: "the line removed at both ends",
};
const TCP: UnsuitableOption =
    UnsuitableOption { why: "TCP merges and splits packets, so a cell is not one packet", want: "proto udp" };
const PROXY: UnsuitableOption =
    UnsuitableOption { why: "a proxy changes the number and length of packets", want: "the line removed" };
const TAP: UnsuitableOption =
    UnsuitableOption { why: "cells travel in IP packets, not in Ethernet frames", want: "dev tun" };
const CIPHER: UnsuitableOption = UnsuitableOption {
    why: "this cipher pads packets or does not protect them, or millpond never offers it",
    want: "AES-256-GCM, AES-128-GCM or CHACHA20-POLY1305, or the line removed",
};
const NO_TLS: UnsuitableOption = UnsuitableOption {
    why: "without TLS negotiation there is no AEAD cipher",
    want: "the line removed and certificates used",
};
const CHANGES_PACKETS: UnsuitableOption = UnsuitableOption {
    why: "this option changes the number, length, header or time of packets",
    want: "the line removed",
};
const HIDES_PROCESS: UnsuitableOption =
    UnsuitableOption { why: "millpond must see the process and its output", want: "the line removed" };
const WRITES_FILE: UnsuitableOption =
    UnsuitableOption { why: "openvpn, as root, would write to that path", want: "the line removed" };
const CONTROLS: UnsuitableOption =
    UnsuitableOption { why: "other programs could control openvpn through this", want: "the line removed" };
const LOADS_CODE: UnsuitableOption =
    UnsuitableOption { why: "this loads other code into openvpn", want: "the line removed" };
const STARTS_PROGRAM: UnsuitableOption = UnsuitableOption {
    why: "millpond sets addresses and routes itself and starts no other program",
    want: "the line removed",
};
const OTHER_FILE: UnsuitableOption =
    UnsuitableOption { why: "options in another file would not be checked", want: "its lines in this file" };
const OTHER_FOLDER: UnsuitableOption =
    UnsuitableOption { why: "files elsewhere than those checked would be read", want: "absolute paths" };
const NO_TERMINAL: UnsuitableOption =
    UnsuitableOption { why: "millpond has no terminal to ask at", want: "the path of a file that holds the answer" };
const PULLS: UnsuitableOption = UnsuitableOption {
    why: "this would accept what millpond refuses from the server",
    want: "pull-filter ignore or reject, or the line removed",
};
const ENVIRONMENT: UnsuitableOption =
    UnsuitableOption { why: "this variable may change what programs do", want: "the line removed" };
const OPENS_HOMES: UnsuitableOption =
    UnsuitableOption { why: "homes would reach each other, or strangers the endpoint", want: "the line removed" };
const NOT_LISTED: UnsuitableOption = UnsuitableOption {
    why: "not among the options that a profile may have",
    want: "the line removed; docs/configuration.md lists them",
};

/// Whether the option may be in a profile.
pub(super) fn profile_option(directive: &Directive) -> ProfileOption {
    let name = directive.name();
    if is_in(HARMLESS, name) {
        return ProfileOption::Harmless;
    }
    if is_in(FILES, name) {
        return if directive.is_inline { ProfileOption::Harmless } else { named_file_option(directive) };
    }
    refusal(directive).map_or(ProfileOption::Harmless, ProfileOption::Unsuitable)
}

fn is_in(list: &str, name: &str) -> bool {
    list.split(' ').any(|word| word == name)
}

fn named_file_option(directive: &Directive) -> ProfileOption {
    match (directive.name(), directive.argument(0)) {
        ("askpass" | "auth-user-pass", "") => ProfileOption::Unsuitable(NO_TERMINAL),
        ("crl-verify", _) if !directive.argument(1).is_empty() => ProfileOption::Unsuitable(OTHER_FOLDER),
        ("dh", "none") | (_, "[inline]") => ProfileOption::Harmless,
        _ => ProfileOption::File,
    }
}

/// Why an option that is in neither list is refused; `None` if its arguments make it harmless.
fn refusal(directive: &Directive) -> Option<UnsuitableOption> {
    let first = directive.argument(0);
    let unless = |is_harmless: bool, refusal| (!is_harmless).then_some(refusal);
    match directive.name() {
        // Framing without compression: one byte more in every packet, whatever is in it.
        "comp-lzo" => unless(first == "no", COMPRESSION),
        "allow-compression" => unless(first == "no", COMPRESSION),
        "comp-noadapt" | "compress" => Some(COMPRESSION),
        "push" => unless(!first.trim_start().starts_with("comp"), COMPRESSION),
        "proto" | "proto-force" => unless(first.starts_with("udp"), TCP),
        "remote" => unless(!directive.argument(2).starts_with("tcp"), TCP),
        "dev" | "dev-type" => unless(!first.starts_with("tap"), TAP),
        "cipher" => unless(is_offered(first), CIPHER),
        // The command line overrides the list, so only ciphers that millpond offers are ever negotiated.
        "data-ciphers" | "ncp-ciphers" => unless(first.split(':').any(is_offered), CIPHER),
        "script-security" => unless(matches!(first, "0" | "1"), STARTS_PROGRAM),
        "pull-filter" => unless(matches!(first, "ignore" | "reject"), PULLS),
        "auth-retry" => unless(first != "interact", NO_TERMINAL),
        "verify-client-cert" => unless(matches!(first, "" | "require"), OPENS_HOMES),
        "setenv" => unless(
            matches!(first, "CLIENT_CERT" | "FORWARD_COMPATIBLE" | "FRIENDLY_NAME" | "PUSH_PEER_INFO")
                || first.starts_with("UV_"),
            ENVIRONMENT,
        ),
        "static-challenge" => Some(NO_TERMINAL),
        "ncp-disable" | "secret" => Some(NO_TLS),
        "fragment" | "link-mtu" | "mtu-test" | "passtos" | "shaper" => Some(CHANGES_PACKETS),
        "daemon" | "inetd" | "log" | "log-append" | "machine-readable-output" | "syslog" => Some(HIDES_PROCESS),
        "ifconfig-pool-persist"
        | "memstats"
        | "replay-persist"
        | "status"
        | "tls-export-cert"
        | "tmp-dir"
        | "writepid" => Some(WRITES_FILE),
        "client-to-client" | "duplicate-cn" => Some(OPENS_HOMES),
        "config" => Some(OTHER_FILE),
        "capath" | "cd" | "chroot" => Some(OTHER_FOLDER),
        "engine" | "plugin" | "providers" => Some(LOADS_CODE),
        "auth-user-pass-verify"
        | "client-connect"
        | "client-crresponse"
        | "client-disconnect"
        | "down"
        | "ipchange"
        | "iproute"
        | "learn-address"
        | "route-pre-down"
        | "route-up"
        | "tls-crypt-v2-verify"
        | "tls-verify"
        | "up" => Some(STARTS_PROGRAM),
        name if name.starts_with("management") => Some(CONTROLS),
        name if name.starts_with("pkcs11-") => Some(LOADS_CODE),
        name if name.starts_with("http-proxy") || name.starts_with("socks-proxy") => Some(PROXY),
        _ => Some(NOT_LISTED),
    }
}

/// Whether millpond's openvpn offers the cipher. Others are never negotiated, `AES-192-GCM` among them.
pub(super) fn is_offered(cipher: &str) -> bool {
    // A leading question mark means "if the library supports it".
    let cipher = cipher.trim_start_matches('?');
    CIPHERS.split(':').any(|offered| offered.eq_ignore_ascii_case(cipher))
}
