//! The tunnel of each kind, its homes and its keys.

use super::{ENDPOINT, PRIVATE, PUBLIC, ROUTER, lines, router_text, router_with};
use crate::config::model::*;
use crate::config::{parse, parse_with};

#[test]
fn openvpn_and_interface_tunnels_parse() {
    let tunnel = |body: &str| {
        let (head, tail) = (ROUTER.find("config tunnel").expect("start"), ROUTER.find("config dns").expect("end"));
        parse(format!("{}config tunnel 'tunnel'\n{body}\n{}", &ROUTER[..head], &ROUTER[tail..]).as_bytes())
    };
    let ends = "option address 10.77.0.2\noption peer_address 10.77.0.1";
    let parsed = tunnel(&format!("option type openvpn\noption profile /etc/millpond/client.ovpn\n{ends}"));
    assert_eq!(lines(&parsed), Vec::<String>::new());
    assert!(matches!(parsed.settings.and_then(|s| s.tunnel), Some(Tunnel::Openvpn { .. })));
    for (option, overhead) in [("", None), ("option overhead 52", Some(52))] {
        let parsed = tunnel(&format!("option type interface\noption interface wg0\n{option}\n{ends}"));
        assert_eq!(lines(&parsed), Vec::<String>::new());
        let tunnel = parsed.settings.and_then(|s| s.tunnel);
        assert!(matches!(tunnel, Some(Tunnel::Interface { overhead: got, .. }) if got == overhead), "{tunnel:?}");
    }
    for (option, want) in [("", false), ("option unencrypted 1", true), ("option unencrypted 0", false)] {
        let parsed = tunnel(&format!("option type interface\noption interface gre1\n{option}\n{ends}"));
        assert_eq!(lines(&parsed), Vec::<String>::new());
        let tunnel = parsed.settings.and_then(|s| s.tunnel);
        assert!(matches!(tunnel, Some(Tunnel::Interface { unencrypted, .. }) if unencrypted == want), "{tunnel:?}");
    }
    for own in ["mp0", "mpwg0", "mpvpn0"] {
        let parsed = tunnel(&format!("option type interface\noption interface {own}\n{ends}"));
        assert_eq!(parsed.settings, None);
    }
}

#[test]
fn homes_have_keys_only_with_wireguard() {
    let endpoint = |kind: &str, key: &str| {
        let text = format!(
            "config millpond 'main'\noption enabled 1\noption role endpoint\nconfig tunnel 'tunnel'\n{kind}\n\
             option address 10.77.0.1\nconfig home\n{key}\noption address 10.77.0.2\n"
        );
        parse(text.as_bytes())
    };
    let openvpn = "option type openvpn\noption profile /etc/millpond/server.ovpn";
    let parsed = endpoint(openvpn, "");
    assert_eq!(lines(&parsed), Vec::<String>::new());
    assert_eq!(parsed.settings.expect("settings").homes[0].public_key, None);
    let parsed = endpoint("option type interface\noption interface tun0", "option public_key nonsense");
    assert_eq!(
        lines(&parsed),
        ["f:9: warning: @home[0].public_key: no effect unless the tunnel's type is 'wireguard'"]
    );
    let key = "option private_key AQIDBAUGBwgJCgsMDQ4PEBESExQVFhcYGRobHB0eHyA=";
    assert!(lines(&endpoint(key, "")).iter().any(|line| line.contains("@home[0].public_key: missing")));
}

#[test]
fn backup_endpoints_need_distinct_keys() {
    let with = |backup: &str| {
        let text = format!(
            "config millpond main\nconfig tunnel tunnel\n\
             \toption private_key '{PRIVATE}'\n\toption public_key '{PUBLIC}'\n\
             \toption endpoint 'vpn.example.org:51820'\n\
             \toption address 10.77.0.2\n\toption peer_address 10.77.0.1\n{backup}"
        );
        parse(text.as_bytes())
    };
    let other = Key([5; 32]).to_base64();
    let parsed =
        with(&format!("\tlist backup 'vpn2.example.org:51820 {other}'\n\tlist backup '[2001:db8::1]:9 {PRIVATE}'"));
    assert_eq!(lines(&parsed), Vec::<String>::new());
    let Some(Tunnel::Wireguard(wireguard)) = parsed.settings.unwrap().tunnel else { panic!("no tunnel") };
    let backup: Vec<String> = wireguard.backup.iter().map(ToString::to_string).collect();
    assert_eq!(backup, [format!("vpn2.example.org:51820 {other}"), format!("[2001:db8::1]:9 {PRIVATE}")]);
    let many: String = (1..9).map(|n| format!("\tlist backup 'a:1 {}'\n", Key([n; 32]).to_base64())).collect();
    for (backup, words) in [
        (format!("\tlist backup 'a:1 {PUBLIC}'"), "two endpoints with one key"),
        (format!("\tlist backup 'a:1 {other}'\n\tlist backup 'b:2 {other}'"), "two endpoints with one key"),
        ("\tlist backup 'a:1'".to_owned(), "not an address and a key"),
        (format!("\tlist backup 'a {other}'"), "no port"),
        (many, "at most 7"),
    ] {
        let found = lines(&with(&backup));
        assert!(found.len() == 1 && found[0].contains(words), "{backup}: {found:?}");
    }
}

#[test]
fn homes_of_an_endpoint_must_differ() {
    let second = &ENDPOINT[ENDPOINT.find("config home").expect("home")..];
    let parsed = parse(format!("{ENDPOINT}\n{second}").as_bytes());
    let texts: Vec<_> = parsed.problems.iter().map(|p| p.option.clone().unwrap_or_default()).collect();
    assert_eq!(texts, ["name", "public_key", "address"], "{:?}", lines(&parsed));
    let parsed = parse(ENDPOINT.replace("'10.77.0.2'", "'10.77.0.1'").as_bytes());
    let line = &lines(&parsed)[0];
    assert!(
        line.contains("@home[0].address: duplicate (got 10.77.0.1, already used by 'tunnel' on line 23;"),
        "{line}"
    );
}

/// WireGuard drops a peer with its own key without a word.
#[test]
fn the_endpoints_own_key_is_no_homes_key() {
    let own = Key::from_base64(PRIVATE).expect("a key").public().to_base64();
    let first = ENDPOINT.replace("ISIjJCUmJygpKissLS4vMDEyMzQ1Njc4OTo7PD0+P0A=", &own);
    let oak = format!("config home 'oak'\n\toption public_key '{own}'\n\toption address '10.77.0.3'\n");
    let second = format!("{ENDPOINT}\n{oak}");
    for (text, section) in [(first, "@home[0]"), (second, "oak")] {
        let parsed = parse(text.as_bytes());
        let [line] = &lines(&parsed)[..] else { panic!("{:?}", lines(&parsed)) };
        let want =
            format!("{section}.public_key: the endpoint's own public key (got {own}, want that of the home's router)");
        assert!(line.ends_with(&want) && parsed.settings.is_none(), "{line}");
    }
}

/// Private and preshared keys never appear in messages, whatever the error.
#[test]
fn no_message_contains_a_secret() {
    let secret = "c2VjcmV0c2VjcmV0c2VjcmV0c2VjcmV0c2VjcmV0c2U";
    let broken = [
        format!("option private_key '{secret}'"),
        format!("option privat_key '{secret}='"),
        format!("list preshared_key '{secret}'\nlist preshared_key '{secret}='"),
        format!("option private_key {secret} x"),
        format!("option private_key '{secret}"),
        format!("option private_key '\n{secret}='x' x"),
        format!("option private_key\n{secret}="),
        format!("option {secret}= private_key"),
        format!("{secret} option"),
        format!("config {secret}= {secret}="),
    ];
    for line in broken {
        let parsed = router_with("private_key", &line);
        assert!(!parsed.problems.is_empty(), "{line}");
        let text = lines(&parsed).join("\n");
        assert!(!text.contains(&secret[..12]), "{line}: {text}");
        assert!(!format!("{parsed:?}").contains(&secret[..12]), "{line}");
    }
}

/// The web interface reads the settings file, so keys may be kept in other files.
#[test]
fn a_key_may_be_in_a_key_file() {
    let settings = router_text("private_key", "option private_key '/etc/millpond/private.key'");
    let file_with = |text: &'static str| move |_: &str| Ok(text.to_owned());
    let parsed = parse_with(settings.as_bytes(), &|path| {
        assert_eq!(path, "/etc/millpond/private.key");
        Ok(format!("{PRIVATE}\n"))
    });
    let Some(Tunnel::Wireguard(wireguard)) = parsed.settings.expect("settings").tunnel else { panic!("wireguard") };
    assert_eq!(wireguard.private_key, Key::from_base64(PRIVATE).expect("key"));
    let broken = parse_with(settings.as_bytes(), &file_with("c2VjcmV0c2Vj"));
    assert!(lines(&broken).join("\n").contains("not a WireGuard key (got 12 characters"), "{:?}", lines(&broken));
    let absent = parse_with(settings.as_bytes(), &|_| Err("no such file".to_owned()));
    assert!(lines(&absent).join("\n").contains("tunnel.private_key: cannot read the key file (got no such file"));
    assert_eq!(absent.settings, None);
}

/// Settings of a cluster are readable by many, so the homes' preshared keys may be in other files, too.
#[test]
fn a_homes_preshared_key_may_be_in_a_key_file() {
    let file = "/etc/millpond/homes/maple.preshared";
    let other = Key([7; 32]).to_base64();
    let home =
        format!("config home\noption public_key '{other}'\noption address 10.77.0.3\noption preshared_key {file}");
    let settings = format!("{ENDPOINT}\n{home}\n");
    let parsed = parse_with(settings.as_bytes(), &|path| {
        assert_eq!(path, file);
        Ok(format!("{PRIVATE}\n"))
    });
    let homes = parsed.settings.unwrap_or_else(|| panic!("{:?}", parsed.problems)).homes;
    assert_eq!(homes[1].preshared_key, Key::from_base64(PRIVATE));
    let absent = parse_with(settings.as_bytes(), &|_| Err("no such file".to_owned()));
    assert!(lines(&absent).join("\n").contains("preshared_key: cannot read the key file (got no such file"));
}
