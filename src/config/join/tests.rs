//! Join texts survive a round trip; truncated and damaged ones are refused.

use super::*;

fn invitation() -> Invitation {
    let server =
        |host: &str, key| Server { at: HostPort { host: host.into(), port: 51820 }, public_key: Key([key; 32]) };
    Invitation {
        name: "maple street".into(),
        expires: Some(1_800_000_000),
        identity: Identity::Private(Key::private([7; 32])),
        preshared_key: Some(Key([9; 32])),
        address: [10, 77, 0, 2].into(),
        peer_address: [10, 77, 0, 1].into(),
        address6: Some("fd77::2".parse().unwrap()),
        resolvers: vec!["9.9.9.9".parse().unwrap(), "2620:fe::fe".parse().unwrap()],
        max_download: BitsPerSec::from_kbit(4000),
        servers: vec![server("vpn.example.org", 1), server("2001:db8::1", 2)],
    }
}

#[test]
fn a_text_parses_to_its_invitation() {
    let longest = Invitation {
        name: "\u{1f3e0}".repeat(64),
        servers: (0..MAX_SERVERS as u8)
            .map(|key| Server { public_key: Key([key; 32]), ..invitation().servers[0].clone() })
            .collect(),
        ..invitation()
    };
    let shortest = Invitation {
        name: String::new(),
        expires: None,
        identity: Identity::Public(Key([3; 32])),
        preshared_key: None,
        address6: None,
        resolvers: Vec::new(),
        servers: invitation().servers[..1].to_vec(),
        ..invitation()
    };
    for invitation in [invitation(), longest, shortest] {
        let text = invitation.to_text();
        assert!(text.starts_with("millpond1-") && text.lines().count() == 1);
        assert_eq!(Invitation::from_text(&text), Ok(invitation.clone()));
        let wrapped: Vec<String> =
            text.as_bytes().chunks(72).map(|line| String::from_utf8_lossy(line).into()).collect();
        assert_eq!(Invitation::from_text(&format!("  {}\r\n", wrapped.join("\r\n"))), Ok(invitation));
    }
}

#[test]
fn a_text_truncated_anywhere_is_reported_as_truncated() {
    let text = invitation().to_text();
    for end in "millpond".len()..text.len() {
        assert_eq!(
            Invitation::from_text(&text[..end]),
            Err(JoinTextError::Truncated),
            "after {end} of {} characters",
            text.len()
        );
    }
}

#[test]
fn every_single_character_change_is_detected() {
    let text = invitation().to_text();
    for at in 0..text.len() {
        for other in ['A', 'b', '7', '_', '-', '=', '\u{e9}'] {
            let mut changed: Vec<char> = text.chars().collect();
            if std::mem::replace(&mut changed[at], other) != other {
                let changed: String = changed.into_iter().collect();
                assert!(Invitation::from_text(&changed).is_err(), "character {at} as {other}: {changed}");
            }
        }
        let mut without = text.clone();
        without.remove(at);
        // Removing either of two equal neighbours gives the same text.
        assert!(Invitation::from_text(&without).is_err(), "without character {at}");
    }
    for addition in ["A", "AAAA", "millpond1-"] {
        assert_eq!(Invitation::from_text(&format!("{text}{addition}")), Err(JoinTextError::Damaged), "{addition}");
    }
}

#[test]
fn other_texts_and_versions_are_told_apart() {
    for text in ["", "hello", "millpond", "millpond-AAAA", "https://example.org/", "[Interface]\nPrivateKey = x\n"] {
        let expected = match text {
            "millpond" => JoinTextError::Truncated,
            "[Interface]\nPrivateKey = x\n" => JoinTextError::Wireguard,
            _ => JoinTextError::NotJoinText,
        };
        assert_eq!(Invitation::from_text(text), Err(expected), "{text}");
    }
    let newer = invitation().to_text().replacen('1', "2", 1);
    assert_eq!(Invitation::from_text(&newer), Err(JoinTextError::Version(2)));
    let long = "millpond1-".to_owned() + &"A".repeat(1 << 20);
    assert!(Invitation::from_text(&long).is_err());
}

/// A correct checksum does not prove good intent: the values are checked as strictly as in a settings file.
#[test]
fn invalid_names_and_hosts_are_refused() {
    for host in ["", "a'b.example.org", "x\n\toption enabled", "0.0.0.0", "-"] {
        let mut bad = invitation();
        bad.servers[0].at.host = host.into();
        assert_eq!(Invitation::from_text(&bad.to_text()), Err(JoinTextError::Damaged), "{host}");
    }
    for name in ["two\nlines", &"x".repeat(65)] {
        let bad = Invitation { name: name.into(), ..invitation() };
        assert_eq!(Invitation::from_text(&bad.to_text()), Err(JoinTextError::Damaged), "{name}");
    }
    let mut twice = invitation();
    twice.servers[1].public_key = twice.servers[0].public_key.clone();
    assert_eq!(Invitation::from_text(&twice.to_text()), Err(JoinTextError::Damaged), "two endpoints with one key");
    let nowhere = Invitation { servers: Vec::new(), ..invitation() };
    assert_eq!(Invitation::from_text(&nowhere.to_text()), Err(JoinTextError::Damaged));
}

#[test]
fn an_invitation_is_valid_until_its_last_second() {
    let invitation = invitation();
    assert!(!invitation.is_expired(1_800_000_000) && invitation.is_expired(1_800_000_001));
    assert!(!Invitation { expires: None, ..invitation }.is_expired(u64::MAX));
}

#[test]
fn a_providers_configuration_is_told_from_a_join_text() {
    let text = "# Amsterdam 7\n[Interface]\nPrivateKey = abc\nDNS = 10.64.0.1\n[Peer]\nAllowedIPs = 0.0.0.0/0\n";
    let error = Invitation::from_text(text).unwrap_err();
    assert_eq!((error, error.code()), (JoinTextError::Wireguard, "not-join-text"));
    assert!(error.to_string().contains("option exit"), "{error}");
}
